//! The platforms of a verified image, as types that carry the proof.
//!
//! A digest is verified; what an image index with that digest names is covered by it, and nothing else is. So children come
//! from the very bytes whose digest was verified, and only from them: [`VerifiedManifest`] is made of a [`VerifiedImage`] and
//! bytes that hash to its digest, [`VerifiedChild`] of such a manifest, and a nested index of such a child and its bytes.
//!
//! A child needs no signature of its own, and one that it has adds nothing to the verdict on its index.

use countersign_oci::index::{Descriptor, Manifest, ManifestError, Platform};
use countersign_oci::{Digest, PinnedReference, Tag, limits, media_type};
use thiserror::Error;

use crate::verified::VerifiedImage;

mod tree;
#[cfg(feature = "registry")]
mod walk;

pub use tree::{ChildView, Conclusion, OwnSignature, PlatformTree};
#[cfg(feature = "registry")]
pub(crate) use walk::hold;
#[cfg(feature = "registry")]
pub use walk::{Walk, platform_of, platform_tree, signed_children};

/// A manifest of a verified image, read from bytes whose digest was verified.
///
/// ```compile_fail
/// # use countersign_oci::{Digest, PinnedReference, index::Manifest};
/// # use countersign_verifier::platforms::VerifiedManifest;
/// fn forge(image: PinnedReference, digest: Digest, manifest: Manifest) -> VerifiedManifest {
///     VerifiedManifest { image, tag: None, digest, depth: 0, manifest }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct VerifiedManifest {
    image: PinnedReference,
    tag: Option<Tag>,
    digest: Digest,
    depth: usize,
    manifest: Manifest,
}

/// What an index of a verified image names.
///
/// ```compile_fail
/// # use countersign_oci::{PinnedReference, index::Descriptor};
/// # use countersign_verifier::platforms::VerifiedChild;
/// fn forge(image: PinnedReference, descriptor: Descriptor) -> VerifiedChild {
///     VerifiedChild { image, tag: None, depth: 1, descriptor }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct VerifiedChild {
    image: PinnedReference,
    tag: Option<Tag>,
    depth: usize,
    descriptor: Descriptor,
}

/// The image manifest of a verified image for a platform: the image itself, or a child of its index.
///
/// ```compile_fail
/// # use countersign_oci::{Digest, PinnedReference, index::Platform};
/// # use countersign_verifier::platforms::VerifiedPlatform;
/// fn forge(image: PinnedReference, digest: Digest, platform: Platform) -> VerifiedPlatform {
///     VerifiedPlatform { image, tag: None, digest, platform }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPlatform {
    image: PinnedReference,
    tag: Option<Tag>,
    digest: Digest,
    platform: Platform,
}

/// What an entry of an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildKind {
    /// It describes another entry, as BuildKit's attestation manifests do.
    Attestation,
    /// An image manifest: something that runs.
    Image,
    /// An index in the index.
    Index,
    /// Nothing that is known here.
    Other,
}

/// Why bytes are no manifest of a verified image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlatformsError {
    /// Other bytes than those that were verified.
    #[error("manifest has the digest {actual}, where {expected} was verified")]
    DigestMismatch {
        /// The digest that was verified.
        expected: Digest,
        /// That of the bytes.
        actual: Digest,
    },
    /// The bytes were verified and are no manifest.
    #[error("manifest {digest} cannot be read")]
    Malformed {
        /// Their digest.
        digest: Digest,
        /// Why.
        #[source]
        cause: ManifestError,
    },
    /// More nested indexes than are opened to find a platform.
    #[error("image has more than {limit} nested indexes")]
    TooManyIndexes {
        /// How many are opened.
        limit: usize,
    },
    /// An index in an index in an index, beyond all that is real.
    #[error("index {digest} lies deeper than {limit} levels of indexes")]
    TooDeep {
        /// Its digest.
        digest: Digest,
        /// How many levels are read.
        limit: usize,
    },
}

impl VerifiedManifest {
    /// Reads the manifest of a verified image. `content_type` is what it is served as, where that is known.
    pub fn of_image(image: &VerifiedImage, bytes: &[u8], content_type: Option<&str>) -> Result<Self, PlatformsError> {
        let manifest = read(image.digest(), bytes, content_type)?;
        let (image, tag) = (image.reference().clone(), image.tag().cloned());
        Ok(Self { digest: image.digest(), image, tag, depth: 0, manifest })
    }

