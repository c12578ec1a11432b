use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::errors::{OciEnvelope, OciErrorCode};
use reqwest::header::HeaderValue;
use reqwest::{Response, StatusCode};
use zeroize::Zeroizing;

use super::transport::is_redirect;
use crate::error::{Answer, RegistryError};
use crate::http::{RedirectRefusal, read_bounded, retry_after};
use crate::limits;
use crate::secret::{Secret, redact};
use crate::text::printable;

/// Turns an answer that is no success into an error, with what it says about itself, but for what it was shown: `secrets`.
pub(crate) async fn refusal(what: &str, response: Response, secrets: &Shown) -> RegistryError {
    let status = response.status();
    let from = authority(&response);
    if is_redirect(status) {
        return RegistryError::Redirect { what: what.to_owned(), from, refusal: RedirectRefusal::Write };
    }
    let retry_after = retry_after(response.headers());
    // A body that cannot be read says nothing; the status still does.
    let body = read_bounded(response, limits::ERROR_ANSWER_BYTES).await.unwrap_or_default();
    let Words { codes, message } = Words::of(&body);
    let message = message.map(|message| secrets.redact(&message));
    let kind = Kind::of(status, &codes);
    let answer = Box::new(Answer {
        what: what.to_owned(),
        from,
        status: status.as_u16(),
        codes: codes.iter().take(MAX_CODES).map(code_text).collect(),
        message,
        retry_after,
    });
    match kind {
        Kind::Denied => RegistryError::Denied { answer, withheld: None },
        Kind::NotFound => RegistryError::NotFound { answer },
        Kind::Throttled => RegistryError::Throttled { answer },
        Kind::Other => RegistryError::Answered { answer },
    }
}

/// The secrets that a request showed to a server, in every form that the server may quote.
#[derive(Default)]
pub(crate) struct Shown(Vec<Zeroizing<String>>);

impl Shown {
    /// What an `Authorization` header shows: its value, and for Basic the password by itself.
    pub(crate) fn of(header: Option<&HeaderValue>) -> Self {
        let mut secrets = Vec::new();
        if let Some((scheme, value)) = header.and_then(|header| header.to_str().ok()?.split_once(' ')) {
            secrets.push(Zeroizing::new(value.to_owned()));
            let decoded = STANDARD.decode(value).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"));
            if let Some(pair) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).map(Zeroizing::new) {
                let password = pair.split_once(':').map_or("", |(_, password)| password);
                secrets.push(Zeroizing::new(password.to_owned()));
            }
        }
        Self(secrets)
    }

    /// Adds a secret that was shown elsewhere than in the header.
    pub(crate) fn and(mut self, secret: Option<&Secret>) -> Self {
        self.0.extend(secret.map(|secret| Zeroizing::new(secret.expose().to_owned())));
        self
    }

    fn redact(&self, text: &str) -> String {
        redact(text, &self.0.iter().map(|secret| secret.as_str()).collect::<Vec<_>>())
    }
}

/// Host and port, as people write a registry.
fn authority(response: &Response) -> String {
    let url = response.url();
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Denied,
    NotFound,
    Other,
    Throttled,
}

impl Kind {
    /// The status decides; a code only where the status says nothing: some registries answer 400 for what is not there.
    fn of(status: StatusCode, codes: &[OciErrorCode]) -> Self {
        match status.as_u16() {
            401 | 403 => Self::Denied,
            404 => Self::NotFound,
            429 => Self::Throttled,
            400..=499 if codes.contains(&OciErrorCode::Toomanyrequests) => Self::Throttled,
            400 | 410 if !codes.is_empty() && codes.iter().all(is_absence) => Self::NotFound,
            _ => Self::Other,
        }
    }
}

const fn is_absence(code: &OciErrorCode) -> bool {
    matches!(code, OciErrorCode::BlobUnknown | OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown)
}

#[derive(Default)]
struct Words {
    codes: Vec<OciErrorCode>,
    message: Option<String>,
}

