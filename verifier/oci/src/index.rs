//! Image indexes and image manifests, parsed without room for two readings.
//!
//! The bytes whose digest was verified stay what counts: these types are for reading, never for writing the same
//! document again.

mod capped;
mod descriptor;
mod platform;

use std::collections::BTreeMap;

use serde::Deserialize;

pub(crate) use capped::Capped;
pub use descriptor::Descriptor;
pub use platform::{Platform, PlatformError};

use crate::limits;
use crate::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, essence};
use crate::text::printable;

/// A manifest of either kind. Nesting is the caller's to bound: this reads one document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time is held; a box would show in every match")]
#[non_exhaustive]
pub enum Manifest {
    /// An image manifest: one configuration and layers.
    Image(ImageManifest),
    /// An image index: a list of manifests.
    Index(ImageIndex),
}

/// An image index ([specification](https://github.com/opencontainers/image-spec/blob/main/image-index.md)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageIndex {
    /// [`OCI_INDEX`] or [`DOCKER_LIST`].
    pub media_type: String,
    /// What the index is, where it is not an image.
    pub artifact_type: Option<String>,
    /// The manifest that this one says it refers to.
    pub subject: Option<Descriptor>,
    /// The entries in their order.
    pub manifests: Vec<Descriptor>,
    /// Annotations of the index itself.
    pub annotations: BTreeMap<String, String>,
}

/// An image manifest ([specification](https://github.com/opencontainers/image-spec/blob/main/manifest.md)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageManifest {
    /// [`OCI_MANIFEST`] or [`DOCKER_MANIFEST`].
    pub media_type: String,
    /// What the manifest is, where it is not an image.
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says it refers to.
    pub subject: Option<Descriptor>,
    /// Annotations of the manifest itself.
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Parses one document and proves that it has one reading.
    ///
    /// Refuses: more than [`limits::MANIFEST_BYTES`]; a `content_type` (the registry's, where there is one) that is
    /// not the document's own `mediaType`; unknown types; a `schemaVersion` other than 2; `manifests` beside `config`
    /// or `layers`, whichever type is claimed ([CVE-2021-41190]); repeated keys; digests other than sha256; negative
    /// sizes; more than [`limits::INDEX_ENTRIES`] entries. Does not look at the digest of `bytes`.
    ///
    /// [CVE-2021-41190]: https://github.com/opencontainers/distribution-spec/security/advisories/GHSA-mc8v-mgrf-8f4m
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > limits::MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { limit: limits::MANIFEST_BYTES });
        }
        let document: Document = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        let media_type = document.media_type(content_type)?;
        if document.schema_version != Some(2) {
            return Err(ManifestError::SchemaVersion { found: document.schema_version });
        }
        let image_keys = document.config.is_some() || document.layers.is_some() || document.fs_layers.is_some();
        if document.manifests.is_some() && image_keys {
            return Err(ManifestError::TwoReadings);
        }
        match media_type.as_str() {
            OCI_INDEX | DOCKER_LIST => document.into_index(media_type).map(Self::Index),
            OCI_MANIFEST | DOCKER_MANIFEST => document.into_image(media_type).map(Self::Image),
            _ => Err(ManifestError::UnknownType { media_type: printable(&media_type, 200) }),
        }
    }

    /// Returns the media type that the document has.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self {
            Self::Image(image) => &image.media_type,
            Self::Index(index) => &index.media_type,
        }
    }

    /// Returns the manifest that this one says it refers to: a claim, until compared.
    #[must_use]
    pub const fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }
}

impl ImageManifest {
    /// Returns what the manifest is by the rule of the referrers API: its artifact type, else the configuration's
    /// media type.
    #[must_use]
    pub fn effective_artifact_type(&self) -> &str {
        self.artifact_type.as_deref().filter(|kind| !kind.is_empty()).unwrap_or(&self.config.media_type)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Capped<Descriptor, { limits::MANIFEST_LAYERS }>>,
    fs_layers: Option<serde::de::IgnoredAny>,
    manifests: Option<Capped<Descriptor, { limits::INDEX_ENTRIES }>>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "descriptor::annotations")]
    annotations: BTreeMap<String, String>,
}

