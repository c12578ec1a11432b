use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Response, StatusCode};

use super::call::{Call, Fetched};
use super::transport::{Followed, Via};
use super::{Endpoint, Registry, Shown, Tries, refusal};
use crate::auth::{Access, Action, Challenge, Need, Next};
use crate::error::RegistryError;
use crate::http::read_bounded;

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
    pub(crate) fn exchange<'a>(&'a self, call: &'a Call<'_>) -> BoxFuture<'a, Result<Response, RegistryError>> {
        // On the heap: every future that talks to a registry holds one or more of these.
        Box::pin(self.exchange_once(call))
    }

    async fn exchange_once(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut refused: Option<RegistryError> = None;
        for _ in 0..MAX_ROUNDS {
            let endpoint = self.endpoint(call.repository.registry())?;
            let need = Need {
                endpoint: &endpoint,
                repository: call.repository,
                action: call.action,
                also_read: call.also_read,
            };
            let access = match self.0.auth.access(&self.0.transport, need).await {
                Err(denied @ RegistryError::Denied { .. }) => return Err(refused.unwrap_or(denied)),
                outcome => outcome?,
            };
            let Some(Followed { response, at_origin }) = self.send(call, &endpoint, &access).await? else { continue };
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let known = self.0.auth.secrets();
            let shown_secrets =
                known.iter().fold(Shown::of(access.header.as_ref()), |shown, secret| shown.and(Some(secret)));
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
        let via = Via {
            registry: &endpoint.registry,
            certificate: Some(&endpoint.credential_registry),
            is_upload: call.stream.is_some(),
        };
        let outcome = match call.action {
            Action::Read => self.0.transport.follow(request, &call.what, via).await,
            Action::Delete | Action::Write => {
                let response = self.0.transport.send(request, &call.what, via).await;
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
        Tries::new(what, budget, self.0.retry, self.0.budget.clone())
    }
}

/// Challenge, stale token, refused credentials, anonymous: no honest exchange takes more rounds.
const MAX_ROUNDS: usize = 6;
