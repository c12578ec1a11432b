//! Bundles over files and statements, signed once on a sandbox: by a certificate and by a managed key, in both versions of Rekor.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_oci::http::{self, Budget, HttpOptions};
use countersign_oci::{Digest, Secret};
use countersign_policy::Policy;
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::{Credentials, Services, SigningConfig};
use countersign_verifier::blob::{Artifact, ExpectedSigner, ManagedKey, VerifiedBlob};
use countersign_verifier::reason::Reason;
use countersign_verifier::{TrustedRoot, Verifier};
use jiff::SignedDuration;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use sandbox::{Clock, GithubIdentity, Options, RekorVersion, Sandbox};
use serde_json::{Value, json};
use sigstore_rekor::LogEntry;
use sigstore_types::{DerPublicKey, KindVersion};

use crate::time::{budget, budget_at};
use crate::world::now;

pub(crate) const FILE: &[u8] = b"a file\n";
pub(crate) const OTHER_FILE: &[u8] = b"another file\n";
pub(crate) const PREDICATE: &str = "https://example.com/predicate/v1";
/// SubjectPublicKeyInfo of a P-256 key up to the point (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// A `TimeStampReq` for a SHA-256 digest, up to the digest (RFC 3161).
const TIMESTAMP_PREFIX: [u8; 24] = [
    0x30, 0x36, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
    0x01, 0x05, 0x00, 0x04, 0x20,
];

/// What one version of Rekor logged, all with one certificate and one managed key.
pub(crate) struct Logged {
    pub(crate) file: Value,
    /// The same file, signed once more.
    pub(crate) file_again: Value,
    pub(crate) other_file: Value,
    pub(crate) statement: Value,
    pub(crate) statement_again: Value,
    /// A statement of the same subject, which says something else.
    pub(crate) other_statement: Value,
    pub(crate) by_key: Value,
}

pub(crate) struct Bundles {
    pub(crate) v1: Logged,
    pub(crate) v2: Logged,
    pub(crate) verifier: Verifier,
    pub(crate) trusted_root: Value,
    pub(crate) key: ManagedKey,
    pub(crate) key_pem: String,
    pub(crate) issuer: String,
}

pub(crate) static BUNDLES: LazyLock<Bundles> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(Bundles::sign())
});

impl Bundles {
    async fn sign() -> Self {
        let sandbox = Sandbox::start(Options::default()).unwrap();
        let root = TrustedRoot::from_json(sandbox.trusted_root(), "the sandbox").unwrap();
        let credentials = credentials(&sandbox, &services(&sandbox, RekorVersion::V1, budget())).await;
        let key = Key::generate();
        Self {
            v1: Logged::sign(&sandbox, RekorVersion::V1, &credentials, &key).await,
            v2: Logged::sign(&sandbox, RekorVersion::V2, &credentials, &key).await,
            verifier: Verifier::new(root).unwrap(),
            trusted_root: serde_json::from_str(sandbox.trusted_root()).unwrap(),
            key: ManagedKey::from_pem(&key.public.to_pem()).unwrap(),
            key_pem: key.public.to_pem(),
            issuer: sandbox.oidc_issuer(),
        }
    }

    pub(crate) fn both(&self) -> [&Logged; 2] {
        [&self.v1, &self.v2]
    }

    /// A policy that admits the signer of the sandbox.
    pub(crate) fn policy(&self, further: &str) -> Policy {
        let identity = GithubIdentity::default().subject_alternative_name();
        let text = format!(
            "version: 1\nsigners:\n  - name: release\n    issuer: {}\n    identity: {identity}\n{further}",
            self.issuer
        );
        Policy::from_yaml("test", &text).unwrap()
    }

    pub(crate) fn judge(&self, bundle: &Value, artifact: Artifact<'_>) -> Result<VerifiedBlob, Reason> {
        let policy = self.policy("");
        self.verifier.verify_blob(artifact, bundle.to_string().as_bytes(), ExpectedSigner::Policy(&policy), now())
    }

    pub(crate) fn judge_by_key(&self, bundle: &Value, key: &ManagedKey) -> Result<VerifiedBlob, Reason> {
        let signer = ExpectedSigner::ManagedKey(key);
        self.verifier.verify_blob(Artifact::Bytes(FILE), bundle.to_string().as_bytes(), signer, now())
    }
}

/// A file that was signed a quarter of an hour after its certificate was issued, and the trusted root of its sandbox.
pub(crate) async fn signed_too_late(rekor: RekorVersion) -> (Verifier, Value) {
    let start = now() - SignedDuration::from_hours(1);
    let late = Arc::new(AtomicBool::new(false));
    let time = {
        let late = Arc::clone(&late);
        move || start + SignedDuration::from_mins(if late.load(Ordering::Relaxed) { 15 } else { 0 })
    };
    let clock = Clock::from_fn(time);
    let options = Options { clock, valid_before_start: SignedDuration::from_hours(2), ..Options::default() };
    let sandbox = Sandbox::start(options).unwrap();
    // The signer does not notice how late it is, or it would sign with a new certificate.
    let services = services(&sandbox, rekor, budget_at(move || start));
    let credentials = credentials(&sandbox, &services).await;
    let certificate = credentials.certificate().await.unwrap();
    late.store(true, Ordering::Relaxed);
    let signed = services.sign_file(&credentials, FILE).await.unwrap();
    assert!(Arc::ptr_eq(&certificate, &credentials.certificate().await.unwrap()), "the certificate was renewed");
    let root = TrustedRoot::from_json(sandbox.trusted_root(), "the sandbox").unwrap();
    (Verifier::new(root).unwrap(), parse(&signed.json))
}

