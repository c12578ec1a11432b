//! End to end: bundles made of the sandbox's answers, verified by the Rust Sigstore library against the sandbox's trusted root.

use std::sync::OnceLock;

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use sandbox::{GithubIdentity, Keys, Sandbox};
use serde_json::{Value, json};
use sigstore_crypto::provider::{CryptoProvider, HashContext, install_default_provider};
use sigstore_crypto::{Error, SigningScheme};
use sigstore_types::{Bundle, HashAlgorithm, Sha256Hash, SignatureBytes};
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::{VerificationPolicy, Verifier};

use crate::support::*;

const ARTIFACT: &[u8] = b"an image index";

#[tokio::test]
async fn a_bundle_with_rekor_v1_verifies() {
    let sandbox = start();
    let bundle = bundle_v1(&sandbox, &Signer::github(&sandbox).await, ARTIFACT).await;
    let verified = verify(&sandbox, &bundle, ARTIFACT).unwrap();
    assert!(verified.certificate_verified() && verified.sct_verified() && verified.tlog_verified());
    let claims = &verified.certificate().unwrap().ci_claims;
    assert_eq!(claims.source_repository_uri.as_deref(), Some("https://github.com/octo/app"));
    assert_eq!(claims.runner_environment.as_deref(), Some("github-hosted"));
}

#[tokio::test]
async fn a_bundle_with_rekor_v2_verifies() {
    let sandbox = start();
    let bundle = bundle_v2(&sandbox, &Signer::github(&sandbox).await, ARTIFACT).await;
    let verified = verify(&sandbox, &bundle, ARTIFACT).unwrap();
    assert!(verified.certificate_verified() && verified.sct_verified() && verified.tlog_verified());
    assert_eq!(verified.verified_timestamps().len(), 1);
}

#[tokio::test]
async fn a_bundle_of_an_email_identity_without_leaf_index_verifies() {
    let sandbox = start_with(|options| options.sct_leaf_index = false);
    let token = sandbox.email_token("mona@example.com");
    let signer = Signer::of(&sandbox, &token, "mona@example.com").await;
    let bundle = bundle_v1(&sandbox, &signer, ARTIFACT).await;
    let policy = VerificationPolicy::any_identity().require_issuer(sandbox.email_issuer());
    let verified = verify_with(&sandbox, &bundle, ARTIFACT, &policy).unwrap();
    assert_eq!(verified.identity().map(ToString::to_string).as_deref(), Some("mona@example.com"));
}

#[tokio::test]
async fn a_bundle_for_another_artifact_is_rejected() {
    let sandbox = start();
    let bundle = bundle_v1(&sandbox, &Signer::github(&sandbox).await, ARTIFACT).await;
    assert!(verify(&sandbox, &bundle, b"another index").is_err());
}

#[tokio::test]
async fn the_trusted_root_of_another_sandbox_rejects_the_bundle() {
    let sandbox = start();
    let bundle = bundle_v2(&sandbox, &Signer::github(&sandbox).await, ARTIFACT).await;
    assert!(verify(&start(), &bundle, ARTIFACT).is_err());
}

#[tokio::test]
async fn evidence_of_other_keys_is_rejected() {
    let sandbox = start();
    let signer = Signer::github(&sandbox).await;
    for swap in [
        |keys: &mut Keys, new: Keys| keys.ct = new.ct,
        |keys: &mut Keys, new: Keys| keys.rekor_v1 = new.rekor_v1,
        |keys: &mut Keys, new: Keys| keys.tsa = new.tsa,
        |keys: &mut Keys, new: Keys| keys.fulcio_intermediate = new.fulcio_intermediate,
    ] {
        let bundle = bundle_v1(&sandbox, &signer, ARTIFACT).await;
        let other = start_with(|options| swap(&mut options.keys, Keys::generate()));
        assert!(verify(&other, &bundle, ARTIFACT).is_err());
    }
}

#[tokio::test]
async fn a_changed_time_or_proof_is_rejected() {
    let sandbox = start();
    let bundle = bundle_v1(&sandbox, &Signer::github(&sandbox).await, ARTIFACT).await;
    let entry = |bundle: &mut Value| bundle["verificationMaterial"]["tlogEntries"][0].take();
    let original = entry(&mut bundle.clone());
    let mut later = original.clone();
    let time: i64 = original["integratedTime"].as_str().unwrap().parse().unwrap();
    later["integratedTime"] = json!((time - 1).to_string());
    let mut unproven = original.clone();
    unproven["inclusionProof"]["hashes"][0] = json!(base64([7; 32]));
    for changed in [later, unproven] {
        let mut bundle = bundle.clone();
        bundle["verificationMaterial"]["tlogEntries"][0] = changed;
        assert!(verify(&sandbox, &bundle, ARTIFACT).is_err());
    }
}

#[tokio::test]
async fn many_entries_later_every_proof_verifies() {
    let sandbox = start();
    let signer = Signer::github(&sandbox).await;
    for number in 0_u8..12 {
        let artifact = [number];
        verify(&sandbox, &bundle_v1(&sandbox, &signer, &artifact).await, &artifact).unwrap();
        verify(&sandbox, &bundle_v2(&sandbox, &signer, &artifact).await, &artifact).unwrap();
    }
}

