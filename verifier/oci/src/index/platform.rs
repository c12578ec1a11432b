use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::printable;

/// The platform of an entry of an image index, written `os/architecture[/variant]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Platform {
    /// The architecture in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The operating system in Go's words: `linux`, `darwin`; `unknown` for attestation manifests.
    pub os: String,
    /// The version of the operating system; Windows images need it.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The variant of the architecture: `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Names a platform without a variant.
    #[must_use]
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self { architecture: architecture.into(), os: os.into(), os_version: None, variant: None }
    }

    /// Returns whether something for this platform is for `wanted`: variants are equal, or both the architecture's
    /// default (`v8` of arm64, `v7` of arm, `v1` of amd64). Versions of the operating system are not compared.
    #[must_use]
    pub fn serves(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && self.variant_or_default() == wanted.variant_or_default()
    }

    fn variant_or_default(&self) -> &str {
        let default = match self.architecture.as_str() {
            "amd64" => "v1",
            "arm" => "v7",
            "arm64" => "v8",
            _ => "",
        };
        self.variant.as_deref().filter(|variant| !variant.is_empty()).unwrap_or(default)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.len() <= 64
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        match parts.as_slice() {
            [os, architecture, variant @ ..] if variant.len() <= 1 && parts.iter().all(word) => Ok(Self {
                variant: variant.first().map(|&variant| variant.to_owned()),
                ..Self::new(*os, *architecture)
            }),
            _ => Err(PlatformError { text: printable(text, 100) }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", printable(&self.os, 64), printable(&self.architecture, 64))?;
        match &self.variant {
            Some(variant) => write!(f, "/{}", printable(variant, 64)),
            None => Ok(()),
        }
    }
}

/// Text that is not `os/architecture[/variant]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a platform of the form os/architecture[/variant]")]
pub struct PlatformError {
    /// The text, fit for printing.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_left_out_is_the_architectures_default() {
        let serves =
            |found: &str, wanted: &str| found.parse::<Platform>().unwrap().serves(&wanted.parse::<Platform>().unwrap());
        for (found, wanted) in
            [("linux/arm64", "linux/arm64/v8"), ("linux/arm64/v8", "linux/arm64"), ("linux/arm/v7", "linux/arm")]
        {
            assert!(serves(found, wanted), "{found} {wanted}");
        }
        for (found, wanted) in
            [("linux/arm/v6", "linux/arm"), ("linux/amd64", "linux/arm64"), ("darwin/arm64", "linux/arm64")]
        {
            assert!(!serves(found, wanted), "{found} {wanted}");
        }
    }

    #[test]
    fn platforms_print_as_they_are_typed() {
        for text in ["linux/amd64", "linux/arm64/v8", "unknown/unknown"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "linux", "linux/", "/amd64", "linux/arm64/v8/x", "linux/arm 64", "linux//v8"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }
}
