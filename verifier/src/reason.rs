//! Why one candidate is not an acceptable signature.

use countersign_oci::Digest;
use countersign_policy::Denial;
use jiff::Timestamp;
use thiserror::Error;

/// Why a candidate was refused, or could not be judged.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Reason {
    /// The bundle is of another version than 0.3.
    #[error("bundle of version {}, where v0.3 is needed", found.as_deref().unwrap_or("(none)"))]
    BundleVersion {
        /// The bundle's media type.
        found: Option<String>,
    },
    /// A bundle of version 0.3 must hold the leaf certificate alone.
    #[error("bundle holds a certificate chain, where v0.3 has the signing certificate alone")]
    CertificateChain,
    /// The signing certificate was rejected: it does not chain to the trusted root, or was not valid when it signed.
    #[error("signing certificate is not trusted: {detail}")]
    Certificate {
        /// What the library said.
        detail: String,
    },
    /// A verified time lies ahead of this machine's clock: nothing can be decided.
    #[error("signed at {time}, which is ahead of this machine's clock ({now})")]
    ClockBehind {
        /// The verified time.
        time: Timestamp,
        /// This machine's time.
        now: Timestamp,
    },
    /// The signature is genuine and the policy does not admit it.
    #[error("policy does not admit the signer: {}", list(denials))]
    Denied {
        /// One denial for each signer and field.
        denials: Vec<Denial>,
    },
    /// The log entry describes another signature, key or artifact.
    #[error("log entry is of something else: {detail}")]
    EntryMismatch {
        /// What the library said.
        detail: String,
    },
    /// The artifact is not a Sigstore bundle.
    #[error("not a Sigstore bundle: artifact type {artifact_type}")]
    Foreign {
        /// The artifact type that its manifest states.
        artifact_type: String,
    },
    /// The checkpoint or inclusion proof does not show that the entry is in a trusted log.
    #[error("log entry is not proven to be in a trusted log: {detail}")]
    Inclusion {
        /// What the library said.
        detail: String,
    },
    /// The log's promise (signed entry timestamp) does not verify.
    #[error("the log's promise does not verify: {detail}")]
    InclusionPromise {
        /// What the library said.
        detail: String,
    },
    /// The log's time is not inside the certificate's validity.
    #[error("log time is not acceptable: {detail}")]
    IntegratedTime {
        /// What the library said.
        detail: String,
    },
    /// An image signature has exactly one log entry.
    #[error("bundle has {found} log entries, where 1 is needed")]
    LogEntryCount {
        /// How many there are.
        found: usize,
    },
    /// The bundle cannot be parsed.
    #[error("bundle cannot be read: {detail}")]
    MalformedBundle {
        /// What the parser said.
        detail: String,
    },
    /// The referrer's manifest cannot be parsed, or is not that of a bundle.
    #[error("referrer manifest cannot be read: {detail}")]
    MalformedReferrer {
        /// What is wrong with it.
        detail: String,
    },
    /// The envelope's payload is no in-toto statement.
    #[error("payload is no in-toto statement: {detail}")]
    MalformedStatement {
        /// What the parser said.
        detail: String,
    },
    /// The bundle signs a message, not a statement: that is how files are signed, not images.
    #[error("bundle does not hold a DSSE envelope")]
    MessageSignature,
    /// The bundle holds no signing certificate.
    #[error("bundle holds no signing certificate")]
    NoCertificate,
    /// The log entry has no inclusion proof with a checkpoint.
    #[error("log entry has no inclusion proof")]
    NoInclusionProof,
    /// An entry of Rekor v1 has no inclusion promise, which binds its time and its place in the log.
    #[error("log entry has no inclusion promise")]
    NoInclusionPromise,
    /// No trusted time says when the signature was made.
    #[error("no verified time: {detail}")]
    NoVerifiedTime {
        /// What the library said.
        detail: String,
    },
    /// The statement is an attestation about the image, not a signature of it.
    #[error("not a signature: predicate type {predicate_type}")]
    NotASignature {
        /// The statement's predicate type.
        predicate_type: String,
    },
    /// An image signed in the format that cosign wrote before bundles.
    #[error("signed in the older cosign format ({form})")]
    OlderCosign {
        /// Which of its forms.
        form: OlderForm,
    },
    /// The envelope's payload type is not that of an in-toto statement.
    #[error("payload type {found}, where an in-toto statement is needed")]
    PayloadType {
        /// The payload type.
        found: String,
    },
    /// This machine's clock is before everything that the trusted root was ever used for: nothing can be decided.
    #[error("this machine's clock ({now}) is before the trusted root began ({begins})")]
    RootNotBegun {
        /// When the first log and the first timestamp authority of the trusted root were both in use.
        begins: Timestamp,
        /// This machine's time.
        now: Timestamp,
    },
    /// The signed certificate timestamp is missing or does not verify.
    #[error("signed certificate timestamp is not acceptable: {detail}")]
    Sct {
        /// What the library said.
        detail: String,
    },
    /// The signature over the statement does not verify.
    #[error("signature does not verify: {detail}")]
    Signature {
        /// What the library said.
        detail: String,
    },
    /// A DSSE envelope of an image signature has exactly one signature.
    #[error("envelope has {found} signatures, where 1 is needed")]
    SignatureCount {
        /// How many there are.
        found: usize,
    },
    /// The payload is a statement of another version.
    #[error("statement of type {found}")]
    StatementType {
        /// The statement's type.
        found: String,
    },
    /// The signed statement does not name the digest that was asked for.
    #[error("signed for another image: {expected} is not among its subjects")]
    SubjectMismatch {
        /// The digest asked for.
        expected: Digest,
    },
    /// The certificate has no name, or more than one.
    #[error("signing certificate has {found} subject alternative names, where 1 is needed")]
    SubjectNameCount {
        /// How many there are.
        found: usize,
    },
    /// A timestamp does not verify against the trusted root.
    #[error("timestamp does not verify: {detail}")]
    Timestamp {
        /// What the library said.
        detail: String,
    },
    /// The candidate is larger than a bundle may be.
    #[error("bundle of {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The statement has too many subjects or digests.
    #[error("statement with {found} subjects or digests of one, more than the limit of {limit}")]
    TooManySubjects {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The bundle has too many timestamps.
    #[error("bundle with {found} timestamps, more than the limit of {limit}")]
    TooManyTimestamps {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The entry is in a log that the trusted root does not know.
    #[error("log entry is in a log that the trusted root does not know: {log}")]
    UnknownLog {
        /// The log's id as the bundle claims it.
        log: String,
    },
    /// The candidate is listed and could not be fetched: nothing can be decided about it.
    #[error("listed and could not be read: {detail}")]
    Unreadable {
        /// What went wrong.
        detail: String,
    },
    /// The bundle uses something that nothing here can verify.
    #[error("bundle cannot be verified: {detail}")]
    UnsupportedBundle {
        /// What the library said.
        detail: String,
    },
    /// A kind of log entry that nothing here can verify.
    #[error("log entry of kind {kind} {version}{}", unsupported_entry(kind, version))]
    UnsupportedLogEntry {
        /// The entry's kind.
        kind: String,
        /// The entry's version.
        version: String,
    },
    /// The referrer's manifest says that it refers to another image.
    #[error("refers to another image: {}", found.map_or_else(|| "it names no subject".to_owned(), |d| d.to_string()))]
    WrongReferrerSubject {
        /// The subject that its manifest names.
        found: Option<Digest>,
    },
}

/// The forms in which cosign stored signatures before bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OlderForm {
    /// A referrer with simple-signing layers.
    Referrer,
    /// The tag `sha256-<hex>.sig`.
    SignatureTag,
}

