//! One entry in the transparency log, in either of its versions.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_oci::Digest;
use serde::{Deserialize, Serialize};
use sigstore_rekor::{HashedRekordV2, LogEntry, RekorV2KeyDetails};
use sigstore_types::{KindVersion, Sha256Hash, TransparencyLogEntry};
use url::Url;

use super::bundle::SignedContent;
use super::config::{RekorVersion, Selection};
use super::endpoint;
use super::fulcio::Certificate;
use super::service::Service;
use super::transport::{Address, Answer, Attempts, Call, Stop, Transport};
use crate::error::SignError;

/// What came of submitting an entry: none where the log says it knows the entry but does not show it.
type Submitted = Option<Box<TransparencyLogEntry>>;

/// Submits what was signed, while the certificate is valid. Refuses an entry that is not for this very signature.
pub(super) async fn submit(
    transport: &Transport,
    selection: &Selection,
    certificate: &Certificate,
    content: &SignedContent,
    attempts: &mut Attempts,
) -> Result<Submitted, Stop> {
    let log = Submission { transport, selection, certificate, content };
    match selection.log.version {
        RekorVersion::V1 => log.submit_v1(attempts).await,
        RekorVersion::V2 => log.submit_v2(attempts).await,
    }
}

struct Submission<'a> {
    transport: &'a Transport,
    selection: &'a Selection,
    certificate: &'a Certificate,
    content: &'a SignedContent,
}

impl Submission<'_> {
    async fn submit_v1(&self, attempts: &mut Attempts) -> Result<Submitted, Stop> {
        let (kind, spec) = ProposedSpec::new(self.certificate, self.content);
        let proposed = ProposedEntry { api_version: "0.0.1", kind: kind.kind(), spec };
        let answer = self.post("api/v1/log/entries", &proposed, attempts).await?;
        if answer.status == 409 {
            return self.already_logged(&answer, kind).await;
        }
        let entry = parse_v1(&answer, kind)?;
        self.check(&answer.from, &entry)?;
        Ok(Some(Box::new(entry)))
    }

    /// A repeated request whose first answer was lost: the entry exists, under the address that the log gives.
    async fn already_logged(&self, conflict: &Answer, kind: KindVersion) -> Result<Submitted, Stop> {
        let Some(uuid) = conflict.location.as_deref().and_then(entry_uuid) else {
            return Ok(None);
        };
        let mut url = conflict.from.url.clone();
        url.set_path(&format!("{}/{uuid}", url.path()));
        // What is logged stays logged: the certificate may end meanwhile.
        let call = Call { service: Service::Rekor, urls: &[url], conflict_is_answer: false, until: None };
        let answer =
            self.transport.send(&call, &mut Attempts::default(), |client, url| client.get(url.clone())).await?;
        let entry = parse_v1(&answer, kind)?;
        if !Logged::read(&entry).is_some_and(|logged| logged.is_for(self.content)) {
            return Err(SignError::LogEntryForeign { url: answer.from.shown_url() }.into());
        }
        Ok(Some(Box::new(entry)))
    }

    async fn submit_v2(&self, attempts: &mut Attempts) -> Result<Submitted, Stop> {
        let proposed = HashedRekordV2::new_with_certificate(
            &Sha256Hash::new(*self.content.message_digest().bytes()),
            self.content.signature(),
            &self.certificate.der,
            RekorV2KeyDetails::PkixEcdsaP256Sha256,
        );
        let answer = self.post("api/v2/log/entries", &proposed, attempts).await?;
        if answer.status == 409 {
            return Ok(None);
        }
        let entry: TransparencyLogEntry =
            serde_json::from_slice(&answer.body).map_err(|error| answer.from.malformed(error.to_string()))?;
        if entry.kind_version != KindVersion::HashedRekordV002 {
            return Err(answer.from.malformed("the entry is not a hashedrekord 0.0.2").into());
        }
        self.check(&answer.from, &entry)?;
        Ok(Some(Box::new(with_proof(&answer.from, entry)?)))
    }

    fn check(&self, from: &Address, entry: &TransparencyLogEntry) -> Result<(), SignError> {
        if Logged::read(entry).is_some_and(|logged| logged.is_for(self.content)) {
            return Ok(());
        }
        Err(from.malformed("the entry is not for the signature that was sent"))
    }

    async fn post(&self, path: &str, entry: &impl Serialize, attempts: &mut Attempts) -> Result<Answer, Stop> {
        let body = serde_json::to_vec(entry).expect("strings and bytes always serialise");
        let urls: Vec<Url> = self.selection.logs().iter().map(|log| endpoint(log, path)).collect();
        let until = Some(self.certificate.usable_until());
        let call = Call { service: Service::Rekor, urls: &urls, conflict_is_answer: true, until };
        let request = |client: &reqwest::Client, url: &Url| {
            client
                .post(url.clone())
                .header("content-type", "application/json")
                .header("accept", "application/json")
                .body(body.clone())
        };
        self.transport.send(&call, attempts, request).await
    }
}

/// The entry's name is the last part of the location; only the name is believed, never host or path.
fn entry_uuid(location: &str) -> Option<&str> {
    let uuid = location.rsplit('/').next()?;
    let plausible = matches!(uuid.len(), 64 | 80) && uuid.bytes().all(|byte| byte.is_ascii_hexdigit());
    plausible.then_some(uuid)
}

