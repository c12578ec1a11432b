//! What lies in a registry under a name, and what is claimed there: shown, never judged.
//!
//! Nothing here checks a signature. Everything in an [`Inspection`] is a claim of the registry, of whoever pushed, or
//! of a bundle; the only facts are digests of bytes that were read. Text from outside is shortened and holds no control
//! characters, in JSON too: programs print it.

mod certificate;
mod claims;
mod manifest;
mod referrer;
mod size;
mod text;

use countersign_oci::{ImageReference, PinnedReference, Tag, printable};
use serde::Serialize;

pub use certificate::{CertificateClaims, WorkflowClaim};
pub use claims::{BundleClaims, LogClaims, StatementClaims, SubjectClaims, WouldRefuse};
pub(crate) use manifest::is_attestation;
pub use manifest::{BlobView, ManifestView};
#[cfg(feature = "registry")]
pub(crate) use manifest::{can_be_opened, is_image_config};
pub use referrer::{OlderTagView, ReferrerView};
pub use text::text;

use crate::report::Failure;

/// The schema of the JSON document.
pub const SCHEMA: &str = "countersign.dev/inspect/v1";

/// How many characters of a text from outside are shown.
const SHOWN_CHARACTERS: usize = 512;

/// What was seen of an image. Stable within a major version: members may be added, never renamed.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What was asked for, with its digest where that is known.
    pub reference: String,
    /// The repository that was asked for.
    pub repository: String,
    /// The digest, where it is known.
    pub digest: Option<String>,
    /// The tag that was asked for.
    pub tag: Option<String>,
    /// The platform that alone was looked at, where one was asked for.
    pub platform: Option<String>,
    /// Always `unverified`: what the whole document is.
    pub claims: &'static str,
    /// The index or image manifest, with everything below and beside it.
    pub manifest: Option<ManifestView>,
    /// The command that verifies, where this one only shows.
    pub verify_with: String,
    /// That something could not be seen, where something could not.
    pub error: Option<Failure>,
}

impl Inspection {
    /// Returns what was seen of an image that is in the registry.
    #[must_use]
    pub fn new(pinned: &PinnedReference, tag: Option<&Tag>, platform: Option<String>, manifest: ManifestView) -> Self {
        let reference = match tag {
            Some(tag) => format!("{}:{tag}@{}", pinned.repository(), pinned.digest()),
            None => pinned.to_string(),
        };
        Self {
            schema: SCHEMA,
            verify_with: verify_with(&reference),
            reference,
            repository: pinned.repository().to_string(),
            digest: Some(pinned.digest().to_string()),
            tag: tag.map(ToString::to_string),
            platform,
            claims: "unverified",
            error: unseen(&manifest),
            manifest: Some(manifest),
        }
    }

    /// Returns the document of an image that could not be seen at all: its error is the caller's to fill in.
    #[must_use]
    pub fn without_manifest(reference: &ImageReference) -> Self {
        Self {
            schema: SCHEMA,
            reference: reference.to_string(),
            repository: reference.repository().to_string(),
            digest: reference.digest().map(|digest| digest.to_string()),
            tag: reference.tag().map(ToString::to_string),
            platform: None,
            claims: "unverified",
            manifest: None,
            verify_with: verify_with(&reference.to_string()),
            error: None,
        }
    }

    /// Returns whether everything that there is was seen.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.error.is_none()
    }
}

fn verify_with(reference: &str) -> String {
    format!("countersign-verifier verify {reference} --policy FILE")
}

fn unseen(manifest: &ManifestView) -> Option<Failure> {
    let mut unseen = Unseen::default();
    unseen.count(manifest);
    let what = match unseen.things {
        0 => return None,
        1 => "1 thing could not be seen",
        _ => "things could not be seen",
    };
    let message = if unseen.things == 1 { what.to_owned() } else { format!("{} {what}", unseen.things) };
    Some(Failure { code: "not-all-seen", class: "unreachable", retryable: unseen.retryable, message })
}

/// What could not be seen, counted.
#[derive(Debug, Default)]
struct Unseen {
    things: usize,
    retryable: bool,
}

impl Unseen {
    fn count(&mut self, manifest: &ManifestView) {
        for gap in manifest.gaps.iter().chain(&manifest.unreadable) {
            self.add(1, gap.retryable);
        }
        self.add(manifest.not_examined, true);
        self.add(manifest.referrers.iter().filter(|referrer| referrer.is == "unreadable").count(), true);
        self.add(manifest.children_omitted, false);
        for child in &manifest.children {
            self.count(child);
        }
    }

    fn add(&mut self, things: usize, retryable: bool) {
        self.things += things;
        self.retryable |= things > 0 && retryable;
    }
}

/// Text from outside, fit for a terminal and of bounded length.
fn shown(text: &str) -> String {
    printable(text, SHOWN_CHARACTERS)
}
