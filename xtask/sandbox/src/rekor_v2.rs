//! Rekor v2: entries of kind `hashedrekord` 0.0.2 and nothing else, with a checkpoint by an Ed25519 key and no time.

use std::sync::Mutex;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::HeaderName;
use http::{Method, StatusCode};
use ring::digest::{Context, SHA256, digest};
use serde::Deserialize;
use serde_json::{Value, json};
use x509_cert::Certificate;

use crate::checkpoint::{Signer, checkpoint};
use crate::exchange::{Call, Reply};
use crate::keys::{EcdsaKey, Ed25519Key};
use crate::merkle::{self, Hash};
use crate::problem::Problem;
use crate::public_key::PublicKey;

/// The name of this log in its checkpoints; also the host of its base URL in the trusted root.
pub(crate) const HOST: &str = "localhost";

const P256: &str = "PKIX_ECDSA_P256_SHA_256";
const LOG_INDEX: HeaderName = HeaderName::from_static("x-log-index");

/// The log.
pub(crate) struct RekorV2 {
    key: Ed25519Key,
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    body: String,
    leaf: Hash,
}

impl RekorV2 {
    /// A log with two entries already in it.
    pub(crate) fn new(key: Ed25519Key) -> RekorV2 {
        let log = RekorV2 { key, entries: Mutex::default() };
        for seed in ["first", "second"] {
            log.append(seed_body(seed));
        }
        log
    }