fn parse_v1(answer: &Answer, kind: KindVersion) -> Result<TransparencyLogEntry, SignError> {
    let from = &answer.from;
    let mut entries: HashMap<String, LogEntry> =
        serde_json::from_slice(&answer.body).map_err(|error| from.malformed(error.to_string()))?;
    let only = entries.keys().next().cloned();
    let entry = match only {
        Some(uuid) if entries.len() == 1 => entries.remove(&uuid),
        _ => None,
    };
    let entry = entry.ok_or_else(|| from.malformed("not exactly one entry"))?;
    let entry = entry.to_bundle_entry(kind).map_err(|error| from.malformed(error.to_string()))?;
    with_proof(from, entry)
}

fn with_proof(from: &Address, entry: TransparencyLogEntry) -> Result<TransparencyLogEntry, SignError> {
    match &entry.inclusion_proof {
        Some(proof) if !proof.checkpoint.is_empty() => Ok(entry),
        _ => Err(from.malformed("the entry has no inclusion proof with a checkpoint")),
    }
}

/// What an entry says it is about, in either version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged {
    spec: LoggedSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedSpec {
    payload_hash: Option<LoggedHash>,
    #[serde(default)]
    signatures: Vec<LoggedSignature>,
    #[serde(rename = "hashedRekordV002")]
    hashed_rekord: Option<LoggedHashedRekord>,
    data: Option<LoggedFile>,
    signature: Option<LoggedContent>,
}

#[derive(Deserialize)]
struct LoggedFile {
    hash: LoggedHash,
}

#[derive(Deserialize)]
struct LoggedHash {
    value: String,
}

#[derive(Deserialize)]
struct LoggedSignature {
    signature: String,
}

#[derive(Deserialize)]
struct LoggedHashedRekord {
    data: LoggedData,
    signature: LoggedContent,
}

#[derive(Deserialize)]
struct LoggedData {
    digest: String,
}

#[derive(Deserialize)]
struct LoggedContent {
    content: String,
}

impl Logged {
    fn read(entry: &TransparencyLogEntry) -> Option<Self> {
        serde_json::from_slice(entry.canonicalized_body.as_bytes()).ok()
    }

    fn is_for(&self, content: &SignedContent) -> bool {
        let signature = content.signature().to_base64();
        if let Some(rekord) = &self.spec.hashed_rekord {
            let digest = STANDARD.encode(content.message_digest().bytes());
            return rekord.signature.content == signature && rekord.data.digest == digest;
        }
        match content {
            SignedContent::Envelope(envelope) => {
                let payload = Digest::of(envelope.payload()).hex();
                let payload_matches = self.spec.payload_hash.as_ref().is_some_and(|hash| hash.value == payload);
                payload_matches && matches!(self.spec.signatures.as_slice(), [only] if only.signature == signature)
            }
            SignedContent::File(_) => {
                let digest = content.message_digest().hex();
                self.spec.data.as_ref().is_some_and(|data| data.hash.value == digest)
                    && self.spec.signature.as_ref().is_some_and(|logged| logged.content == signature)
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProposedEntry {
    api_version: &'static str,
    kind: &'static str,
    spec: ProposedSpec,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ProposedSpec {
    #[serde(rename_all = "camelCase")]
    Envelope {
        proposed_content: ProposedContent,
    },
    File {
        data: ProposedData,
        signature: ProposedSignature,
    },
}

impl ProposedSpec {
    fn new(certificate: &Certificate, content: &SignedContent) -> (KindVersion, Self) {
        let verifier = STANDARD.encode(certificate.der.to_pem());
        match content {
            SignedContent::Envelope(envelope) => {
                let proposed_content = ProposedContent { envelope: envelope.to_json(), verifiers: [verifier] };
                (KindVersion::DsseV001, Self::Envelope { proposed_content })
            }
            SignedContent::File(_) => {
                let hash = ProposedHash { algorithm: "sha256", value: content.message_digest().hex() };
                let public_key = ProposedKey { content: verifier };
                let signature = ProposedSignature { content: content.signature().to_base64(), public_key };
                (KindVersion::HashedRekordV001, Self::File { data: ProposedData { hash }, signature })
            }
        }
    }
}

#[derive(Serialize)]
struct ProposedContent {
    envelope: String,
    verifiers: [String; 1],
}

#[derive(Serialize)]
struct ProposedData {
    hash: ProposedHash,
}

#[derive(Serialize)]
struct ProposedHash {
    algorithm: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProposedSignature {
    content: String,
    public_key: ProposedKey,
}

#[derive(Serialize)]
struct ProposedKey {
    content: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_logged_entry_is_taken_from_a_location() {
        let uuid = "a".repeat(64);
        let sharded = "0".repeat(80);
        let table = [
            (format!("/api/v1/log/entries/{uuid}"), Some(uuid.as_str())),
            (format!("https://evil.example/x/{sharded}"), Some(sharded.as_str())),
            ("/api/v1/log/entries/".to_owned(), None),
            (format!("/api/v1/log/entries/{uuid}?x=1"), None),
            (format!("/api/v1/log/entries/{}", "g".repeat(64)), None),
            ("..".to_owned(), None),
        ];
        for (location, expected) in &table {
            assert_eq!(entry_uuid(location), *expected, "{location}");
        }
    }
}