impl Document {
    /// The document's own word where it has one; the registry's word only for OCI types, which may leave it out.
    fn media_type(&self, content_type: Option<&str>) -> Result<String, ManifestError> {
        match (&self.media_type, content_type.map(essence)) {
            (Some(own), Some(served)) if *own != served => Err(ManifestError::TypesDiffer {
                media_type: printable(own, 200),
                content_type: printable(&served, 200),
            }),
            (Some(own), _) => Ok(own.clone()),
            (None, Some(served)) if matches!(served.as_str(), OCI_INDEX | OCI_MANIFEST) => Ok(served),
            (None, Some(served)) => Err(ManifestError::UnknownType { media_type: printable(&served, 200) }),
            (None, None) => Err(ManifestError::Missing { field: "mediaType" }),
        }
    }

    fn into_index(self, media_type: String) -> Result<ImageIndex, ManifestError> {
        if self.config.is_some() || self.layers.is_some() || self.fs_layers.is_some() {
            return Err(ManifestError::TwoReadings);
        }
        let manifests = self.manifests.ok_or(ManifestError::Missing { field: "manifests" })?;
        Ok(ImageIndex {
            media_type,
            artifact_type: self.artifact_type,
            subject: self.subject,
            manifests: all_of(manifests, "manifests")?,
            annotations: self.annotations,
        })
    }

    fn into_image(self, media_type: String) -> Result<ImageManifest, ManifestError> {
        if self.manifests.is_some() || self.fs_layers.is_some() {
            return Err(ManifestError::TwoReadings);
        }
        let layers = self.layers.ok_or(ManifestError::Missing { field: "layers" })?;
        Ok(ImageManifest {
            media_type,
            artifact_type: self.artifact_type,
            config: self.config.ok_or(ManifestError::Missing { field: "config" })?,
            layers: all_of(layers, "layers")?,
            subject: self.subject,
            annotations: self.annotations,
        })
    }
}

