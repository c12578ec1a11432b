//! What the signed statement must say of the image, and what is denied whatever it says.

use std::collections::{BTreeMap, BTreeSet};

use crate::denial::{Denial, Field};
use crate::facts::{Asked, SignatureFacts, SubjectFacts, TAGS_ANNOTATION};

/// Says what must stand together in one subject of the signed statement, and which digests must be signed themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Require {
    /// The subject's tags contain the one asked for.
    pub tag: bool,
    /// The subject names the repository asked for, with the digest asked for.
    pub repository: bool,
    /// Each image manifest of an image index is signed itself, as the policy wants it. It says nothing of one signature, so whoever verifies
    /// an index has to ask for each of its image manifests: without this, the index covers what it names.
    pub platforms: bool,
    /// The subject has these annotations, with exactly these values.
    pub annotations: BTreeMap<String, String>,
}

impl Require {
    /// Returns no denial when one subject says all of it, and otherwise what the nearest one lacks.
    pub(crate) fn denials(&self, facts: &SignatureFacts, asked: &Asked) -> Vec<Denial> {
        let nearest = facts.subjects.iter().map(|subject| self.lacking(subject, facts, asked)).min_by_key(Vec::len);
        nearest.unwrap_or_else(|| self.lacking(&SubjectFacts::default(), facts, asked))
    }

    fn lacking(&self, subject: &SubjectFacts, facts: &SignatureFacts, asked: &Asked) -> Vec<Denial> {
        let mut denials = Vec::new();
        if self.repository {
            let expected = format!("{}@{}", asked.repository, facts.digest);
            if subject.name.as_deref() != Some(&expected) {
                denials.push(Denial::differs(Field::Repository, &expected, subject.name.as_deref()));
            }
        }
        if self.tag {
            denials.extend(tag_denial(subject, asked));
        }
        for (key, value) in &self.annotations {
            let found = subject.annotations.get(key);
            if found != Some(value) {
                let field = Field::Annotation(key.clone());
                denials.push(Denial::new(field, value, found.map(String::as_str)));
            }
        }
        denials
    }
}

fn tag_denial(subject: &SubjectFacts, asked: &Asked) -> Option<Denial> {
    let tags = subject.annotations.get(TAGS_ANNOTATION).map(String::as_str);
    match &asked.tag {
        Some(tag) if !tag.is_empty() && tags.is_some_and(|tags| tags.split(',').any(|signed| signed == tag)) => None,
        Some(tag) => Some(Denial::new(Field::Tag, tag, tags)),
        None => Some(Denial::new(Field::Tag, "the tag asked for, and none was", tags)),
    }
}

/// Lists what no signer can make acceptable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deny {
    pub(crate) digests: BTreeSet<String>,
    pub(crate) log_entries: BTreeSet<String>,
}

impl Deny {
    pub(crate) fn denials(&self, facts: &SignatureFacts) -> Vec<Denial> {
        [(Field::Digest, &self.digests, &facts.digest), (Field::LogEntry, &self.log_entries, &facts.log_entry)]
            .into_iter()
            .filter(|(_, denied, found)| denied.contains(*found))
            .map(|(field, _, found)| Denial::new(field, "one that is not denied", Some(found)))
            .collect()
    }
}

/// Says whose word the certificates, log entries and timestamps are checked with. Exhaustive on purpose: a root that a caller does not know
/// must not fall into a wildcard arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A trusted root in a file, its path as it was written.
    File(String),
    /// The public-good instance of Sigstore.
    PublicGood,
    /// A TUF repository that carries the trusted root.
    Tuf {
        /// Where it is.
        url: String,
        /// File with the TUF root to start from, its path as it was written.
        root: String,
    },
}
