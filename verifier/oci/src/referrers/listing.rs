use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::index::{Capped, Descriptor};
use crate::{limits, media_type};

/// One image index of referrers, read entry by entry: a malformed one costs itself.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) descriptors: Vec<Descriptor>,
    pub(super) malformed: usize,
    /// Entries beyond the limit, not read.
    pub(super) beyond: usize,
}

/// Why bytes are not an image index of referrers.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ListingError(#[from] Reason);

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("it is not JSON of that form")]
    Json(#[source] serde_json::Error),
    #[error("it is not an image index")]
    NotAnIndex,
}

/// Reads an image index, whose type the caller has seen in the header.
pub(super) fn read(bytes: &[u8]) -> Result<Page, ListingError> {
    let document: Document<'_> = serde_json::from_slice(bytes).map_err(Reason::Json)?;
    let other_type = document.media_type.as_deref().is_some_and(|own| !own.is_empty() && own != media_type::OCI_INDEX);
    let image = document.config.is_some() || document.layers.is_some();
    let Some(Entries(entries)) = document.manifests else { return Err(Reason::NotAnIndex.into()) };
    if document.schema_version != Some(2) || other_type || image {
        return Err(Reason::NotAnIndex.into());
    }
    let total = entries.items.len();
    let descriptors: Vec<Descriptor> =
        entries.items.into_iter().filter_map(|entry| serde_json::from_str(entry.get()).ok()).collect();
    Ok(Page { malformed: total - descriptors.len(), descriptors, beyond: entries.beyond })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    #[serde(borrow, default, deserialize_with = "entries")]
    manifests: Option<Entries<'a>>,
}

/// Borrowed from the answer's bytes, so that a list of millions costs no more than it is long.
#[derive(Deserialize)]
struct Entries<'a>(#[serde(borrow)] Capped<&'a RawValue, { limits::REFERRERS_DESCRIPTORS }>);

/// Registries written in Go say `null` where nothing refers to the manifest; absent is something else.
fn entries<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Entries<'a>>, D::Error> {
    let entries = Option::<Entries<'a>>::deserialize(deserializer)?;
    Ok(Some(entries.unwrap_or(Entries(Capped { items: Vec::new(), beyond: 0 }))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn page(manifests: &str) -> Result<Page, ListingError> {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":{manifests},"x":1}}"#
        );
        read(text.as_bytes())
    }

    fn entry(number: usize) -> String {
        format!(r#"{{"mediaType":"a/b","digest":"{}","size":{number}}}"#, Digest::of(&number.to_le_bytes()))
    }

    #[test]
    fn malformed_entries_cost_themselves_only() {
        let list = format!(
            r#"[1,null,{{}},[],"x",{},{{"mediaType":"a/b","digest":"sha512:00","size":1}},{{"mediaType":"a","digest":"{}","size":-1}}]"#,
            entry(1),
            Digest::of(b"")
        );
        let page = page(&list).unwrap();
        assert_eq!((page.descriptors.len(), page.malformed, page.beyond), (1, 7, 0));
    }

    #[test]
    fn null_is_nobody() {
        assert!(page("null").unwrap().descriptors.is_empty());
        assert!(page("[]").unwrap().descriptors.is_empty());
    }

    #[test]
    fn ten_thousand_entries_are_read_and_the_rest_is_counted() {
        let entries: Vec<String> = (0..limits::REFERRERS_DESCRIPTORS + 5).map(entry).collect();
        let page = page(&format!("[{}]", entries.join(","))).unwrap();
        assert_eq!((page.descriptors.len(), page.beyond), (limits::REFERRERS_DESCRIPTORS, 5));
    }

    #[test]
    fn what_is_no_image_index_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":1,"manifests":[]}"#,
            r#"{"manifests":[]}"#,
            r#"{"schemaVersion":2,"manifests":{}}"#,
            r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
            r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
            r#"{"schemaVersion":2,"manifests":[],"config":{}}"#,
            r#"{"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#,
            r#"{"errors":[{"code":"UNKNOWN"}]}"#,
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(r#"{"schemaVersion":2,"manifests":[]}"#.as_bytes()).is_ok());
        assert!(read(format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, "[".repeat(100_000)).as_bytes()).is_err());
    }
}