/// The bundle with something changed in it, which has to differ.
pub(crate) fn changed(bundle: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut changed = bundle.clone();
    change(&mut changed);
    assert_ne!(changed, *bundle, "nothing was changed");
    changed
}

pub(crate) fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

pub(crate) fn timestamps(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
}

/// The bundle as an older version writes it.
pub(crate) fn as_version(bundle: &Value, version: &str) -> Value {
    changed(bundle, |bundle| {
        bundle["mediaType"] = json!(format!("application/vnd.dev.sigstore.bundle+json;version={version}"));
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        if let Some(certificate) = material.remove("certificate") {
            material.insert("x509CertificateChain".to_owned(), json!({ "certificates": [certificate] }));
        }
    })
}

pub(crate) fn statement(subject: &[u8], says: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "file.txt", "digest": {"sha256": Digest::of(subject).hex()}}],
        "predicateType": PREDICATE,
        "predicate": {"says": says},
    })
}

impl Logged {
    async fn sign(sandbox: &Sandbox, rekor: RekorVersion, credentials: &Credentials, key: &Key) -> Self {
        let services = services(sandbox, rekor, budget());
        let file = async |bytes: &[u8]| parse(&services.sign_file(credentials, bytes).await.unwrap().json);
        let statement = async |says: &str| {
            let statement = statement(FILE, says).to_string();
            parse(&services.sign(credentials, statement.as_bytes()).await.unwrap().json)
        };
        let by_key = match rekor {
            RekorVersion::V1 => key.sign_v1(sandbox).await,
            _ => key.sign_v2(sandbox).await,
        };
        Self {
            file: file(FILE).await,
            file_again: file(FILE).await,
            other_file: file(OTHER_FILE).await,
            statement: statement("yes").await,
            statement_again: statement("yes").await,
            other_statement: statement("no").await,
            by_key,
        }
    }
}

fn services(sandbox: &Sandbox, rekor: RekorVersion, budget: Budget) -> Services {
    let config = SigningConfig::from_json(sandbox.signing_config(rekor), "the sandbox").unwrap();
    Services::new(config.select(now()).unwrap(), &HttpOptions::default(), budget).unwrap()
}

async fn credentials(sandbox: &Sandbox, services: &Services) -> Credentials {
    let token = Secret::new(sandbox.github_token(&GithubIdentity::default()));
    let identity = IdentitySource::Token { origin: "the test", token };
    Credentials::new(services, &identity).await.unwrap()
}

fn parse(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

/// A managed key, and a file signed with it.
struct Key {
    public: DerPublicKey,
    signature: Vec<u8>,
}

impl Key {
    fn generate() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        let public = DerPublicKey::new([SPKI_PREFIX.as_slice(), pair.public_key().as_ref()].concat());
        Self { public, signature: pair.sign(&random, FILE).unwrap().as_ref().to_vec() }
    }

    async fn sign_v1(&self, sandbox: &Sandbox) -> Value {
        let proposal = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": Digest::of(FILE).hex()}},
            "signature": {
                "content": STANDARD.encode(&self.signature),
                "publicKey": {"content": STANDARD.encode(self.public.to_pem())},
            },
        }});
        let url = format!("{}/api/v1/log/entries", sandbox.rekor_v1_url());
        let entries: HashMap<String, LogEntry> = serde_json::from_slice(&post(&url, &proposal).await).unwrap();
        let entry = entries.into_values().next().unwrap().to_bundle_entry(KindVersion::HashedRekordV001).unwrap();
        self.bundle(serde_json::to_value(entry).unwrap(), json!([]))
    }

    async fn sign_v2(&self, sandbox: &Sandbox) -> Value {
        let request = json!({"hashedRekordRequestV002": {
            "digest": STANDARD.encode(Digest::of(FILE).bytes()),
            "signature": {"content": STANDARD.encode(&self.signature), "verifier": {
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "publicKey": {"rawBytes": self.public.to_base64()},
            }},
        }});
        let url = format!("{}/api/v2/log/entries", sandbox.rekor_v2_url());
        let mut entry = parse(&post(&url, &request).await);
        let entry_members = entry.as_object_mut().unwrap();
        entry_members.remove("inclusionPromise");
        entry_members.remove("integratedTime");
        let query = [TIMESTAMP_PREFIX.as_slice(), Digest::of(&self.signature).bytes()].concat();
        let stamp = send(&timestamp_url(sandbox), "application/timestamp-query", query).await;
        self.bundle(entry, json!([{ "signedTimestamp": STANDARD.encode(stamp) }]))
    }

    fn bundle(&self, entry: Value, timestamps: Value) -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "publicKey": {"hint": "the key of the test"},
                "tlogEntries": [entry],
                "timestampVerificationData": {"rfc3161Timestamps": timestamps},
            },
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(Digest::of(FILE).bytes())},
                "signature": STANDARD.encode(&self.signature),
            },
        })
    }
}

fn timestamp_url(sandbox: &Sandbox) -> String {
    let config = parse(sandbox.signing_config(RekorVersion::V2).as_bytes());
    config["tsaUrls"][0]["url"].as_str().unwrap().to_owned()
}

async fn post(url: &str, document: &Value) -> Vec<u8> {
    send(url, "application/json", document.to_string().into_bytes()).await
}

async fn send(url: &str, content_type: &str, body: Vec<u8>) -> Vec<u8> {
    let client = http::client(&HttpOptions::default()).unwrap();
    let answer = client.post(url).header("content-type", content_type).body(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.bytes().await.unwrap().to_vec()
}