    /// Reads the manifest of a child. Indexes nest, up to [`limits::INSPECT_DEPTH`] levels.
    pub fn of_child(child: &VerifiedChild, bytes: &[u8]) -> Result<Self, PlatformsError> {
        let digest = child.digest();
        if child.depth > limits::INSPECT_DEPTH {
            return Err(PlatformsError::TooDeep { digest, limit: limits::INSPECT_DEPTH });
        }
        let manifest = read(digest, bytes, Some(&child.descriptor.media_type))?;
        Ok(Self { image: child.image.clone(), tag: child.tag.clone(), digest, depth: child.depth, manifest })
    }

    /// Returns the verified image that it belongs to, as it was asked for.
    #[must_use]
    pub fn image(&self) -> &PinnedReference {
        &self.image
    }

    /// Returns the digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns what the bytes say.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the entries of an index in their order; an image manifest has none.
    pub fn children(&self) -> impl Iterator<Item = VerifiedChild> {
        let entries = match &self.manifest {
            Manifest::Index(index) => index.manifests.as_slice(),
            _ => &[],
        };
        entries.iter().map(|descriptor| VerifiedChild {
            image: self.image.clone(),
            tag: self.tag.clone(),
            depth: self.depth + 1,
            descriptor: descriptor.clone(),
        })
    }

    /// Returns the first image manifest of an index for a platform. Attestation manifests are none.
    #[must_use]
    pub fn platform(&self, wanted: &Platform) -> Option<VerifiedPlatform> {
        self.children().find_map(|child| child.for_platform(wanted))
    }

    /// The image itself, where its configuration says that it is for the platform: the caller compared.
    #[cfg(feature = "registry")]
    fn itself(&self, platform: Platform) -> VerifiedPlatform {
        VerifiedPlatform { image: self.image.clone(), tag: self.tag.clone(), digest: self.digest, platform }
    }
}

impl VerifiedChild {
    /// Returns the verified image that covers it, as it was asked for.
    #[must_use]
    pub fn image(&self) -> &PinnedReference {
        &self.image
    }

    /// Returns the tag that was asked for, where there was one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Returns its digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.descriptor.digest
    }

    /// Returns the child's name: the repository that was asked for, with the child's digest.
    #[must_use]
    pub fn reference(&self) -> PinnedReference {
        self.image.repository().pin(self.digest())
    }

    /// Returns the entry of the index.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns what the index says that it is.
    #[must_use]
    pub fn kind(&self) -> ChildKind {
        match self.descriptor.media_type.as_str() {
            media_type::OCI_INDEX | media_type::DOCKER_LIST => ChildKind::Index,
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST if is_attestation(&self.descriptor) => {
                ChildKind::Attestation
            }
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => ChildKind::Image,
            _ => ChildKind::Other,
        }
    }

    /// Returns it as the image for a platform, where the index says that it is that.
    #[must_use]
    pub fn for_platform(&self, wanted: &Platform) -> Option<VerifiedPlatform> {
        let platform = self.descriptor.platform.as_ref().filter(|platform| platform.serves(wanted))?;
        let found = || VerifiedPlatform {
            image: self.image.clone(),
            tag: self.tag.clone(),
            digest: self.digest(),
            platform: platform.clone(),
        };
        (self.kind() == ChildKind::Image).then(found)
    }
}

impl VerifiedPlatform {
    /// Returns the verified image that it belongs to, as it was asked for.
    #[must_use]
    pub fn image(&self) -> &PinnedReference {
        &self.image
    }

    /// Returns the tag that was asked for, where there was one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Returns the digest of the image manifest: what to pull.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the repository that was asked for, with that digest.
    #[must_use]
    pub fn reference(&self) -> PinnedReference {
        self.image.repository().pin(self.digest)
    }

    /// Returns the platform, as the index or the image's configuration states it.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }
}

fn read(expected: Digest, bytes: &[u8], content_type: Option<&str>) -> Result<Manifest, PlatformsError> {
    let actual = Digest::of(bytes);
    if actual != expected {
        return Err(PlatformsError::DigestMismatch { expected, actual });
    }
    Manifest::parse(bytes, content_type).map_err(|cause| PlatformsError::Malformed { digest: expected, cause })
}

