//! What a bundle says, read without checking anything.
//!
//! Tolerant where the gate before verification ([`crate::bundle`]) is strict: of a bundle that would be refused, as much
//! as can be read is shown, with what it would be refused for.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_oci::{Digest, limits};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{CertificateClaims, shown};
use crate::reason::Reason;
use crate::verify::TAGS_ANNOTATION;
use crate::{bundle, statement};

/// How many subjects of a statement are shown; the others are counted.
const SUBJECTS: usize = 16;
/// How many digests of a subject are shown.
const DIGESTS: usize = 4;
/// How many annotations of a subject are shown; the others are counted.
const ANNOTATIONS: usize = 32;
/// How many log entries are shown; an image signature has one.
const LOG_ENTRIES: usize = 4;
/// How many tags of a subject are shown.
const TAGS: usize = 64;

/// What a bundle claims: nothing of it is checked.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct BundleClaims {
    /// The digest of the bundle's bytes. That alone is no claim.
    pub digest: String,
    /// How many bytes it has.
    pub size: u64,
    /// The bundle's media type: its version.
    pub media_type: Option<String>,
    /// What is signed: `dsse-envelope` or `message-signature`.
    pub content: Option<&'static str>,
    /// What the envelope says, where it holds a statement.
    pub statement: Option<StatementClaims>,
    /// What the signing certificate says.
    pub certificate: Option<CertificateClaims>,
    /// The hint of a public key, where there is no certificate.
    pub public_key_hint: Option<String>,
    /// The log entries: the first few.
    pub log_entries: Vec<LogClaims>,
    /// How many log entries there are.
    pub log_entry_count: usize,
    /// How many RFC 3161 timestamps there are.
    pub timestamps: usize,
    /// What `verify` would refuse it for before it looks at any signature, whatever the policy.
    pub would_refuse: Option<WouldRefuse>,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// What an in-toto statement claims.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct StatementClaims {
    /// The statement's type.
    pub statement_type: Option<String>,
    /// What is stated: a signature, provenance, a list of materials.
    pub predicate_type: Option<String>,
    /// What it is stated of: the first few.
    pub subjects: Vec<SubjectClaims>,
    /// How many subjects there are.
    pub subject_count: usize,
}

/// One subject of a statement.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct SubjectClaims {
    /// The subject's name: the repository, where countersign signed.
    pub name: Option<String>,
    /// The digests, by algorithm.
    pub digests: BTreeMap<String, String>,
    /// Whether one of them is the digest that the bundle lies beside.
    pub is_this: bool,
    /// The tags that it is said to be signed for.
    pub tags: Vec<String>,
    /// Further annotations: the first few.
    pub annotations: BTreeMap<String, String>,
    /// How many annotations there are.
    pub annotation_count: usize,
}

/// What a log entry claims.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct LogClaims {
    /// The kind: `hashedrekord`, `dsse`.
    pub kind: Option<String>,
    /// The kind's version.
    pub version: Option<String>,
    /// The index in the log.
    pub index: Option<u64>,
    /// When the entry is said to have been logged. Rekor v2 says nothing of it.
    pub integrated_time: Option<String>,
    /// The log's origin, as the checkpoint names it.
    pub log: Option<String>,
    /// Whether there is an inclusion proof.
    pub inclusion_proof: bool,
    /// Whether there is an inclusion promise.
    pub inclusion_promise: bool,
}

