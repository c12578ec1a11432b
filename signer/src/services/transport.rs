//! How every service is spoken to: no redirects, bounded answers, retries by class within one budget.

use std::time::Duration;

use bytes::Bytes;
use countersign_oci::http::{self, HttpError, HttpOptions, RetryPolicy, retry_after};
use countersign_oci::limits::SERVICE_ANSWER_BYTES;
use countersign_oci::{Secret, redact};
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, LOCATION};
use tokio::time::Instant;
use url::Url;

use super::service::Service;
use crate::error::{SignError, retryable_status};

/// Rekor v2 answers only when the entry is part of the log, which may take 20 seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// What a service says is quoted up to this many characters.
const MAX_MESSAGE: usize = 300;

/// The client for all services, and the time by which all of them together have to be done.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    client: reqwest::Client,
    retries: RetryPolicy,
    deadline: Instant,
}

/// One exchange, described so that it can be repeated.
pub(crate) struct Call<'a> {
    /// Whom it is for.
    pub(crate) service: Service,
    /// Where it goes; the query is never shown.
    pub(crate) url: &'a Url,
    /// Whether 409 is an answer rather than a failure.
    pub(crate) conflict_is_answer: bool,
}

/// What a service answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

impl Transport {
    /// Makes a client whose calls all end within the budget.
    pub(crate) fn new(options: &HttpOptions, budget: Duration) -> Result<Self, SignError> {
        Ok(Self {
            client: http::client(options).map_err(|source| SignError::HttpClient { source })?,
            retries: RetryPolicy::default(),
            deadline: Instant::now() + budget,
        })
    }

    /// Sends a request until it is answered, refused for good, or the budget is used up.
    pub(crate) async fn send(
        &self,
        call: &Call<'_>,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Answer, SignError> {
        let mut pauses = self.retries.pauses();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let failure = match self.attempt(call, request(&self.client)).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure.counted(attempts),
            };
            let Some(pause) = pauses.next().filter(|_| failure.retryable()) else {
                return Err(failure);
            };
            let pause = self.retries.pause(pause, failure.asks_for_pause());
            if Instant::now() + pause >= self.deadline {
                return Err(failure);
            }
            tracing::debug!(service = %call.service, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, call: &Call<'_>, request: RequestBuilder) -> Result<Answer, SignError> {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        let timeout = ATTEMPT_TIMEOUT.min(remaining);
        tokio::time::timeout(timeout, exchange(call, request))
            .await
            .unwrap_or_else(|elapsed| Err(call.unreachable(elapsed)))
    }
}

async fn exchange(call: &Call<'_>, request: RequestBuilder) -> Result<Answer, SignError> {
    let (client, request) = request.build_split();
    let request = request.map_err(|error| call.unreachable(error.without_url()))?;
    let shown = shown_to_the_service(&request);
    let response = client.execute(request).await.map_err(|error| call.unreachable(error.without_url()))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(SignError::ServiceRedirected { service: call.service, url: call.shown_url() });
    }
    let location = response.headers().get(LOCATION).and_then(|text| text.to_str().ok()).map(str::to_owned);
    let retry_after = retry_after(response.headers());
    let body = match http::read_bounded(response, SERVICE_ANSWER_BYTES).await {
        Ok(body) => body,
        Err(_) if !status.is_success() => Bytes::new(),
        Err(error) => return Err(call.unread(error)),
    };
    let accepted = status.is_success() || (call.conflict_is_answer && status.as_u16() == 409);
    if !accepted {
        return Err(SignError::ServiceRefused {
            service: call.service,
            url: call.shown_url(),
            status: status.as_u16(),
            message: message_of(&body, shown.as_ref()),
            retry_after,
        });
    }
    Ok(Answer { status: status.as_u16(), location, body })
}

impl Call<'_> {
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

    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SignError {
        SignError::ServiceUnreachable {
            service: self.service,
            url: self.shown_url(),
            attempts: 1,
            source: source.into(),
        }
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

impl SignError {
    fn counted(self, count: u32) -> Self {
        match self {
            Self::ServiceUnreachable { service, url, source, .. } => {
                Self::ServiceUnreachable { service, url, attempts: count, source }
            }
            other => other,
        }
    }

    fn asks_for_pause(&self) -> Option<Duration> {
        match self {
            Self::ServiceRefused { status, retry_after, .. } if retryable_status(*status) => *retry_after,
            _ => None,
        }
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