impl Words {
    fn of(body: &[u8]) -> Self {
        match serde_json::from_slice::<OciEnvelope>(body) {
            Ok(envelope) => Self {
                message: envelope
                    .errors
                    .iter()
                    .map(|error| printable(&error.message, 300))
                    .find(|text| !text.is_empty()),
                codes: envelope.errors.into_iter().map(|error| error.code).collect(),
            },
            Err(_) => Self { codes: Vec::new(), message: plain(body) },
        }
    }
}

/// Proxies answer in HTML, which helps nobody in a message.
fn plain(body: &[u8]) -> Option<String> {
    let text = printable(std::str::from_utf8(body).ok()?, 300);
    (!text.is_empty() && !text.starts_with('<')).then_some(text)
}

fn code_text(code: &OciErrorCode) -> String {
    let text = serde_json::to_value(code).ok();
    printable(text.as_ref().and_then(|value| value.as_str()).unwrap_or("UNKNOWN"), 64)
}

/// More codes than a message needs.
const MAX_CODES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_are_kept_and_made_harmless() {
        let words = Words::of(
            br#"{"errors":[{"code":"DENIED","message":"no\u001b[2J access\r\n"},{"code":"X_OWN","message":"","detail":{"a":1}}]}"#,
        );
        assert_eq!(words.message.as_deref(), Some("no\u{fffd}[2J access"));
        assert_eq!(words.codes.iter().map(code_text).collect::<Vec<_>>(), ["DENIED", "X_OWN"]);
    }

    #[test]
    fn a_server_that_quotes_what_it_was_shown_gives_nothing_away() {
        let header = |text: &str| HeaderValue::from_str(text).unwrap();
        let basic = Shown::of(Some(&header("Basic dXNlcjpDQU5BUllQVw==")));
        let said = basic.redact("bad header Basic dXNlcjpDQU5BUllQVw== for CANARYPW and dXNlcjpDQU5B");
        assert_eq!(said, "bad header Basic [redacted] for [redacted] and [redacted]");
        let bearer = Shown::of(Some(&header("Bearer CANARYTOK"))).and(Some(&Secret::new("REFRESH-CANARY".into())));
        assert_eq!(bearer.redact("Bearer CANARYTOK, REFRESH-CANARY"), "Bearer [redacted], [redacted]");
        assert_eq!(Shown::of(None).redact("requested access is denied"), "requested access is denied");
    }

    #[test]
    fn bodies_that_are_no_envelope_are_text_or_nothing() {
        assert_eq!(Words::of(b"404 page not found\n").message.as_deref(), Some("404 page not found"));
        assert_eq!(Words::of(b"<html>Bad gateway</html>").message, None);
        assert_eq!(Words::of(b"\xff\xfe").message, None);
        assert_eq!(Words::of(b"").message, None);
        assert_eq!(Words::of("x".repeat(5_000).as_bytes()).message.unwrap().chars().count(), 301);
    }

    #[test]
    fn a_code_never_turns_a_refusal_into_an_absence() {
        let absent = [OciErrorCode::ManifestUnknown];
        let of = |status: u16, codes: &[OciErrorCode]| Kind::of(StatusCode::from_u16(status).unwrap(), codes);
        assert_eq!(of(404, &[]), Kind::NotFound);
        assert_eq!(of(400, &absent), Kind::NotFound);
        assert_eq!(of(401, &absent), Kind::Denied);
        assert_eq!(of(403, &absent), Kind::Denied);
        assert_eq!(of(429, &absent), Kind::Throttled);
        assert_eq!(of(500, &absent), Kind::Other);
        assert_eq!(of(400, &[OciErrorCode::ManifestUnknown, OciErrorCode::Denied]), Kind::Other);
        assert_eq!(of(400, &[]), Kind::Other);
        assert_eq!(of(400, &[OciErrorCode::Toomanyrequests]), Kind::Throttled);
    }
}
