//! An index or image manifest, with what is below and beside it.

use std::collections::BTreeMap;

use countersign_oci::index::{Descriptor, ImageManifest, Manifest, Platform};
use countersign_oci::{Digest, media_type};
use serde::Serialize;

use super::{OlderTagView, ReferrerView, shown};
use crate::evidence::{Gap, Place};

/// How many annotations of a manifest are shown.
const ANNOTATIONS: usize = 32;
/// Set by BuildKit on manifests that describe another one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// Set by BuildKit on the layers of such a manifest.
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// What the image specification calls the name of a file.
const TITLE: &str = "org.opencontainers.image.title";

/// An entry of an index, or the manifest that was asked for.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ManifestView {
    /// `image index`, `image manifest`, `attestation manifest`, `artifact manifest`, or `entry` for what is none of them.
    pub kind: &'static str,
    /// Its digest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes; where it was not read, what the index says.
    pub size: u64,
    /// What it is, where it is not an image.
    pub artifact_type: Option<String>,
    /// Its platform, as the index or the image's configuration says.
    pub platform: Option<String>,
    /// For an attestation manifest: the manifest that it describes.
    pub describes: Option<String>,
    /// The manifest that this one refers to.
    pub subject: Option<String>,
    /// Its annotations: the first few.
    pub annotations: BTreeMap<String, String>,
    /// The configuration of an image manifest.
    pub config: Option<BlobView>,
    /// The layers of an image manifest, the lowest first.
    pub layers: Vec<BlobView>,
    /// The size of all layers of an image manifest in bytes, as it says. Of an index: that of its image manifests, each layer
    /// once.
    pub layers_size: Option<u64>,
    /// Where signatures were looked for, and what was there.
    pub looked_at: Vec<Place>,
    /// What refers to it.
    pub referrers: Vec<ReferrerView>,
    /// What lies under the tags that cosign used before there were referrers.
    pub older_tags: Vec<OlderTagView>,
    /// How many referrers were not opened because a limit was reached.
    pub not_examined: usize,
    /// How many of them are not shown either.
    pub referrers_omitted: usize,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
    /// The entries of an index.
    pub children: Vec<ManifestView>,
    /// How many entries are left out because a limit was reached.
    pub children_omitted: usize,
    /// Why it could not be read.
    pub unreadable: Option<Gap>,
    /// Why nothing more is said of it.
    pub note: Option<&'static str>,
}

/// A configuration or a layer.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct BlobView {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes, as the manifest says.
    pub size: u64,
    /// For a layer of an attestation manifest: what it states.
    pub predicate_type: Option<String>,
    /// The name of the file that it is, where its annotations say one.
    pub title: Option<String>,
}

impl ManifestView {
    /// Describes an entry of an index by what the index says of it.
    #[must_use]
    pub fn entry(descriptor: &Descriptor) -> Self {
        let describes = descriptor.annotations.get(REFERENCE_DIGEST);
        Self {
            kind: kind_of_entry(descriptor),
            digest: descriptor.digest.to_string(),
            media_type: shown(&descriptor.media_type),
            size: descriptor.size,
            artifact_type: descriptor.artifact_type.as_deref().map(shown),
            platform: descriptor.platform.as_ref().map(Platform::to_string),
            describes: describes.filter(|_| is_attestation(descriptor)).map(|digest| shown(digest)),
            annotations: annotations(&descriptor.annotations),
            ..Self::default()
        }
    }

    /// Describes a manifest of which nothing but its digest is known.
    #[must_use]
    pub fn of_digest(digest: Digest) -> Self {
        Self { kind: "entry", digest: digest.to_string(), ..Self::default() }
    }

