//! The trusted root: the keys and certificates of one Sigstore instance that a verifier believes.
//!
//! A verifier believes exactly one trusted root. Roots are never merged, and none is fetched from a service that is
//! being checked: they come from a TUF repository, from a file, or, when named, from the copy inside this program.

use jiff::Timestamp;
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TimeRange, TrustedRoot as SigstoreRoot};

use crate::crypto;
use crate::error::Error;

#[cfg(feature = "tuf")]
mod tuf;

#[cfg(feature = "tuf")]
pub use tuf::{Material, TrustCache, TrustSource, load, load_material};

/// The largest trusted root that is read, in bytes: the public-good one has 7 KB.
pub const TRUSTED_ROOT_LIMIT: u64 = 1 << 20;

/// The trusted root of one Sigstore instance, parsed and complete.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    inner: SigstoreRoot,
    origin: String,
}

impl TrustedRoot {
    /// Parses a `trusted_root.json`. `origin` says in errors and reports where it comes from.
    ///
    /// Refuses text over [`TRUSTED_ROOT_LIMIT`] bytes, malformed documents, and a root that lacks a certificate
    /// authority, a transparency log or a certificate transparency log: with it nothing could ever be verified, and
    /// saying so at once is kinder than rejecting every image.
    pub fn from_json(text: &str, origin: &str) -> Result<Self, Error> {
        crypto::install();
        let unusable = |detail: String| Error::TrustedRoot { origin: origin.to_owned(), detail };
        if text.len() as u64 > TRUSTED_ROOT_LIMIT {
            return Err(unusable(format!("it has {} bytes, more than the limit of {TRUSTED_ROOT_LIMIT}", text.len())));
        }
        let inner = SigstoreRoot::from_json(text).map_err(|e| unusable(e.to_string()))?;
        if inner.certificate_authorities.is_empty() {
            return Err(unusable("it names no certificate authority".into()));
        }
        if inner.tlogs.is_empty() {
            return Err(unusable("it names no transparency log".into()));
        }
        if inner.ctlogs.is_empty() {
            return Err(unusable("it names no certificate transparency log".into()));
        }
        if let Some(log) = inner.tlogs.iter().find(|log| log.public_key.valid_for.is_none()) {
            return Err(unusable(format!("the key of log {} has no validity", log.base_url)));
        }
        Ok(Self { inner, origin: origin.to_owned() })
    }

    /// Returns the public-good trusted root that is compiled into this program: it does not learn of rotated keys.
    pub fn embedded_public_good() -> Result<Self, Error> {
        Self::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT, "the public-good copy inside this program")
    }

    /// Returns where the trusted root comes from.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Before this time nothing signed under the root can be verified: no log had begun, or no timestamp authority.
    pub(crate) fn begins(&self) -> Option<Timestamp> {
        let logs = self.inner.tlogs.iter().map(|log| log.public_key.valid_for);
        let authorities = self.inner.timestamp_authorities.iter().map(|authority| authority.valid_for);
        first_start(logs).max(first_start(authorities))
    }

    pub(crate) fn inner(&self) -> &SigstoreRoot {
        &self.inner
    }
}

/// The earliest start, unless something is valid since ever.
fn first_start(windows: impl Iterator<Item = Option<TimeRange>>) -> Option<Timestamp> {
    let starts: Option<Vec<Timestamp>> = windows.map(|window| window.map(|range| range.start)).collect();
    starts?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_root_is_usable() {
        let root = TrustedRoot::embedded_public_good().unwrap();
        assert!(crate::Verifier::new(root).is_ok());
    }

    #[test]
    fn a_root_with_which_nothing_could_be_verified_is_refused() {
        let embedded: serde_json::Value = serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        for part in ["certificateAuthorities", "tlogs", "ctlogs"] {
            let mut root = embedded.clone();
            root[part] = serde_json::json!([]);
            let error = TrustedRoot::from_json(&root.to_string(), "test").unwrap_err();
            assert_eq!(error.code(), "trusted-root-malformed", "{part}");
        }
        for text in ["", "{}", "[]", "null", "{\"mediaType\":\"x\"}"] {
            assert_eq!(TrustedRoot::from_json(text, "test").unwrap_err().code(), "trusted-root-malformed", "{text}");
        }
    }

    #[test]
    fn one_unusable_key_makes_the_root_unusable_and_is_named() {
        let mut root: serde_json::Value = serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        root["tlogs"][0]["publicKey"]["rawBytes"] = serde_json::json!("AAAA");
        let parsed = TrustedRoot::from_json(&root.to_string(), "test").unwrap();
        assert_eq!(crate::Verifier::new(parsed).unwrap_err().code(), "trusted-root-malformed");
    }
}