impl std::fmt::Display for OlderForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Referrer => "simple-signing referrer",
            Self::SignatureTag => "`.sig` tag",
        })
    }
}

/// What kind of answer a [`Reason`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// The candidate is not what it should be: its bytes cannot be read as a signature of an image.
    Malformed,
    /// The candidate is something else: an attestation, another artifact, an older format.
    Other,
    /// The candidate is a signature and the answer is no.
    Refused,
    /// Nothing can be said about the candidate.
    Undecided,
}

impl Reason {
    /// Returns a stable name for the reason, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BundleVersion { .. } => "bundle-version",
            Self::CertificateChain => "certificate-chain",
            Self::Certificate { .. } => "certificate-untrusted",
            Self::ClockBehind { .. } | Self::RootNotBegun { .. } => "clock-behind",
            Self::Denied { .. } => "policy-denied",
            Self::EntryMismatch { .. } => "log-entry-mismatch",
            Self::Foreign { .. } => "foreign-artifact",
            Self::Inclusion { .. } => "inclusion-not-proven",
            Self::InclusionPromise { .. } => "inclusion-promise-invalid",
            Self::IntegratedTime { .. } => "integrated-time-invalid",
            Self::LogEntryCount { .. } => "log-entry-count",
            Self::MalformedBundle { .. } => "malformed-bundle",
            Self::MalformedReferrer { .. } => "malformed-referrer",
            Self::MalformedStatement { .. } => "malformed-statement",
            Self::MessageSignature => "message-signature",
            Self::NoCertificate => "no-certificate",
            Self::NoInclusionProof => "no-inclusion-proof",
            Self::NoInclusionPromise => "no-inclusion-promise",
            Self::NoVerifiedTime { .. } => "no-verified-time",
            Self::NotASignature { .. } => "not-a-signature",
            Self::OlderCosign { .. } => "older-cosign-format",
            Self::PayloadType { .. } => "payload-type",
            Self::Sct { .. } => "sct-invalid",
            Self::Signature { .. } => "signature-invalid",
            Self::SignatureCount { .. } => "signature-count",
            Self::StatementType { .. } => "statement-type",
            Self::SubjectMismatch { .. } => "subject-mismatch",
            Self::SubjectNameCount { .. } => "subject-name-count",
            Self::Timestamp { .. } => "timestamp-invalid",
            Self::TooLarge { .. } => "bundle-too-large",
            Self::TooManySubjects { .. } => "too-many-subjects",
            Self::TooManyTimestamps { .. } => "too-many-timestamps",
            Self::UnknownLog { .. } => "log-unknown",
            Self::Unreadable { .. } => "unreadable",
            Self::UnsupportedBundle { .. } => "unsupported-bundle",
            Self::UnsupportedLogEntry { .. } => "unsupported-log-entry",
            Self::WrongReferrerSubject { .. } => "wrong-referrer-subject",
        }
    }

    /// Returns what kind of answer this is: a refusal, something else, or no answer at all.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::ClockBehind { .. } | Self::RootNotBegun { .. } | Self::Unreadable { .. } => Class::Undecided,
            Self::Foreign { .. } | Self::NotASignature { .. } | Self::OlderCosign { .. } => Class::Other,
            Self::MalformedBundle { .. } | Self::MalformedReferrer { .. } | Self::MalformedStatement { .. } => {
                Class::Malformed
            }
            Self::TooLarge { .. } => Class::Malformed,
            _ => Class::Refused,
        }
    }

    /// Returns what a person can do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OlderCosign { .. } => Some("sign the image again with countersign-signer or cosign 3"),
            Self::UnsupportedLogEntry { kind, .. } if kind == "dsse" => Some(
                "cosign 3.0 logged this kind to Rekor v2, which has dropped it: sign again with cosign 3.1 or countersign-signer",
            ),
            Self::Certificate { .. } | Self::Sct { .. } | Self::UnknownLog { .. } => Some(
                "the signature may come from another Sigstore instance: is the trusted root the one it was made under?",
            ),
            Self::ClockBehind { .. } | Self::RootNotBegun { .. } => Some("set this machine's clock"),
            _ => None,
        }
    }
}

fn unsupported_entry(kind: &str, version: &str) -> &'static str {
    match (kind, version) {
        ("dsse", "0.0.2") => ", which Rekor v2 has dropped",
        ("", _) => ": the entry names none",
        _ => ", which does not describe a signed statement",
    }
}

fn list(denials: &[Denial]) -> String {
    denials.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