/// Whether an entry describes another one. BuildKit says so twice; either is enough to keep it from being run.
fn is_attestation(descriptor: &Descriptor) -> bool {
    let unknown = |platform: &Platform| platform.os == "unknown" || platform.architecture == "unknown";
    descriptor.platform.as_ref().is_some_and(unknown) || crate::inspect::is_attestation(descriptor)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::verify::Asked;

    fn verified(digest: Digest) -> VerifiedImage {
        let reference: countersign_oci::ImageReference = "registry.example/octo/app:v1".parse().unwrap();
        let asked = Asked { reference: reference.repository().pin(digest), tag: reference.tag().cloned() };
        VerifiedImage::new(asked, Vec::new(), Vec::new(), Digest::of(b"policy"), "the test".to_owned())
    }

    fn entry(kind: &str, name: &str, platform: &str) -> Value {
        let mut entry = json!({"mediaType": kind, "digest": Digest::of(name.as_bytes()), "size": 7});
        if let Some((os, architecture)) = platform.split_once('/') {
            entry["platform"] = json!({"os": os, "architecture": architecture});
        }
        entry
    }

    fn index(entries: &[Value]) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries});
        index.to_string().into_bytes()
    }

    fn read_index(entries: &[Value]) -> VerifiedManifest {
        let bytes = index(entries);
        VerifiedManifest::of_image(&verified(Digest::of(&bytes)), &bytes, None).unwrap()
    }

    #[test]
    fn a_child_is_known_only_through_the_bytes_that_were_verified() {
        let good = index(&[entry(media_type::OCI_MANIFEST, "a", "linux/amd64")]);
        let image = verified(Digest::of(&good));
        let manifest = VerifiedManifest::of_image(&image, &good, Some(media_type::OCI_INDEX)).unwrap();
        let platform = manifest.platform(&"linux/amd64".parse().unwrap()).unwrap();
        assert_eq!(platform.digest(), Digest::of(b"a"));
        assert_eq!(platform.reference().to_string(), format!("registry.example/octo/app@{}", Digest::of(b"a")));
        let other = index(&[entry(media_type::OCI_MANIFEST, "evil", "linux/amd64")]);
        let refused = VerifiedManifest::of_image(&image, &other, None).unwrap_err();
        assert!(matches!(refused, PlatformsError::DigestMismatch { .. }), "{refused}");
        let served = VerifiedManifest::of_image(&image, &good, Some(media_type::OCI_MANIFEST)).unwrap_err();
        assert!(matches!(served, PlatformsError::Malformed { .. }), "{served}");
    }

    #[test]
    fn attestations_and_unknown_types_are_never_a_platform() {
        let mut annotated = entry(media_type::OCI_MANIFEST, "b", "linux/amd64");
        annotated["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        let manifest = read_index(&[
            entry(media_type::OCI_MANIFEST, "a", "unknown/unknown"),
            annotated,
            entry("application/vnd.example", "c", "linux/amd64"),
            entry(media_type::OCI_INDEX, "d", "linux/amd64"),
            entry(media_type::DOCKER_MANIFEST, "e", "linux/amd64"),
        ]);
        use ChildKind::{Attestation, Image, Index, Other};
        let kinds: Vec<ChildKind> = manifest.children().map(|child| child.kind()).collect();
        assert_eq!(kinds, [Attestation, Attestation, Other, Index, Image]);
        assert_eq!(manifest.platform(&"linux/amd64".parse().unwrap()).unwrap().digest(), Digest::of(b"e"));
        assert_eq!(manifest.platform(&"unknown/unknown".parse().unwrap()), None);
        assert_eq!(manifest.platform(&"linux/arm64".parse().unwrap()), None);
    }

    #[test]
    fn indexes_nest_only_so_far() {
        let mut bytes = index(&[entry(media_type::OCI_MANIFEST, "a", "linux/amd64")]);
        let mut all = vec![bytes.clone()];
        for _ in 0..=limits::INSPECT_DEPTH {
            let mut nested = entry(media_type::OCI_INDEX, "", "");
            nested["digest"] = Digest::of(&bytes).to_string().into();
            bytes = index(&[nested]);
            all.push(bytes.clone());
        }
        let mut manifest = VerifiedManifest::of_image(&verified(Digest::of(&bytes)), &bytes, None).unwrap();
        let mut levels = 0;
        let refused = loop {
            all.pop();
            let child = manifest.children().next().unwrap();
            match VerifiedManifest::of_child(&child, all.last().unwrap()) {
                Ok(below) => manifest = below,
                Err(refused) => break refused,
            }
            levels += 1;
        };
        assert_eq!(levels, limits::INSPECT_DEPTH);
        assert!(matches!(refused, PlatformsError::TooDeep { .. }), "{refused}");
        let child = manifest.children().next().unwrap();
        assert!(VerifiedManifest::of_child(&child, b"{}").is_err());
    }
}
