//! Proof that an image was verified, as types that only verification can make.

use bytes::Bytes;
use countersign_oci::{Digest, PinnedReference, Tag};
use jiff::Timestamp;

use crate::verify::Asked;

/// An image of which a signature was verified and admitted by a policy.
///
/// Only [`Verifier::verify`](crate::Verifier::verify) makes one, so whoever holds one knows that it happened, and for
/// which digest. It says nothing about what the image does: a signature says who, not good.
///
/// Every field stands here, so that only their privacy keeps this from compiling:
///
/// ```compile_fail
/// # use countersign_oci::Digest;
/// # use countersign_verifier::{AcceptedSignature, Asked, VerifiedImage};
/// fn forge(asked: Asked, signatures: Vec<AcceptedSignature>, policy_hash: Digest) -> VerifiedImage {
///     VerifiedImage { asked, signatures, signers: Vec::new(), policy_hash, trusted_root: String::new() }
/// }
/// ```
/// ```compile_fail
/// let image = countersign_verifier::VerifiedImage::default();
/// ```
#[derive(Debug, Clone)]
pub struct VerifiedImage {
    asked: Asked,
    signatures: Vec<AcceptedSignature>,
    signers: Vec<String>,
    policy_hash: Digest,
    trusted_root: String,
}

impl VerifiedImage {
    pub(crate) fn new(
        asked: Asked,
        signatures: Vec<AcceptedSignature>,
        signers: Vec<String>,
        policy_hash: Digest,
        trusted_root: String,
    ) -> Self {
        Self { asked, signatures, signers, policy_hash, trusted_root }
    }

    /// Returns the repository, as it was asked for, and the digest that was verified.
    #[must_use]
    pub fn reference(&self) -> &PinnedReference {
        &self.asked.reference
    }

    /// Returns the digest that was verified.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.asked.reference.digest()
    }

    /// Returns the tag that was asked for, where there was one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.asked.tag.as_ref()
    }

    /// Returns the signatures that the policy accepted: at least one.
    #[must_use]
    pub fn signatures(&self) -> &[AcceptedSignature] {
        &self.signatures
    }

    /// Returns the names of the policy's signers that were matched.
    #[must_use]
    pub fn signers(&self) -> &[String] {
        &self.signers
    }

    /// Returns the SHA-256 of the policy's canonical form.
    #[must_use]
    pub fn policy_hash(&self) -> Digest {
        self.policy_hash
    }

    /// Returns where the trusted root came from.
    #[must_use]
    pub fn trusted_root(&self) -> &str {
        &self.trusted_root
    }

    /// Returns the latest verified time of the signatures: when the image is known to have been signed.
    #[must_use]
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signatures.iter().map(AcceptedSignature::signed_at).max()
    }
}

/// A signature that was verified and that the policy accepted. Every value was authenticated.
#[derive(Debug, Clone)]
pub struct AcceptedSignature {
    pub(crate) issuer: String,
    pub(crate) identity: String,
    pub(crate) source_repository: Option<String>,
    pub(crate) times: Vec<Timestamp>,
    pub(crate) signed_at: Timestamp,
    pub(crate) log_index: u64,
    pub(crate) log_entry: Digest,
    pub(crate) log: String,
    pub(crate) referrer: Option<Digest>,
    pub(crate) bundle: Bytes,
    pub(crate) tags: Vec<String>,
    pub(crate) signers: Vec<String>,
}

impl AcceptedSignature {
    /// Returns the OIDC issuer that vouched for the signer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the certificate's subject alternative name.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Returns the repository that the signing workflow ran for, where the certificate says so.
    #[must_use]
    pub fn source_repository(&self) -> Option<&str> {
        self.source_repository.as_deref()
    }

    /// Returns every verified time: at least one.
    #[must_use]
    pub fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// Returns the earliest verified time.
    #[must_use]
    pub fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    /// Returns the entry's index in the log, as the bundle states it. Use [`Self::log_entry`] to name an entry.
    #[must_use]
    pub fn log_index(&self) -> u64 {
        self.log_index
    }

    /// Returns the RFC 6962 leaf hash of the log entry.
    #[must_use]
    pub fn log_entry(&self) -> Digest {
        self.log_entry
    }

    /// Returns the transparency log that vouches for the entry, as the trusted root names it: its key signed the checkpoint.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }

    /// Returns the digest of the referrer manifest that the bundle came with.
    #[must_use]
    pub fn referrer(&self) -> Option<Digest> {
        self.referrer
    }

    /// Returns the bundle, to be kept as evidence.
    #[must_use]
    pub fn bundle(&self) -> &Bytes {
        &self.bundle
    }

    /// Returns the tags that were signed together with the digest.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Returns the names of the policy's signers that this signature matches.
    #[must_use]
    pub fn signers(&self) -> &[String] {
        &self.signers
    }
}
