use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::HelperFailure;
use crate::http::{HttpError, RedirectRefusal};
use crate::index::ManifestError;
use crate::layout::LayoutError;
use crate::referrers::ListingError;
use crate::{Class, Digest, PinnedReference};

/// What a registry answered instead of what was asked for: data for messages, nothing to decide on but the status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// What was asked for: `manifest ghcr.io/octo/app:v1`.
    pub what: String,
    /// Who answered: the host, with its port.
    pub from: String,
    /// The HTTP status.
    pub status: u16,
    /// The codes of the error envelope: `DENIED`, `MANIFEST_UNKNOWN`.
    pub codes: Vec<String>,
    /// The server's own words, in one line and without control characters.
    pub message: Option<String>,
    /// How long the server asks to wait before the next request.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// An answer that says nothing beside its status.
    pub(crate) fn new(what: &str, from: &str, status: u16) -> Self {
        let (what, from) = (what.to_owned(), from.to_owned());
        Self { what, from, status, codes: Vec::new(), message: None, retry_after: None }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, Said(self))
    }
}

/// An answer without what was asked for.
struct Said<'a>(&'a Answer);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(answer) = self;
        write!(f, "{} answered {}", answer.from, answer.status)?;
        if !answer.codes.is_empty() {
            write!(f, " {}", answer.codes.join(", "))?;
        }
        match &answer.message {
            Some(message) => write!(f, " ({message})"),
            None => Ok(()),
        }
    }
}

