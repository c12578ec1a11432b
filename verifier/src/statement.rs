//! The in-toto statement inside a bundle, read after its signature was verified.
//!
//! Specification: <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>

use std::collections::{BTreeMap, HashMap};

use countersign_oci::{Digest, limits};
use countersign_policy::{SubjectFacts, TAGS_ANNOTATION};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::reason::Reason;

/// The type of an in-toto statement of version 1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of an in-toto statement before version 1: files may have one.
const STATEMENT_TYPE_V0_1: &str = "https://in-toto.io/Statement/v0.1";
/// The predicate type that makes a statement an image signature, as cosign writes it.
pub const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    name: Option<String>,
    digest: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, serde_json::Value>>,
}

/// What a statement says about one digest.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) predicate_type: String,
    /// The subjects with that digest: at least one.
    pub(crate) subjects: Vec<SubjectFacts>,
}

/// The subjects of an image signature's statement, read once and asked for one digest after another.
#[derive(Debug)]
pub(crate) struct SignedSubjects {
    by_sha256: HashMap<String, Vec<SubjectFacts>>,
    first: Option<Digest>,
}

impl SignedSubjects {
    /// Returns the subjects whose sha256 is `digest`: at least one.
    pub(crate) fn with(&self, digest: Digest) -> Result<&[SubjectFacts], Reason> {
        let found = self.by_sha256.get(&digest.hex()).ok_or(Reason::SubjectMismatch { expected: digest })?;
        Ok(found)
    }

    /// Returns the first digest among the subjects.
    pub(crate) fn first(&self) -> Option<Digest> {
        self.first
    }
}

/// Returns the subjects of the statement of an image signature.
///
/// Refuses a payload that is no statement, another predicate type (an attestation is not a signature) or version, and
/// more than [`limits::SUBJECTS`] subjects or [`limits::SUBJECT_DIGESTS`] digests in one. An annotation whose value is no
/// text is left out: no policy can ask for it. So is a subject without a sha256: nobody can ask for that.
pub(crate) fn signed_subjects(payload: &[u8]) -> Result<SignedSubjects, Reason> {
    let statement = parse(payload)?;
    if statement.predicate_type != SIGNATURE_PREDICATE {
        return Err(Reason::NotASignature { predicate_type: statement.predicate_type });
    }
    if statement.statement_type != STATEMENT_TYPE {
        return Err(Reason::StatementType { found: statement.statement_type });
    }
    statement.check_bounds()?;
    let first = statement.subject.iter().find_map(Subject::sha256);
    let mut by_sha256: HashMap<String, Vec<SubjectFacts>> = HashMap::new();
    for mut subject in statement.subject {
        if let Some(hex) = subject.digest.remove("sha256") {
            by_sha256.entry(hex).or_default().push(subject.facts());
        }
    }
    Ok(SignedSubjects { by_sha256, first })
}

/// Returns what a statement of any predicate, of version 1 or before it, says about `digest`. Refuses otherwise what [`signed_subjects`] does,
/// and a statement that does not name the digest.
pub(crate) fn about(payload: &[u8], digest: Digest) -> Result<About, Reason> {
    let statement = parse(payload)?;
    statement.check_version()?;
    let predicate_type = statement.predicate_type.clone();
    Ok(About { predicate_type, subjects: statement.subjects_with(digest)? })
}

/// Returns the first digest that a statement is about, where consumers of files would read it: any predicate type, version 1 or before it.
///
/// For those who make statements: it refuses, before anything is spent, what [`Verifier::verify_blob`](crate::Verifier::verify_blob) would.
pub fn first_subject(payload: &[u8]) -> Result<Digest, Reason> {
    let malformed = |detail: &str| Reason::MalformedStatement { detail: detail.to_owned() };
    let statement = parse(payload)?;
    statement.check_version()?;
    statement.check_bounds()?;
    if statement.predicate_type.is_empty() {
        return Err(malformed("it has no predicate type"));
    }
    statement.subject.iter().find_map(Subject::sha256).ok_or_else(|| malformed("no subject has a sha256"))
}

/// Returns the predicate of a statement as it is written, where it has one.
pub(crate) fn predicate(payload: &[u8]) -> Result<Option<String>, Reason> {
    #[derive(Deserialize)]
    struct WithPredicate<'a> {
        #[serde(borrow, default)]
        predicate: Option<&'a RawValue>,
    }
    let statement: WithPredicate<'_> =
        serde_json::from_slice(payload).map_err(|e| Reason::MalformedStatement { detail: e.to_string() })?;
    Ok(statement.predicate.map(|predicate| predicate.get().to_owned()))
}

fn parse(payload: &[u8]) -> Result<Statement, Reason> {
    serde_json::from_slice(payload).map_err(|e| Reason::MalformedStatement { detail: e.to_string() })
}

impl Statement {
    fn check_version(&self) -> Result<(), Reason> {
        match self.statement_type.as_str() {
            STATEMENT_TYPE | STATEMENT_TYPE_V0_1 => Ok(()),
            other => Err(Reason::StatementType { found: other.to_owned() }),
        }
    }

    fn check_bounds(&self) -> Result<(), Reason> {
        if self.subject.len() > limits::SUBJECTS {
            return Err(Reason::TooManySubjects { found: self.subject.len(), limit: limits::SUBJECTS });
        }
        if let Some(subject) = self.subject.iter().find(|subject| subject.digest.len() > limits::SUBJECT_DIGESTS) {
            return Err(Reason::TooManySubjects { found: subject.digest.len(), limit: limits::SUBJECT_DIGESTS });
        }
        if let Some(bytes) = self.subject.iter().map(Subject::tags_bytes).find(|bytes| *bytes > limits::TAGS_BYTES) {
            let limit = limits::TAGS_BYTES;
            let detail = format!("the tags of a subject have {bytes} bytes, more than the limit of {limit}");
            return Err(Reason::MalformedStatement { detail });
        }
        Ok(())
    }

