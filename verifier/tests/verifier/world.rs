//! A sandbox, what was signed on it, and a verifier that believes it.

use std::sync::Arc;
use std::time::Duration;

use countersign_oci::http::HttpOptions;
use countersign_oci::{ImageReference, PinnedReference, Registry, RegistryOptions, Secret};
use countersign_policy::Policy;
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::{Services, SigningConfig};
use countersign_signer::{SignRequest, Signer};
use countersign_verifier::{Asked, Error, TrustedRoot, Verdict, Verifier};
use jiff::Timestamp;
use sandbox::image::{self, Image, ImageSpec};
use sandbox::{GithubIdentity, Options, RekorVersion, Sandbox};

use crate::time::budget;

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) registry: Registry,
    pub(crate) verifier: Arc<Verifier>,
}

impl World {
    pub(crate) fn start(options: Options) -> Self {
        let mut patience = RegistryOptions::default();
        // Tests of failures must not wait for repetitions that real networks need.
        patience.retry.attempts = 1;
        patience.idle_timeout = Duration::from_secs(2);
        patience.total_timeout = Duration::from_secs(5);
        Self::start_with(options, patience)
    }

    /// Waits for the registry as the command does.
    pub(crate) fn start_patiently(options: Options) -> Self {
        Self::start_with(options, RegistryOptions::default())
    }

    fn start_with(sandbox: Options, options: RegistryOptions) -> Self {
        let sandbox = Sandbox::start(sandbox).unwrap();
        let root = TrustedRoot::from_json(sandbox.trusted_root(), "the sandbox").unwrap();
        Self { registry: Registry::new(options).unwrap(), verifier: Arc::new(Verifier::new(root).unwrap()), sandbox }
    }

    pub(crate) fn push(&self, name: &str) -> (Image, ImageReference) {
        let script = format!("#!/bin/sh\necho {name}\n");
        let image = image::multi_platform(&ImageSpec::with_run_script(&script, Vec::new()));
        image.push(self.sandbox.registry(), name, "v1");
        (image, format!("{}/{name}:v1", self.sandbox.registry().host()).parse().unwrap())
    }

    pub(crate) async fn sign(&self, reference: &ImageReference, rekor: RekorVersion) {
        self.sign_as(reference, rekor, &GithubIdentity::default()).await;
    }

    pub(crate) async fn sign_as(&self, reference: &ImageReference, rekor: RekorVersion, identity: &GithubIdentity) {
        self.sign_with(reference, rekor, identity, false).await;
    }

    /// Signs what is named and nothing inside it.
    pub(crate) async fn sign_alone(&self, reference: &ImageReference) {
        self.sign_with(reference, RekorVersion::V1, &GithubIdentity::default(), true).await;
    }

    async fn sign_with(
        &self,
        reference: &ImageReference,
        rekor: RekorVersion,
        identity: &GithubIdentity,
        index_only: bool,
    ) {
        let config = SigningConfig::from_json(self.sandbox.signing_config(rekor), "the sandbox").unwrap();
        let selection = config.select(now()).unwrap();
        let token = Secret::new(self.sandbox.github_token(identity));
        let signer = Signer {
            registry: self.registry.clone(),
            services: Services::new(selection, &HttpOptions::default(), budget()).unwrap(),
            identity: IdentitySource::Token { origin: "the test", token },
            verifier: self.verifier.clone(),
        };
        let mut request = SignRequest::new(vec![reference.clone()]);
        request.index_only = index_only;
        signer.sign(&request).await.unwrap();
    }

    pub(crate) fn policy(&self, further: &str) -> Policy {
        let text = format!(
            "version: 1\nsigners:\n  - name: release\n    issuer: {}\n    identity: {}\n{further}",
            self.sandbox.oidc_issuer(),
            GithubIdentity::default().subject_alternative_name(),
        );
        Policy::from_yaml("test", &text).unwrap()
    }

    pub(crate) async fn verify(&self, reference: &ImageReference, policy: &Policy) -> Result<Verdict, Error> {
        let asked = countersign_verifier::resolve(&self.registry, reference).await?;
        self.verify_asked(&asked, policy).await
    }

    pub(crate) async fn verify_asked(&self, asked: &Asked, policy: &Policy) -> Result<Verdict, Error> {
        countersign_verifier::verify_image(&self.registry, &self.verifier, policy, asked, now()).await
    }
}

/// The reference by its digest alone.
pub(crate) fn pinned(reference: &ImageReference, image: &Image) -> Asked {
    let digest = image.digest().parse().unwrap();
    Asked { reference: PinnedReference::new(reference.repository().clone(), digest), tag: None }
}

/// Returns `verified`, or how it ended and the code of the nearest reason.
pub(crate) fn outcome(verdict: &Verdict) -> (&'static str, String) {
    let document = countersign_verifier::report::document(verdict);
    crate::schema::check(&serde_json::to_value(&document).unwrap());
    (document.verdict, document.error.map(|error| error.code.to_owned()).unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "the sandbox signs with the system's clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