async fn bundle_v1(sandbox: &Sandbox, signer: &Signer, artifact: &[u8]) -> Value {
    let envelope = envelope(&signer.key, &statement(&sha256(artifact)));
    let url = format!("{}/api/v1/log/entries", sandbox.rekor_v1_url());
    let response = post(&url, &dsse_entry(&envelope.document, &signer.leaf)).await;
    assert_eq!(response.status(), 201);
    let answer: Value = response.json().await.unwrap();
    let entry = answer.as_object().unwrap().values().next().unwrap();
    let proof = &entry["verification"]["inclusionProof"];
    let entry = json!({
        "logIndex": entry["logIndex"].to_string(),
        "logId": { "keyId": base64(unhex(&entry["logID"])) },
        "kindVersion": { "kind": "dsse", "version": "0.0.1" },
        "integratedTime": entry["integratedTime"].to_string(),
        "inclusionPromise": { "signedEntryTimestamp": entry["verification"]["signedEntryTimestamp"] },
        "inclusionProof": {
            "logIndex": proof["logIndex"].to_string(),
            "rootHash": base64(unhex(&proof["rootHash"])),
            "treeSize": proof["treeSize"].to_string(),
            "hashes": proof["hashes"].as_array().unwrap().iter().map(|hash| base64(unhex(hash))).collect::<Vec<_>>(),
            "checkpoint": { "envelope": proof["checkpoint"] },
        },
        "canonicalizedBody": entry["body"],
    });
    bundle(sandbox, signer, &envelope, &entry).await
}

async fn bundle_v2(sandbox: &Sandbox, signer: &Signer, artifact: &[u8]) -> Value {
    let envelope = envelope(&signer.key, &statement(&sha256(artifact)));
    let url = format!("{}/api/v2/log/entries", sandbox.rekor_v2_url());
    let proposal = hashedrekord_v2(&sha256(&envelope.encoding), &envelope.signature, &signer.leaf);
    let response = post(&url, &proposal).await;
    assert_eq!(response.status(), 201);
    let mut entry: Value = response.json().await.unwrap();
    entry.as_object_mut().unwrap().remove("inclusionPromise");
    bundle(sandbox, signer, &envelope, &entry).await
}

async fn bundle(sandbox: &Sandbox, signer: &Signer, envelope: &Envelope, entry: &Value) -> Value {
    provider();
    let tsa =
        sigstore_tsa::TimestampClient::builder(sandbox.tsa_url()).with_http_client(http().clone()).build().unwrap();
    let signature = SignatureBytes::new(envelope.signature.clone());
    let timestamp = tsa.timestamp_signature(&signature).await.unwrap();
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": { "rawBytes": base64(&signer.leaf) },
            "tlogEntries": [entry],
            "timestampVerificationData": { "rfc3161Timestamps": [{ "signedTimestamp": base64(timestamp.as_bytes()) }] },
        },
        "dsseEnvelope": envelope.document,
    })
}

fn verify(
    sandbox: &Sandbox,
    bundle: &Value,
    artifact: &[u8],
) -> Result<sigstore_verify::VerificationResult, sigstore_verify::Error> {
    let identity = GithubIdentity::default().subject_alternative_name();
    let identity = sigstore_verify::SubjectAltName::Uri(identity);
    let policy = VerificationPolicy::new(identity, sandbox.oidc_issuer());
    verify_with(sandbox, bundle, artifact, &policy)
}

fn verify_with(
    sandbox: &Sandbox,
    bundle: &Value,
    artifact: &[u8],
    policy: &VerificationPolicy,
) -> Result<sigstore_verify::VerificationResult, sigstore_verify::Error> {
    provider();
    let verifier = Verifier::new(&TrustedRoot::from_json(sandbox.trusted_root()).unwrap()).unwrap();
    let digest = Sha256Hash::new(sha256(artifact).try_into().unwrap());
    verifier.verify(digest, &Bundle::from_json(&bundle.to_string()).unwrap(), policy)
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Makes ring the crypto provider of the library; verification of DSSE bundles needs no other.
pub(crate) fn provider() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let _ = install_default_provider(&Ring);
    });
}

#[derive(Debug)]
struct Ring;

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
        let algorithm = match algorithm {
            HashAlgorithm::Sha2256 => &ring::digest::SHA256,
            HashAlgorithm::Sha2384 => &ring::digest::SHA384,
            HashAlgorithm::Sha2512 => &ring::digest::SHA512,
            other => return Err(Error::UnsupportedAlgorithm(other.to_string())),
        };
        Ok(Box::new(Hash(ring::digest::Context::new(algorithm))))
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<(), Error> {
        let algorithm: &'static dyn VerificationAlgorithm = match scheme {
            SigningScheme::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
            SigningScheme::Ed25519 => &signature::ED25519,
            other => return Err(Error::UnsupportedAlgorithm(other.name().to_owned())),
        };
        let key = UnparsedPublicKey::new(algorithm, key);
        key.verify(data, signature).map_err(|_| Error::Verification("the signature does not verify".to_owned()))
    }

    fn verify_prehashed(&self, scheme: SigningScheme, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), Error> {
        Err(Error::UnsupportedAlgorithm(format!("{} over a digest", scheme.name())))
    }
}

struct Hash(ring::digest::Context);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}
