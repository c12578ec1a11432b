//! Why one candidate is not an acceptable signature.

use countersign_oci::Digest;
use countersign_policy::{Denial, Field};
use jiff::Timestamp;
use thiserror::Error;

/// Why a candidate was refused, or could not be judged.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Reason {
    /// The bundle says, or its signature shows, that it is of another file.
    #[error("bundle is of another file than {expected}")]
    ArtifactMismatch {
        /// The digest of the file that was asked about.
        expected: Digest,
    },
    /// The bundle is of a version that is not accepted.
    #[error("bundle of version {}, where {accepted} is needed", found.as_deref().unwrap_or("(none)"))]
    BundleVersion {
        /// Which versions are: `v0.3` for images, more for files.
        accepted: &'static str,
        /// The bundle's media type.
        found: Option<String>,
    },
    /// A bundle of version 0.3 must hold the leaf certificate alone.
    #[error("bundle holds a certificate chain, where v0.3 has the signing certificate alone")]
    CertificateChain,
    /// The bundle holds a certificate chain without a certificate in it.
    #[error("bundle holds an empty certificate chain")]
    CertificateChainEmpty,
    /// The signing certificate was rejected: it does not chain to the trusted root, or was not valid when it signed.
    #[error("signing certificate is not trusted: {detail}")]
    Certificate {
        /// What the library said.
        detail: String,
    },
    /// The log's checkpoint cannot be read, is of another tree, or is not signed by a trusted log.
    #[error("checkpoint is not acceptable: {detail}")]
    Checkpoint {
        /// What is wrong with it.
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
    /// The inclusion proof does not lead from the entry to the log's root.
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
    /// The key of the log that vouches for the entry was not in use at one of the verified times.
    #[error("log entry vouched for by a key of {log} that was not in use at {time}")]
    LogKeyValidity {
        /// The log's address in the trusted root.
        log: String,
        /// The verified time.
        time: Timestamp,
    },
    /// The bundle is signed with a managed key, and none was given.
    #[error("bundle is signed with a managed key, and none was given")]
    ManagedKeyNeeded,
    /// The bundle holds a certificate, where it has to be signed with the managed key that was given.
    #[error("bundle holds a certificate, where a signature of the given key is needed")]
    ManagedKeyUnused,
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
    #[error("signed in the form that cosign wrote before version 3 ({form})")]
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
    /// The index is signed, and the policy requires more: that each of its image manifests is.
    #[error("policy requires each platform to be signed itself: {detail}")]
    PlatformNotSigned {
        /// Which is not, and why.
        detail: String,
    },
    /// The policy demands a signed repository or tag, and a file has neither.
    #[error("policy requires a signed repository, tag or platforms, and a file has none of them")]
    PolicyOfImages,
    /// The bundle holds a certificate authority's own root, which a verifier must have and a signer must not bring.
    #[error("certificate chain holds a root certificate")]
    RootInChain,
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
    /// The certificate is of somebody else.
    #[error("signed by {found}, where {expected} is needed")]
    SignerMismatch {
        /// Who had to sign.
        expected: String,
        /// Who did.
        found: String,
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
    #[error("signed for something else: {expected} is not among its subjects")]
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
    /// One bundle is in one log, and the policy needs several.
    #[error("policy needs entries in {needed} distinct logs, and one bundle has one in {have}")]
    TooFewLogs {
        /// How many distinct transparency logs the policy needs.
        needed: usize,
        /// How many were found.
        have: usize,
    },
    /// One bundle cannot satisfy a policy that needs several signers.
    #[error("policy needs {needed} signers, and one bundle has {have}")]
    ThresholdUnmet {
        /// How many distinct signers the policy needs.
        needed: usize,
        /// How many were found.
        have: usize,
    },
    /// A timestamp does not verify against the trusted root.
    #[error("timestamp does not verify: {detail}")]
    Timestamp {
        /// What the library said.
        detail: String,
    },
    /// A timestamp is by a trusted authority, which was not valid at that time.
    #[error("timestamp authority was not valid when it stamped: {detail}")]
    TimestampAuthority {
        /// What was not valid.
        detail: String,
    },
    /// A timestamp is of another signature.
    #[error("timestamp is of another signature")]
    TimestampMismatch,
    /// A timestamp's time is not inside the certificate's validity.
    #[error("timestamped at {time}, outside the certificate's validity from {not_before} to {not_after}")]
    TimestampOutsideCertificate {
        /// The time that the authority signed.
        time: Timestamp,
        /// The certificate's first moment.
        not_before: Timestamp,
        /// The certificate's last moment.
        not_after: Timestamp,
    },
    /// The candidate is larger than a bundle may be.
    #[error("bundle of {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The certificate chain is longer than any real one.
    #[error("bundle with a chain of {found} certificates, more than the limit of {limit}")]
    TooManyCertificates {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
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
    /// The file that `cosign sign-blob --bundle` wrote, with the members `base64Signature`, `cert` and `rekorBundle`.
    BlobBundle,
    /// A referrer with simple-signing layers.
    Referrer,
    /// The tag `sha256-<hex>.sig`.
    SignatureTag,
}

impl std::fmt::Display for OlderForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BlobBundle => "`base64Signature` file of cosign sign-blob",
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
            Self::ArtifactMismatch { .. } => "artifact-mismatch",
            Self::BundleVersion { .. } => "bundle-version",
            Self::CertificateChain => "certificate-chain",
            Self::CertificateChainEmpty => "certificate-chain-empty",
            Self::Certificate { .. } => "certificate-untrusted",
            Self::Checkpoint { .. } => "checkpoint-invalid",
            Self::ClockBehind { .. } | Self::RootNotBegun { .. } => "clock-behind",
            Self::Denied { .. } => "policy-denied",
            Self::EntryMismatch { .. } => "log-entry-mismatch",
            Self::Foreign { .. } => "foreign-artifact",
            Self::Inclusion { .. } => "inclusion-not-proven",
            Self::InclusionPromise { .. } => "inclusion-promise-invalid",
            Self::IntegratedTime { .. } => "integrated-time-invalid",
            Self::LogEntryCount { .. } => "log-entry-count",
            Self::LogKeyValidity { .. } => "log-key-not-valid",
            Self::ManagedKeyNeeded => "managed-key-needed",
            Self::ManagedKeyUnused => "managed-key-unused",
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
            Self::PlatformNotSigned { .. } => "platform-not-signed",
            Self::PolicyOfImages => "policy-of-images",
            Self::RootInChain => "root-certificate-in-chain",
            Self::Sct { .. } => "sct-invalid",
            Self::Signature { .. } => "signature-invalid",
            Self::SignatureCount { .. } => "signature-count",
            Self::SignerMismatch { .. } => "signer-mismatch",
            Self::StatementType { .. } => "statement-type",
            Self::SubjectMismatch { .. } => "subject-mismatch",
            Self::SubjectNameCount { .. } => "subject-name-count",
            Self::ThresholdUnmet { .. } => "threshold-unmet",
            Self::Timestamp { .. } => "timestamp-invalid",
            Self::TimestampAuthority { .. } => "timestamp-authority-invalid",
            Self::TimestampMismatch => "timestamp-mismatch",
            Self::TimestampOutsideCertificate { .. } => "timestamp-outside-certificate",
            Self::TooFewLogs { .. } => "too-few-logs",
            Self::TooLarge { .. } => "bundle-too-large",
            Self::TooManyCertificates { .. } => "too-many-certificates",
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
            Self::OlderCosign { form: OlderForm::BlobBundle } => Some(OLDER_COSIGN_BLOB_HINT),
            Self::OlderCosign { .. } => Some(OLDER_COSIGN_HINT),
            Self::UnsupportedLogEntry { kind, version } if (kind.as_str(), version.as_str()) == ("dsse", "0.0.2") => {
                Some("sign the image again with cosign 3.1 or later, or with countersign-signer")
            }
            Self::Certificate { .. } | Self::Sct { .. } | Self::UnknownLog { .. } => Some(
                "the signature may come from another Sigstore instance: is the trusted root the one it was made under?",
            ),
            Self::PlatformNotSigned { .. } => Some(
                "sign the image with its children (cosign sign --recursive; countersign-signer does), or leave `require.platforms` out",
            ),
            Self::ClockBehind { .. } | Self::RootNotBegun { .. } => Some("set this machine's clock"),
            Self::Denied { denials } if !denials.is_empty() && denials.iter().all(is_unbound) => Some(
                "it names neither repository nor tag, as signatures of cosign do: sign with countersign-signer, or leave `require` out of the policy",
            ),
            _ => None,
        }
    }
}

/// What to do about a signature in the form before bundles.
pub(crate) const OLDER_COSIGN_HINT: &str = "sign the image again with cosign 3 or later, or with countersign-signer";

/// What to do about a file's signature in cosign's own format.
const OLDER_COSIGN_BLOB_HINT: &str =
    "sign the file again with cosign 3 or later (cosign 2: --new-bundle-format), or with countersign-signer sign-blob";

fn unsupported_entry(kind: &str, version: &str) -> &'static str {
    match (kind, version) {
        ("dsse", "0.0.2") => ", which cosign 3.0 wrote to Rekor v2 and Rekor v2 has dropped",
        ("", _) => ": the entry names none",
        _ => ", which does not describe a signed statement",
    }
}

/// Whether what is missing is a repository or a tag that the statement does not name at all.
fn is_unbound(denial: &Denial) -> bool {
    denial.found.is_none() && matches!(denial.field, Field::Repository | Field::Tag)
}

fn list(denials: &[Denial]) -> String {
    denials.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
