//! What can go wrong while signing, grouped by who has to act.

use std::time::Duration;

use countersign_oci::http::HttpError;
use countersign_oci::{Class, Digest, PinnedReference, RegistryError, Repository};
use countersign_verifier::reason::Reason;
use jiff::Timestamp;

use crate::identity::{CIRCLECI_HINT, CIRCLECI_ORIGIN, MissingToken, TokenProblem};
use crate::services::{ConfigProblem, Service};

/// Everything that stops a signature from being made or attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// `-a` was given something other than `key=value`.
    #[error("annotation {text:?} is not of the form key=value")]
    AnnotationMalformed {
        /// What was given.
        text: String,
    },
    /// `-a` names a key that this program writes itself.
    #[error("annotation key {key:?} is reserved")]
    AnnotationReserved {
        /// The key that was given.
        key: String,
    },
    /// `-a` gives one key two values.
    #[error("annotation key {key:?} is repeated, with the values {first:?} and {second:?}")]
    AnnotationRepeated {
        /// The key that was given twice.
        key: String,
        /// Its value at first.
        first: String,
        /// Its value after that.
        second: String,
    },
    /// The signature that was just made of a file would be refused by its consumers.
    #[error("the new bundle for {digest} does not verify: {reason}")]
    BlobRejected {
        /// The digest that it was made for.
        digest: Digest,
        /// Why it would be refused.
        reason: Box<Reason>,
    },
    /// This machine's clock is so far behind the services' that the signature that was just made of a file cannot be checked.
    #[error("the new bundle for {digest} could not be checked: {reason}")]
    BlobUndecided {
        /// The digest that it was made for.
        digest: Digest,
        /// What could not be seen.
        reason: Box<Reason>,
    },
    /// The certificate is for a key that is not ours.
    #[error("the certificate from {url} is for another key than the one that was sent")]
    CertificateForAnotherKey {
        /// Where the certificate came from.
        url: String,
    },
    /// The certificate does not live long enough to be used.
    #[error("the certificate from {url} is valid until {not_after}, it is {now} now")]
    CertificateNotUsable {
        /// Where the certificate came from.
        url: String,
        /// The end of its validity.
        not_after: Timestamp,
        /// The time it was looked at.
        now: Timestamp,
    },
    /// The call took longer than the certificate lives, and there is no new one.
    #[error("the certificate is valid until {not_after}, it is {now} now: too late to sign with it")]
    CertificateOutlived {
        /// The end of its validity.
        not_after: Timestamp,
        /// The time it was looked at.
        now: Timestamp,
        /// Why there is no new one.
        source: Option<Box<SignError>>,
    },
    /// An index lists a manifest that its registry does not have.
    #[error("child missing: {child} is listed in {index} but not in the registry")]
    ChildMissing {
        /// The manifest that is missing.
        child: PinnedReference,
        /// The index that lists it.
        index: Digest,
    },
    /// Two references ask for the same subject with contradicting content types or sizes.
    #[error("{digest} is described with different media types or sizes")]
    ContradictingDescriptors {
        /// The manifest.
        digest: Digest,
    },
    /// A reference without a digest although `--require-digest` was given.
    #[error("{reference} names no digest")]
    DigestRequired {
        /// What was given.
        reference: String,
    },
    /// The HTTP client cannot be set up: a certificate or proxy that was configured is none.
    #[error("the HTTP client cannot be set up")]
    HttpClient {
        /// What is wrong.
        #[source]
        source: HttpError,
    },
    /// A renewed certificate names somebody else.
    #[error("the identity was {first:?} at first, a renewed token is of {renewed:?}")]
    IdentityChanged {
        /// The name in the first certificate.
        first: String,
        /// The name in the new one.
        renewed: String,
    },
    /// There is no identity token, and nowhere to get one.
    #[error("no identity token: {missing}")]
    IdentityTokenAbsent {
        /// What is missing.
        missing: MissingToken,
    },
    /// The identity token has a claim that the certificate authority would refuse.
    #[error("the claim {claim} of the identity token from {origin} is {found}, expected {expected}")]
    IdentityTokenClaim {
        /// Where the token came from.
        origin: &'static str,
        /// The claim's name.
        claim: &'static str,
        /// What it holds.
        found: String,
        /// What it has to hold.
        expected: String,
    },
    /// What was given for the identity token is neither a token nor a file that can be read. It is not shown: it may be a
    /// damaged token.
    #[error("what was given for the identity token is neither a token nor a file that can be read")]
    IdentityTokenFile {
        /// Why the file cannot be read.
        #[source]
        source: std::io::Error,
    },
    /// The identity token is not a JSON Web Token.
    #[error("the identity token from {origin} is not a JSON Web Token: {problem}")]
    IdentityTokenMalformed {
        /// Where the token came from.
        origin: &'static str,
        /// What is wrong with it.
        problem: TokenProblem,
    },
    /// The call took longer than the identity token lives, and its source gives no new one.
    #[error("the identity token ended at {expiry}, it is {now} now, and there is no new one")]
    IdentityTokenOutlived {
        /// The end of its validity.
        expiry: Timestamp,
        /// The time it was looked at.
        now: Timestamp,
    },
    /// The identity in the certificate cannot be written into a policy, so no consumer could name it.
    #[error("the certificate's identity cannot be named in a policy")]
    IdentityUnusable {
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The index holds more manifests, or nests deeper, than is walked.
    #[error("{index} holds more than {limit} {what}")]
    IndexTooLarge {
        /// The index.
        index: PinnedReference,
        /// The limit that was exceeded.
        limit: usize,
        /// What was counted.
        what: &'static str,
    },
    /// The operating system gave no randomness for a key.
    #[error("no key pair could be generated")]
    KeyGeneration,
    /// The log says that it knows each new entry already, and shows none of them.
    #[error("the log at {url} takes new entries for known ones, {attempts} times")]
    LogConflict {
        /// The log.
        url: String,
        /// How many new entries were sent.
        attempts: usize,
    },
    /// The log says that the entry is there already, and what is there is not ours.
    #[error("the log entry at {url} is not the one that was sent")]
    LogEntryForeign {
        /// Where the entry was read.
        url: String,
    },
    /// No reference was given.
    #[error("no reference to sign")]
    NoReference,
    /// The policy of the consumers does not admit this signer, or what it says.
    #[error("the policy would refuse a signature of {subject} by this signer, nothing was logged: {reason}")]
    PolicyUnsatisfiable {
        /// The first subject that would be refused.
        subject: PinnedReference,
        /// Why.
        reason: String,
    },
    /// The registry failed or refused.
    #[error("cannot {action} {reference}")]
    Registry {
        /// What was tried.
        action: &'static str,
        /// For what.
        reference: String,
        /// What the registry said.
        #[source]
        source: Box<RegistryError>,
    },
    /// The bundle that was just made could not be checked.
    #[error("the new bundle for {subject} could not be checked: {reason}")]
    SelfVerificationUndecided {
        /// The subject it was made for.
        subject: PinnedReference,
        /// What could not be seen.
        reason: String,
    },
    /// The bundle that was just made would be refused by its consumers.
    #[error("the new bundle for {subject} does not verify, nothing was attached: {reason}")]
    SelfVerificationRejected {
        /// The subject it was made for.
        subject: PinnedReference,
        /// Why it would be refused.
        reason: String,
    },
    /// There is no address to ask.
    #[error("no {service} to ask")]
    ServiceAbsent {
        /// Which service.
        service: Service,
    },
    /// A service's answer is larger than any real one.
    #[error("the answer of the {service} at {url} is larger than {limit} bytes")]
    ServiceAnswerTooLarge {
        /// Which service.
        service: Service,
        /// Where.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A service's answer is not what its interface says.
    #[error("the answer of the {service} at {url} is malformed: {what}")]
    ServiceMalformed {
        /// Which service.
        service: Service,
        /// Where.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// A service did not serve for as long as the call may take.
    #[error("gave up on the {service} at {url} after {}: {end}", tries(*attempts, *lasted))]
    ServiceOutage {
        /// Which service.
        service: Service,
        /// Where, at last.
        url: String,
        /// How often it was asked.
        attempts: u32,
        /// For how long.
        lasted: Duration,
        /// What ended the attempts.
        end: OutageEnd,
        /// The last failure.
        #[source]
        source: Box<SignError>,
    },
    /// A service redirects; following would hand the identity token on.
    #[error("the {service} at {url} redirects, which is not followed")]
    ServiceRedirected {
        /// Which service.
        service: Service,
        /// Where.
        url: String,
    },
    /// A service refused the request.
    #[error("the {service} at {url} answered {status}{}", quoted(message))]
    ServiceRefused {
        /// Which service.
        service: Service,
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it said, shortened.
        message: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// A service did not answer.
    #[error("the {service} at {url} did not answer")]
    ServiceUnreachable {
        /// Which service.
        service: Service,
        /// Where.
        url: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The certificate that a service shows is not trusted.
    #[error("the {service} at {url} shows a TLS certificate that is not trusted")]
    ServiceUntrusted {
        /// Which service.
        service: Service,
        /// Where.
        url: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// One bundle was asked for, and it takes several.
    #[error("there would be {count} statements, each with a bundle of its own, and one was asked for")]
    SeveralStatements {
        /// How many.
        count: usize,
    },
    /// The signing config is not one.
    #[error("{origin} is not a signing config")]
    SigningConfigMalformed {
        /// The file or repository it came from.
        origin: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The signing config cannot be used now.
    #[error("{origin} names no usable {service}: {problem}")]
    SigningConfigUnusable {
        /// The file or repository it came from.
        origin: String,
        /// Which service.
        service: Service,
        /// What is wrong.
        problem: ConfigProblem,
    },
    /// What was given to be signed is no in-toto statement about digests that consumers compare.
    #[error("what was given is no statement to sign: {reason}")]
    StatementMalformed {
        /// What is wrong with it.
        reason: Box<Reason>,
    },
    /// The statement would not fit into a bundle that consumers read.
    #[error("a statement would have {size} bytes, more than {limit}")]
    StatementTooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// An index lists something that is neither an image manifest nor an index.
    #[error("{child}, listed in {index}, has the media type {media_type}, which cannot be signed")]
    UnknownManifestType {
        /// The entry.
        child: Digest,
        /// The index that lists it.
        index: Digest,
        /// Its media type.
        media_type: String,
    },
    /// A repository that will have to hold the signature cannot be written to.
    #[error("{repository} cannot be written to")]
    WriteRefused {
        /// The repository.
        repository: Repository,
        /// What the registry said.
        #[source]
        source: Box<RegistryError>,
    },
}

impl SignError {
    /// Who has to act, and whether the answer is "no" or "don't know".
    pub fn class(&self) -> Class {
        match self {
            Self::AnnotationMalformed { .. }
            | Self::AnnotationRepeated { .. }
            | Self::AnnotationReserved { .. }
            | Self::DigestRequired { .. }
            | Self::HttpClient { .. }
            | Self::IdentityChanged { .. }
            | Self::IdentityTokenAbsent { .. }
            | Self::IdentityTokenClaim { .. }
            | Self::IdentityTokenFile { .. }
            | Self::IdentityTokenMalformed { .. }
            | Self::NoReference
            | Self::SeveralStatements { .. }
            | Self::SigningConfigMalformed { .. }
            | Self::SigningConfigUnusable { .. }
            | Self::StatementMalformed { .. }
            | Self::StatementTooLarge { .. } => Class::Usage,
            Self::ChildMissing { .. } => Class::NotFound,
            Self::BlobRejected { .. } | Self::PolicyUnsatisfiable { .. } | Self::SelfVerificationRejected { .. } => {
                Class::Rejected
            }
            Self::Registry { source, .. } | Self::WriteRefused { source, .. } => crate::publish::of_registry(source),
            Self::ServiceOutage { source, .. } => source.class(),
            Self::ServiceRefused { status, .. } => class_of_status(*status),
            Self::BlobUndecided { .. }
            | Self::CertificateOutlived { .. }
            | Self::IdentityTokenOutlived { .. }
            | Self::KeyGeneration
            | Self::SelfVerificationUndecided { .. }
            | Self::ServiceUnreachable { .. }
            | Self::ServiceUntrusted { .. } => Class::Unreachable,
            Self::CertificateForAnotherKey { .. }
            | Self::CertificateNotUsable { .. }
            | Self::ContradictingDescriptors { .. }
            | Self::IdentityUnusable { .. }
            | Self::IndexTooLarge { .. }
            | Self::LogConflict { .. }
            | Self::LogEntryForeign { .. }
            | Self::ServiceAbsent { .. }
            | Self::ServiceAnswerTooLarge { .. }
            | Self::ServiceMalformed { .. }
            | Self::ServiceRedirected { .. }
            | Self::UnknownManifestType { .. } => Class::Malformed,
        }
    }

    /// The stable name of this failure in JSON output.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AnnotationMalformed { .. } => "annotation-malformed",
            Self::AnnotationRepeated { .. } => "annotation-repeated",
            Self::AnnotationReserved { .. } => "annotation-reserved",
            Self::BlobRejected { .. } => "self-verification-rejected",
            Self::BlobUndecided { .. } => "self-verification-undecided",
            Self::CertificateForAnotherKey { .. } => "certificate-for-another-key",
            Self::CertificateNotUsable { .. } => "certificate-not-usable",
            Self::CertificateOutlived { .. } => "certificate-outlived",
            Self::ChildMissing { .. } => "child-missing",
            Self::ContradictingDescriptors { .. } => "contradicting-descriptors",
            Self::DigestRequired { .. } => "digest-required",
            Self::HttpClient { source } => source.code(),
            Self::IdentityChanged { .. } => "identity-changed",
            Self::IdentityTokenAbsent { missing: MissingToken::GitHubFork } => "identity-token-fork",
            Self::IdentityTokenAbsent { .. } => "identity-token-absent",
            Self::IdentityTokenClaim { .. } => "identity-token-claim",
            Self::IdentityTokenFile { .. } => "identity-token-file",
            Self::IdentityTokenMalformed { .. } => "identity-token-malformed",
            Self::IdentityTokenOutlived { .. } => "identity-token-outlived",
            Self::IdentityUnusable { .. } => "identity-unusable",
            Self::IndexTooLarge { .. } => "index-too-large",
            Self::KeyGeneration => "key-generation",
            Self::LogConflict { .. } => "log-conflict",
            Self::LogEntryForeign { .. } => "log-entry-foreign",
            Self::NoReference => "no-reference",
            Self::PolicyUnsatisfiable { .. } => "policy-unsatisfiable",
            Self::Registry { source, .. } => source.code(),
            Self::SelfVerificationRejected { .. } => "self-verification-rejected",
            Self::SelfVerificationUndecided { .. } => "self-verification-undecided",
            Self::ServiceAbsent { .. } => "service-absent",
            Self::ServiceAnswerTooLarge { .. } => "service-answer-too-large",
            Self::ServiceMalformed { .. } => "service-malformed",
            Self::ServiceOutage { .. } => "service-outage",
            Self::ServiceRedirected { .. } => "service-redirected",
            Self::ServiceRefused { .. } => "service-refused",
            Self::ServiceUnreachable { .. } => "service-unreachable",
            Self::SeveralStatements { .. } => "several-statements",
            Self::ServiceUntrusted { .. } => "service-untrusted",
            Self::SigningConfigMalformed { .. } => "signing-config-malformed",
            Self::SigningConfigUnusable { .. } => "signing-config-unusable",
            Self::StatementMalformed { .. } => "statement-malformed",
            Self::StatementTooLarge { .. } => "statement-too-large",
            Self::UnknownManifestType { .. } => "unknown-manifest-type",
            Self::WriteRefused { .. } => "write-refused",
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Registry { source, .. } | Self::WriteRefused { source, .. } => source.retryable(),
            Self::ServiceRefused { status, .. } => retryable_status(*status),
            Self::BlobUndecided { .. }
            | Self::CertificateOutlived { .. }
            | Self::IdentityTokenOutlived { .. }
            | Self::SelfVerificationUndecided { .. }
            | Self::ServiceOutage { .. }
            | Self::ServiceUnreachable { .. } => true,
            _ => false,
        }
    }

    /// What the person could do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::AnnotationRepeated { .. } => "a key has one value: leave one of them out, or give two keys",
            Self::AnnotationReserved { .. } => {
                "keys that begin with dev.countersign. are written from the references themselves"
            }
            Self::CertificateOutlived { .. } | Self::IdentityTokenOutlived { .. } => {
                "it is safe to run again, with a new token; one that comes from GitHub Actions, Buildkite or a file is renewed while it runs"
            }
            Self::ChildMissing { .. } => {
                "push every manifest of the index first, or sign only the index with --index-only"
            }
            Self::IdentityChanged { .. } => "let nobody replace the token file by another job's while this runs",
            Self::IdentityTokenAbsent { missing } => return Some(missing.hint()),
            Self::IdentityTokenClaim { claim: "aud", origin: CIRCLECI_ORIGIN, .. } => CIRCLECI_HINT,
            Self::IdentityTokenClaim { claim: "aud", .. } => {
                "ask the identity provider for a token with the audience sigstore"
            }
            Self::IdentityTokenClaim { claim: "exp", .. } => {
                "get a new token just before signing: identity tokens live for minutes"
            }
            Self::IdentityTokenFile { .. } => {
                "a token begins with eyJ and has three parts; its value is not shown here"
            }
            Self::IdentityTokenMalformed { problem: TokenProblem::JsonDocument, .. } => {
                "use the member \"value\" of the answer, without its quotes (jq -r .value)"
            }
            Self::Registry { source, .. } | Self::WriteRefused { source, .. } => {
                return source.hint();
            }
            Self::PolicyUnsatisfiable { .. } => {
                "compare the policy of --self-verify with what this job is: issuer, identity, claims, and the tags and annotations of this call"
            }
            Self::BlobRejected { .. } | Self::SelfVerificationRejected { .. } => {
                "the trusted root has to belong to the services of the signing config"
            }
            Self::ServiceOutage { .. } => {
                "it is safe to run again: what is logged and attached is found again; --timeout gives one call more time"
            }
            Self::ServiceRefused { service: Service::IdentityProvider, status: 401 | 403, .. } => {
                "give the job the permission `id-token: write`; what a job was given to ask with ends with the job"
            }
            Self::SeveralStatements { .. } => "sign one image, or everything in one statement with --statement release",
            Self::ServiceUntrusted { .. } => "trust its certificate authority with --registry-ca",
            Self::StatementTooLarge { .. } => {
                "verifiers read bundles of up to 1 MiB: sign fewer references in one statement (--statement digest); of a large document attest its digest and address"
            }
            Self::SigningConfigUnusable { problem: ConfigProblem::TimestampRequired, .. } => {
                "add a timestamp authority to the signing config, or use a Rekor v1 log"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Whether a service that answers this status may answer otherwise a moment later.
pub(crate) fn retryable_status(status: u16) -> bool {
    // What is not implemented today is not implemented in ten minutes.
    matches!(status, 408 | 425 | 429 | 500..=599) && !matches!(status, 501 | 505)
}

fn class_of_status(status: u16) -> Class {
    match status {
        429 => Class::Throttled,
        404 => Class::NotFound,
        408 | 500..=599 => Class::Unreachable,
        400..=499 => Class::Denied,
        _ => Class::Malformed,
    }
}

/// What ended the attempts to reach a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutageEnd {
    /// It asks to be left alone for longer than there is time.
    AsksForLonger {
        /// How long it asks for.
        asked: Duration,
        /// How much time there was.
        left: Duration,
    },
    /// The time of the call was used up.
    TimeUsedUp {
        /// How much there was.
        total: Duration,
    },
}

impl std::fmt::Display for OutageEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AsksForLonger { asked, left } => {
                write!(f, "it asks to be left alone for {}, {} are left", shown(*asked), shown(*left))
            }
            Self::TimeUsedUp { total } => write!(f, "the {} that this call may take are used up", shown(*total)),
        }
    }
}

fn tries(attempts: u32, lasted: Duration) -> String {
    let noun = if attempts == 1 { "attempt" } else { "attempts" };
    format!("{attempts} {noun} in {}", shown(lasted))
}

/// A time for people: whole seconds where there are any, minutes where there are many.
fn shown(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{time:.0?}"),
        seconds @ 1..120 => format!("{seconds}s"),
        seconds => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message:?}") }
}
