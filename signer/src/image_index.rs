//! The image index of a release, built from what the jobs of its platforms pushed. Pure: manifests and configs are
//! read elsewhere.
//!
//! Equal contents give equal bytes, whatever the order in which they were named: a release that is built again under
//! the same digests is the same index.

use std::collections::{BTreeMap, BTreeSet};

use countersign_oci::index::{Descriptor, Platform};
use countersign_oci::{Digest, media_type};
use serde::Serialize;

/// The annotations by which BuildKit ties an attestation manifest to its image.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const ATTESTATION: &str = "attestation-manifest";

/// An image index that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuiltIndex {
    /// The very bytes to push.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub digest: Digest,
    /// The platforms, in the order of their entries.
    pub platforms: Vec<Platform>,
}

/// Why digests do not make an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexProblem {
    /// An attestation manifest whose image is not part of the index: it belongs to another build.
    #[error("{attestation} is the attestation of {image}, which is not among the images")]
    AttestationOfAnother {
        /// The attestation manifest.
        attestation: Digest,
        /// What it says it attests.
        image: Digest,
    },
    /// An attestation manifest that does not say of what.
    #[error("{attestation} is an attestation manifest that names no image")]
    AttestationOfNothing {
        /// The attestation manifest.
        attestation: Digest,
    },
    /// Fewer platforms, or others, than were expected.
    #[error("the platforms {} were expected, and {} were given", join(expected), join(found))]
    OtherPlatforms {
        /// What was expected.
        expected: Vec<Platform>,
        /// What there is.
        found: Vec<Platform>,
    },
    /// No image was named.
    #[error("no digest was given: there is nothing to make an index of")]
    Empty,
    /// An image whose config names no operating system or architecture.
    #[error("{image} has no platform")]
    NoPlatform {
        /// The image.
        image: Digest,
    },
    /// Two images for one platform: a client could take either.
    #[error("{first} and {second} are both for {platform}")]
    PlatformTwice {
        /// The platform.
        platform: Box<Platform>,
        /// One image.
        first: Digest,
        /// The other.
        second: Digest,
    },
}

impl IndexProblem {
    /// The stable name of this failure in JSON output.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AttestationOfAnother { .. } => "attestation-of-another",
            Self::AttestationOfNothing { .. } => "attestation-of-nothing",
            Self::OtherPlatforms { .. } => "other-platforms",
            Self::Empty => "no-digest",
            Self::NoPlatform { .. } => "no-platform",
            Self::PlatformTwice { .. } => "platform-twice",
        }
    }

    /// What the person could do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::AttestationOfAnother { .. } | Self::PlatformTwice { .. } => {
                "the digests are of more than one build: give each build a folder of its own, and collect no other's artifacts into it"
            }
            Self::AttestationOfNothing { .. } | Self::NoPlatform { .. } => {
                "is this digest the one that the build of a platform printed?"
            }
            Self::Empty => "give digests as arguments, or the folder that the builds filled with --digests DIR",
            Self::OtherPlatforms { .. } => {
                "look for a build that failed or was not collected, or change --expect-platforms"
            }
        }
    }
}

