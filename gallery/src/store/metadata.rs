//! `metadata.json`, as LocalAI reads and writes it.

use serde::{Deserialize, Serialize};

use crate::name::EntryName;

/// What LocalAI knows about an installed backend. All of it is optional; unknown keys are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metadata {
    /// The name under which programs know the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// For the directory of a meta entry: the concrete entry that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta_backend_for: Option<EntryName>,
    /// The entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The index that named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery_url: Option<String>,
    /// When it was installed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<String>,
    /// The entry's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The digest of the image index: the same on machines of every platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Metadata {
    /// Whether the record is of an entry. The name may be missing: LocalAI did not always write it.
    pub(crate) fn is_of(&self, entry: &EntryName) -> bool {
        self.name.as_ref().is_none_or(|name| name == entry.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_localai_wrote_is_read_and_empty_values_are_not_written() {
        let text = r#"{"alias":"llama-cpp","name":"cpu-llama-cpp","gallery_url":"https://index","installed_at":"2026-08-01T10:00:00+02:00","extra":1}"#;
        let metadata: Metadata = serde_json::from_str(text).unwrap();
        assert_eq!(metadata.alias.as_deref(), Some("llama-cpp"));
        assert_eq!(serde_json::to_string(&Metadata::default()).unwrap(), "{}");
    }

    #[test]
    fn a_target_that_is_no_name_is_refused() {
        assert!(serde_json::from_str::<Metadata>(r#"{"meta_backend_for":"../../etc"}"#).is_err());
    }
}
