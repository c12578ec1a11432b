//! What was found beside an image: candidates for a signature, and the places that were looked at.

use bytes::Bytes;
use countersign_oci::index::{Descriptor, ImageManifest};
use countersign_oci::{Digest, media_type};
use serde::Serialize;

use crate::reason::{OlderForm, Reason};

/// Everything that was found for one digest. Nothing in it is verified.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Evidence {
    /// What may be a signature, in the order in which it is judged.
    pub candidates: Vec<Candidate>,
    /// How many listed referrers were left out because a limit was reached: they might hold a signature.
    pub not_examined: usize,
    /// Where signatures were looked for, and what was there.
    pub looked_at: Vec<Place>,
    /// Why the evidence may be incomplete: with a gap, the absence of a signature cannot be told from not seeing it.
    pub gaps: Vec<Gap>,
}

impl Evidence {
    /// Returns evidence that consists of bundles at hand: from files, from an archive, or just made.
    pub fn from_bundles(bundles: impl IntoIterator<Item = Bytes>) -> Self {
        let candidates = bundles
            .into_iter()
            .enumerate()
            .map(|(position, bytes)| Candidate {
                referrer: None,
                origin: format!("bundle {}", position + 1),
                content: Content::Bundle(bytes),
            })
            .collect();
        Self { candidates, ..Self::default() }
    }
}

/// Something that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Gap {
    /// What could not be seen, and why.
    pub detail: String,
    /// A stable name for the failure.
    pub code: String,
    /// Whether the same question may be answered later.
    pub retryable: bool,
}

impl Gap {
    /// Returns a gap.
    pub fn new(detail: impl Into<String>, code: impl Into<String>, retryable: bool) -> Self {
        Self { detail: detail.into(), code: code.into(), retryable }
    }
}

/// One place where signatures were looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Place {
    /// The place: `referrers API`, `referrers tag schema sha256-...`, `cosign tag sha256-....sig`.
    pub place: String,
    /// What was there: `2 entries`, `404`, `absent`.
    pub found: String,
}

impl Place {
    /// Returns a place with what was found there.
    pub fn new(place: impl Into<String>, found: impl Into<String>) -> Self {
        Self { place: place.into(), found: found.into() }
    }
}

/// Something that may be a signature.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Candidate {
    /// The digest of the referrer manifest that it came with, where it came with one.
    pub referrer: Option<Digest>,
    /// Where it comes from, for people.
    pub origin: String,
    /// What it is.
    pub content: Content,
}

impl Candidate {
    /// Returns a candidate that a referrer manifest led to.
    #[must_use]
    pub fn from_referrer(referrer: Digest, content: Content) -> Self {
        Self { referrer: Some(referrer), origin: format!("referrer {referrer}"), content }
    }
}

/// What a candidate turned out to be before anything was verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Content {
    /// The bytes of a bundle.
    Bundle(Bytes),
    /// It was seen and is not a bundle that could be judged.
    NotABundle(Reason),
    /// An image signed in the format that cosign wrote before bundles.
    OlderCosign(OlderForm),
}

/// Returns the layer that holds the bundle, or what the referrer is instead.
///
/// Looks at the manifest alone, never at what a listing said of it: real registries report wrong types. Refuses a
/// manifest whose subject is not `subject`: it was listed under an image that it does not refer to.
pub fn bundle_layer(manifest: &ImageManifest, subject: Digest) -> Result<&Descriptor, Content> {
    let not = |reason| Err(Content::NotABundle(reason));
    let simple_signing = |layer: &Descriptor| layer.media_type == media_type::COSIGN_SIMPLE_SIGNING;
    let older = manifest.config.media_type == media_type::COSIGN_SIGNATURE
        || manifest.artifact_type.as_deref() == Some(media_type::COSIGN_SIGNATURE)
        || manifest.layers.iter().any(simple_signing);
    match &manifest.subject {
        Some(found) if found.digest == subject => {}
        found => return not(Reason::WrongReferrerSubject { found: found.as_ref().map(|found| found.digest) }),
    }
    if older {
        return Err(Content::OlderCosign(OlderForm::Referrer));
    }
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
    match manifest.layers.as_slice() {
        [layer] if is_bundle_type(&layer.media_type) => Ok(layer),
        layers if is_bundle_type(artifact_type) => {
            let detail = format!("a bundle's manifest has one layer that is a bundle, this has {}", layers.len());
            not(Reason::MalformedReferrer { detail })
        }
        _ => not(Reason::Foreign { artifact_type: artifact_type.to_owned() }),
    }
}

pub(crate) fn is_bundle_type(media_type: &str) -> bool {
    media_type.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX)
}
