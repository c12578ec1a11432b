//! How every service is spoken to: no redirects, bounded answers, repeated by class until the budget of the whole call is used up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use countersign_oci::http::{self, Budget, HttpError, HttpOptions, retry_after};
use countersign_oci::limits::SERVICE_ANSWER_BYTES;
use countersign_oci::{Secret, redact};
use jiff::Timestamp;
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, LOCATION};
use url::Url;

use super::pauses::Pauses;
use super::service::Service;
use crate::error::{OutageEnd, SignError, retryable_status};

/// Rekor v2 answers only when the entry is part of the log, which may take 20 seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// What a service says is quoted up to this many characters.
const MAX_MESSAGE: usize = 300;

/// The client for all services, and the time that the whole call may take. Clones share what is known of each service.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    client: reqwest::Client,
    budget: Budget,
    health: Arc<Mutex<BTreeMap<Option<Url>, Arc<Health>>>>,
}

/// What the calls to one address, and to those that serve in its place, tell each other.
#[derive(Debug, Default)]
struct Health {
    known: Mutex<Known>,
    /// Held by the one call that waits and tries again, so that an outage is met by one request at a time and told once.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// How often it served.
    served: u64,
    /// The address that served last.
    preferred: usize,
}

/// One exchange, described so that it can be repeated.
pub(crate) struct Call<'a> {
    /// Whom it is for.
    pub(crate) service: Service,
    /// Where it goes: to the first that serves. Queries are never shown.
    pub(crate) urls: &'a [Url],
    /// Whether 409 is an answer rather than a failure.
    pub(crate) conflict_is_answer: bool,
    /// The end of the token or certificate in it, from when on it is not repeated.
    pub(crate) until: Option<Timestamp>,
}

/// How often and how long something was tried; kept over several calls for the same thing.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    count: u32,
    began: Option<Duration>,
    pauses: Pauses,
}

/// What a service answered.
pub(crate) struct Answer {
    pub(crate) from: Address,
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

/// A service, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) service: Service,
    pub(crate) url: Url,
}

/// Why a call was given up.
#[derive(Debug)]
pub(crate) enum Stop {
    /// For good.
    Failed(SignError),
    /// The token or certificate in it has come to its end: with a new one it may go on.
    Lapsed {
        /// When it came to its end.
        until: Timestamp,
        /// The time now.
        now: Timestamp,
    },
}

impl From<SignError> for Stop {
    fn from(error: SignError) -> Self {
        Self::Failed(error)
    }
}

impl From<Stop> for SignError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(error) => error,
            Stop::Lapsed { until, now } => Self::CertificateOutlived { not_after: until, now, source: None },
        }
    }
}

impl Transport {
    /// Makes a client whose calls all end within the budget.
    pub(crate) fn new(options: &HttpOptions, budget: Budget) -> Result<Self, SignError> {
        let client = http::client(options).map_err(|source| SignError::HttpClient { source })?;
        Ok(Self { client, budget, health: Arc::default() })
    }

    pub(crate) const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Sends a request until it is answered, refused for good, or the budget is used up.
    pub(crate) async fn send(
        &self,
        call: &Call<'_>,
        attempts: &mut Attempts,
        request: impl Fn(&reqwest::Client, &Url) -> RequestBuilder,
    ) -> Result<Answer, Stop> {
        let health = self.health(call);
        attempts.began.get_or_insert_with(|| self.budget.time().elapsed());
        let mut held = None;
        loop {
            let known = health.known();
            let mut failure = None;
            for turn in 0..call.urls.len() {
                self.heed(call)?;
                let position = (known.preferred + turn) % call.urls.len();
                let from = Address { service: call.service, url: call.urls[position].clone() };
                attempts.count += 1;
                match self.attempt(call, &from, request(&self.client, &from.url)).await {
                    Ok(answer) => {
                        health.served_by(position);
                        return Ok(answer);
                    }
                    Err(refusal) if !refusal.retryable() => return Err(refusal.into()),
                    Err(outage) => failure = Some((from, outage)),
                }
            }
            let Some((from, failure)) = failure else {
                return Err(SignError::ServiceAbsent { service: call.service }.into());
            };
            if held.is_none() {
                held = Some(health.gate.lock().await);
                // Others waited meanwhile, and it serves again.
                if health.known().served > known.served {
                    held = None;
                    continue;
                }
            }
            self.pause(&from, failure, attempts).await?;
        }
    }

    /// Whether what the call carries is still good.
    fn heed(&self, call: &Call<'_>) -> Result<(), Stop> {
        let now = self.budget.now();
        match call.until {
            Some(until) if now >= until => Err(Stop::Lapsed { until, now }),
            _ => Ok(()),
        }
    }

    async fn pause(&self, from: &Address, failure: SignError, attempts: &mut Attempts) -> Result<(), SignError> {
        let left = self.budget.remaining();
        let own = attempts.pauses.next(left);
        let asked = failure.asks_for_pause();
        let end = match (own, asked) {
            (_, Some(asked)) if asked >= left => OutageEnd::AsksForLonger { asked, left },
            (None, _) => OutageEnd::TimeUsedUp { total: self.budget.total() },
            (Some(own), asked) => {
                let pause = asked.map_or(own, |asked| own.max(asked));
                if self.budget.pause(from, &failure.in_short(), pause).await {
                    return Ok(());
                }
                OutageEnd::TimeUsedUp { total: self.budget.total() }
            }
        };
        let began = attempts.began.unwrap_or_default();
        Err(SignError::ServiceOutage {
            service: from.service,
            url: from.shown_url(),
            attempts: attempts.count,
            lasted: self.budget.time().elapsed().saturating_sub(began),
            end,
            source: Box::new(failure),
        })
    }

