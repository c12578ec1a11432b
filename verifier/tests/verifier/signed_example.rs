// What the example of the library's documentation finds: it includes this file, which therefore stands alone.

/// A sandbox with a signed image: it, the image, a policy that admits the signer, and the trusted root.
#[expect(clippy::disallowed_methods, reason = "the sandbox signs with the system's clock")]
pub(crate) async fn signed_example() -> (sandbox::Sandbox, String, String, String) {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use countersign_oci::http::{Budget, HttpOptions, Time};
    use countersign_oci::{Registry, RegistryOptions, Secret};
    use countersign_signer::identity::IdentitySource;
    use countersign_signer::services::{Services, SigningConfig};
    use countersign_signer::{SignRequest, Signer};
    use countersign_verifier::{TrustedRoot, Verifier};
    use jiff::Timestamp;
    use sandbox::image::{self, ImageSpec};
    use sandbox::{GithubIdentity, Options, RekorVersion, Sandbox};

    struct Machine(Instant);
    impl Time for Machine {
        fn now(&self) -> Timestamp {
            Timestamp::now()
        }
        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }
        fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(tokio::time::sleep(pause))
        }
    }

    let sandbox = Sandbox::start(Options::default()).unwrap();
    let image = image::multi_platform(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()));
    image.push(sandbox.registry(), "octo/app", "v1");
    let reference = format!("{}/octo/app:v1", sandbox.registry().host());
    let config = SigningConfig::from_json(sandbox.signing_config(RekorVersion::V2), "the sandbox").unwrap();
    let budget = Budget::new(Arc::new(Machine(Instant::now())), Duration::from_secs(30));
    let identity = GithubIdentity::default();
    let root = TrustedRoot::from_json(sandbox.trusted_root(), "the sandbox").unwrap();
    let signer = Signer {
        registry: Registry::new(RegistryOptions::default()).unwrap(),
        services: Services::new(config.select(Timestamp::now()).unwrap(), &HttpOptions::default(), budget).unwrap(),
        identity: IdentitySource::Token { origin: "the example", token: Secret::new(sandbox.github_token(&identity)) },
        verifier: Arc::new(Verifier::new(root).unwrap()),
    };
    signer.sign(&SignRequest::new(vec![reference.parse().unwrap()])).await.unwrap();
    let policy = format!(
        "version: 1\nsigners:\n  - name: release\n    issuer: {}\n    identity: {}\n",
        sandbox.oidc_issuer(),
        identity.subject_alternative_name(),
    );
    let trusted_root = sandbox.trusted_root().to_owned();
    (sandbox, reference, policy, trusted_root)
}
