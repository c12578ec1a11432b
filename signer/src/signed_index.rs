//! The statement that is signed over a gallery index, byte for byte. Pure.
//!
//! What it says of the index is defined where signer and gallery both read it: [`GalleryIndexTerms`]. Whether the index is a gallery
//! index at all, and whether its entries can be installed, is not looked at here: that is the gallery's to tell.

use std::str::Utf8Error;

use countersign_oci::{Class, Digest, limits};
use countersign_policy::{GALLERY_INDEX_PREDICATE, GalleryIndexTerms};
use jiff::Timestamp;
use serde::Serialize;

use crate::statement::{self, STATEMENT_TYPE};

/// Returns the statement that says `terms` of an index.
///
/// Refuses an index that is empty, larger than galleries read or not UTF-8, terms under which no reader would believe it now, and a cutoff
/// in the future, which would refuse every image there is.
pub fn statement(
    name: &str,
    index: &[u8],
    terms: &GalleryIndexTerms,
    now: Timestamp,
) -> Result<Vec<u8>, SignedIndexError> {
    check_index(index)?;
    if terms.expires() <= now {
        return Err(SignedIndexError::Expired { expires: terms.expires(), now });
    }
    if let Some(cutoff) = terms.cutoffs().not_before.filter(|cutoff| *cutoff > now) {
        return Err(SignedIndexError::CutoffInTheFuture { cutoff, now });
    }
    let head = Head {
        kind: STATEMENT_TYPE,
        subject: [Subject { name, digest: SubjectDigest { sha256: Digest::of(index).hex() } }],
        predicate_type: GALLERY_INDEX_PREDICATE,
    };
    Ok(statement::with_predicate(&head, &terms.to_json()))
}

fn check_index(index: &[u8]) -> Result<(), SignedIndexError> {
    if index.len() as u64 > limits::GALLERY_INDEX_BYTES {
        return Err(SignedIndexError::TooLarge { limit: limits::GALLERY_INDEX_BYTES });
    }
    let text = std::str::from_utf8(index).map_err(|source| SignedIndexError::NotText { source })?;
    if text.trim().is_empty() {
        return Err(SignedIndexError::Empty);
    }
    Ok(())
}

/// Why an index is not signed. All of it is the caller's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedIndexError {
    /// The cutoff lies in the future.
    #[error("the cutoff {cutoff} is in the future, it is {now} now")]
    CutoffInTheFuture {
        /// The cutoff.
        cutoff: Timestamp,
        /// The time it was looked at.
        now: Timestamp,
    },
    /// There is nothing in the index.
    #[error("the index is empty")]
    Empty,
    /// The index would not be believed even now.
    #[error("the index would expire at {expires}, it is {now} now")]
    Expired {
        /// When it would expire.
        expires: Timestamp,
        /// The time it was looked at.
        now: Timestamp,
    },
    /// The index is not UTF-8.
    #[error("the index is not UTF-8 text")]
    NotText {
        /// The place of the first byte that is not.
        #[source]
        source: Utf8Error,
    },
    /// The index is larger than galleries read.
    #[error("the index has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
}

impl SignedIndexError {
    /// Who has to act: the caller.
    pub fn class(&self) -> Class {
        Class::Usage
    }

    /// The stable name of this failure in JSON output.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CutoffInTheFuture { .. } => "cutoff-in-the-future",
            Self::Empty => "index-empty",
            Self::Expired { .. } => "index-expired",
            Self::NotText { .. } => "index-not-text",
            Self::TooLarge { .. } => "index-too-large",
        }
    }

    /// What the person could do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::CutoffInTheFuture { .. } => "no image could be installed before then: give a time that has passed",
            Self::Expired { .. } => "give a time to come, such as 30d",
            Self::TooLarge { .. } => "no gallery reads a larger one: split it",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: [Subject<'a>; 1],
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
}

#[derive(Serialize)]
struct Subject<'a> {
    name: &'a str,
    digest: SubjectDigest,
}

#[derive(Serialize)]
struct SubjectDigest {
    sha256: String,
}

#[cfg(test)]
mod tests {
    use countersign_policy::Cutoffs;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn sign(index: &[u8], expires: &str, not_before: Option<&str>) -> Result<String, &'static str> {
        let mut cutoffs = Cutoffs::default();
        cutoffs.not_before = not_before.map(time);
        let terms = GalleryIndexTerms::new(3, time(expires), cutoffs).unwrap();
        statement("index.yaml", index, &terms, time("2026-11-01T00:00:00Z"))
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .map_err(|error| error.code())
    }

    #[test]
    fn the_statement_names_the_very_bytes_and_says_the_terms() {
        let expected = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"index.yaml","digest":{{"sha256":"{}"}}}}],"predicateType":"https://countersign.dev/gallery-index/v1","predicate":{{"serial":3,"expires":"2026-12-01T00:00:00Z"}}}}"#,
            Digest::of(b"- name: app\n").hex()
        );
        assert_eq!(sign(b"- name: app\n", "2026-12-01T00:00:00Z", None).unwrap(), expected);
    }

    #[test]
    fn what_no_reader_would_believe_is_not_signed() {
        let (index, end) = (&b"- name: app\n"[..], "2026-12-01T00:00:00Z");
        assert_eq!(sign(index, "2026-11-01T00:00:00Z", None), Err("index-expired"));
        assert_eq!(sign(index, end, Some("2026-11-02T00:00:00Z")), Err("cutoff-in-the-future"));
        assert!(sign(index, end, Some("2026-11-01T00:00:00Z")).is_ok());
        assert_eq!(sign(b" \n", end, None), Err("index-empty"));
        assert_eq!(sign(b"\xff", end, None), Err("index-not-text"));
        let largest = vec![b'#'; limits::GALLERY_INDEX_BYTES as usize];
        assert!(sign(&largest, end, None).is_ok());
        assert_eq!(sign(&[largest, vec![b'#']].concat(), end, None), Err("index-too-large"));
    }
}