    /// Describes a manifest that was read, on top of what an index says of it.
    #[must_use]
    pub fn read(mut self, digest: Digest, size: u64, manifest: &Manifest) -> Self {
        self.digest = digest.to_string();
        self.size = size;
        self.media_type = shown(manifest.media_type());
        self.subject = manifest.subject().map(|subject| subject.digest.to_string());
        match manifest {
            Manifest::Index(index) => {
                self.kind = "image index";
                self.artifact_type = index.artifact_type.as_deref().map(shown);
                self.add_annotations(&index.annotations);
            }
            Manifest::Image(image) => {
                if self.kind != "attestation manifest" {
                    self.kind = if is_artifact(image) { "artifact manifest" } else { "image manifest" };
                }
                self.artifact_type = image.artifact_type.as_deref().map(shown);
                self.config = Some(BlobView::new(&image.config));
                self.layers = image.layers.iter().map(BlobView::new).collect();
                self.layers_size = Some(sum(image.layers.iter().map(|layer| layer.size)));
                self.add_annotations(&image.annotations);
            }
            _ => {}
        }
        self
    }

    fn add_annotations(&mut self, further: &BTreeMap<String, String>) {
        self.annotations.extend(annotations(further));
    }
}

impl ManifestView {
    /// Adds up what an index holds, once its children were seen.
    #[cfg(feature = "registry")]
    pub(crate) fn add_up(&mut self) {
        if self.kind != "image index" || self.children.is_empty() {
            return;
        }
        let mut layers = std::collections::BTreeMap::new();
        self.collect_layers(&mut layers);
        self.layers_size = Some(sum(layers.into_values()));
    }

    #[cfg(feature = "registry")]
    fn collect_layers(&self, layers: &mut std::collections::BTreeMap<String, u64>) {
        let of_image = self.layers.iter().filter(|_| self.kind == "image manifest");
        layers.extend(of_image.map(|layer| (layer.digest.clone(), layer.size)));
        for child in &self.children {
            child.collect_layers(layers);
        }
    }

    /// How many image manifests there are, and beside how many of them a bundle lies.
    pub(super) fn bundled_images(&self) -> (usize, usize) {
        let is_image = self.kind == "image manifest" && self.note.is_none();
        let bundled = is_image && self.has_bundle();
        let own = (usize::from(is_image), usize::from(bundled));
        self.children.iter().map(Self::bundled_images).fold(own, |sum, more| (sum.0 + more.0, sum.1 + more.1))
    }

    pub(super) fn has_bundle(&self) -> bool {
        self.referrers.iter().any(|referrer| referrer.is == "bundle")
    }
}

fn sum(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

impl BlobView {
    pub(super) fn new(descriptor: &Descriptor) -> Self {
        Self {
            media_type: shown(&descriptor.media_type),
            digest: descriptor.digest.to_string(),
            size: descriptor.size,
            predicate_type: descriptor.annotations.get(PREDICATE_TYPE).map(|text| shown(text)),
            title: descriptor.annotations.get(TITLE).map(|text| shown(text)),
        }
    }
}

/// Whether an index says of an entry that it is a manifest or an index: something to open.
#[cfg(feature = "registry")]
#[must_use]
pub(crate) fn can_be_opened(descriptor: &Descriptor) -> bool {
    use media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
    matches!(descriptor.media_type.as_str(), DOCKER_LIST | DOCKER_MANIFEST | OCI_INDEX | OCI_MANIFEST)
}

/// Whether an entry of an index describes another one, as BuildKit's attestation manifests do.
#[must_use]
pub(crate) fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.annotations.get(REFERENCE_TYPE).is_some_and(|kind| kind == "attestation-manifest")
}

fn kind_of_entry(descriptor: &Descriptor) -> &'static str {
    match descriptor.media_type.as_str() {
        media_type::OCI_INDEX | media_type::DOCKER_LIST => "image index",
        media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST if is_attestation(descriptor) => "attestation manifest",
        media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => "image manifest",
        _ => "entry",
    }
}

fn is_artifact(image: &ImageManifest) -> bool {
    image.artifact_type.is_some() || !is_image_config(&image.config.media_type)
}

/// Whether a configuration is that of an image, which says what it runs on.
pub(crate) fn is_image_config(kind: &str) -> bool {
    kind == media_type::OCI_CONFIG || kind == DOCKER_CONFIG
}

fn annotations(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    all.iter().take(ANNOTATIONS).map(|(key, value)| (shown(key), shown(value))).collect()
}

/// Docker's image configuration.
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