fn all_of<T, const LIMIT: usize>(list: Capped<T, LIMIT>, field: &'static str) -> Result<Vec<T>, ManifestError> {
    if list.beyond > 0 {
        return Err(ManifestError::TooManyEntries { field, found: list.items.len() + list.beyond, limit: LIMIT });
    }
    Ok(list.items)
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not JSON, or JSON whose members have the wrong form: digests, sizes, repeated keys.
    #[error("the manifest is not well-formed")]
    Json(#[source] serde_json::Error),
    /// A member that the type must have is absent.
    #[error("the manifest has no `{field}`")]
    Missing {
        /// The member's name.
        field: &'static str,
    },
    /// A `schemaVersion` other than 2.
    #[error("the manifest's schemaVersion is {}, not 2", found.map_or_else(|| "absent".to_owned(), |number| number.to_string()))]
    SchemaVersion {
        /// The number, where there is one.
        found: Option<u64>,
    },
    /// More bytes than a manifest may have.
    #[error("the manifest has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// More entries than a list may have.
    #[error("the manifest lists {found} `{field}`, more than {limit}")]
    TooManyEntries {
        /// The list.
        field: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Members of an index and of an image manifest in one document, or members of the other kind than its type.
    #[error("the manifest can be read both as an image index and as an image manifest")]
    TwoReadings,
    /// The registry serves it as another type than it says it is.
    #[error("the manifest says it is `{media_type}` and is served as `{content_type}`")]
    TypesDiffer {
        /// The document's own `mediaType`.
        media_type: String,
        /// The registry's `Content-Type`.
        content_type: String,
    },
    /// Not an image index or image manifest of OCI or Docker.
    #[error("`{media_type}` is not a type of image index or image manifest")]
    UnknownType {
        /// The type.
        media_type: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn descriptor(media_type: &str) -> serde_json::Value {
        serde_json::json!({"mediaType": media_type, "digest": Digest::of(b"{}").to_string(), "size": 2})
    }

    fn image() -> serde_json::Value {
        serde_json::json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
        })
    }

    fn index() -> serde_json::Value {
        serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST)]})
    }

    fn parse(document: &serde_json::Value, content_type: Option<&str>) -> Result<Manifest, ManifestError> {
        Manifest::parse(&serde_json::to_vec(document).unwrap(), content_type)
    }

    fn with(mut document: serde_json::Value, key: &str, value: serde_json::Value) -> serde_json::Value {
        document[key] = value;
        document
    }

    fn without(mut document: serde_json::Value, key: &str) -> serde_json::Value {
        document.as_object_mut().unwrap().remove(key);
        document
    }

    #[test]
    fn both_kinds_of_both_families_are_read() {
        assert!(matches!(parse(&image(), Some(OCI_MANIFEST)), Ok(Manifest::Image(_))));
        assert!(matches!(
            parse(&index(), Some("application/vnd.oci.image.index.v1+json; charset=utf-8")),
            Ok(Manifest::Index(_))
        ));
        assert!(matches!(parse(&index(), None), Ok(Manifest::Index(_))));
        let list = with(index(), "mediaType", DOCKER_LIST.into());
        assert!(matches!(parse(&list, Some(DOCKER_LIST)), Ok(Manifest::Index(_))));
        let docker = with(image(), "mediaType", DOCKER_MANIFEST.into());
        assert!(matches!(parse(&docker, Some(DOCKER_MANIFEST)), Ok(Manifest::Image(_))));
    }

    #[test]
    fn an_absent_media_type_is_the_content_type_for_oci_only() {
        let untyped = without(index(), "mediaType");
        assert!(matches!(parse(&untyped, Some(OCI_INDEX)), Ok(Manifest::Index(_))));
        assert!(matches!(parse(&untyped, Some(DOCKER_LIST)), Err(ManifestError::UnknownType { .. })));
        assert!(matches!(parse(&untyped, None), Err(ManifestError::Missing { field: "mediaType" })));
        assert!(matches!(
            parse(&untyped, Some(OCI_MANIFEST)),
            Err(ManifestError::Missing { field: _ } | ManifestError::TwoReadings)
        ));
    }

    #[test]
    fn a_document_with_two_readings_is_refused_under_every_type() {
        for (base, key, value) in [
            (image(), "manifests", serde_json::json!([])),
            (index(), "layers", serde_json::json!([])),
            (index(), "config", descriptor("x/y")),
            (index(), "fsLayers", serde_json::json!([])),
            (image(), "fsLayers", serde_json::json!([])),
        ] {
            for media_type in [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST] {
                let document = with(with(base.clone(), key, value.clone()), "mediaType", media_type.into());
                assert!(
                    matches!(parse(&document, Some(media_type)), Err(ManifestError::TwoReadings)),
                    "{key} {media_type}"
                );
                let untyped = without(document, "mediaType");
                assert!(parse(&untyped, Some(media_type)).is_err(), "{key} {media_type}");
            }
        }
        let image_called_index = with(image(), "mediaType", OCI_INDEX.into());
        assert!(matches!(parse(&image_called_index, None), Err(ManifestError::TwoReadings)));
    }

    #[test]
    fn the_registry_and_the_document_must_agree_on_the_type() {
        for served in [OCI_MANIFEST, DOCKER_LIST, "application/json", "text/html", ""] {
            assert!(matches!(parse(&index(), Some(served)), Err(ManifestError::TypesDiffer { .. })), "{served}");
        }
    }

    #[test]
    fn malformed_documents_are_refused() {
        let bad = |key: &str, value: serde_json::Value| {
            let entry = with(descriptor(OCI_MANIFEST), key, value);
            with(index(), "manifests", serde_json::json!([entry]))
        };
        for document in [
            bad("digest", "not-a-digest".into()),
            bad("digest", format!("sha512:{}", "0".repeat(128)).into()),
            bad("digest", "sha256:../../etc/passwd".into()),
            bad("size", (-5).into()),
            bad("size", 1.5.into()),
            bad("size", u64::MAX.into()),
            bad("size", "2".into()),
            bad("mediaType", 7.into()),
            bad("mediaType", serde_json::Value::Null),
            bad("annotations", serde_json::json!({"a": 1})),
            with(index(), "manifests", serde_json::json!({})),
            with(index(), "manifests", serde_json::json!([null])),
            serde_json::json!([]),
            serde_json::json!("x"),
        ] {
            assert!(matches!(parse(&document, Some(OCI_INDEX)), Err(ManifestError::Json(_))), "{document}");
        }
        for version in [serde_json::json!(1), serde_json::json!(3), serde_json::Value::Null] {
            let document = with(index(), "schemaVersion", version);
            assert!(matches!(parse(&document, None), Err(ManifestError::SchemaVersion { .. })));
        }
        let unknown = with(index(), "mediaType", "application/vnd.example+json".into());
        assert!(matches!(parse(&unknown, None), Err(ManifestError::UnknownType { .. })));
        assert!(matches!(parse(&without(image(), "config"), None), Err(ManifestError::Missing { field: "config" })));
        assert!(matches!(parse(&without(image(), "layers"), None), Err(ManifestError::Missing { field: "layers" })));
        assert!(matches!(
            parse(&without(index(), "manifests"), None),
            Err(ManifestError::Missing { field: "manifests" })
        ));
    }

    #[test]
    fn a_repeated_key_is_refused() {
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[],"manifests":[]}}"#);
        assert!(matches!(Manifest::parse(text.as_bytes(), None), Err(ManifestError::Json(_))));
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        let text = format!(r#"{{"schemaVersion":2,"x":{}"#, "[".repeat(1_000_000));
        assert!(matches!(Manifest::parse(text.as_bytes(), None), Err(ManifestError::Json(_))));
    }

    #[test]
    fn ten_thousand_entries_are_read_and_one_more_is_refused() {
        let list = |count: usize| with(index(), "manifests", vec![descriptor(OCI_MANIFEST); count].into());
        assert!(
            matches!(parse(&list(limits::INDEX_ENTRIES), None), Ok(Manifest::Index(index)) if index.manifests.len() == limits::INDEX_ENTRIES)
        );
        assert!(matches!(
            parse(&list(limits::INDEX_ENTRIES + 1), None),
            Err(ManifestError::TooManyEntries { found: 10_001, limit: 10_000, .. })
        ));
    }

    #[test]
    fn more_bytes_than_a_manifest_may_have_are_refused_unread() {
        let bytes = vec![b' '; usize::try_from(limits::MANIFEST_BYTES).unwrap() + 1];
        assert!(matches!(Manifest::parse(&bytes, None), Err(ManifestError::TooLarge { .. })));
    }

    #[test]
    fn subject_platform_and_annotations_are_read() {
        let mut entry = descriptor(OCI_MANIFEST);
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
        entry["annotations"] = serde_json::json!({"k": "v"});
        entry["urls"] = serde_json::json!(["https://example.com/x"]);
        let document =
            with(with(index(), "manifests", serde_json::json!([entry])), "subject", descriptor(OCI_MANIFEST));
        let Ok(Manifest::Index(index)) = parse(&document, None) else { panic!("an index") };
        assert_eq!(index.manifests[0].platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
        assert_eq!(index.manifests[0].annotations["k"], "v");
        assert_eq!(index.manifests[0].urls, ["https://example.com/x"]);
        assert_eq!(index.subject.unwrap().digest, Digest::of(b"{}"));
    }
}