fn join(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Builds the index: images in the order of their platforms, each followed by its attestations. The platform of an image's
/// descriptor has to be that of its config.
///
/// Refuses no image at all, an image without platform, two images for one platform, an attestation whose image is not
/// there, and platforms other than the expected ones where some are expected.
pub fn build(
    entries: &[Descriptor],
    annotations: &BTreeMap<String, String>,
    expected: &BTreeSet<Platform>,
) -> Result<BuiltIndex, IndexProblem> {
    let mut images: BTreeMap<Platform, &Descriptor> = BTreeMap::new();
    let mut attestations: BTreeMap<Digest, BTreeMap<Digest, &Descriptor>> = BTreeMap::new();
    for entry in entries {
        match attested(entry)? {
            Some(image) => {
                attestations.entry(image).or_default().insert(entry.digest, entry);
            }
            None => insert(&mut images, entry)?,
        }
    }
    if images.is_empty() {
        return Err(IndexProblem::Empty);
    }
    let platforms: Vec<Platform> = images.keys().cloned().collect();
    let is_expected = |platform: &Platform| expected.iter().any(|wanted| platform.serves(wanted));
    let as_expected = expected.len() == platforms.len() && platforms.iter().all(is_expected);
    if !expected.is_empty() && !as_expected {
        return Err(IndexProblem::OtherPlatforms { expected: expected.iter().cloned().collect(), found: platforms });
    }
    let mut manifests = Vec::with_capacity(entries.len());
    for image in images.values() {
        manifests.push(*image);
        manifests.extend(attestations.remove(&image.digest).unwrap_or_default().into_values());
    }
    if let Some((image, others)) = attestations.pop_first() {
        let attestation = others.into_keys().next().unwrap_or(image);
        return Err(IndexProblem::AttestationOfAnother { attestation, image });
    }
    let document = Document { schema_version: 2, media_type: media_type::OCI_INDEX, manifests, annotations };
    let bytes = serde_json::to_vec(&document).expect("strings, numbers and maps with string keys always serialise");
    Ok(BuiltIndex { digest: Digest::of(&bytes), bytes, platforms })
}

/// The image that this is the attestation of, where it is one.
fn attested(entry: &Descriptor) -> Result<Option<Digest>, IndexProblem> {
    if entry.annotations.get(REFERENCE_TYPE).map(String::as_str) != Some(ATTESTATION) {
        return Ok(None);
    }
    let image = entry.annotations.get(REFERENCE_DIGEST).and_then(|text| text.parse().ok());
    image.map(Some).ok_or(IndexProblem::AttestationOfNothing { attestation: entry.digest })
}

fn insert<'e>(images: &mut BTreeMap<Platform, &'e Descriptor>, image: &'e Descriptor) -> Result<(), IndexProblem> {
    let platform = image.platform.clone().ok_or(IndexProblem::NoPlatform { image: image.digest })?;
    // `arm64` and `arm64/v8` are the same to every client.
    let is_same = |other: &Platform| other.serves(&platform) && other.os_version == platform.os_version;
    match images.iter().find(|(other, _)| is_same(other)) {
        Some((_, other)) if other.digest == image.digest => Ok(()),
        Some((_, other)) => {
            Err(IndexProblem::PlatformTwice { platform: Box::new(platform), first: other.digest, second: image.digest })
        }
        None => {
            images.insert(platform, image);
            Ok(())
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u8,
    media_type: &'a str,
    manifests: Vec<&'a Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use countersign_oci::index::Manifest;

    use super::*;

    fn image(platform: &str) -> Descriptor {
        let mut descriptor = Descriptor::of(media_type::OCI_MANIFEST, platform.as_bytes());
        descriptor.platform = Some(platform.parse().unwrap());
        descriptor
    }

    fn attestation(of: &Descriptor) -> Descriptor {
        let text = format!("attestation of {}", of.digest);
        let mut descriptor = Descriptor::of(media_type::OCI_MANIFEST, text.as_bytes());
        descriptor.platform = Some(Platform::new("unknown", "unknown"));
        descriptor.annotations = BTreeMap::from([
            (REFERENCE_TYPE.to_owned(), ATTESTATION.to_owned()),
            (REFERENCE_DIGEST.to_owned(), of.digest.to_string()),
        ]);
        descriptor
    }

    fn built(entries: &[Descriptor]) -> Result<BuiltIndex, IndexProblem> {
        build(entries, &BTreeMap::new(), &BTreeSet::new())
    }

    #[test]
    fn the_same_images_give_the_same_bytes_in_any_order() {
        let (amd64, arm64) = (image("linux/amd64"), image("linux/arm64/v8"));
        let (of_amd64, of_arm64) = (attestation(&amd64), attestation(&arm64));
        let all = [amd64, of_amd64, arm64, of_arm64];
        let index = built(&all).unwrap();
        assert_eq!(index.digest, Digest::of(&index.bytes));
        let mut other = all.to_vec();
        other.reverse();
        other.push(all[0].clone());
        assert_eq!(built(&other).unwrap(), index, "order and repetition do not matter");

        let Manifest::Index(read) = Manifest::parse(&index.bytes, Some(media_type::OCI_INDEX)).unwrap() else {
            panic!("not an index")
        };
        assert_eq!(read.manifests, all, "each image is followed by its attestation");
        assert_eq!(
            index.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["linux/amd64", "linux/arm64/v8"]
        );
    }

    #[test]
    fn annotations_are_part_of_the_index() {
        let annotations = BTreeMap::from([("org.opencontainers.image.version".to_owned(), "1".to_owned())]);
        let index = build(&[image("linux/amd64")], &annotations, &BTreeSet::new()).unwrap();
        let Ok(Manifest::Index(read)) = Manifest::parse(&index.bytes, None) else { panic!("not an index") };
        assert_eq!(read.annotations, annotations);
    }

    #[test]
    fn digests_that_make_no_index_are_refused_for_what_is_wrong() {
        let (amd64, arm64) = (image("linux/amd64"), image("linux/arm64"));
        assert_eq!(built(&[]), Err(IndexProblem::Empty));
        let orphan = attestation(&arm64);
        assert_eq!(
            built(&[amd64.clone(), orphan.clone()]),
            Err(IndexProblem::AttestationOfAnother { attestation: orphan.digest, image: arm64.digest })
        );
        assert_eq!(built(std::slice::from_ref(&orphan)), Err(IndexProblem::Empty), "attestations alone are no image");
        let mut nameless = orphan;
        nameless.annotations.remove(REFERENCE_DIGEST);
        let attestation = nameless.digest;
        assert_eq!(built(&[amd64.clone(), nameless]), Err(IndexProblem::AttestationOfNothing { attestation }));
        let mut without = arm64.clone();
        without.platform = None;
        let image_without = without.digest;
        assert_eq!(built(&[amd64.clone(), without]), Err(IndexProblem::NoPlatform { image: image_without }));

        for same in ["linux/amd64", "linux/amd64/v1"] {
            let mut twice = image(same);
            twice.digest = Digest::of(b"another build");
            let problem = built(&[amd64.clone(), twice.clone()]).unwrap_err();
            let (first, second) = (amd64.digest, twice.digest);
            let platform = Box::new(same.parse().unwrap());
            assert_eq!(problem, IndexProblem::PlatformTwice { platform, first, second });
        }
        assert!(built(&[image("linux/arm/v6"), image("linux/arm/v7")]).is_ok());
    }

    #[test]
    fn platforms_other_than_the_expected_ones_are_refused() {
        let expected = |platforms: &[&str]| platforms.iter().map(|one| one.parse().unwrap()).collect::<BTreeSet<_>>();
        let entries = [image("linux/amd64"), image("linux/arm64")];
        let with = |platforms: &[&str]| build(&entries, &BTreeMap::new(), &expected(platforms)).map(|_| ());
        assert_eq!(with(&["linux/arm64/v8", "linux/amd64"]), Ok(()));
        for wrong in
            [&["linux/amd64"][..], &["linux/amd64", "linux/arm64", "linux/riscv64"], &["linux/amd64", "linux/arm/v7"]]
        {
            assert!(matches!(with(wrong), Err(IndexProblem::OtherPlatforms { .. })), "{wrong:?}");
        }
    }
}