/// Why something could not be read from, or written to, a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A registry's name, or the address it is mapped to, that no request can be sent to.
    #[error("`{address}` is not the address of a registry")]
    Address {
        /// The address, fit for printing.
        address: String,
    },
    /// An answer that is neither what was asked for nor one of the other kinds.
    #[error("{answer}")]
    Answered {
        /// The answer.
        answer: Box<Answer>,
    },
    /// The server's certificate is not one that this machine trusts for it.
    #[error("{what}: the certificate of {to} is not trusted")]
    Certificate {
        /// What was asked for.
        what: String,
        /// The host.
        to: String,
        /// What is wrong with the certificate.
        #[source]
        source: reqwest::Error,
    },
    /// The server does not take our certificate, or wants one and was shown none.
    #[error("{what}: {to} refuses the client certificate, or asks for one")]
    ClientCertificate {
        /// What was asked for.
        what: String,
        /// The host.
        to: String,
        /// What the server says.
        #[source]
        source: reqwest::Error,
    },
    /// A 401 without a challenge that can be met.
    #[error("{what}: {registry} asks for authentication in no known way")]
    Challenge {
        /// What was asked for.
        what: String,
        /// The registry.
        registry: String,
    },
    /// The helper that keeps the credentials does not work.
    #[error("{registry}: the credential helper docker-credential-{name}, which {origin} names, {failure}")]
    CredentialHelper {
        /// The registry.
        registry: String,
        /// The name of the helper.
        name: String,
        /// The file that names it.
        origin: String,
        /// What went wrong.
        failure: HelperFailure,
    },
    /// The credentials were refused.
    #[error("{answer}, credentials from {origin}")]
    CredentialsRejected {
        /// The answer of the registry or its token server.
        answer: Box<Answer>,
        /// Where the credentials came from.
        origin: String,
    },
    /// Access was refused, without credentials or in spite of them.
    #[error("{answer}{}", withheld.as_ref().map_or_else(String::new, |realm| format!(", credentials were not sent to {realm}")))]
    Denied {
        /// The answer of the registry or its token server.
        answer: Box<Answer>,
        /// The token server that the credentials were kept from, because it is not the registry's own.
        withheld: Option<String>,
    },
    /// The client could not be built.
    #[error("the registry client cannot be set up")]
    Client(#[source] HttpError),
    /// The bytes are not the ones that the digest names.
    #[error("{what} has the digest {actual}, not {expected}")]
    DigestMismatch {
        /// What was read or written.
        what: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes, or that the registry stated.
        actual: Digest,
    },
    /// A body was beyond its bound, or broke off.
    #[error("{what} cannot be read")]
    Http {
        /// What was asked for.
        what: String,
        /// What went wrong.
        #[source]
        source: HttpError,
    },
    /// An image layout instead of a registry does not have it, or cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A list of referrers that is no image index.
    #[error("{what}: the list is not usable")]
    Listing {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        #[source]
        source: ListingError,
    },
    /// The registry has a referrers API that does not list what was just attached.
    #[error("{subject}: the referrers API does not list {referrer} after it was pushed")]
    NotListed {
        /// The subject.
        subject: String,
        /// The referrer that is missing.
        referrer: Digest,
    },
    /// The bytes are not a manifest that can be read in one way.
    #[error("{what} is not usable")]
    Manifest {
        /// What was read.
        what: String,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// A media type that no header can carry.
    #[error("`{media_type}` is not a media type")]
    MediaType {
        /// The text, fit for printing.
        media_type: String,
    },
    /// The registry does not have it.
    #[error("{answer}")]
    NotFound {
        /// The answer.
        answer: Box<Answer>,
    },
    /// Plain http to a host that is not this machine.
    #[error("{registry} would be spoken to in plain http")]
    PlainHttp {
        /// The registry or its address.
        registry: String,
    },
    /// The registry ignored the range that was asked for: what comes is the blob from its start.
    #[error("{what}: the registry ignored the range from byte {offset}")]
    RangeIgnored {
        /// What was asked for.
        what: String,
        /// Where the range began.
        offset: u64,
    },
    /// A token server that nothing may be asked of.
    #[error("{registry} names the token server {realm}, which is not spoken to in plain http")]
    RealmRefused {
        /// The registry.
        registry: String,
        /// The token server.
        realm: String,
    },
    /// A redirect that is not followed.
    #[error("{what}: the redirect from {from} is not followed, {refusal}")]
    Redirect {
        /// What was asked for.
        what: String,
        /// Who sent it.
        from: String,
        /// The rule that it breaks.
        refusal: RedirectRefusal,
    },
    /// The body has another size than the descriptor says.
    #[error("{what} does not have {expected} bytes, {actual} were seen")]
    SizeMismatch {
        /// What was read.
        what: String,
        /// The size in the descriptor.
        expected: u64,
        /// The size that the registry states, or how many bytes were seen when it was clear.
        actual: u64,
    },
    /// The registry does not let a tag be overwritten that is there.
    #[error("{answer}: this tag cannot be overwritten")]
    TagImmutable {
        /// The answer.
        answer: Box<Answer>,
    },
    /// A tag that was moved does not point where it was moved to.
    #[error("{what} points at {}, not at {expected}, after it was moved", actual.map_or_else(|| "nothing".to_owned(), |actual| actual.to_string()))]
    TagNotMoved {
        /// The tag.
        what: String,
        /// Where it was moved to.
        expected: Digest,
        /// What it points at.
        actual: Option<Digest>,
    },
    /// The list that several referrers were to be added to could not be written.
    #[error("{subject}: its referrers tag cannot be updated")]
    TagSchema {
        /// The subject.
        subject: String,
        /// Why, for all of them.
        #[source]
        source: Arc<RegistryError>,
    },
    /// The tag of the referrers tag schema holds something that is not an image index: it is not overwritten.
    #[error("{what} is in use for something that is not an image index")]
    TagSchemaForeign {
        /// The tag.
        what: String,
    },
    /// The index of the referrers tag schema has no room for further entries.
    #[error("{what} would have more than {limit_bytes} bytes or {limit_entries} entries")]
    TagSchemaFull {
        /// The tag.
        what: String,
        /// The limit in bytes.
        limit_bytes: u64,
        /// The limit in entries.
        limit_entries: usize,
    },
    /// Other writers kept overwriting the index of the referrers tag schema.
    #[error("{what} misses {missing} entries although they were written: somebody else keeps writing it")]
    TagSchemaLost {
        /// The tag.
        what: String,
        /// How many of our entries are not listed.
        missing: usize,
    },
    /// Too many requests.
    #[error("{answer}")]
    Throttled {
        /// The answer.
        answer: Box<Answer>,
    },
    /// No answer in time.
    #[error("{what}: no answer within {} s", limit.as_secs_f32())]
    TimedOut {
        /// What was asked for.
        what: String,
        /// The time it had.
        limit: Duration,
    },
    /// A token server whose answer has no usable token.
    #[error("{registry}: the answer of the token server {realm} is not usable, {reason}")]
    Token {
        /// The registry.
        registry: String,
        /// The token server.
        realm: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// More bytes than the caller lets be read; nothing was.
    #[error("{what} has {size} bytes, more than {limit}")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The size in the descriptor.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The body broke off.
    #[error("{what} broke off after {actual} of {expected} bytes")]
    Truncated {
        /// What was read.
        what: String,
        /// The size in the descriptor.
        expected: u64,
        /// How many bytes came.
        actual: u64,
    },
    /// Nobody could be reached, or the connection was lost.
    #[error("{what}: {to} cannot be reached")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// The host.
        to: String,
        /// What the network says.
        #[source]
        source: reqwest::Error,
    },
    /// The place that the registry names for an upload is not the registry.
    #[error("{what}: the registry names no place for the upload that is its own")]
    UploadLocation {
        /// What was to be written.
        what: String,
    },
}

impl RegistryError {
    /// Returns who has to act.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Address { .. } | Self::MediaType { .. } | Self::PlainHttp { .. } | Self::TooLarge { .. } => {
                Class::Usage
            }
            Self::Answered { answer } if transient(answer.status) => Class::Unreachable,
            Self::ClientCertificate { .. }
            | Self::CredentialHelper { .. }
            | Self::CredentialsRejected { .. }
            | Self::Denied { .. }
            | Self::TagImmutable { .. } => Class::Denied,
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => Class::Rejected,
            Self::Client(source) | Self::Http { source, .. } => source.class(),
            Self::Layout(source) => source.class(),
            Self::TagSchema { source, .. } => source.class(),
            Self::NotFound { .. } => Class::NotFound,
            Self::Throttled { .. } => Class::Throttled,
            Self::Certificate { .. }
            | Self::NotListed { .. }
            | Self::TagNotMoved { .. }
            | Self::TagSchemaLost { .. }
            | Self::TimedOut { .. }
            | Self::Truncated { .. }
            | Self::Unreachable { .. } => Class::Unreachable,
            Self::Answered { .. }
            | Self::Challenge { .. }
            | Self::Listing { .. }
            | Self::Manifest { .. }
            | Self::RangeIgnored { .. }
            | Self::RealmRefused { .. }
            | Self::Redirect { .. }
            | Self::TagSchemaForeign { .. }
            | Self::TagSchemaFull { .. }
            | Self::Token { .. }
            | Self::UploadLocation { .. } => Class::Malformed,
        }
    }

    /// Returns the stable kebab-case name of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Address { .. } => "registry-address",
            Self::Answered { .. } => "unexpected-answer",
            Self::Certificate { .. } => "certificate-not-trusted",
            Self::Challenge { .. } => "unknown-challenge",
            Self::ClientCertificate { .. } => "client-certificate-refused",
            Self::CredentialHelper { .. } => "credential-helper",
            Self::CredentialsRejected { .. } => "credentials-rejected",
            Self::Denied { .. } => "access-denied",
            Self::DigestMismatch { .. } => "digest-mismatch",
            Self::Client(source) | Self::Http { source, .. } => source.code(),
            Self::Layout(source) => source.code(),
            Self::Listing { .. } => "referrers-malformed",
            Self::Manifest { .. } => "manifest-malformed",
            Self::MediaType { .. } => "media-type",
            Self::NotFound { .. } => "not-found",
            Self::NotListed { .. } => "referrer-not-listed",
            Self::PlainHttp { .. } => "plain-http",
            Self::RangeIgnored { .. } => "range-ignored",
            Self::RealmRefused { .. } => "token-server-refused",
            Self::Redirect { .. } => "redirect-refused",
            Self::SizeMismatch { .. } => "size-mismatch",
            Self::TagImmutable { .. } => "tag-immutable",
            Self::TagNotMoved { .. } => "tag-not-moved",
            Self::TagSchema { source, .. } => source.code(),
            Self::TagSchemaForeign { .. } => "referrers-tag-in-use",
            Self::TagSchemaFull { .. } => "referrers-tag-full",
            Self::TagSchemaLost { .. } => "referrers-tag-contended",
            Self::Throttled { .. } => "throttled",
            Self::TimedOut { .. } => "timed-out",
            Self::Token { .. } => "token-malformed",
            Self::TooLarge { .. } => "too-large",
            Self::Truncated { .. } => "truncated",
            Self::Unreachable { .. } => "unreachable",
            Self::UploadLocation { .. } => "upload-location",
        }
    }

    /// Returns whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Answered { answer } => transient(answer.status),
            Self::Http { source, .. } => source.retryable(),
            Self::TagSchema { source, .. } => source.retryable(),
            Self::NotListed { .. }
            | Self::TagNotMoved { .. }
            | Self::TagSchemaLost { .. }
            | Self::Throttled { .. }
            | Self::TimedOut { .. }
            | Self::Truncated { .. }
            | Self::Unreachable { .. } => true,
            _ => false,
        }
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ClientCertificate { .. } => {
                "show it the right certificate with --registry-cert and --registry-key".to_owned()
            }
            Self::CredentialHelper { origin, .. } => {
                format!("mend the helper, take it out of {origin}, or give the credentials by flags")
            }
            Self::CredentialsRejected { origin, .. } => {
                format!("log in to the registry again, or remove what {origin} has for it")
            }
            Self::Denied { withheld: Some(realm), .. } => {
                format!("{realm} is not the registry's own token server, so credentials were not shown to it")
            }
            Self::Denied { .. } => "log in to the registry, or ask for the right to this repository".to_owned(),
            Self::Certificate { .. } => "trust its certificate authority with --registry-ca".to_owned(),
            Self::PlainHttp { .. } => {
                "serve the registry over https, or allow plain http with --allow-http-registry".to_owned()
            }
            Self::Throttled { answer } => format!("try again in {} s", answer.retry_after?.as_secs()),
            Self::TagImmutable { .. } => {
                "trying again can only repeat this: use another tag, or let the registry overwrite this one".to_owned()
            }
            Self::TagNotMoved { .. } => "somebody else may be moving this tag too".to_owned(),
            Self::Layout(source) => return source.hint(),
            Self::TagSchemaForeign { .. } => "somebody uses this tag; move or delete it".to_owned(),
            Self::TagSchema { source, .. } => return source.hint(),
            Self::Address { .. } => "a registry is a host with an optional port: registry.example.com:5000".to_owned(),
            _ => return None,
        })
    }

    /// Returns the HTTP status, where the failure is an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answer().map(|answer| answer.status)
    }

    /// Returns the answer, where the failure is one.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answered { answer }
            | Self::CredentialsRejected { answer, .. }
            | Self::Denied { answer, .. }
            | Self::NotFound { answer }
            | Self::TagImmutable { answer }
            | Self::Throttled { answer } => Some(answer),
            Self::TagSchema { source, .. } => source.answer(),
            _ => None,
        }
    }

    /// Says that the registry does not have `reference`, for callers that learned it without an error.
    #[must_use]
    pub fn not_found(reference: &PinnedReference) -> Self {
        Self::NotFound {
            answer: Box::new(Answer::new(&format!("manifest {reference}"), reference.repository().registry(), 404)),
        }
    }

    /// Says that what was read as `reference` has another digest.
    #[must_use]
    pub fn digest_mismatch(reference: &PinnedReference, actual: Digest) -> Self {
        Self::DigestMismatch { what: format!("manifest {reference}"), expected: reference.digest(), actual }
    }

    /// Returns why in a few words, for who is told what the failure was about.
    pub(crate) fn reason(&self) -> String {
        match self.answer() {
            Some(answer) => Said(answer).to_string(),
            None => self.code().replace('-', " "),
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.answer().and_then(|answer| answer.retry_after)
    }
}

