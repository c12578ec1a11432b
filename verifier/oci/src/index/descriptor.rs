use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::Platform;
use crate::{Digest, limits};

/// A descriptor: what the referenced bytes are, their digest and their size
/// ([specification](https://github.com/opencontainers/image-spec/blob/main/descriptor.md)).
///
/// Everything but digest and size is a claim of whoever wrote the document. Members are written in the order that
/// Go programs write them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// The media type of the referenced bytes.
    pub media_type: String,
    /// The size of the referenced bytes.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// The digest of the referenced bytes.
    pub digest: Digest,
    /// Where else the bytes might be. Never followed.
    #[serde(default, deserialize_with = "strings", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(default, deserialize_with = "annotations", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The platform, in an image index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What the referenced manifest is, where it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Describes bytes by type, digest and size; everything else is absent.
    #[must_use]
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            size,
            digest,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Describes `bytes`.
    #[must_use]
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}

/// Sizes are signed 64-bit integers in the specification.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if i64::try_from(size).is_err() {
        return Err(serde::de::Error::custom("a size is at most 2^63 - 1"));
    }
    Ok(size)
}

/// Go programs write an empty map or list as `null`.
pub(super) fn annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let annotations = Option::<BTreeMap<String, String>>::deserialize(deserializer)?.unwrap_or_default();
    if annotations.len() > limits::ANNOTATIONS {
        return Err(serde::de::Error::custom("too many annotations"));
    }
    Ok(annotations)
}

fn strings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Option::<super::Capped<String, { limits::ANNOTATIONS }>>::deserialize(deserializer)?;
    match list {
        Some(list) if list.beyond > 0 => Err(serde::de::Error::custom("too many urls")),
        Some(list) => Ok(list.items),
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_in_the_order_of_go_programs() {
        let mut descriptor = Descriptor::of("a/b", b"{}");
        descriptor.artifact_type = Some("c/d".to_owned());
        assert_eq!(
            serde_json::to_string(&descriptor).unwrap(),
            r#"{"mediaType":"a/b","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","artifactType":"c/d"}"#,
        );
    }
}
