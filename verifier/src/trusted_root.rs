//! The trusted root: the keys and certificates of one Sigstore instance that a verifier believes.
//!
//! A verifier believes exactly one trusted root. Roots are never merged, and none is fetched from a service that is
//! being checked: they come from a TUF repository, from a file, or, when named, from the copy inside this program.
//!
//! # How old it may be
//!
//! A file and the copy inside the program say nothing of rotated keys; the copy's day stands in its origin. A TUF
//! repository is asked once a day (`load`, `load_with`), or by a process that runs for weeks when it is time
//! (`TrustKeeper`). Where it cannot be asked, what is cached will do until its metadata expires, and no longer; the failure
//! is not remembered. Without a connection (`Refresh::Never`) the same holds, whatever the age of the cache.
//!
//! # The cache is not believed
//!
//! It is one file for each repository, replaced as a whole, and verified from the pinned TUF root each time it is read. So
//! processes that share it never see half of it, one that is killed leaves the old state, and whoever edits it gains
//! nothing: at worst it is set aside and the repository is asked. Versions in it are the floor below which no later answer
//! of the repository may fall.
//!
//! # Machines that reach no repository
//!
//! `import` takes over a copy of the *repository*, not a trusted root: it passes the very checks that the repository's own
//! answers pass, expiry and rollback among them, so that nobody who carries it can choose the keys. A bare
//! `trusted_root.json` is vouched for by nobody. It is never made the default: whoever believes one names it in each call.
//!
//! # Years later
//!
//! What is signed counts by the windows of its own authorities at the time of signing, so a trusted root whose keys have all
//! expired or been rotated verifies what was signed in time: an archive keeps [`TrustedRoot::json`] beside its bundles.

use std::sync::Arc;

use jiff::Timestamp;
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TimeRange, TrustedRoot as SigstoreRoot};

use crate::crypto;
use crate::error::Error;

#[cfg(feature = "tuf")]
mod cache;
mod changes;
#[cfg(feature = "tuf")]
mod copied;
#[cfg(feature = "tuf")]
mod keeper;
#[cfg(feature = "tuf")]
mod load;
#[cfg(feature = "tuf")]
mod repository;
#[cfg(feature = "tuf")]
mod shelf;
#[cfg(feature = "tuf")]
mod source;
mod view;

pub use changes::Change;
#[cfg(feature = "tuf")]
pub use keeper::TrustKeeper;
#[cfg(feature = "tuf")]
pub use load::{
    Material, Refresh, TIME_TO_LIVE, TrustCache, import, load, load_material, load_material_with, load_with,
    repository_copy,
};
#[cfg(feature = "tuf")]
pub use repository::{RepositoryState, RoleState};
#[cfg(feature = "tuf")]
pub use source::TrustSource;
pub use view::{Authority, AuthorityKind, CertificateView, WindowState};

/// The largest trusted root that is read, in bytes: the public-good one has 7 KB.
pub const TRUSTED_ROOT_LIMIT: u64 = 1 << 20;

/// The day on which the copy inside the program was made: that of the crate's release. A test ties it to the copy.
const EMBEDDED_AS_OF: &str = "2026-10-23";

/// The trusted root of one Sigstore instance, parsed and complete.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    inner: SigstoreRoot,
    origin: String,
    text: Arc<str>,
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
        Ok(Self { inner, origin: origin.to_owned(), text: text.into() })
    }

    /// Returns the public-good trusted root that is compiled into this program: it does not learn of rotated keys. How old
    /// it is stands in its origin.
    pub fn embedded_public_good() -> Result<Self, Error> {
        let origin = format!("the public-good copy inside this program, as of {EMBEDDED_AS_OF}");
        Self::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT, &origin)
    }

    /// Returns the time that [`TrustedRoot::embedded_public_good`] is a copy of.
    #[must_use]
    pub fn embedded_as_of() -> Timestamp {
        EMBEDDED_AS_OF.parse::<jiff::civil::Date>().map_or(Timestamp::UNIX_EPOCH, |date| {
            date.to_zoned(jiff::tz::TimeZone::UTC).map_or(Timestamp::UNIX_EPOCH, |midnight| midnight.timestamp())
        })
    }

    /// Returns the document as it was read: what an archive keeps for later years.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.text
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
    fn the_day_of_the_embedded_root_belongs_to_this_copy() {
        // Where this fails, the copy was renewed with its crate: note the day of that release, and the new digest.
        let digest = countersign_oci::Digest::of(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes()).to_string();
        assert_eq!(
            (EMBEDDED_AS_OF, digest.as_str()),
            ("2026-10-23", "sha256:6494e21ea73fa7ee769f85f57d5a3e6a08725eae1e38c755fc3517c9e6bc0b66")
        );
        assert_eq!(TrustedRoot::embedded_as_of().to_string(), "2026-10-23T00:00:00Z");
        assert!(TrustedRoot::embedded_public_good().unwrap().origin().ends_with("as of 2026-10-23"));
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
