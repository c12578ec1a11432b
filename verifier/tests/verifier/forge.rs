//! Image signatures made by hand on a sandbox: with a statement, a time and evidence that an honest signer would not choose.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign_oci::http::{self, HttpOptions};
use countersign_oci::{Digest, PinnedReference, Secret};
use countersign_policy::Policy;
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::{Credentials, Services, SigningConfig};
use countersign_verifier::{Asked, Evidence, TrustedRoot, Verdict, VerifiedImage, Verifier};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Clock, GithubIdentity, Keys, Options, RekorVersion, Sandbox};
use serde_json::{Value, json};

use crate::time::budget_at;
use crate::world::now;

pub(crate) const REPOSITORY: &str = "registry.example/octo/app";
/// A `TimeStampReq` for a SHA-256 digest, up to the digest (RFC 3161).
const TIMESTAMP_PREFIX: [u8; 24] = [
    0x30, 0x36, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
    0x01, 0x05, 0x00, 0x04, 0x20,
];

/// A sandbox whose keys are known and whose clock stands still until it is turned.
pub(crate) struct Forge {
    pub(crate) sandbox: Sandbox,
    pub(crate) verifier: Verifier,
    pub(crate) keys: Keys,
    pub(crate) start: Timestamp,
    seconds: Arc<AtomicI64>,
}

impl Forge {
    pub(crate) fn start() -> Self {
        Self::start_with(SignedDuration::from_hours(1))
    }

    /// Begins two hours ago, with authorities that are so old by then.
    pub(crate) fn start_with(valid_before_start: SignedDuration) -> Self {
        let start = Timestamp::from_second(now().as_second() - 7_200).unwrap();
        let seconds = Arc::new(AtomicI64::new(0));
        let turned = Arc::clone(&seconds);
        let clock = Clock::from_fn(move || start + SignedDuration::from_secs(turned.load(Ordering::Relaxed)));
        let keys = Keys::generate();
        let options = Options { clock, keys: keys.clone(), valid_before_start, ..Options::default() };
        let sandbox = Sandbox::start(options).unwrap();
        let verifier = verifier_of(&root_of(&sandbox));
        Self { sandbox, verifier, keys, start, seconds }
    }

