//! One time of a Sigstore instance: its keys, and an image that was signed with them.

use bytes::Bytes;
use countersign_oci::http::HttpOptions;
use countersign_oci::{Digest, ImageReference, Registry, RegistryOptions, Secret};
use countersign_policy::Policy;
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::{Services, SigningConfig};
use countersign_signer::{SignRequest, Signer};
use countersign_verifier::{Asked, Evidence, TrustedRoot, Verdict, Verifier};
use jiff::Timestamp;
use sandbox::image::{self, ImageSpec};
use sandbox::{Clock, GithubIdentity, Keys, Options, RekorVersion, Sandbox};
use serde_json::{Value, json};

use crate::time::budget_at;
use crate::world::outcome;

/// Both generations of the log.
pub(crate) const GENERATIONS: [RekorVersion; 2] = [RekorVersion::V1, RekorVersion::V2];

/// An image that was signed at one time, once for each generation of the log.
pub(crate) struct Epoch {
    pub(crate) sandbox: Sandbox,
    pub(crate) signed: Timestamp,
    pub(crate) asked: Asked,
    pub(crate) bundles: [Bytes; 2],
}

impl Epoch {
    /// New keys, and an image that was signed with them when the clock said `at`.
    pub(crate) async fn at(at: Timestamp) -> Self {
        Self::with(at, Keys::generate()).await
    }

    pub(crate) async fn with(at: Timestamp, keys: Keys) -> Self {
        let sandbox = Sandbox::start(Options { clock: Clock::fixed(at), keys, ..Options::default() }).unwrap();
        let (first, v1) = sign(&sandbox, "one", RekorVersion::V1, at).await;
        let (asked, v2) = sign(&sandbox, "two", RekorVersion::V2, at).await;
        assert_eq!(first.reference.digest(), asked.reference.digest(), "the same image in two places");
        Self { sandbox, signed: at, asked, bundles: [v1, v2] }
    }

    pub(crate) fn root(&self) -> Value {
        serde_json::from_str(self.sandbox.trusted_root()).unwrap()
    }

    pub(crate) fn policy(&self) -> Policy {
        let identity = GithubIdentity::default().subject_alternative_name();
        let issuer = self.sandbox.oidc_issuer();
        let text = format!("version: 1\nsigners:\n  - name: release\n    issuer: {issuer}\n    identity: {identity}\n");
        Policy::from_yaml("test", &text).unwrap()
    }

    /// What a verifier says that believes this root, at this time.
    pub(crate) fn judge(&self, root: &Value, rekor: RekorVersion, now: Timestamp) -> (&'static str, String) {
        let root = TrustedRoot::from_json(&root.to_string(), "the test").unwrap();
        outcome(&self.verdict(&Verifier::new(root).unwrap(), rekor, now))
    }

    pub(crate) fn verdict(&self, verifier: &Verifier, rekor: RekorVersion, now: Timestamp) -> Verdict {
        let bundle = self.bundles[usize::from(rekor == RekorVersion::V2)].clone();
        let asked = Asked { reference: self.asked.reference.clone(), tag: None };
        verifier.verify(&asked, &Evidence::from_bundles([bundle]), &self.policy(), now).unwrap()
    }
}

async fn sign(sandbox: &Sandbox, name: &str, rekor: RekorVersion, at: Timestamp) -> (Asked, Bytes) {
    let image = image::multi_platform(&ImageSpec::with_run_script("#!/bin/sh\necho epoch\n", Vec::new()));
    image.push(sandbox.registry(), name, "v1");
    let reference: ImageReference = format!("{}/{name}:v1", sandbox.registry().host()).parse().unwrap();
    let root = TrustedRoot::from_json(sandbox.trusted_root(), "the sandbox").unwrap();
    let config = SigningConfig::from_json(sandbox.signing_config(rekor), "the sandbox").unwrap();
    let services = Services::new(config.select(at).unwrap(), &HttpOptions::default(), budget_at(move || at)).unwrap();
    let token = Secret::new(sandbox.github_token(&GithubIdentity::default()));
    let signer = Signer {
        registry: Registry::new(RegistryOptions::default()).unwrap(),
        services,
        identity: IdentitySource::Token { origin: "the test", token },
        verifier: Verifier::new(root).unwrap().into(),
    };
    signer.sign(&SignRequest::new(vec![reference.clone()])).await.unwrap();
    let registry = sandbox.registry();
    let digest: Digest = image.digest().parse().unwrap();
    let referrer = registry.referrers(name, image.digest())[0]["digest"].as_str().unwrap().to_owned();
    let manifest: Value = serde_json::from_slice(&registry.get_manifest(name, &referrer).unwrap().bytes).unwrap();
    let bundle = registry.get_blob(manifest["layers"][0]["digest"].as_str().unwrap()).unwrap();
    (Asked { reference: reference.repository().pin(digest), tag: None }, bundle)
}

/// The authorities whose windows a story moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Fulcio,
    Ct,
    Rekor(RekorVersion),
    Tsa,
}

/// The root with another window for one authority.
pub(crate) fn window(root: &Value, of: Of, start: Timestamp, end: Option<Timestamp>) -> Value {
    let mut root = root.clone();
    let mut window = json!({ "start": start });
    if let Some(end) = end {
        window["end"] = json!(end);
    }
    match of {
        Of::Fulcio => root["certificateAuthorities"][0]["validFor"] = window,
        Of::Ct => root["ctlogs"][0]["publicKey"]["validFor"] = window,
        Of::Rekor(RekorVersion::V1) => root["tlogs"][0]["publicKey"]["validFor"] = window,
        Of::Rekor(_) => root["tlogs"][1]["publicKey"]["validFor"] = window,
        Of::Tsa => root["timestampAuthorities"][0]["validFor"] = window,
    }
    root
}

/// One root that has the authorities of both, as an instance has after it rotated all its keys.
pub(crate) fn both(old: &Value, new: &Value) -> Value {
    let mut root = old.clone();
    for part in ["certificateAuthorities", "ctlogs", "tlogs", "timestampAuthorities"] {
        let further = new[part].as_array().unwrap().clone();
        root[part].as_array_mut().unwrap().extend(further);
    }
    root
}
