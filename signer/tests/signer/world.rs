//! A sandbox with an image in it, and signers for it.

use std::sync::Arc;
use std::time::Duration;

use countersign_oci::http::{Budget, HttpOptions};
use countersign_oci::{Digest, ImageReference, PinnedReference, Registry, RegistryOptions, Secret};
use countersign_policy::Policy;
use countersign_signer::identity::{Ci, Environment, IdentitySource};
use countersign_signer::services::{Services, SigningConfig};
use countersign_signer::sign::{SignFailure, SignReport, SignRequest, Signer};
use countersign_verifier::{Asked, TrustedRoot, Verdict, Verifier};
use jiff::Timestamp;
use sandbox::image::{self, Image, ImageSpec};
use sandbox::{GithubIdentity, Options, RekorVersion, Sandbox, Service};
use serde_json::Value;

use crate::time::{MachineAt, machine};

pub(crate) const REPOSITORY: &str = "octo/app";

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) image: Image,
}

#[expect(clippy::disallowed_methods, reason = "tests are the edge, and the services run on the system's clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

impl World {
    pub(crate) fn start() -> World {
        World::with(|_| {})
    }

    /// A world whose registry has or has not the referrers API.
    pub(crate) fn in_mode(referrers_api: bool) -> World {
        World::with(|options| options.referrers_api = referrers_api)
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> World {
        let mut options = Options::default();
        change(&mut options);
        let sandbox = Sandbox::start(options).unwrap();
        let image = image::multi_platform(&ImageSpec::with_run_script("#!/bin/sh\necho hello\n", Vec::new()));
        image.push(sandbox.registry(), REPOSITORY, "v1");
        World { sandbox, image }
    }

    /// `octo/app:v1` and the like at the sandbox.
    pub(crate) fn reference(&self, rest: &str) -> ImageReference {
        format!("{}/{rest}", self.sandbox.registry().host()).parse().unwrap()
    }

    pub(crate) fn pinned(&self, repository: &str, digest: &str) -> PinnedReference {
        format!("{}/{repository}@{digest}", self.sandbox.registry().host()).parse().unwrap()
    }

    pub(crate) fn registry(&self) -> Registry {
        let mut options = RegistryOptions::default();
        options.tag_schema_window = Duration::from_millis(250);
        options.visible_within = Duration::from_millis(300);
        options.retry.attempts = 2;
        options.total_timeout = Duration::from_secs(20);
        Registry::new(options).unwrap()
    }

    pub(crate) fn ambient(&self, identity: &GithubIdentity) -> IdentitySource {
        let variables = self.sandbox.ambient(identity);
        let variable = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let environment = Environment {
            actions_request_url: variable("ACTIONS_ID_TOKEN_REQUEST_URL"),
            actions_request_token: variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN").map(Secret::new),
            ci: Some(Ci::GitHubActions { fork: false }),
            ..Environment::default()
        };
        IdentitySource::choose(None, &environment).unwrap()
    }

    pub(crate) fn token(&self, token: String) -> IdentitySource {
        let environment = Environment { sigstore_id_token: Some(Secret::new(token)), ..Environment::default() };
        IdentitySource::choose(None, &environment).unwrap()
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::new(TrustedRoot::from_json(self.sandbox.trusted_root(), "sandbox").unwrap()).unwrap()
    }

    pub(crate) fn services(&self, rekor: RekorVersion, budget: Duration) -> Services {
        self.services_within(rekor, Budget::new(machine(), budget))
    }

    pub(crate) fn services_within(&self, rekor: RekorVersion, budget: Budget) -> Services {
        let config = SigningConfig::from_json(self.sandbox.signing_config(rekor), "sandbox").unwrap();
        Services::new(config.select(now()).unwrap(), &HttpOptions::default(), budget).unwrap()
    }

    pub(crate) fn signer(&self, rekor: RekorVersion) -> Signer {
        Signer {
            registry: self.registry(),
            services: self.services(rekor, Duration::from_secs(20)),
            identity: self.ambient(&GithubIdentity::default()),
            verifier: Arc::new(self.verifier()),
        }
    }

    /// A signer whose machine says another time, and waits as others do.
    pub(crate) fn signer_at(
        &self,
        rekor: RekorVersion,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Signer {
        let budget = Budget::new(MachineAt::new(clock), Duration::from_secs(20));
        Signer { services: self.services_within(rekor, budget), ..self.signer(rekor) }
    }

    /// A signer that gives up after a moment, for services that never recover.
    pub(crate) fn impatient_signer(&self, rekor: RekorVersion) -> Signer {
        Signer { services: self.services(rekor, Duration::from_millis(500)), ..self.signer(rekor) }
    }

    pub(crate) fn request(&self, references: &[&str]) -> SignRequest {
        SignRequest::new(references.iter().map(|rest| self.reference(rest)).collect())
    }

    pub(crate) async fn sign(&self, references: &[&str]) -> Result<SignReport, SignFailure> {
        self.signer(RekorVersion::V1).sign(&self.request(references)).await
    }

    /// The policy of a consumer who knows the release job, and wants repository and tag bound.
    pub(crate) fn policy(&self, requirements: &str) -> Policy {
        let text = format!(
            "version: 1\nsigners:\n  - name: release\n    issuer: {}\n    \
             identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main\n    \
             github:\n      repository: octo/app\n{requirements}",
            self.sandbox.oidc_issuer()
        );
        Policy::from_yaml("policy.yaml", &text).unwrap()
    }

    pub(crate) async fn verify(&self, pinned: &PinnedReference, tag: Option<&str>, policy: &Policy) -> Verdict {
        let asked = Asked { reference: pinned.clone(), tag: tag.map(|tag| tag.parse().unwrap()) };
        countersign_verifier::verify_image(&self.registry(), &self.verifier(), policy, &asked, now()).await.unwrap()
    }

    /// What a consumer says who asks for `v1`, and finds its signatures elsewhere.
    pub(crate) async fn verify_from(
        &self,
        source: &PinnedReference,
        pinned: &PinnedReference,
        policy: &Policy,
    ) -> Verdict {
        let asked = Asked { reference: pinned.clone(), tag: Some("v1".parse().unwrap()) };
        let (registry, verifier) = (self.registry(), self.verifier());
        countersign_verifier::verify_image_from(&registry, source, &verifier, policy, &asked, now()).await.unwrap()
    }

    /// The referrer manifests of a digest, as the registry lists them in its own mode.
    pub(crate) async fn referrers(&self, repository: &str, digest: &str) -> Vec<Digest> {
        let listed = self.registry().referrers(&self.pinned(repository, digest)).await.unwrap();
        listed.descriptors.iter().map(|descriptor| descriptor.digest).collect()
    }

    /// The bundle that a referrer manifest leads to.
    pub(crate) fn bundle(&self, referrer: &Digest) -> Value {
        let registry = self.sandbox.registry();
        let manifest = registry.get_manifest(REPOSITORY, &referrer.to_string()).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        let bundle = registry.get_blob(manifest["layers"][0]["digest"].as_str().unwrap()).unwrap();
        serde_json::from_slice(&bundle).unwrap()
    }

    pub(crate) fn count(&self, service: Service) -> usize {
        self.sandbox.requests_of(service).len()
    }

    /// Nothing but the image is in the repository: no signature was attached, and no tag written.
    pub(crate) fn assert_nothing_attached(&self) {
        let registry = self.sandbox.registry();
        assert_eq!(registry.manifests(REPOSITORY).len(), self.image.digests().len());
        assert_eq!(registry.tags(REPOSITORY), ["v1"]);
    }
}
