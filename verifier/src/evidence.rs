//! What was found beside an image: candidates for a signature, and the places that were looked at.

use bytes::Bytes;
use countersign_oci::index::{Descriptor, ImageManifest};
use countersign_oci::{Digest, media_type, printable};
use serde::Serialize;

#[cfg(feature = "registry")]
use crate::reason::Class;
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
                listed: None,
                artifact_type: None,
                layers: Vec::new(),
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
    /// What the list of referrers says of it. A claim: real registries report wrong types.
    pub listed: Option<Descriptor>,
    /// What its manifest says it is, where that could be read.
    pub artifact_type: Option<String>,
    /// The first layers of a manifest that is no bundle's, for those who show what it is.
    pub layers: Vec<Descriptor>,
}

impl Candidate {
    /// Returns a candidate that a referrer manifest led to.
    #[must_use]
    pub fn from_referrer(referrer: Digest, content: Content) -> Self {
        let origin = format!("referrer {referrer}");
        Self { referrer: Some(referrer), origin, content, listed: None, artifact_type: None, layers: Vec::new() }
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

/// How many candidates are what, for the place that listed them.
#[cfg(feature = "registry")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    bundles: usize,
    foreign: usize,
    older: usize,
    unreadable: usize,
    unusable: usize,
    unopened: usize,
}

#[cfg(feature = "registry")]
impl Tally {
    /// Counts a candidate.
    pub(crate) fn add(&mut self, content: &Content) {
        *match content {
            Content::Bundle(_) => &mut self.bundles,
            Content::OlderCosign(_) => &mut self.older,
            Content::NotABundle(Reason::Foreign { .. }) => &mut self.foreign,
            Content::NotABundle(reason) if reason.class() == Class::Undecided => &mut self.unreadable,
            Content::NotABundle(_) => &mut self.unusable,
        } += 1;
    }

    /// Counts listed referrers that nobody opened.
    pub(crate) fn leave_out(&mut self, count: usize) {
        self.unopened += count;
    }

    /// Adds the counts to what was said of a place.
    pub(crate) fn note(&self, place: &mut Place) {
        let plural = if self.bundles == 1 { "bundle" } else { "bundles" };
        let counts = [
            (self.bundles, plural),
            (self.older, "in the form before cosign 3"),
            (self.foreign, "foreign"),
            (self.unusable, "unusable"),
            (self.unreadable, "not readable"),
            (self.unopened, "not opened"),
        ];
        let counted: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if !counted.is_empty() {
            place.found.push_str(": ");
            place.found.push_str(&counted.join(", "));
        }
    }
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
            let detail = match layers {
                [layer] => {
                    let kind = printable(&layer.media_type, 100);
                    format!("the one layer of a bundle's manifest is a bundle, this one is of type `{kind}`")
                }
                _ => format!("a bundle's manifest has one layer, this has {}", layers.len()),
            };
            not(Reason::MalformedReferrer { detail })
        }
        _ => not(Reason::Foreign { artifact_type: artifact_type.to_owned() }),
    }
}

pub(crate) fn is_bundle_type(media_type: &str) -> bool {
    media_type.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "registry")]
    #[test]
    fn a_place_says_how_many_of_its_entries_are_what() {
        let mut tally = Tally::default();
        let foreign = || Content::NotABundle(Reason::Foreign { artifact_type: "application/spdx+json".into() });
        tally.add(&Content::Bundle(Bytes::new()));
        tally.add(&foreign());
        tally.add(&foreign());
        tally.add(&Content::OlderCosign(OlderForm::Referrer));
        tally.add(&Content::NotABundle(Reason::Unreadable { detail: "404".into() }));
        tally.add(&Content::NotABundle(Reason::WrongReferrerSubject { found: None }));
        tally.leave_out(3);
        let mut place = Place::new("referrers API", "200, 9 entries");
        tally.note(&mut place);
        assert_eq!(
            place.found,
            "200, 9 entries: 1 bundle, 1 in the form before cosign 3, 2 foreign, 1 unusable, 1 not readable, 3 not opened",
        );
        let mut empty = Place::new("referrers API", "404");
        Tally::default().note(&mut empty);
        assert_eq!(empty.found, "404");
    }

    #[test]
    fn the_older_form_is_known_by_any_of_its_three_marks() {
        let subject = Digest::of(b"image");
        let manifest = |artifact_type: Option<&str>, config: &str, layer: &str| {
            let descriptor =
                |kind: &str| serde_json::json!({"mediaType": kind, "digest": Digest::of(b"{}"), "size": 2});
            let mut document = serde_json::json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
                "config": descriptor(config), "layers": [descriptor(layer)],
                "subject": {"mediaType": media_type::OCI_INDEX, "digest": subject, "size": 1},
            });
            if let Some(artifact_type) = artifact_type {
                document["artifactType"] = artifact_type.into();
            }
            match countersign_oci::index::Manifest::parse(document.to_string().as_bytes(), None).unwrap() {
                countersign_oci::index::Manifest::Image(manifest) => manifest,
                _ => unreachable!("an image manifest was written"),
            }
        };
        let (plain, other) = (media_type::OCI_CONFIG, "application/octet-stream");
        for marked in [
            manifest(Some(media_type::COSIGN_SIGNATURE), plain, other),
            manifest(None, media_type::COSIGN_SIGNATURE, other),
            manifest(None, plain, media_type::COSIGN_SIMPLE_SIGNING),
        ] {
            let content = bundle_layer(&marked, subject).unwrap_err();
            assert!(matches!(content, Content::OlderCosign(OlderForm::Referrer)), "{content:?}");
        }
        let content = bundle_layer(&manifest(None, plain, other), subject).unwrap_err();
        assert!(matches!(content, Content::NotABundle(Reason::Foreign { .. })), "{content:?}");
    }
}
