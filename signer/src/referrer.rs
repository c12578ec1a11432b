//! The referrer manifest that ties a bundle to its subject, laid out exactly as cosign v3.1 does it.

use std::collections::BTreeMap;

use bytes::Bytes;
use countersign_oci::index::Descriptor;
use countersign_oci::{Digest, media_type};
use jiff::Timestamp;
use serde::Serialize;

use crate::statement::PREDICATE_TYPE;
use crate::subjects::Subject;

/// The config blob of every referrer manifest: the two bytes of an empty JSON object.
pub const EMPTY_CONFIG: &[u8] = b"{}";

const CREATED: &str = "org.opencontainers.image.created";
const CONTENT: &str = "dev.sigstore.bundle.content";
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";

/// A referrer manifest, ready to be pushed by digest.
#[derive(Clone, Debug)]
pub struct ReferrerManifest {
    /// The very bytes to push.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
    annotations: BTreeMap<String, String>,
}

impl ReferrerManifest {
    /// Lays out the manifest of a signature.
    pub fn new(subject: &Subject, bundle: &[u8], created: Timestamp) -> Self {
        Self::of(subject, PREDICATE_TYPE, bundle, created)
    }

    /// Lays out the manifest for one subject. The key order, `config.artifactType` and all three annotations are cosign's; different
    /// commands of it read different ones.
    pub fn of(subject: &Subject, predicate_type: &str, bundle: &[u8], created: Timestamp) -> Self {
        let annotations = BTreeMap::from([
            (CONTENT.to_owned(), "dsse-envelope".to_owned()),
            (PREDICATE.to_owned(), predicate_type.to_owned()),
            (CREATED.to_owned(), created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ]);
        let document = ManifestDocument {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST,
            config: DescriptorDocument {
                media_type: media_type::EMPTY,
                size: EMPTY_CONFIG.len() as u64,
                digest: Digest::of(EMPTY_CONFIG).to_string(),
                artifact_type: Some(media_type::SIGSTORE_BUNDLE_V0_3),
            },
            layers: [DescriptorDocument {
                media_type: media_type::SIGSTORE_BUNDLE_V0_3,
                size: bundle.len() as u64,
                digest: Digest::of(bundle).to_string(),
                artifact_type: None,
            }],
            annotations: &annotations,
            subject: DescriptorDocument {
                media_type: &subject.media_type,
                size: subject.size,
                digest: subject.digest.to_string(),
                artifact_type: None,
            },
            artifact_type: media_type::SIGSTORE_BUNDLE_V0_3,
        };
        let bytes = serde_json::to_vec(&document).expect("strings, numbers and maps with string keys always serialise");
        Self { digest: Digest::of(&bytes), bytes: bytes.into(), annotations }
    }

    /// The entry for a referrers index (tag schema), with the artifact type and the annotations that the distribution specification
    /// asks for.
    pub fn descriptor(&self) -> Descriptor {
        let mut descriptor = Descriptor::new(media_type::OCI_MANIFEST, self.digest, self.bytes.len() as u64);
        descriptor.artifact_type = Some(media_type::SIGSTORE_BUNDLE_V0_3.to_owned());
        descriptor.annotations = self.annotations.clone();
        descriptor
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestDocument<'a> {
    schema_version: u8,
    media_type: &'a str,
    config: DescriptorDocument<'a>,
    layers: [DescriptorDocument<'a>; 1],
    annotations: &'a BTreeMap<String, String>,
    subject: DescriptorDocument<'a>,
    artifact_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorDocument<'a> {
    media_type: &'a str,
    size: u64,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
}
