//! Proof that a file was verified, as a type that only verification can make.

use countersign_oci::Digest;
use countersign_policy::{GALLERY_INDEX_PREDICATE, GalleryIndexError, GalleryIndexTerms};
use jiff::Timestamp;

/// A file of which a signature was verified.
///
/// Only [`Verifier::verify_blob`](crate::Verifier::verify_blob) makes one. It is about a file, never about an image:
/// nothing turns it into a [`VerifiedImage`](crate::VerifiedImage).
///
/// Every field stands here, so that only their privacy keeps this from compiling:
///
/// ```compile_fail
/// # use countersign_oci::Digest;
/// # use countersign_verifier::blob::{BlobContent, BlobSigner, VerifiedBlob};
/// fn forge(digest: Digest, signer: BlobSigner) -> VerifiedBlob {
///     let (content, predicate, times, trusted_root) = (BlobContent::File, None, Vec::new(), String::new());
///     let (log_index, log_entry, policy_hash) = (0, digest, None);
///     VerifiedBlob { digest, content, predicate, signer, times, log_index, log_entry, policy_hash, trusted_root }
/// }
/// ```
/// ```compile_fail
/// let blob = countersign_verifier::blob::VerifiedBlob::default();
/// ```
#[derive(Debug, Clone)]
pub struct VerifiedBlob {
    pub(super) digest: Digest,
    pub(super) content: BlobContent,
    pub(super) predicate: Option<String>,
    pub(super) signer: BlobSigner,
    pub(super) times: Vec<Timestamp>,
    pub(super) log_index: u64,
    pub(super) log_entry: Digest,
    pub(super) policy_hash: Option<Digest>,
    pub(super) trusted_root: String,
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobContent {
    /// The file itself.
    File,
    /// An in-toto statement that names the file.
    Statement {
        /// What kind of thing it says: nothing else of the predicate was looked at, see [`VerifiedBlob::predicate`].
        predicate_type: String,
        /// The names that it gives the file.
        names: Vec<String>,
    },
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobSigner {
    /// Somebody whom a certificate names.
    Certificate {
        /// The OIDC issuer that vouched for the signer.
        issuer: String,
        /// The certificate's subject alternative name.
        identity: String,
        /// The repository that the signing workflow ran for, where the certificate says so.
        source_repository: Option<String>,
        /// The names of the policy's signers that it matches.
        signers: Vec<String>,
    },
    /// Whoever holds the managed key that was given.
    ManagedKey {
        /// The SHA-256 of its SubjectPublicKeyInfo.
        fingerprint: Digest,
    },
}

impl VerifiedBlob {
    /// Returns the digest of the file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns what was signed.
    #[must_use]
    pub fn content(&self) -> &BlobContent {
        &self.content
    }

    /// Returns the predicate of the statement, JSON as it was signed, where the statement has one. What it means is its type's matter.
    #[must_use]
    pub fn predicate(&self) -> Option<&str> {
        self.predicate.as_deref()
    }

    /// Returns what is said of the file as a gallery index, where the statement is one about a gallery index.
    ///
    /// An error is a predicate that is not of its type: such an index is not to be believed. Whether it has expired, and whether an
    /// index with a higher serial was seen before, is the caller's to compare.
    #[must_use]
    pub fn gallery_index_terms(&self) -> Option<Result<GalleryIndexTerms, GalleryIndexError>> {
        match &self.content {
            BlobContent::Statement { predicate_type, .. } if predicate_type == GALLERY_INDEX_PREDICATE => {
                Some(GalleryIndexTerms::from_json(self.predicate.as_deref().unwrap_or("null").as_bytes()))
            }
            _ => None,
        }
    }

    /// Returns who signed.
    #[must_use]
    pub fn signer(&self) -> &BlobSigner {
        &self.signer
    }

    /// Returns every verified time: at least one.
    #[must_use]
    pub fn times(&self) -> &[Timestamp] {
        &self.times
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

    /// Returns the SHA-256 of the canonical form of the policy that admitted the signer, where it was one.
    #[must_use]
    pub fn policy_hash(&self) -> Option<Digest> {
        self.policy_hash
    }

    /// Returns where the trusted root came from.
    #[must_use]
    pub fn trusted_root(&self) -> &str {
        &self.trusted_root
    }
}