/// What a bundle would be refused for, whoever signed it.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct WouldRefuse {
    /// A stable name for the reason: the one that `verify` gives.
    pub code: &'static str,
    /// The reason in words.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl BundleClaims {
    /// Reads as much as can be read of a bundle that lies beside `subject`; what cannot is named among the problems.
    #[must_use]
    pub fn of(bytes: &[u8], subject: Digest) -> Self {
        let refused = bundle::shape(bytes)
            .and_then(|shaped| statement::signed_subjects(&shaped.payload)?.with(subject).map(<[_]>::to_vec));
        let would_refuse = refused.err().map(|reason| WouldRefuse::of(&reason));
        let size = bytes.len() as u64;
        let mut claims = Self { digest: Digest::of(bytes).to_string(), size, would_refuse, ..Self::default() };
        if size > limits::BUNDLE_BYTES {
            claims.problems.push(format!("it has more than {} bytes", limits::BUNDLE_BYTES));
            return claims;
        }
        match serde_json::from_slice::<Value>(bytes) {
            Ok(document @ Value::Object(_)) => claims.read(&document, subject),
            Ok(_) => claims.problems.push("the bundle is no JSON object".to_owned()),
            Err(error) => claims.problems.push(format!("the bundle cannot be parsed: {error}")),
        }
        claims
    }

    fn read(&mut self, document: &Value, subject: Digest) {
        self.media_type = text(document, "/mediaType");
        self.read_certificate(document);
        self.public_key_hint = text(document, "/verificationMaterial/publicKey/hint");
        let entries = document.pointer("/verificationMaterial/tlogEntries").and_then(Value::as_array);
        let entries = entries.map(Vec::as_slice).unwrap_or_default();
        self.log_entry_count = entries.len();
        self.log_entries = entries.iter().take(LOG_ENTRIES).map(LogClaims::of).collect();
        let timestamps = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
        self.timestamps = document.pointer(timestamps).and_then(Value::as_array).map_or(0, Vec::len);
        if document.get("messageSignature").is_some() {
            self.content = Some("message-signature");
        }
        if document.get("dsseEnvelope").is_some() {
            self.content = Some("dsse-envelope");
            self.read_statement(document, subject);
        }
    }

    fn read_certificate(&mut self, document: &Value) {
        let single = document.pointer("/verificationMaterial/certificate/rawBytes");
        let of_chain = || document.pointer("/verificationMaterial/x509CertificateChain/certificates/0/rawBytes");
        let Some(encoded) = single.or_else(of_chain) else { return };
        match decoded(encoded) {
            Ok(der) => self.certificate = Some(CertificateClaims::of(&der)),
            Err(problem) => self.problems.push(format!("the certificate {problem}")),
        }
    }

    fn read_statement(&mut self, document: &Value, subject: Digest) {
        let payload = match document.pointer("/dsseEnvelope/payload").map(decoded) {
            Some(Ok(payload)) => payload,
            Some(Err(problem)) => return self.problems.push(format!("the payload {problem}")),
            None => return self.problems.push("the envelope has no payload".to_owned()),
        };
        match serde_json::from_slice::<Value>(&payload) {
            Ok(statement) => self.statement = Some(StatementClaims::of(&statement, subject)),
            Err(error) => self.problems.push(format!("the statement cannot be parsed: {error}")),
        }
    }
}

impl StatementClaims {
    fn of(statement: &Value, subject: Digest) -> Self {
        let subjects = statement.get("subject").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        // The one that the bundle lies beside comes first: it must not be among those that are left out.
        let mut ordered: Vec<&Value> = subjects.iter().collect();
        ordered.sort_by_key(|candidate| !names(candidate, subject));
        Self {
            statement_type: text(statement, "/_type"),
            predicate_type: text(statement, "/predicateType"),
            subjects: ordered.into_iter().take(SUBJECTS).map(|found| SubjectClaims::of(found, subject)).collect(),
            subject_count: subjects.len(),
        }
    }
}

impl SubjectClaims {
    fn of(claimed: &Value, subject: Digest) -> Self {
        let annotations = claimed.get("annotations").and_then(Value::as_object);
        let tags = annotations.and_then(|all| all.get(TAGS_ANNOTATION)?.as_str()).unwrap_or_default();
        let digests = claimed.get("digest").and_then(Value::as_object);
        Self {
            name: text(claimed, "/name").filter(|name| !name.is_empty()),
            digests: digests
                .into_iter()
                .flatten()
                .take(DIGESTS)
                .map(|(key, value)| (shown(key), plain(value)))
                .collect(),
            is_this: names(claimed, subject),
            tags: tags.split(',').filter(|tag| !tag.is_empty()).take(TAGS).map(shown).collect(),
            annotations: annotations
                .into_iter()
                .flatten()
                .filter(|(key, _)| *key != TAGS_ANNOTATION)
                .take(ANNOTATIONS)
                .map(|(key, value)| (shown(key), plain(value)))
                .collect(),
            annotation_count: annotations.map_or(0, serde_json::Map::len),
        }
    }
}

