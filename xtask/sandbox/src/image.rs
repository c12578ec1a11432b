//! OCI images with the same bytes every time: layers, image manifests, and an index as BuildKit writes it.

mod layer;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

pub use layer::{File, Layer};

use crate::registry::{RegistryHandle, digest_of};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// What a multi-platform image holds.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// The layers of every platform, bottom first.
    pub layers: Vec<Layer>,
    /// Further layers of single platforms, on top; the key is `os/architecture` or `os/architecture/variant`.
    pub platform_layers: BTreeMap<String, Vec<Layer>>,
    /// The platforms, in the order of the index.
    pub platforms: Vec<String>,
    /// Whether the index has an attestation manifest for each platform, as BuildKit adds with provenance.
    pub attestations: bool,
    /// Annotations of the index.
    pub annotations: BTreeMap<String, String>,
}

impl ImageSpec {
    /// An image for linux/amd64 and linux/arm64 with attestation manifests and these layers.
    #[must_use]
    pub fn new(layers: Vec<Layer>) -> ImageSpec {
        ImageSpec {
            layers,
            platform_layers: BTreeMap::new(),
            platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
            attestations: true,
            annotations: BTreeMap::new(),
        }
    }

    /// An image with one layer: a `run.sh` that anyone may execute, and these files.
    #[must_use]
    pub fn with_run_script(script: &str, files: Vec<File>) -> ImageSpec {
        let run = File { mode: 0o755, ..File::new("run.sh", script.to_owned()) };
        ImageSpec::new(vec![Layer::new(&std::iter::once(run).chain(files).collect::<Vec<_>>())])
    }
}

/// An image index with everything below it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Image {
    /// The index.
    pub index: Manifest,
    /// The image manifests, in the order of the platforms.
    pub platforms: Vec<PlatformImage>,
    /// The attestation manifests, in the order of the platforms.
    pub attestations: Vec<Manifest>,
    blobs: Vec<Bytes>,
}

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// `sha256:...`
    pub digest: String,
    /// The media type.
    pub media_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// The image of one platform.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlatformImage {
    /// `os/architecture` or `os/architecture/variant`
    pub platform: String,
    /// The image manifest.
    pub manifest: Manifest,
    /// The digests of the layers, bottom first.
    pub layers: Vec<String>,
}

impl Manifest {
    /// A manifest of these bytes.
    #[must_use]
    pub fn new(media_type: &str, bytes: impl Into<Bytes>) -> Manifest {
        let bytes = bytes.into();
        Manifest { digest: digest_of(&bytes), media_type: media_type.to_owned(), bytes }
    }