    fn subjects_with(self, digest: Digest) -> Result<Vec<SubjectFacts>, Reason> {
        self.check_bounds()?;
        let hex = digest.hex();
        let found: Vec<SubjectFacts> = self
            .subject
            .into_iter()
            .filter(|subject| subject.digest.get("sha256").is_some_and(|value| *value == hex))
            .map(Subject::facts)
            .collect();
        if found.is_empty() {
            return Err(Reason::SubjectMismatch { expected: digest });
        }
        Ok(found)
    }
}

impl Subject {
    fn tags_bytes(&self) -> usize {
        let tags = self.annotations.as_ref().and_then(|annotations| annotations.get(TAGS_ANNOTATION)?.as_str());
        tags.map_or(0, str::len)
    }

    fn sha256(&self) -> Option<Digest> {
        format!("sha256:{}", self.digest.get("sha256")?).parse().ok()
    }

    fn facts(self) -> SubjectFacts {
        SubjectFacts {
            name: self.name.filter(|name| !name.is_empty()),
            annotations: texts(self.annotations.unwrap_or_default()),
        }
    }
}

fn texts(annotations: BTreeMap<String, serde_json::Value>) -> BTreeMap<String, String> {
    annotations
        .into_iter()
        .filter_map(|(key, value)| match value {
            serde_json::Value::String(text) => Some((key, text)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn statement(digest: Digest) -> Value {
        json!({
            "_type": STATEMENT_TYPE,
            "subject": [{"digest": {"sha256": digest.hex()}, "annotations": {"tag": "v1", "number": 1}}],
            "predicateType": SIGNATURE_PREDICATE,
        })
    }

    fn read(value: &Value, digest: Digest) -> Result<Vec<SubjectFacts>, &'static str> {
        let subjects = signed_subjects(value.to_string().as_bytes()).map_err(|reason| reason.code())?;
        subjects.with(digest).map(<[SubjectFacts]>::to_vec).map_err(|reason| reason.code())
    }

    #[test]
    fn a_statement_without_predicate_or_name_is_read() {
        let digest = Digest::of(b"image");
        let subjects = read(&statement(digest), digest).unwrap();
        assert_eq!(subjects.len(), 1);
        assert_eq!(subjects[0].name, None);
        assert_eq!(subjects[0].annotations.get("tag").map(String::as_str), Some("v1"));
        assert!(!subjects[0].annotations.contains_key("number"));
    }

    #[test]
    fn another_digest_type_or_predicate_is_refused() {
        let digest = Digest::of(b"image");
        assert_eq!(read(&statement(Digest::of(b"other")), digest).unwrap_err(), "subject-mismatch");
        let mut value = statement(digest);
        value["predicateType"] = json!("https://slsa.dev/provenance/v1");
        assert_eq!(read(&value, digest).unwrap_err(), "not-a-signature");
        value = statement(digest);
        value["_type"] = json!("https://in-toto.io/Statement/v0.1");
        assert_eq!(read(&value, digest).unwrap_err(), "statement-type");
        value = statement(digest);
        value["subject"][0]["digest"] = json!({"sha512": "00"});
        assert_eq!(read(&value, digest).unwrap_err(), "subject-mismatch");
        value["subject"] = json!([]);
        assert_eq!(read(&value, digest).unwrap_err(), "subject-mismatch");
        value["subject"] = Value::Null;
        assert_eq!(read(&value, digest).unwrap_err(), "malformed-statement");
        assert_eq!(read(&json!([]), digest).unwrap_err(), "malformed-statement");
    }

    #[test]
    fn a_files_statement_may_have_any_predicate_and_the_older_type_and_still_has_to_name_it() {
        let digest = Digest::of(b"file");
        let mut value = statement(digest);
        value["predicateType"] = json!("https://slsa.dev/provenance/v1");
        value["_type"] = json!(STATEMENT_TYPE_V0_1);
        let read = |value: &Value, digest| about(value.to_string().as_bytes(), digest).map_err(|reason| reason.code());
        assert_eq!(read(&value, digest).unwrap().predicate_type, "https://slsa.dev/provenance/v1");
        assert_eq!(read(&value, Digest::of(b"other")).unwrap_err(), "subject-mismatch");
        value["subject"] = Value::Array(vec![value["subject"][0].clone(); limits::SUBJECTS + 1]);
        assert_eq!(read(&value, digest).unwrap_err(), "too-many-subjects");
        value["_type"] = json!("https://in-toto.io/Statement/v2");
        assert_eq!(read(&value, digest).unwrap_err(), "statement-type");
    }

    #[test]
    fn subjects_and_their_digests_are_counted() {
        let digest = Digest::of(b"image");
        let mut value = statement(digest);
        let subject = value["subject"][0].clone();
        value["subject"] = Value::Array(vec![subject.clone(); limits::SUBJECTS]);
        assert_eq!(read(&value, digest).unwrap().len(), limits::SUBJECTS);
        value["subject"] = Value::Array(vec![subject; limits::SUBJECTS + 1]);
        assert_eq!(read(&value, digest).unwrap_err(), "too-many-subjects");
        value = statement(digest);
        for number in 0..limits::SUBJECT_DIGESTS {
            value["subject"][0]["digest"][format!("x{number}")] = json!("00");
        }
        assert_eq!(read(&value, digest).unwrap_err(), "too-many-subjects");
    }
}
