//! What requests are made of: keys, certificates, envelopes, and what is wrong with them.

use anyhow::{Context as _, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::digest::{SHA256, digest};
use sandbox::{EcdsaKey, GithubIdentity, Sandbox};
use serde_json::{Value, json};

use super::super::http;
use super::super::servers::{pem, unpem};

pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A key with a certificate that the sandbox issued: logs do not ask by whom.
pub(super) struct Signer {
    pub(super) key: EcdsaKey,
    /// DER.
    pub(super) certificate: Vec<u8>,
}

impl Signer {
    pub(super) fn new(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let identity = GithubIdentity::default();
        let key = EcdsaKey::generate();
        let body = public_key_request(&key, &identity.subject())?;
        let token = format!("Bearer {}", sandbox.github_token(&identity));
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let url = format!("{}/api/v2/signingCert", sandbox.fulcio_url());
        let answer = http::send("POST", &url, &headers, body.to_string().as_bytes())?;
        ensure!(answer.status == 200, "the sandbox's Fulcio answered {}", answer.status);
        let chain = &answer.json()?["signedCertificateEmbeddedSct"]["chain"]["certificates"];
        let leaf = chain[0].as_str().context("no certificate")?;
        let certificate = unpem(leaf)?.into_iter().next().context("no certificate in PEM")?;
        Ok(Self { key, certificate })
    }

    pub(super) fn certificate_pem(&self) -> anyhow::Result<String> {
        pem("CERTIFICATE", &self.certificate)
    }

    pub(super) fn key_pem(&self) -> anyhow::Result<String> {
        pem("PUBLIC KEY", &self.key.spki())
    }
}

/// A request for a certificate, without the token.
pub(super) fn public_key_request(key: &EcdsaKey, challenge: &str) -> anyhow::Result<Value> {
    Ok(json!({ "publicKeyRequest": {
        "publicKey": { "algorithm": "ECDSA", "content": pem("PUBLIC KEY", &key.spki())? },
        "proofOfPossession": base64(key.sign(challenge.as_bytes())),
    } }))
}

/// An envelope (DSSE) with one signature.
pub(super) fn envelope(key: &EcdsaKey, payload: &str) -> Value {
    json!({
        "payload": base64(payload),
        "payloadType": IN_TOTO,
        "signatures": [{ "sig": base64(key.sign(&encoding(payload))) }],
    })
}

/// What a signature of an envelope is over.
pub(super) fn encoding(payload: &str) -> Vec<u8> {
    format!("DSSEv1 {} {IN_TOTO} {} {payload}", IN_TOTO.len(), payload.len()).into_bytes()
}

/// A statement; the name makes it another one.
pub(super) fn statement(name: &str) -> String {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": name, "digest": { "sha256": hex(&sha256(name.as_bytes())) } }],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    });
    statement.to_string()
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A document with one member changed; the path has the form of RFC 6901.
pub(super) fn with(mut document: Value, path: &str, value: impl Into<Value>) -> anyhow::Result<Value> {
    *document.pointer_mut(path).with_context(|| format!("{path} is not in the document"))? = value.into();
    Ok(document)
}

/// A document without one member.
pub(super) fn without(mut document: Value, path: &str) -> anyhow::Result<Value> {
    let (parent, name) = path.rsplit_once('/').context("a path has a slash")?;
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut);
    let removed = parent.with_context(|| format!("{path} has no parent"))?.remove(name);
    removed.with_context(|| format!("{path} is not in the document"))?;
    Ok(document)
}
