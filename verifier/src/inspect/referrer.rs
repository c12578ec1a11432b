//! What lies beside a manifest.

use countersign_oci::Digest;
use countersign_oci::index::{Descriptor, Manifest};
use countersign_oci::media_type::COSIGN_SIMPLE_SIGNING;
use serde::Serialize;

use super::claims::WouldRefuse;
use super::{BlobView, BundleClaims, shown};
use crate::evidence::{Candidate, Content};
use crate::reason::{Class, OLDER_COSIGN_HINT, Reason};

/// A referrer, and what it is.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct ReferrerView {
    /// The digest of its manifest.
    pub digest: String,
    /// What its manifest says it is, or where that was not read, what the list says.
    pub artifact_type: Option<String>,
    /// What the list says it is, where that is something else.
    pub listed_artifact_type: Option<String>,
    /// The size of its manifest, as the list says.
    pub size: Option<u64>,
    /// The first layers of one that is no bundle: what it holds, as its manifest says.
    pub layers: Vec<BlobView>,
    /// `bundle`, `older-cosign`, `foreign`, `unusable`, `unreadable` or `not-examined`.
    pub is: &'static str,
    /// Why it is no bundle, where it is none.
    pub why: Option<WouldRefuse>,
    /// What the bundle claims.
    pub bundle: Option<BundleClaims>,
}

impl ReferrerView {
    /// Describes a referrer that was opened beside `subject`.
    #[must_use]
    pub fn new(candidate: &Candidate, subject: Digest) -> Self {
        let listed = candidate.listed.as_ref().and_then(|listed| listed.artifact_type.as_deref());
        let stated = candidate.artifact_type.as_deref();
        let (is, why, bundle) = match &candidate.content {
            Content::Bundle(bytes) => ("bundle", None, Some(BundleClaims::of(bytes, subject))),
            Content::OlderCosign(form) => {
                ("older-cosign", Some(WouldRefuse::of(&Reason::OlderCosign { form: *form })), None)
            }
            Content::NotABundle(reason) => (name(reason), Some(WouldRefuse::of(reason)), None),
        };
        Self {
            digest: candidate.referrer.map(|digest| digest.to_string()).unwrap_or_default(),
            artifact_type: stated.or(listed).map(shown),
            listed_artifact_type: listed.filter(|listed| stated.is_some_and(|stated| stated != *listed)).map(shown),
            size: candidate.listed.as_ref().map(|listed| listed.size),
            layers: candidate.layers.iter().map(BlobView::new).collect(),
            is,
            why,
            bundle,
        }
    }

    /// Describes a referrer that is listed and was not opened, because a limit was reached.
    #[must_use]
    pub fn unopened(listed: &Descriptor) -> Self {
        Self {
            digest: listed.digest.to_string(),
            artifact_type: listed.artifact_type.as_deref().map(shown),
            listed_artifact_type: None,
            size: Some(listed.size),
            layers: Vec::new(),
            is: "not-examined",
            why: None,
            bundle: None,
        }
    }
}

fn name(reason: &Reason) -> &'static str {
    match reason {
        Reason::Foreign { .. } => "foreign",
        reason if reason.class() == Class::Undecided => "unreadable",
        _ => "unusable",
    }
}

/// Something under a tag that cosign made of a digest before there were referrers.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct OlderTagView {
    /// The tag.
    pub tag: String,
    /// The digest of the manifest under it.
    pub digest: String,
    /// The size of that manifest.
    pub size: u64,
    /// What it is.
    pub is: &'static str,
    /// How many layers of that kind it has.
    pub entries: usize,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl OlderTagView {
    /// Describes the manifest under one of cosign's older tags, by the tag's end: `.sig`, `.att` or `.sbom`.
    #[must_use]
    pub fn new(tag: &str, digest: Digest, size: u64, manifest: &Manifest) -> Self {
        let layers = match manifest {
            Manifest::Image(manifest) => manifest.layers.as_slice(),
            _ => &[],
        };
        let suffix = tag.rsplit('.').next().unwrap_or_default();
        let (is, hint) = match suffix {
            "sig" => ("signed in the form that cosign wrote before version 3", Some(OLDER_COSIGN_HINT)),
            "att" => ("attested in the form that cosign wrote before version 3", None),
            _ => ("an SBOM in the form that cosign wrote before version 3", None),
        };
        let counts = |kind: &str| suffix != "sig" || kind == COSIGN_SIMPLE_SIGNING;
        let entries = layers.iter().filter(|layer| counts(&layer.media_type)).count();
        Self { tag: shown(tag), digest: digest.to_string(), size, is, entries, hint }
    }
}
