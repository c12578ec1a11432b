//! Which manifest of an index is for this machine.

use countersign_oci::index::{Descriptor, ImageIndex, Platform};
use countersign_oci::media_type;
use serde::Deserialize;

/// What an index has for a platform.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Candidates<'a> {
    /// The first image manifest of the platform.
    pub(crate) image: Option<&'a Descriptor>,
    /// Indexes that may hold one, in their order.
    pub(crate) nested: Vec<&'a Descriptor>,
    /// The only image manifest, where it says nothing of its platform: its config will.
    pub(crate) unstated: Option<&'a Descriptor>,
    /// The platforms that there are.
    pub(crate) available: Vec<Platform>,
}

/// The parts of an image config that bind an image manifest to a machine and to its layers.
#[derive(Debug, Deserialize)]
pub(crate) struct ImageConfig {
    pub(crate) os: String,
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) variant: Option<String>,
    pub(crate) rootfs: RootFs,
}

/// The digests of the uncompressed layers.
#[derive(Debug, Deserialize)]
pub(crate) struct RootFs {
    pub(crate) diff_ids: Vec<countersign_oci::Digest>,
}

/// Looks through an index. Attestation manifests and those for `unknown/unknown` are no images.
pub(crate) fn candidates<'a>(index: &'a ImageIndex, wanted: &Platform) -> Candidates<'a> {
    let mut found = Candidates { image: None, nested: Vec::new(), unstated: None, available: Vec::new() };
    let mut unstated = Vec::new();
    for descriptor in index.manifests.iter().filter(|descriptor| !is_attestation(descriptor)) {
        let nested = matches!(descriptor.media_type.as_str(), media_type::OCI_INDEX | media_type::DOCKER_LIST);
        match &descriptor.platform {
            Some(platform) if nested && platform.serves(wanted) => found.nested.push(descriptor),
            None if nested => found.nested.push(descriptor),
            _ if nested => {}
            Some(platform) => {
                found.available.push(platform.clone());
                if platform.serves(wanted) && found.image.is_none() {
                    found.image = Some(descriptor);
                }
            }
            None => unstated.push(descriptor),
        }
    }
    if let ([only], true) = (unstated.as_slice(), found.available.is_empty()) {
        found.unstated = Some(only);
    }
    found
}

impl ImageConfig {
    /// The platform that the config states.
    pub(crate) fn platform(&self) -> Platform {
        let mut platform = Platform::new(&self.os, &self.architecture);
        platform.variant = self.variant.clone().filter(|variant| !variant.is_empty());
        platform
    }
}

fn is_attestation(descriptor: &Descriptor) -> bool {
    let unknown = |platform: &Platform| platform.os == "unknown" || platform.architecture == "unknown";
    descriptor.platform.as_ref().is_some_and(unknown)
        || descriptor.annotations.get(REFERENCE_TYPE).is_some_and(|kind| kind == "attestation-manifest")
}

/// Set by BuildKit on manifests that describe another one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

#[cfg(test)]
mod tests {
    use countersign_oci::index::Manifest;

    use super::*;

    fn index(manifests: &str) -> ImageIndex {
        let text =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{manifests}]}}"#, media_type::OCI_INDEX);
        match Manifest::parse(text.as_bytes(), None).unwrap() {
            Manifest::Index(index) => index,
            _ => panic!("an index"),
        }
    }

    fn entry(media_type: &str, hex: char, rest: &str) -> String {
        let digest = hex.to_string().repeat(64);
        format!(r#"{{"mediaType":"{media_type}","digest":"sha256:{digest}","size":5{rest}}}"#)
    }

    fn image(hex: char, platform: &str) -> String {
        let platform: Platform = platform.parse().unwrap();
        entry(media_type::OCI_MANIFEST, hex, &format!(r#","platform":{}"#, serde_json::to_string(&platform).unwrap()))
    }

    fn chosen(manifests: &[String], wanted: &str) -> Option<char> {
        let index = index(&manifests.join(","));
        let found = candidates(&index, &wanted.parse().unwrap()).image.map(|descriptor| descriptor.digest.hex());
        found.and_then(|hex| hex.chars().next())
    }

    #[test]
    fn the_first_manifest_of_the_platform_is_chosen() {
        let manifests = [
            image('a', "linux/amd64"),
            image('b', "linux/arm64"),
            image('c', "linux/arm64"),
            image('d', "darwin/arm64"),
        ];
        assert_eq!(chosen(&manifests, "linux/amd64"), Some('a'));
        assert_eq!(chosen(&manifests, "linux/arm64"), Some('b'));
        assert_eq!(chosen(&manifests, "linux/arm64/v8"), Some('b'));
        assert_eq!(chosen(&manifests, "darwin/arm64"), Some('d'));
        assert_eq!(chosen(&manifests, "darwin/amd64"), None);
        assert_eq!(chosen(&manifests, "linux/arm64/v9"), None);
    }

    #[test]
    fn attestations_are_never_installed() {
        let annotated = entry(
            media_type::OCI_MANIFEST,
            'e',
            r#","platform":{"os":"linux","architecture":"amd64"},"annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#,
        );
        let manifests = [image('f', "unknown/unknown"), annotated, image('a', "linux/amd64")];
        assert_eq!(chosen(&manifests, "linux/amd64"), Some('a'));
        assert_eq!(chosen(&manifests[..2], "linux/amd64"), None);
        assert_eq!(chosen(&manifests[..2], "unknown/unknown"), None);
    }

    #[test]
    fn nested_indexes_and_images_without_a_platform_are_looked_into() {
        let other = entry(media_type::OCI_INDEX, 'd', r#","platform":{"os":"linux","architecture":"arm64"}"#);
        let index =
            index(&[entry(media_type::OCI_INDEX, 'c', ""), other, entry(media_type::OCI_MANIFEST, 'e', "")].join(","));
        let found = candidates(&index, &"linux/amd64".parse().unwrap());
        assert_eq!(found.nested.len(), 1);
        assert!(found.unstated.is_some() && found.image.is_none());
    }

    #[test]
    fn an_image_without_a_platform_is_no_answer_beside_others() {
        let index = index(&[entry(media_type::OCI_MANIFEST, 'e', ""), image('a', "linux/arm64")].join(","));
        assert_eq!(candidates(&index, &"linux/amd64".parse().unwrap()).unstated, None);
    }
}
