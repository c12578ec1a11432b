use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::transport::Followed;
use super::{Endpoint, Registry, Shown, refusal};
use crate::Repository;
use crate::auth::{Access, Action, Challenge, Need, Next};
use crate::error::RegistryError;
use crate::http::{RetryPolicy, read_bounded, same_origin, shown};

/// One request to a registry, to be made as often as it takes.
pub(crate) struct Call<'a> {
    /// What messages call it.
    pub(crate) what: String,
    pub(crate) repository: &'a Repository,
    pub(crate) action: Action,
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Where a request goes.
#[derive(Clone)]
pub(crate) enum Target {
    /// Below `/v2/<repository>/`.
    Path(String),
    /// A place that the registry named, checked to be its own.
    Url(Url),
}

/// A whole answer.
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) url: Url,
    pub(crate) bytes: Bytes,
}

impl<'a> Call<'a> {
    pub(crate) fn read(what: String, repository: &'a Repository, path: String) -> Self {
        Self {
            what,
            repository,
            action: Action::Read,
            method: Method::GET,
            target: Target::Path(path),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    fn url(&self, endpoint: &Endpoint) -> Result<Url, RegistryError> {
        match &self.target {
            // Whoever made it has checked it; the authorization goes with it, so it is checked again.
            Target::Url(url) if same_origin(&endpoint.base, url) => Ok(url.clone()),
            Target::Url(url) => Err(RegistryError::Address { address: shown(url) }),
            Target::Path(path) => {
                let path = format!("v2/{}/{path}", self.repository.path());
                endpoint.base.join(&path).map_err(|_| RegistryError::Address { address: endpoint.registry.clone() })
            }
        }
    }

    fn request(&self, url: Url, access: &Access) -> Request {
        let mut request = Request::new(self.method.clone(), url);
        *request.headers_mut() = self.headers.clone();
        if let Some(header) = &access.header {
            request.headers_mut().insert(AUTHORIZATION, header.clone());
        }
        if self.action == Action::Write {
            *request.body_mut() = Some(self.body.clone().into());
        }
        request
    }
}

impl Registry {
    /// Makes a call until it succeeds, will not, or its time is up, and reads the answer's body up to `limit` bytes.
    pub(crate) async fn fetch(&self, call: &Call<'_>, limit: u64) -> Result<Fetched, RegistryError> {
        let mut tries = self.tries(&call.what, self.0.total_timeout);
        loop {
            let attempt = async {
                let response = self.exchange(call).await?;
                let (status, headers, url) = (response.status(), response.headers().clone(), response.url().clone());
                let bytes = read_bounded(response, limit).await;
                let bytes = bytes.map_err(|source| RegistryError::Http { what: call.what.clone(), source })?;
                Ok(Fetched { status, headers, url, bytes })
            };
            match tries.within(attempt).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Makes a call until a successful answer begins; the body is the caller's.
    pub(crate) async fn open(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut tries = self.tries(&call.what, self.0.total_timeout);
        loop {
            match tries.within(self.exchange(call)).await {
                Ok(response) => return Ok(response),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Makes a call once, with everything that authentication takes. Only a success is an answer.
    pub(crate) async fn exchange(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut refused: Option<RegistryError> = None;
        for _ in 0..MAX_ROUNDS {
            let endpoint = self.endpoint(call.repository.registry())?;
            let need = Need { endpoint: &endpoint, repository: call.repository, action: call.action };
            let access = match self.0.auth.access(&self.0.transport, need).await {
                Err(denied @ RegistryError::Denied { .. }) => return Err(refused.unwrap_or(denied)),
                outcome => outcome?,
            };
            let Some(Followed { response, at_origin }) = self.send(call, &endpoint, &access).await? else { continue };
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let shown_secrets = Shown::of(access.header.as_ref());
            if !at_origin || !matches!(status.as_u16(), 401 | 403) {
                return Err(refusal(&call.what, response, &shown_secrets).await);
            }
            let challenge = Challenge::of(response.headers()).filter(|_| status == StatusCode::UNAUTHORIZED);
            let known = challenge.is_some();
            let error = self.denied(call, &access, refusal(&call.what, response, &shown_secrets).await);
            if challenge.is_some_and(|challenge| self.0.auth.learn(need, &access, challenge)) {
                refused = refused.or((access.header.is_some()).then_some(error));
                continue;
            }
            if status == StatusCode::UNAUTHORIZED && !known && access.header.is_none() {
                let (what, registry) = (call.what.clone(), endpoint.registry);
                return Err(refused.unwrap_or(RegistryError::Challenge { what, registry }));
            }
            match self.0.auth.refused(&access, need, status.as_u16()).await {
                Next::Again => {}
                Next::Anonymous => refused = Some(refused.unwrap_or(error)),
                Next::Refused => return Err(refused.unwrap_or(error)),
            }
        }
        let (what, registry) = (call.what.clone(), call.repository.registry().to_owned());
        Err(refused.unwrap_or(RegistryError::Challenge { what, registry }))
    }

    /// Sends a call once; `None` when plain http is to be tried next.
    async fn send(
        &self,
        call: &Call<'_>,
        endpoint: &Endpoint,
        access: &Access,
    ) -> Result<Option<Followed>, RegistryError> {
        let request = call.request(call.url(endpoint)?, access);
        let outcome = match call.action {
            Action::Read => self.0.transport.follow(request, &call.what).await,
            Action::Write => {
                let response = self.0.transport.send(request, &call.what).await;
                response.map(|response| Followed { response, at_origin: true })
            }
        };
        match outcome {
            Err(RegistryError::Unreachable { source, .. }) if endpoint.may_downgrade && source.is_connect() => {
                self.downgrade(&endpoint.registry);
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }

    fn denied(&self, call: &Call<'_>, access: &Access, error: RegistryError) -> RegistryError {
        match (error, &access.credentials) {
            (RegistryError::Denied { answer, .. }, Some(used)) if answer.status == 401 => {
                RegistryError::CredentialsRejected { answer, origin: used.origin.clone() }
            }
            (RegistryError::Denied { answer, .. }, _) => {
                tracing::debug!(what = call.what, status = answer.status, "access denied");
                RegistryError::Denied { answer, withheld: access.withheld.clone() }
            }
            (error, _) => error,
        }
    }

    pub(crate) fn tries(&self, what: &str, budget: Duration) -> Tries {
        Tries::new(what, budget, self.0.retry)
    }
}

/// The attempts at one call: their pauses, and the one deadline that they share.
pub(crate) struct Tries {
    what: String,
    budget: Duration,
    deadline: Instant,
    policy: RetryPolicy,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    last: Option<RegistryError>,
}

impl Tries {
    fn new(what: &str, budget: Duration, policy: RetryPolicy) -> Self {
        let pauses = Box::new(policy.pauses());
        Self { what: what.to_owned(), budget, deadline: Instant::now() + budget, policy, pauses, last: None }
    }

    /// Runs one attempt within what is left of the time.
    pub(crate) async fn within<T>(
        &mut self,
        attempt: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        match timeout_at(self.deadline, attempt).await {
            Ok(outcome) => outcome,
            // What went wrong before says more than that time is up.
            Err(_) => Err(self.last.take().unwrap_or_else(|| self.timed_out())),
        }
    }

    /// Pauses before the next attempt, or returns `error` when there is none.
    pub(crate) async fn again(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        let pause = if error.retryable() { self.pauses.next() } else { None };
        let Some(pause) = pause.map(|pause| self.policy.pause(pause, error.retry_after())) else { return Err(error) };
        if Instant::now() + pause >= self.deadline {
            return Err(error);
        }
        tracing::debug!(what = self.what, code = error.code(), pause_ms = pause.as_millis(), "trying again");
        self.last = Some(error);
        sleep(pause).await;
        Ok(())
    }

    fn timed_out(&self) -> RegistryError {
        RegistryError::TimedOut { what: self.what.clone(), limit: self.budget }
    }
}

/// Challenge, stale token, refused credentials, anonymous: no honest exchange takes more rounds.
const MAX_ROUNDS: usize = 6;