    /// Turns the clock of the services to so many seconds after the start.
    pub(crate) fn turn(&self, seconds: i64) {
        self.seconds.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn root(&self) -> Value {
        root_of(&self.sandbox)
    }

    /// A certificate for an identity, with a key of its own.
    pub(crate) async fn hand(&self, identity: &GithubIdentity) -> Credentials {
        self.hand_with(self.sandbox.github_token(identity)).await
    }

    /// A certificate for whoever an identity token stands for.
    pub(crate) async fn hand_with(&self, token: String) -> Credentials {
        let source = IdentitySource::Token { origin: "the test", token: Secret::new(token) };
        let hand = Credentials::new(&self.services(RekorVersion::V1), &source).await.unwrap();
        // Now, and not when something is signed.
        hand.certificate().await.unwrap();
        hand
    }

    /// Signs, logs and stamps a payload. The signer does not notice that the clock was turned.
    pub(crate) async fn sign(&self, hand: &Credentials, rekor: RekorVersion, payload: &[u8]) -> Value {
        let signed = self.services(rekor).sign(hand, payload).await.unwrap();
        serde_json::from_slice(&signed.json).unwrap()
    }

    /// A timestamp of a signature, at the time of the clock.
    pub(crate) async fn stamp(&self, signature: &[u8]) -> Vec<u8> {
        let config: Value = serde_json::from_str(self.sandbox.signing_config(RekorVersion::V2)).unwrap();
        let url = config["tsaUrls"][0]["url"].as_str().unwrap();
        let query = [TIMESTAMP_PREFIX.as_slice(), Digest::of(signature).bytes()].concat();
        let client = http::client(&HttpOptions::default()).unwrap();
        let request = client.post(url).header("content-type", "application/timestamp-query").body(query);
        request.send().await.unwrap().bytes().await.unwrap().to_vec()
    }

    /// What Rekor v1 would answer for a body that it never logged, in a log of its own with nothing else in it.
    pub(crate) fn log_v1(&self, body: &str, time: Timestamp) -> Value {
        let leaf = Digest::of(&[&[0], body.as_bytes()].concat());
        let id = Digest::of(&self.keys.rekor_v1.spki());
        let (body, root) = (STANDARD.encode(body), STANDARD.encode(leaf.bytes()));
        let promised =
            json!({"body": body, "integratedTime": time.as_second(), "logID": id.hex(), "logIndex": 0}).to_string();
        let note = note(&format!("127.0.0.1 - 1\n1\n{root}\n"), "127.0.0.1", &id.bytes()[..4], |text| {
            self.keys.rekor_v1.sign(text)
        });
        json!({
            "logIndex": "0",
            "logId": {"keyId": STANDARD.encode(id.bytes())},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": time.as_second().to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(self.keys.rekor_v1.sign(promised.as_bytes()))},
            "inclusionProof": {
                "logIndex": "0", "rootHash": root, "treeSize": "1", "hashes": [], "checkpoint": {"envelope": note},
            },
            "canonicalizedBody": body,
        })
    }

    pub(crate) fn policy(&self, further: &str) -> Policy {
        let identity = GithubIdentity::default().subject_alternative_name();
        let issuer = self.sandbox.oidc_issuer();
        let text = format!(
            "version: 1\nsigners:\n  - name: release\n    issuer: {issuer}\n    identity: {identity}\n{further}"
        );
        Policy::from_yaml("test", &text).unwrap()
    }

    pub(crate) fn judge(&self, bundle: &Value) -> Result<VerifiedImage, String> {
        judge(&self.verifier, &self.policy(""), &[bundle])
    }

    fn services(&self, rekor: RekorVersion) -> Services {
        let config = SigningConfig::from_json(self.sandbox.signing_config(rekor), "the sandbox").unwrap();
        let start = self.start;
        Services::new(config.select(now()).unwrap(), &HttpOptions::default(), budget_at(move || start)).unwrap()
    }
}

pub(crate) fn root_of(sandbox: &Sandbox) -> Value {
    serde_json::from_str(sandbox.trusted_root()).unwrap()
}

pub(crate) fn verifier_of(root: &Value) -> Verifier {
    Verifier::new(TrustedRoot::from_json(&root.to_string(), "the test").unwrap()).unwrap()
}

/// The image, or the code of the answer.
pub(crate) fn judge(verifier: &Verifier, policy: &Policy, bundles: &[&Value]) -> Result<VerifiedImage, String> {
    judge_asked(verifier, policy, &asked(None), bundles)
}

pub(crate) fn judge_asked(
    verifier: &Verifier,
    policy: &Policy,
    asked: &Asked,
    bundles: &[&Value],
) -> Result<VerifiedImage, String> {
    let bytes = bundles.iter().map(|bundle| Bytes::from(bundle.to_string()));
    judge_bytes(verifier, policy, asked, bytes)
}

pub(crate) fn judge_bytes(
    verifier: &Verifier,
    policy: &Policy,
    asked: &Asked,
    bundles: impl IntoIterator<Item = Bytes>,
) -> Result<VerifiedImage, String> {
    let verdict = verifier.verify(asked, &Evidence::from_bundles(bundles), policy, now()).unwrap();
    let code = countersign_verifier::report::document(&verdict).error.map(|error| error.code.to_owned());
    match verdict {
        Verdict::Verified(image, _) => Ok(image),
        _ => Err(code.unwrap()),
    }
}

/// The image that all forged signatures are about.
pub(crate) fn image() -> Digest {
    Digest::of(b"an image index")
}

pub(crate) fn asked(tag: Option<&str>) -> Asked {
    let reference = PinnedReference::new(REPOSITORY.parse().unwrap(), image());
    Asked { reference, tag: tag.map(|tag| tag.parse().unwrap()) }
}

pub(crate) fn subject(repository: &str, digest: Digest, tags: &str) -> Value {
    json!({
        "name": format!("{repository}@{digest}"), "digest": {"sha256": digest.hex()},
        "annotations": {"dev.countersign.tags": tags},
    })
}

pub(crate) fn statement(subjects: &[Value]) -> Vec<u8> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": subjects,
        "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {},
    });
    statement.to_string().into_bytes()
}

/// A checkpoint over this text, signed under this name.
pub(crate) fn note(text: &str, name: &str, hint: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let line = STANDARD.encode([hint, &sign(text.as_bytes())].concat());
    format!("{text}\n\u{2014} {name} {line}\n")
}

pub(crate) fn decode(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}