/// Statuses that another attempt may not meet again. 429 is [`RegistryError::Throttled`].
const fn transient(status: u16) -> bool {
    matches!(status, 408 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Box<Answer> {
        Box::new(Answer {
            what: "manifest ghcr.io/octo/app:v1".to_owned(),
            from: "ghcr.io".to_owned(),
            status,
            codes: vec!["DENIED".to_owned()],
            message: Some("no".to_owned()),
            retry_after: None,
        })
    }

    #[test]
    fn outages_are_retryable_and_refusals_are_not() {
        for status in [408, 500, 502, 503, 504] {
            let error = RegistryError::Answered { answer: answer(status) };
            assert!(error.retryable() && error.class() == Class::Unreachable, "{status}");
        }
        for status in [400, 405, 409, 412, 413, 422, 501] {
            let error = RegistryError::Answered { answer: answer(status) };
            assert!(!error.retryable() && error.class() == Class::Malformed, "{status}");
        }
        let throttled = RegistryError::Throttled { answer: answer(429) };
        assert!(throttled.retryable() && throttled.class() == Class::Throttled);
        assert!(!RegistryError::NotFound { answer: answer(404) }.retryable());
    }

    #[test]
    fn messages_name_what_who_and_why() {
        let denied = RegistryError::Denied { answer: answer(403), withheld: Some("https://auth.example".to_owned()) };
        assert_eq!(
            denied.to_string(),
            "manifest ghcr.io/octo/app:v1: ghcr.io answered 403 DENIED (no), credentials were not sent to https://auth.example"
        );
        assert_eq!(denied.status(), Some(403));
    }
}