    /// The hash that C2SP signed notes name a key by.
    pub(crate) fn log_id(&self) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        [HOST.as_bytes(), b"\n\x01", self.key.public()].into_iter().for_each(|part| hash.update(part));
        hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        self.key.spki()
    }

    pub(crate) fn answer(&self, call: &Call) -> Reply {
        let reply = match (call.method.clone(), call.path.as_str()) {
            (Method::POST, "/api/v2/log/entries") => self.create(call),
            (Method::GET, "/api/v2/checkpoint") => Ok(Reply::text(StatusCode::OK, &self.latest_checkpoint())),
            (Method::GET, "/healthz") => Ok(Reply::json(StatusCode::OK, &json!({ "status": "SERVING" }))),
            // The tiles of a log are files, which another server has; this sandbox has none.
            (Method::GET, path) if path.starts_with("/api/v2/tile/") => Err(Problem::method_not_allowed()),
            (_, "/api/v2/log/entries" | "/api/v2/checkpoint") => Err(Problem::method_not_allowed()),
            _ => Err(Problem::not_found()),
        };
        reply.unwrap_or_else(|problem| problem.grpc())
    }

    fn create(&self, call: &Call) -> Result<Reply, Problem> {
        let request: Request =
            call.first_json().map_err(|error| Problem::invalid(&format!("proto: syntax error: {error}")))?;
        let Some(request) = request.hashed_rekord else {
            return Err(Problem::invalid("invalid type, must be hashedrekord"));
        };
        let body = canonical_body(&request)
            .map_err(|error| Problem::invalid(&format!("invalid hashedrekord request: {error:#}")))?;
        Ok(self.append(body))
    }

    fn append(&self, body: String) -> Reply {
        let leaf = merkle::leaf_hash(body.as_bytes());
        let mut entries = crate::lock(&self.entries);
        if let Some(index) = entries.iter().position(|entry| entry.leaf == leaf) {
            let message = format!("an equivalent entry already exists in the transparency log with index {index}");
            return Problem::conflict(&message).grpc().header(LOG_INDEX, index.to_string());
        }
        entries.push(Entry { body, leaf });
        Reply::json(StatusCode::CREATED, &self.document(&entries, entries.len() - 1))
    }

    /// A `TransparencyLogEntry` of protobuf-specs.
    fn document(&self, entries: &[Entry], index: usize) -> Value {
        let leaves: Vec<Hash> = entries.iter().map(|entry| entry.leaf).collect();
        json!({
            "logIndex": index.to_string(),
            "logId": { "keyId": BASE64_STANDARD.encode(self.log_id()) },
            "kindVersion": { "kind": "hashedrekord", "version": "0.0.2" },
            "integratedTime": "0",
            "inclusionPromise": null,
            "inclusionProof": {
                "logIndex": index.to_string(),
                "rootHash": BASE64_STANDARD.encode(merkle::root(&leaves)),
                "treeSize": leaves.len().to_string(),
                "hashes": merkle::inclusion_proof(index, &leaves).iter().map(|hash| BASE64_STANDARD.encode(hash)).collect::<Vec<_>>(),
                "checkpoint": { "envelope": self.checkpoint(&leaves) },
            },
            "canonicalizedBody": BASE64_STANDARD.encode(&entries[index].body),
        })
    }

    fn latest_checkpoint(&self) -> String {
        let leaves: Vec<Hash> = crate::lock(&self.entries).iter().map(|entry| entry.leaf).collect();
        self.checkpoint(&leaves)
    }

    fn checkpoint(&self, leaves: &[Hash]) -> String {
        let [first, second, third, fourth, ..] = self.log_id();
        let key_hint = [first, second, third, fourth];
        let signer = Signer { origin: HOST, name: HOST, key_hint, sign: &|text| self.key.sign(text) };
        checkpoint(&signer, leaves.len(), &merkle::root(leaves))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(rename = "hashedRekordRequestV002")]
    hashed_rekord: Option<HashedRekord>,
    /// Known, and no longer taken.
    #[serde(rename = "dsseRequestV002")]
    _dsse: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekord {
    digest: String,
    signature: Signature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    content: String,
    verifier: Verifier,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Verifier {
    key_details: String,
    public_key: Option<RawBytes>,
    x509_certificate: Option<RawBytes>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawBytes {
    raw_bytes: String,
}

/// The canonical form (RFC 8785) of an entry whose signature verifies. Verifiers rebuild these bytes from a bundle.
fn canonical_body(request: &HashedRekord) -> anyhow::Result<String> {
    use anyhow::{Context as _, bail, ensure};
    use der::Decode as _;

    let decode = |text: &str, what: &str| BASE64_STANDARD.decode(text).with_context(|| format!("invalid {what}"));
    let digest = decode(&request.digest, "digest")?;
    ensure!(digest.len() == 32, "invalid digest: {} bytes", digest.len());
    let signature = decode(&request.signature.content, "signature")?;
    let Verifier { key_details, public_key, x509_certificate } = &request.signature.verifier;
    ensure!(key_details == P256, "unsupported signing algorithm {key_details}");
    let (key, name, raw) = match (public_key, x509_certificate) {
        (Some(key), None) => {
            (PublicKey::from_der(&decode(&key.raw_bytes, "public key")?)?, "publicKey", &key.raw_bytes)
        }
        (None, Some(certificate)) => {
            let der = decode(&certificate.raw_bytes, "certificate")?;
            let key = PublicKey::of(&Certificate::from_der(&der).context("invalid certificate")?)?;
            (key, "x509Certificate", &certificate.raw_bytes)
        }
        _ => bail!("must contain either a public key or X.509 certificate"),
    };
    key.verify_digest(&digest, &signature).context("verifying signature")?;
    let body = json!({
        "apiVersion": "0.0.2",
        "kind": "hashedrekord",
        "spec": { "hashedRekordV002": {
            "data": { "algorithm": "SHA2_256", "digest": request.digest },
            "signature": {
                "content": request.signature.content,
                "verifier": { "keyDetails": key_details, name: { "rawBytes": raw } },
            },
        } },
    });
    Ok(crate::canonical(&body))
}

/// An entry by a key that nobody keeps.
fn seed_body(text: &str) -> String {
    let key = EcdsaKey::generate();
    let request = HashedRekord {
        digest: BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())),
        signature: Signature {
            content: BASE64_STANDARD.encode(key.sign(text.as_bytes())),
            verifier: Verifier {
                key_details: P256.to_owned(),
                public_key: Some(RawBytes { raw_bytes: BASE64_STANDARD.encode(key.spki()) }),
                x509_certificate: None,
            },
        },
    };
    canonical_body(&request).expect("the sandbox signs its own entries")
}
