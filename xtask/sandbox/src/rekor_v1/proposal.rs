//! Proposed entries: signatures verified, then written as the log keeps them.

use anyhow::{Context as _, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::keys::EcdsaKey;
use crate::problem::Problem;
use crate::public_key::Verifier;

/// The kinds of entry that the real log knows; most of them this one does not.
const KINDS: [&str; 12] = [
    "alpine",
    "cose",
    "dsse",
    "hashedrekord",
    "helm",
    "intoto",
    "jar",
    "krmsignature",
    "rekord",
    "rfc3161",
    "rpm",
    "tuf",
];

/// The canonical form (RFC 8785) of an entry whose signatures verify.
pub(super) fn canonical_body(proposal: &Value) -> Result<String, Problem> {
    let members = proposal.as_object().ok_or_else(|| Problem::internal("the proposed entry is no object"))?;
    let kind = match members.get("kind") {
        None | Some(Value::Null) => return Err(Problem::required("kind in body")),
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(Problem::internal("the kind is no text")),
    };
    if !KINDS.contains(&kind.as_str()) {
        return Err(Problem::unprocessable(422, &format!("invalid kind value: {kind:?}")));
    }
    entry(kind, proposal).map_err(|error| Problem::invalid(&format!("error processing entry: {error:#}")))
}

fn entry(kind: &str, proposal: &Value) -> anyhow::Result<String> {
    let api_version = proposal["apiVersion"].as_str().context("the entry has no version")?;
    let spec = proposal["spec"].clone();
    let spec = match (kind, api_version) {
        ("dsse", "0.0.1") => dsse(serde_json::from_value(spec).context("read the dsse entry")?)?,
        ("hashedrekord", "0.0.1") => {
            hashedrekord(serde_json::from_value(spec).context("read the hashedrekord entry")?)?
        }
        _ => bail!("entries of kind {kind:?} {api_version:?} are not supported"),
    };
    Ok(crate::canonical(&json!({ "apiVersion": "0.0.1", "kind": kind, "spec": spec })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    proposed_content: ProposedContent,
}

#[derive(Deserialize)]
struct ProposedContent {
    envelope: String,
    verifiers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// Keeps the hash of the envelope as it was sent, the hash of the payload, and each signature with the verifier that it verifies with.
fn dsse(entry: Dsse) -> anyhow::Result<Value> {
    let ProposedContent { envelope: text, verifiers } = entry.proposed_content;
    let envelope: Envelope = serde_json::from_str(&text).context("read the envelope")?;
    let payload = BASE64_STANDARD.decode(&envelope.payload).context("read the payload")?;
    let signed = [
        format!("DSSEv1 {} {} {} ", envelope.payload_type.len(), envelope.payload_type, payload.len()).as_bytes(),
        &payload,
    ]
    .concat();
    let verifiers = verifiers.iter().map(|verifier| read_verifier(verifier)).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!envelope.signatures.is_empty(), "the envelope has no signature");
    let mut signatures = Vec::new();
    for EnvelopeSignature { sig } in &envelope.signatures {
        let signature = BASE64_STANDARD.decode(sig).context("read a signature")?;
        let by = verifiers.iter().find(|verifier| verifier.key.verify(&signed, &signature).is_ok());
        let by = by.context("could not verify envelope: a signature is by none of the verifiers")?;
        signatures.push(json!({ "signature": sig, "verifier": BASE64_STANDARD.encode(&by.pem) }));
    }
    Ok(json!({ "envelopeHash": hash(text.as_bytes()), "payloadHash": hash(&payload), "signatures": signatures }))
}

#[derive(Deserialize)]
struct HashedRekord {
    data: Data,
    signature: Signature,
}

#[derive(Deserialize)]
struct Data {
    hash: Hash,
}

#[derive(Deserialize)]
struct Hash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature {
    content: String,
    public_key: PublicKey,
}

#[derive(Deserialize)]
struct PublicKey {
    content: String,
}

fn hashedrekord(entry: HashedRekord) -> anyhow::Result<Value> {
    let Hash { algorithm, value } = entry.data.hash;
    ensure!(algorithm == "sha256", "the algorithm {algorithm:?} is not supported");
    let digest = unhex(&value).filter(|digest| digest.len() == 32).context("the hash is not SHA-256 in hexadecimal")?;
    let signature = BASE64_STANDARD.decode(&entry.signature.content).context("read the signature")?;
    let verifier = read_verifier(&entry.signature.public_key.content)?;
    verifier.key.verify_digest(&digest, &signature).context("verifying signature")?;
    Ok(json!({
        "data": { "hash": { "algorithm": algorithm, "value": value.to_ascii_lowercase() } },
        "signature": { "content": entry.signature.content, "publicKey": { "content": BASE64_STANDARD.encode(verifier.pem) } },
    }))
}

fn read_verifier(encoded: &str) -> anyhow::Result<Verifier> {
    let pem = BASE64_STANDARD.decode(encoded).context("read a verifier")?;
    Verifier::from_pem(&String::from_utf8(pem).context("a verifier is not text")?)
}

fn hash(bytes: &[u8]) -> Value {
    json!({ "algorithm": "sha256", "value": crate::hex(digest(&SHA256, bytes).as_ref()) })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect()
}

/// An entry by a key that nobody keeps.
pub(super) fn seed(text: &str) -> String {
    let key = EcdsaKey::generate();
    let signature = key.sign(text.as_bytes());
    let spec = json!({
        "data": { "hash": hash(text.as_bytes()) },
        "signature": {
            "content": BASE64_STANDARD.encode(signature),
            "publicKey": { "content": BASE64_STANDARD.encode(crate::pem("PUBLIC KEY", &key.spki())) },
        },
    });
    let proposal = json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec });
    canonical_body(&proposal).expect("the sandbox signs its own entries")
}