impl LogClaims {
    fn of(entry: &Value) -> Self {
        let checkpoint = entry.pointer("/inclusionProof/checkpoint/envelope").and_then(Value::as_str);
        let integrated = entry.get("integratedTime").and_then(number).filter(|seconds| *seconds > 0);
        let present = |key: &str| entry.get(key).is_some_and(|value| !value.is_null());
        Self {
            kind: text(entry, "/kindVersion/kind"),
            version: text(entry, "/kindVersion/version"),
            // Writers of protocol buffers leave zeros out.
            index: entry.get("logIndex").map_or(Some(0), number),
            integrated_time: integrated
                .and_then(|seconds| Timestamp::from_second(i64::try_from(seconds).ok()?).ok())
                .map(|time| time.to_string()),
            log: checkpoint.and_then(|text| text.lines().next()).map(shown),
            inclusion_proof: present("inclusionProof"),
            inclusion_promise: present("inclusionPromise"),
        }
    }
}

impl WouldRefuse {
    pub(super) fn of(reason: &Reason) -> Self {
        Self { code: reason.code(), reason: shown(&reason.to_string()), hint: reason.hint() }
    }
}

fn names(claimed: &Value, subject: Digest) -> bool {
    claimed.pointer("/digest/sha256").and_then(Value::as_str).is_some_and(|hex| hex == subject.hex())
}

fn text(document: &Value, pointer: &str) -> Option<String> {
    document.pointer(pointer)?.as_str().map(shown)
}

/// A value as text: what should be text and is not is shown as it stands in the document.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Number(_) | Value::Bool(_) | Value::Null => value.to_string(),
        Value::Array(_) => "(a list)".to_owned(),
        Value::Object(_) => "(an object)".to_owned(),
    }
}

