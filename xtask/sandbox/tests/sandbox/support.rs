//! A client of the services, by hand: what a signer does, one step at a time.

use std::sync::OnceLock;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use reqwest::{Client, Response, redirect};
use sandbox::{EcdsaKey, Options, Sandbox};
use serde_json::{Value, json};

pub(crate) fn start() -> Sandbox {
    start_with(|_| ())
}

pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Sandbox {
    let mut options = Options::default();
    change(&mut options);
    Sandbox::start(options).unwrap()
}

/// A client that follows no redirect and waits for nobody. One for all tests, as making it reads the system's certificates; each
/// test has its own runtime, so no connection is kept.
pub(crate) fn http() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_secs(20);
        let builder = Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(timeout);
        builder.pool_max_idle_per_host(0).build().unwrap()
    })
}

pub(crate) async fn get(url: &str) -> Response {
    http().get(url).send().await.unwrap()
}

pub(crate) async fn post(url: &str, body: &Value) -> Response {
    http().post(url).json(body).send().await.unwrap()
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

pub(crate) fn unbase64(text: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).unwrap()
}

pub(crate) fn unpem(text: &str) -> Vec<u8> {
    der::pem::decode_vec(text.trim().as_bytes()).unwrap().1
}

/// The body of a request for a certificate.
pub(crate) fn certificate_request(token: &str, key: &EcdsaKey, challenge: &str) -> Value {
    json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": pem("PUBLIC KEY", &key.spki()) },
            "proofOfPossession": base64(key.sign(challenge.as_bytes())),
        },
    })
}

/// A key with a certificate of the sandbox.
pub(crate) struct Signer {
    pub(crate) key: EcdsaKey,
    /// DER.
    pub(crate) leaf: Vec<u8>,
}

impl Signer {
    /// The release workflow of `octo/app`.
    pub(crate) async fn github(sandbox: &Sandbox) -> Signer {
        let identity = sandbox::GithubIdentity::default();
        Signer::of(sandbox, &sandbox.github_token(&identity), &identity.subject()).await
    }

    pub(crate) async fn of(sandbox: &Sandbox, token: &str, challenge: &str) -> Signer {
        let key = EcdsaKey::generate();
        let url = format!("{}/api/v2/signingCert", sandbox.fulcio_url());
        let response = post(&url, &certificate_request(token, &key, challenge)).await;
        assert_eq!(response.status(), 200);
        let answer: Value = response.json().await.unwrap();
        let leaf = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"][0];
        Signer { key, leaf: unpem(leaf.as_str().unwrap()) }
    }
}

/// A DSSE envelope with one signature.
pub(crate) struct Envelope {
    pub(crate) document: Value,
    pub(crate) signature: Vec<u8>,
    /// What was signed.
    pub(crate) encoding: Vec<u8>,
}

pub(crate) const IN_TOTO: &str = "application/vnd.in-toto+json";

pub(crate) fn envelope(key: &EcdsaKey, payload: &[u8]) -> Envelope {
    let encoding = [format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), payload.len()).as_bytes(), payload].concat();
    let signature = key.sign(&encoding);
    let document = json!({
        "payload": base64(payload),
        "payloadType": IN_TOTO,
        "signatures": [{ "sig": base64(&signature) }],
    });
    Envelope { document, signature, encoding }
}

/// A statement about a digest.
pub(crate) fn statement(digest: &[u8]) -> Vec<u8> {
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "octo/app", "digest": { "sha256": hex } }],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    });
    statement.to_string().into_bytes()
}

/// A proposal for Rekor v1.
pub(crate) fn dsse_entry(envelope: &Value, verifier: &[u8]) -> Value {
    json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": { "proposedContent": {
            "envelope": envelope.to_string(),
            "verifiers": [base64(pem("CERTIFICATE", verifier))],
        } },
    })
}

/// A proposal for Rekor v2.
pub(crate) fn hashedrekord_v2(digest: &[u8], signature: &[u8], certificate: &[u8]) -> Value {
    json!({ "hashedRekordRequestV002": {
        "digest": base64(digest),
        "signature": {
            "content": base64(signature),
            "verifier": {
                "x509Certificate": { "rawBytes": base64(certificate) },
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            },
        },
    } })
}
