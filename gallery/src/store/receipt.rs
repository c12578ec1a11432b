//! `receipt.json`: what was installed, from where, and why it was believed.

use bytes::Bytes;
use countersign_oci::{Digest, ImageReference, PinnedReference};
use countersign_policy::Policy;
use countersign_verifier::evidence::Evidence;
use countersign_verifier::{Asked, Error, Verdict, Verifier};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::name::{EntryName, GalleryName};

/// The record of one installation.
///
/// It lies beside what it describes: it finds accidents, not somebody who can edit both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// [`SCHEMA`].
    pub schema: String,
    /// The gallery.
    pub gallery: GalleryName,
    /// The entry.
    pub entry: EntryName,
    /// What the entry names: this, with this tag, had to be signed.
    pub asked: String,
    /// The digest that was verified: of the image index, or of the image where there is none.
    pub index_digest: Digest,
    /// The digest of the image manifest that was unpacked.
    pub platform_digest: Digest,
    /// Its platform.
    pub platform: String,
    /// The repository that the bytes came from: the entry's own, or a mirror.
    pub served_by: String,
    /// When it was installed.
    pub installed_at: Timestamp,
    /// Layers, the lowest first: compressed digest.
    pub layers: Vec<Digest>,
    /// Files and links.
    pub files: u64,
    /// Uncompressed bytes.
    pub bytes: u64,
    /// The verification, `None` where the operator's config let it be installed without one.
    pub verification: Option<Verification>,
}

/// Why an image was believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verification {
    /// The SHA-256 of the policy's canonical form.
    pub policy_hash: Digest,
    /// Where the trusted root came from.
    pub trusted_root: String,
    /// The signatures that satisfied the policy.
    pub signatures: Vec<SignatureRecord>,
}

/// One signature that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SignatureRecord {
    /// The certificate's OIDC issuer.
    pub issuer: String,
    /// The certificate's subject alternative name.
    pub identity: String,
    /// The repository that the signing job ran for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_repository: Option<String>,
    /// The leaf hash of its log entry.
    pub log_entry: Digest,
    /// Its place in the log.
    pub log_index: u64,
    /// Every verified time.
    pub times: Vec<Timestamp>,
    /// The referrer manifest that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<Digest>,
    /// The Sigstore bundle.
    pub bundle: serde_json::Value,
}

impl Receipt {
    /// Whether the record is of an entry, in a form that is known.
    pub(crate) fn is_of(&self, entry: &EntryName) -> bool {
        self.schema == SCHEMA && self.entry == *entry
    }

    /// Verifies the recorded bundles again, without the network: under the present policy, for the recorded digest under the
    /// name that is asked for now. Nothing else in the record is believed, and a receipt without bundles is one of an
    /// unsigned image.
    ///
    /// What is *not* checked is whether the backend's files are still those of the image.
    pub fn reverify(
        &self,
        asked: &ImageReference,
        verifier: &Verifier,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Verdict, Error> {
        let signatures = self.verification.iter().flat_map(|verification| &verification.signatures);
        let bundles = signatures.take(limits::RECEIPT_SIGNATURES).map(|it| Bytes::from(it.bundle.to_string()));
        let reference = PinnedReference::new(asked.repository().clone(), self.index_digest);
        let question = Asked { reference, tag: asked.tag().cloned() };
        verifier.verify(&question, &Evidence::from_bundles(bundles), policy, now)
    }
}

/// The schema of this version of the receipt.
pub const SCHEMA: &str = "countersign.dev/receipt/v1";
