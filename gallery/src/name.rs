//! Names of entries and galleries: the only text from an index that ever becomes a path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The name of a gallery entry, safe as the name of a directory.
///
/// One to 64 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or a digit: so it is neither hidden nor a path,
/// and no two names differ by case only. All 1,028 names of the real index are of this form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EntryName(String);

/// The name that an operator gives a gallery, of the same form as an [`EntryName`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct GalleryName(String);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text has no characters.
    #[error("a name is empty")]
    Empty,
    /// The text is longer than a name may be.
    #[error("a name has {length} bytes, more than {}", LENGTH)]
    TooLong {
        /// Bytes of the text.
        length: usize,
    },
    /// The text ends like a directory in which LocalAI prepares or keeps a backend.
    #[error("name {name:?} ends in {suffix}, which is for a backend on its way")]
    Reserved {
        /// The text, or its beginning.
        name: String,
        /// Its end.
        suffix: &'static str,
    },
    /// The text has a character that a name must not have, or one that must not come first.
    #[error("name {name:?} has {character:?}, a name is [a-z0-9][a-z0-9._-]*")]
    Character {
        /// The text.
        name: String,
        /// The first character that does not fit.
        character: char,
    },
}

/// What a person typed to name an entry: `NAME` or `GALLERY@NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRequest {
    /// The gallery, where one was named.
    pub gallery: Option<GalleryName>,
    /// The entry.
    pub entry: EntryName,
}

impl EntryName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl GalleryName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match RESERVED.into_iter().find(|suffix| text.ends_with(suffix)) {
            Some(suffix) => Err(NameError::Reserved { name: text.chars().take(LENGTH).collect(), suffix }),
            None => parse(text).map(Self),
        }
    }
}

impl FromStr for GalleryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        parse(text).map(Self)
    }
}

/// Both names have one form.
impl From<&EntryName> for GalleryName {
    fn from(name: &EntryName) -> Self {
        Self(name.0.clone())
    }
}

/// Both names have one form.
impl From<&GalleryName> for EntryName {
    fn from(name: &GalleryName) -> Self {
        Self(name.0.clone())
    }
}

impl FromStr for EntryRequest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('@') {
            Some((gallery, entry)) => Ok(Self { gallery: Some(gallery.parse()?), entry: entry.parse()? }),
            None => Ok(Self { gallery: None, entry: text.parse()? }),
        }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for GalleryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for EntryRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gallery {
            Some(gallery) => write!(formatter, "{gallery}@{}", self.entry),
            None => write!(formatter, "{}", self.entry),
        }
    }
}

impl<'de> Deserialize<'de> for EntryName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for GalleryName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn parse(text: &str) -> Result<String, NameError> {
    if text.len() > LENGTH {
        return Err(NameError::TooLong { length: text.len() });
    }
    let first = text.chars().next().ok_or(NameError::Empty)?;
    let character = |character| NameError::Character { name: text.to_owned(), character };
    if !first.is_ascii_lowercase() && !first.is_ascii_digit() {
        return Err(character(first));
    }
    match text.chars().find(|&c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))) {
        Some(other) => Err(character(other)),
        None => Ok(text.to_owned()),
    }
}

/// The real index has names of up to 56 characters.
const LENGTH: usize = 64;
/// LocalAI removes and renames directories of these names.
const RESERVED: [&str; 4] = [".install-tmp", ".install-backup", ".upgrade-tmp", ".backup"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_real_index_are_names() {
        for name in ["llama-cpp", "cuda13-nvidia-l4t-arm64-llama-cpp", "7b.x_y", "a", &"a".repeat(64)] {
            assert_eq!(name.parse::<EntryName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_name_that_could_be_a_path_is_refused() {
        let long = "a".repeat(65);
        for name in [
            "",
            ".",
            "..",
            "../x",
            "/etc",
            "a/b",
            "a\\b",
            "-rf",
            ".hidden",
            "_x",
            "A",
            "llama cpp",
            "a\0",
            "a\n",
            "a\u{202e}b",
            "é",
            "a.install-tmp",
            "a.install-backup",
            "a.upgrade-tmp",
            "a.backup",
            long.as_str(),
        ] {
            assert!(name.parse::<EntryName>().is_err(), "{name:?}");
            assert!(serde_json::from_value::<EntryName>(name.into()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_request_may_name_its_gallery() {
        let request: EntryRequest = "localai@llama-cpp".parse().unwrap();
        assert_eq!(request.gallery.unwrap().as_str(), "localai");
        assert_eq!(request.entry.as_str(), "llama-cpp");
        assert_eq!("llama-cpp".parse::<EntryRequest>().unwrap().gallery, None);
        for text in ["@x", "x@", "a@b@c", "a@../b"] {
            assert!(text.parse::<EntryRequest>().is_err(), "{text:?}");
        }
    }
}