    async fn attempt(&self, call: &Call<'_>, from: &Address, request: RequestBuilder) -> Result<Answer, SignError> {
        let timeout = ATTEMPT_TIMEOUT.min(self.budget.remaining());
        tokio::time::timeout(timeout, exchange(call, from, request))
            .await
            .unwrap_or_else(|elapsed| Err(from.unreachable(elapsed)))
    }

    fn health(&self, call: &Call<'_>) -> Arc<Health> {
        let mut all = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(call.urls.first().cloned()).or_default())
    }
}

impl Health {
    fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn served_by(&self, position: usize) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known { served: known.served + 1, preferred: position };
    }
}

async fn exchange(call: &Call<'_>, from: &Address, request: RequestBuilder) -> Result<Answer, SignError> {
    let (client, request) = request.build_split();
    let request = request.map_err(|error| from.unreachable(error.without_url()))?;
    let shown = shown_to_the_service(&request);
    let response = client.execute(request).await.map_err(|error| from.unreachable(error.without_url()))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(SignError::ServiceRedirected { service: from.service, url: from.shown_url() });
    }
    let location = response.headers().get(LOCATION).and_then(|text| text.to_str().ok()).map(str::to_owned);
    let retry_after = retry_after(response.headers());
    let body = match http::read_bounded(response, SERVICE_ANSWER_BYTES).await {
        Ok(body) => body,
        Err(_) if !status.is_success() => Bytes::new(),
        Err(error) => return Err(from.unread(error)),
    };
    let accepted = status.is_success() || (call.conflict_is_answer && status.as_u16() == 409);
    if !accepted {
        return Err(SignError::ServiceRefused {
            service: from.service,
            url: from.shown_url(),
            status: status.as_u16(),
            message: message_of(&body, shown.as_ref()),
            retry_after,
        });
    }
    Ok(Answer { from: from.clone(), status: status.as_u16(), location, body })
}

impl Address {
    /// The URL without its query: the query of an ambient provider is nobody's business.
    pub(crate) fn shown_url(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.to_string()
    }

    /// Says that an answer is not what the interface promises.
    pub(crate) fn malformed(&self, what: impl Into<String>) -> SignError {
        SignError::ServiceMalformed { service: self.service, url: self.shown_url(), what: what.into() }
    }

    fn unreachable(&self, source: impl std::error::Error + Send + Sync + 'static) -> SignError {
        let (service, url) = (self.service, self.shown_url());
        if is_about_certificate(&source) {
            return SignError::ServiceUntrusted { service, url, source: Box::new(source) };
        }
        SignError::ServiceUnreachable { service, url, source: Box::new(source) }
    }

    fn unread(&self, error: HttpError) -> SignError {
        match error {
            HttpError::TooLarge { limit } => {
                SignError::ServiceAnswerTooLarge { service: self.service, url: self.shown_url(), limit }
            }
            other => self.unreachable(other),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} at {}", self.service, self.shown_url())
    }
}

impl SignError {
    fn asks_for_pause(&self) -> Option<Duration> {
        match self {
            Self::ServiceRefused { status, retry_after, .. } if retryable_status(*status) => *retry_after,
            _ => None,
        }
    }

    /// The failure of one attempt without the name of the service.
    fn in_short(&self) -> String {
        match self {
            Self::ServiceRefused { status, .. } => format!("it answered {status}"),
            _ => "it did not answer".to_owned(),
        }
    }
}

/// Whether TLS refused the server: another attempt meets the same certificate.
fn is_about_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // An I/O error passes over what it wraps when it is asked for its source.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => is_about_certificate(wrapped),
        None => error.source().is_some_and(is_about_certificate),
    }
}

/// The token that a request shows to the service, which may quote it.
fn shown_to_the_service(request: &reqwest::Request) -> Option<Secret> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    header.split_once(' ').map(|(_, token)| Secret::new(token.to_owned()))
}

/// What a service says about its refusal: the `message` of a JSON body, or the body's beginning. Control characters, anything that looks
/// like a token, and every piece of the token that it was shown are left out.
fn message_of(body: &[u8], shown: Option<&Secret>) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    let text = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let words: Vec<&str> = text
        .split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .map(|word| if word.contains("eyJ") { "[redacted]" } else { word })
        .collect();
    let secrets: Vec<&str> = shown.map(Secret::expose).into_iter().collect();
    redact(&words.join(" "), &secrets).chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_quoted_without_tokens_or_control_characters() {
        let table = [
            (r#"{"code":3,"message":"no such\nissuer"}"#, "no such issuer"),
            ("plain \u{1b}[31mtext", "plain [31mtext"),
            ("", ""),
            ("token (eyJhbGciOiJSUzI1NiJ9.e30.c2ln) expired", "token [redacted] expired"),
        ];
        for (body, expected) in table {
            assert_eq!(message_of(body.as_bytes(), None), expected);
        }
        assert_eq!(message_of(&[b'a'; 100_000], None).len(), MAX_MESSAGE);
        let token = Secret::new("abc.Q0FOQVJZLXBheWxvYWQ.sig".to_owned());
        assert_eq!(message_of(b"bad claims Q0FOQVJZLXBheWxv", Some(&token)), "bad claims [redacted]");
    }
}
