//! The in-toto statement that is signed, byte for byte.
//!
//! The shape is cosign's (`https://sigstore.dev/cosign/sign/v1` with an empty predicate), plus what cosign leaves
//! out and readers ignore or need: a subject name, which binds the repository, and annotations, which bind the tags.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use countersign_oci::{Digest, PinnedReference, Repository, Tag};
use serde::Serialize;

use crate::error::SignError;
use crate::predicate::Predicate;
use crate::subjects::{Release, Subject};

/// The payload type of the envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The predicate type that says "this is a signature".
pub const PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The subject annotation that lists the tags of the release, comma separated.
pub const TAGS_ANNOTATION: &str = "dev.countersign.tags";
/// Everything below this prefix is written by this program only.
const RESERVED_PREFIX: &str = "dev.countersign.";
/// Peers stop at 1,024 subjects; a round number below it keeps room.
const SUBJECTS_PER_STATEMENT: usize = 1_000;
pub(crate) const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// How subjects are spread over statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementForm {
    /// One statement for each digest, as cosign does it.
    Digest,
    /// One statement for each image: its index first, then everything in it.
    #[default]
    Image,
    /// One statement for everything that is signed in this call.
    Release,
}

impl FromStr for StatementForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "digest" => Ok(Self::Digest),
            "image" => Ok(Self::Image),
            "release" => Ok(Self::Release),
            other => Err(format!("{other:?} is none of digest, image, release")),
        }
    }
}

/// Annotations that the caller adds to every subject; keys of this program's own are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations(BTreeMap<String, String>);

impl Annotations {
    /// Parses `key=value` texts. Refuses an empty key, a missing `=`, a key given twice with different values, and keys that begin
    /// with `dev.countersign.`.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, SignError> {
        let mut annotations = BTreeMap::new();
        for text in texts.iter().map(AsRef::as_ref) {
            let malformed = || SignError::AnnotationMalformed { text: text.to_owned() };
            let (key, value) = text.split_once('=').ok_or_else(malformed)?;
            if key.is_empty() || key.chars().any(char::is_control) {
                return Err(malformed());
            }
            if key.to_ascii_lowercase().starts_with(RESERVED_PREFIX) {
                return Err(SignError::AnnotationReserved { key: key.to_owned() });
            }
            match annotations.insert(key.to_owned(), value.to_owned()) {
                Some(first) if first != value => {
                    return Err(SignError::AnnotationRepeated { key: key.to_owned(), first, second: value.to_owned() });
                }
                _ => {}
            }
        }
        Ok(Self(annotations))
    }

    /// The keys and their values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// A subject of a statement: one digest in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundSubject {
    /// The repository that the referrer will lie in.
    pub repository: Repository,
    /// The manifest.
    pub subject: Subject,
    tags: BTreeSet<Tag>,
}

/// One statement and the places where its bundle has to be attached: one for each subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStatement {
    /// The subjects, never empty; an image's index comes first.
    pub subjects: Vec<BoundSubject>,
}

impl PlannedStatement {
    /// Returns the bytes of a signature's statement: compact JSON with a fixed key order.
    pub fn to_bytes(&self, annotations: &Annotations) -> Vec<u8> {
        with_predicate(&self.head(annotations, PREDICATE_TYPE), "{}")
    }

    /// Returns the bytes of an attestation's statement.
    pub fn to_bytes_saying(&self, annotations: &Annotations, predicate: &Predicate) -> Vec<u8> {
        with_predicate(&self.head(annotations, predicate.kind().uri()), predicate.json())
    }

    fn head<'a>(&self, annotations: &Annotations, predicate_type: &'a str) -> StatementHead<'a> {
        let subject = self.subjects.iter().map(|bound| bound.to_document(annotations)).collect();
        StatementHead { kind: STATEMENT_TYPE, subject, predicate_type }
    }
}

impl BoundSubject {
    /// The repository and the digest.
    pub fn reference(&self) -> PinnedReference {
        self.repository.pin(self.subject.digest)
    }