    fn of(media_type: &str, document: &Value) -> Manifest {
        Manifest::new(media_type, document.to_string())
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

impl Image {
    /// Returns the digest of the index.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.index.digest
    }

    /// Returns every digest that a signer walks: the index and all its entries.
    #[must_use]
    pub fn digests(&self) -> Vec<String> {
        let children = self.platforms.iter().map(|image| &image.manifest).chain(&self.attestations);
        std::iter::once(&self.index).chain(children).map(|manifest| manifest.digest.clone()).collect()
    }

    /// Returns the image of a platform.
    #[must_use]
    pub fn platform(&self, platform: &str) -> Option<&PlatformImage> {
        self.platforms.iter().find(|image| image.platform == platform)
    }

    /// Returns the configurations and layers, for who pushes them elsewhere.
    #[must_use]
    pub fn blobs(&self) -> &[Bytes] {
        &self.blobs
    }

    /// Puts everything into a repository of the registry, without HTTP, and the index under a tag.
    pub fn push(&self, registry: &RegistryHandle, repository: &str, tag: &str) {
        for blob in &self.blobs {
            registry.put_blob(repository, blob.clone());
        }
        for manifest in self.platforms.iter().map(|image| &image.manifest).chain(&self.attestations) {
            registry.put_manifest(repository, &manifest.digest, &manifest.media_type, manifest.bytes.clone());
        }
        registry.put_manifest(repository, tag, &self.index.media_type, self.index.bytes.clone());
    }
}

/// Builds an image index as BuildKit writes it: an image manifest for each platform, then an attestation manifest for each.
#[must_use]
pub fn multi_platform(spec: &ImageSpec) -> Image {
    let mut blobs = Vec::new();
    let platforms: Vec<PlatformImage> =
        spec.platforms.iter().map(|platform| platform_image(spec, platform, &mut blobs)).collect();
    let mut entries: Vec<Value> = platforms.iter().map(platform_entry).collect();
    let mut attestations = Vec::new();
    if spec.attestations {
        for image in &platforms {
            let manifest = attestation(image, &mut blobs);
            entries.push(attestation_entry(image, &manifest));
            attestations.push(manifest);
        }
    }
    let mut index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    if !spec.annotations.is_empty() {
        index["annotations"] = json!(spec.annotations);
    }
    Image { index: Manifest::of(INDEX, &index), platforms, attestations, blobs }
}

fn platform_image(spec: &ImageSpec, platform: &str, blobs: &mut Vec<Bytes>) -> PlatformImage {
    let layers: Vec<&Layer> =
        spec.layers.iter().chain(spec.platform_layers.get(platform).into_iter().flatten()).collect();
    let mut config = platform_of(platform);
    config["config"] = json!({ "Entrypoint": ["/run.sh"] });
    config["rootfs"] =
        json!({ "type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>() });
    let config = Manifest::of(CONFIG, &config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(),
        "layers": layers.iter().map(|layer| layer.descriptor()).collect::<Vec<_>>(),
    });
    blobs.push(config.bytes);
    blobs.extend(layers.iter().map(|layer| layer.bytes.clone()));
    let digests = layers.iter().map(|layer| layer.digest()).collect();
    PlatformImage { platform: platform.to_owned(), manifest: Manifest::of(MANIFEST, &manifest), layers: digests }
}

fn platform_entry(image: &PlatformImage) -> Value {
    let mut entry = image.manifest.descriptor();
    entry["platform"] = platform_of(&image.platform);
    entry
}

fn platform_of(text: &str) -> Value {
    let mut parts = text.splitn(3, '/');
    let os = parts.next().unwrap_or_default();
    let mut platform = json!({ "architecture": parts.next().unwrap_or_default(), "os": os });
    if let Some(variant) = parts.next() {
        platform["variant"] = json!(variant);
    }
    platform
}

/// An attestation manifest of BuildKit: not a referrer but an entry of the index, an image manifest whose layer is an in-toto statement.
fn attestation(image: &PlatformImage, blobs: &mut Vec<Bytes>) -> Manifest {
    let predicate_type = "https://slsa.dev/provenance/v0.2";
    let subject = image.manifest.digest.trim_start_matches("sha256:");
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": predicate_type,
        "subject": [{ "name": format!("pkg:docker/app?platform={}", image.platform.replace('/', "%2F")), "digest": { "sha256": subject } }],
        "predicate": { "buildType": "https://mobyproject.org/buildkit@v1", "builder": { "id": "" } },
    });
    let statement = Manifest::of(IN_TOTO, &statement);
    let mut layer = statement.descriptor();
    layer["annotations"] = json!({ "in-toto.io/predicate-type": predicate_type });
    let rootfs = json!({ "type": "layers", "diff_ids": [statement.digest] });
    let config =
        Manifest::of(CONFIG, &json!({ "architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs }));
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(), "layers": [layer] });
    blobs.extend([config.bytes, statement.bytes]);
    Manifest::of(MANIFEST, &manifest)
}

fn attestation_entry(image: &PlatformImage, manifest: &Manifest) -> Value {
    let mut entry = manifest.descriptor();
    entry["annotations"] = json!({
        "vnd.docker.reference.digest": image.manifest.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    });
    entry["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_spec_makes_the_same_bytes() {
        let spec = ImageSpec::with_run_script("#!/bin/sh\necho hello\n", vec![File::new("lib/model.txt", "weights")]);
        assert_eq!(multi_platform(&spec).digests(), multi_platform(&spec).digests());
    }

    #[test]
    fn the_index_has_two_platforms_and_two_attestations() {
        let image = multi_platform(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()));
        let index: Value = serde_json::from_slice(&image.index.bytes).unwrap();
        let platforms: Vec<_> = index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["platform"]["architecture"].clone())
            .collect();
        assert_eq!(platforms, ["amd64", "arm64", "unknown", "unknown"]);
        let pointed_at = &index["manifests"][2]["annotations"]["vnd.docker.reference.digest"];
        assert_eq!(*pointed_at, *image.platforms[0].manifest.digest);
    }
}
