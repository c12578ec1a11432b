//! What the signer of a gallery index says of it: the predicate of the statement that is signed over the index's sha256.
//!
//! # The predicate type, `https://countersign.dev/gallery-index/v1`
//!
//! The statement has one subject, the index, by its sha256. The predicate is an object with
//!
//! | member | is | means |
//! |---|---|---|
//! | `serial` | an integer from 1 to 2^53 - 1 | grows with every index that is published: a reader keeps the highest that it saw of a gallery and refuses less |
//! | `expires` | an RFC 3339 time in UTC | after it the index is not believed, so that an old one cannot be served for ever |
//! | `not_before` | an RFC 3339 time in UTC, may be absent | images that were signed earlier are refused |
//! | `deny.digests`, `deny.log_entries` | lists of `sha256:...`, may be absent | these images, and signatures with these log entries, are refused |
//!
//! The last three are the operator's policy words and can only make that policy stricter: [`Policy::tightened`](crate::Policy::tightened). A member that is
//! unknown, there twice or null is an error: a reader that ignored a cutoff would believe what its signer has withdrawn. Another meaning
//! gets another type.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::policy::is_digest;

/// The predicate type of a statement about a gallery index.
pub const GALLERY_INDEX_PREDICATE: &str = "https://countersign.dev/gallery-index/v1";
/// The largest serial: above it not every reader of JSON tells neighbours apart.
pub const MAX_SERIAL: u64 = (1 << 53) - 1;
/// How many digests and log entries one index may deny: the statement has to fit into a bundle.
const MAX_DENIED: usize = 4_096;

/// What is said of a gallery index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GalleryIndexTerms {
    serial: u64,
    expires: Timestamp,
    cutoffs: Cutoffs,
}

/// What an index withdraws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cutoffs {
    /// Images that were signed earlier are refused.
    pub not_before: Option<Timestamp>,
    /// These images are refused, `sha256:...`.
    pub denied_digests: BTreeSet<String>,
    /// Signatures with these log entries are refused, `sha256:...`.
    pub denied_log_entries: BTreeSet<String>,
}

impl GalleryIndexTerms {
    /// Puts terms together. Refuses a serial of 0 or above [`MAX_SERIAL`], and what is no digest.
    pub fn new(serial: u64, expires: Timestamp, cutoffs: Cutoffs) -> Result<Self, GalleryIndexError> {
        if !(1..=MAX_SERIAL).contains(&serial) {
            return Err(GalleryIndexError::Serial { found: serial });
        }
        let denied = || cutoffs.denied_digests.iter().chain(&cutoffs.denied_log_entries);
        if let Some(found) = denied().find(|text| !is_digest(text)) {
            return Err(GalleryIndexError::Digest { found: found.clone() });
        }
        if denied().count() > MAX_DENIED {
            return Err(GalleryIndexError::TooManyDenied { found: denied().count(), limit: MAX_DENIED });
        }
        Ok(Self { serial, expires, cutoffs })
    }

    /// Reads a predicate whose signature was verified. Refuses other than canonical spellings, so that all readers read the same.
    pub fn from_json(json: &[u8]) -> Result<Self, GalleryIndexError> {
        let document: Document =
            serde_json::from_slice(json).map_err(|source| GalleryIndexError::Malformed { source })?;
        let deny = document.deny.unwrap_or_default();
        let cutoffs = Cutoffs {
            not_before: document.not_before.as_deref().map(time).transpose()?,
            denied_digests: deny.digests.unwrap_or_default(),
            denied_log_entries: deny.log_entries.unwrap_or_default(),
        };
        Self::new(document.serial, time(&document.expires)?, cutoffs)
    }

    /// Returns the predicate: compact JSON with a fixed order, that [`Self::from_json`] reads.
    pub fn to_json(&self) -> String {
        let some = |list: &BTreeSet<String>| (!list.is_empty()).then(|| list.clone());
        let deny = DenyDocument {
            digests: some(&self.cutoffs.denied_digests),
            log_entries: some(&self.cutoffs.denied_log_entries),
        };
        let document = Document {
            serial: self.serial,
            expires: self.expires.to_string(),
            not_before: self.cutoffs.not_before.map(|time| time.to_string()),
            deny: (deny.digests.is_some() || deny.log_entries.is_some()).then_some(deny),
        };
        serde_json::to_string(&document).expect("strings and numbers always serialise")
    }

    /// The serial: of two indexes of one gallery, the one with the higher serial is newer.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The time after which the index is not believed.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// What the index withdraws.
    pub fn cutoffs(&self) -> &Cutoffs {
        &self.cutoffs
    }
}

/// Why a predicate, or what would be one, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GalleryIndexError {
    /// Something that is denied is not a digest.
    #[error("{found:?} is not sha256: and 64 lower-case hexadecimal digits")]
    Digest {
        /// What it is.
        found: String,
    },
    /// The predicate is not of its type.
    #[error("not the predicate of a gallery index")]
    Malformed {
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The serial is none.
    #[error("serial {found} is not a number from 1 to {MAX_SERIAL}")]
    Serial {
        /// What it is.
        found: u64,
    },
    /// A time is not one, or not in its one spelling.
    #[error("{found:?} is not an RFC 3339 time in UTC")]
    Time {
        /// What it is.
        found: String,
    },
    /// More is denied than fits.
    #[error("{found} digests and log entries are denied, more than {limit}")]
    TooManyDenied {
        /// How many.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

fn time(text: &str) -> Result<Timestamp, GalleryIndexError> {
    let refused = || GalleryIndexError::Time { found: text.to_owned() };
    let time: Timestamp = text.parse().map_err(|_| refused())?;
    if time.to_string() == text { Ok(time) } else { Err(refused()) }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    serial: u64,
    expires: String,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    not_before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    deny: Option<DenyDocument>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DenyDocument {
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    digests: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    log_entries: Option<BTreeSet<String>>,
}

/// A member may be absent, but not null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