    /// The tags that are signed with it, sorted.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.tags.iter()
    }

    /// Everything that is said of it, the tags included.
    pub(crate) fn annotations(&self, annotations: &Annotations) -> BTreeMap<String, String> {
        let mut annotations = annotations.0.clone();
        if !self.tags.is_empty() {
            let tags: Vec<&str> = self.tags.iter().map(Tag::as_str).collect();
            annotations.insert(TAGS_ANNOTATION.to_owned(), tags.join(","));
        }
        annotations
    }

    fn to_document(&self, annotations: &Annotations) -> SubjectDocument {
        let digest = self.subject.digest;
        let annotations = self.annotations(annotations);
        SubjectDocument {
            name: format!("{}@{digest}", self.repository),
            digest: BTreeMap::from([("sha256", digest.hex())]),
            annotations,
        }
    }
}

/// Spreads everything in the release over statements. Within one statement a digest in one repository appears once.
pub fn plan(release: &Release, form: StatementForm) -> Vec<PlannedStatement> {
    let images = release.images.iter().map(|image| {
        let mut bound = Vec::new();
        for subject in &image.subjects {
            for (repository, tags) in &image.places {
                bound.push(BoundSubject {
                    repository: repository.clone(),
                    subject: subject.clone(),
                    tags: tags.clone(),
                });
            }
        }
        bound
    });
    let groups: Vec<Vec<BoundSubject>> = match form {
        StatementForm::Image => images.collect(),
        StatementForm::Release => vec![images.flatten().collect()],
        StatementForm::Digest => by_digest(images.flatten()),
    };
    groups.into_iter().map(merge_duplicates).flat_map(|subjects| split(&subjects)).collect()
}

/// Appends a predicate, which is JSON already and stays byte for byte, to what a statement says before it.
pub(crate) fn with_predicate(head: &impl Serialize, predicate: &str) -> Vec<u8> {
    let mut statement = serde_json::to_vec(head).expect("strings and maps with string keys always serialise");
    debug_assert_eq!(statement.last(), Some(&b'}'), "what comes before a predicate is an object");
    statement.pop();
    statement.extend_from_slice(b",\"predicate\":");
    statement.extend_from_slice(predicate.as_bytes());
    statement.push(b'}');
    statement
}

fn by_digest(subjects: impl Iterator<Item = BoundSubject>) -> Vec<Vec<BoundSubject>> {
    let mut order: Vec<Digest> = Vec::new();
    let mut groups: BTreeMap<Digest, Vec<BoundSubject>> = BTreeMap::new();
    for bound in subjects {
        let digest = bound.subject.digest;
        let group = groups.entry(digest).or_default();
        if group.is_empty() {
            order.push(digest);
        }
        group.push(bound);
    }
    order.into_iter().filter_map(|digest| groups.remove(&digest)).collect()
}

fn merge_duplicates(subjects: Vec<BoundSubject>) -> Vec<BoundSubject> {
    let mut positions: BTreeMap<(String, Digest), usize> = BTreeMap::new();
    let mut merged: Vec<BoundSubject> = Vec::new();
    for bound in subjects {
        let key = (bound.repository.to_string(), bound.subject.digest);
        match positions.get(&key) {
            Some(position) => merged[*position].tags.extend(bound.tags),
            None => {
                positions.insert(key, merged.len());
                merged.push(bound);
            }
        }
    }
    merged
}

fn split(subjects: &[BoundSubject]) -> Vec<PlannedStatement> {
    subjects.chunks(SUBJECTS_PER_STATEMENT).map(|chunk| PlannedStatement { subjects: chunk.to_vec() }).collect()
}

/// What stands in a statement before its predicate.
#[derive(Serialize)]
struct StatementHead<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<SubjectDocument>,
    #[serde(rename = "predicateType")]
    predicate_type: &'a str,
}

#[derive(Serialize)]
struct SubjectDocument {
    name: String,
    digest: BTreeMap<&'static str, String>,
    annotations: BTreeMap<String, String>,
}