/// 64-bit numbers are text in the JSON of protocol buffers.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn decoded(value: &Value) -> Result<Vec<u8>, String> {
    let text = value.as_str().ok_or("is no text")?;
    STANDARD.decode(text).map_err(|error| format!("is no base64: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bundle(statement: &Value) -> Value {
        json!({
            "mediaType": bundle::BUNDLE_V0_3,
            "verificationMaterial": {
                "certificate": {"rawBytes": "AAAA"},
                "tlogEntries": [{
                    "logIndex": "7", "integratedTime": "1795457928",
                    "kindVersion": {"kind": "dsse", "version": "0.0.1"},
                    "inclusionPromise": {},
                    "inclusionProof": {"checkpoint": {"envelope": "log.example - 1\n9\n"}},
                }],
                "timestampVerificationData": {"rfc3161Timestamps": [{}, {}]},
            },
            "dsseEnvelope": {
                "payload": STANDARD.encode(statement.to_string()),
                "payloadType": bundle::IN_TOTO_PAYLOAD, "signatures": [{"sig": "AAAA"}],
            },
        })
    }

    fn statement(digest: Digest) -> Value {
        json!({
            "_type": statement::STATEMENT_TYPE, "predicateType": statement::SIGNATURE_PREDICATE,
            "subject": [
                {"name": "other", "digest": {"sha256": "00"}},
                {"name": "ghcr.io/octo/app", "digest": {"sha256": digest.hex()},
                 "annotations": {TAGS_ANNOTATION: "v1,latest", "build": "77", "number": 1}},
            ],
        })
    }

    fn claims(document: &Value, digest: Digest) -> BundleClaims {
        BundleClaims::of(document.to_string().as_bytes(), digest)
    }

    #[test]
    fn a_bundle_is_shown_with_what_it_claims() {
        let digest = Digest::of(b"image");
        let claims = claims(&bundle(&statement(digest)), digest);
        let stated = claims.statement.unwrap();
        assert_eq!(stated.predicate_type.as_deref(), Some(statement::SIGNATURE_PREDICATE));
        assert_eq!(stated.subject_count, 2);
        let subject = &stated.subjects[0];
        assert!(subject.is_this, "the subject that the bundle lies beside comes first");
        assert_eq!(subject.name.as_deref(), Some("ghcr.io/octo/app"));
        assert_eq!(subject.tags, ["v1", "latest"]);
        assert_eq!(subject.annotations.get("build").map(String::as_str), Some("77"));
        assert_eq!(subject.annotations.get("number").map(String::as_str), Some("1"));
        assert_eq!(claims.digest, Digest::of(bundle(&statement(digest)).to_string().as_bytes()).to_string());
        let entry = &claims.log_entries[0];
        assert_eq!(
            (entry.kind.as_deref(), entry.version.as_deref(), entry.index),
            (Some("dsse"), Some("0.0.1"), Some(7))
        );
        assert_eq!(entry.integrated_time.as_deref(), Some("2026-11-23T18:18:48Z"));
        assert_eq!(entry.log.as_deref(), Some("log.example - 1"));
        assert_eq!(claims.timestamps, 2);
        assert!(claims.certificate.unwrap().problems[0].contains("cannot be parsed"), "and the rest is shown");
    }

    #[test]
    fn a_rekor_v2_entry_of_cosign_3_0_is_named_with_what_to_do() {
        let digest = Digest::of(b"image");
        let mut document = bundle(&statement(digest));
        document["verificationMaterial"]["tlogEntries"][0]["kindVersion"]["version"] = json!("0.0.2");
        let refused = claims(&document, digest).would_refuse.unwrap();
        assert_eq!(refused.code, "unsupported-log-entry");
        assert_eq!(
            refused.reason,
            "log entry of kind dsse 0.0.2, which cosign 3.0 wrote to Rekor v2 and Rekor v2 has dropped"
        );
        assert!(refused.hint.unwrap().contains("cosign 3.1 or later"), "{:?}", refused.hint);
    }

    #[test]
    fn what_is_no_bundle_is_a_problem_and_no_failure() {
        let digest = Digest::of(b"image");
        for text in ["", "[]", "null", "{", "\u{1b}[2J", "\"a\"", "7"] {
            let claims = BundleClaims::of(text.as_bytes(), digest);
            assert_eq!(claims.problems.len(), 1, "{text:?}");
            assert_eq!(claims.would_refuse.unwrap().code, "malformed-bundle", "{text:?}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(BundleClaims::of(deep.as_bytes(), digest).problems.len(), 1);
        assert!(BundleClaims::of(&[0xff; 10], digest).statement.is_none());
        for wrong in [json!(7), json!("?"), json!([]), Value::Null] {
            let mut document = bundle(&statement(digest));
            document["dsseEnvelope"]["payload"] = wrong.clone();
            document["verificationMaterial"]["certificate"]["rawBytes"] = wrong.clone();
            document["verificationMaterial"]["tlogEntries"][0]["logIndex"] = json!([]);
            let claims = claims(&document, digest);
            assert_eq!((claims.problems.len(), claims.timestamps), (2, 2), "{wrong}: {:?}", claims.problems);
            assert_eq!(claims.log_entries[0].index, None);
        }
    }

    #[test]
    fn hostile_claims_are_cut_and_cannot_write_to_a_terminal() {
        let digest = Digest::of(b"image");
        let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\r\n";
        let mut document = statement(digest);
        document["predicateType"] = json!(hostile.repeat(1_000));
        document["subject"][1]["name"] = json!("n".repeat(100_000));
        document["subject"][1]["annotations"] = (0..900)
            .map(|number| (format!("{hostile}{number}"), json!(hostile)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let subjects = document["subject"].as_array_mut().unwrap();
        subjects.extend((0..98).map(|number| json!({"digest": {"sha256": number.to_string()}})));
        let claims = claims(&bundle(&document), digest);
        let stated = claims.statement.as_ref().unwrap();
        assert_eq!((stated.subject_count, stated.subjects.len()), (100, SUBJECTS));
        assert_eq!(stated.subjects[0].annotation_count, 900);
        assert_eq!(stated.subjects[0].annotations.len(), ANNOTATIONS);
        assert!(stated.subjects[0].name.as_ref().unwrap().chars().count() <= super::super::SHOWN_CHARACTERS + 1);
        let json = serde_json::to_string(&claims).unwrap();
        assert!(json.len() < 200_000, "{}", json.len());
        for raw in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\r'] {
            assert!(!json.contains(raw) && !json.contains(&format!("\\u{:04x}", u32::from(raw))), "{raw:?}");
        }
    }
}
