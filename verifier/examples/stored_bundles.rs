//! Signs statements about images on the sandbox, for the example `verify_stored` to verify, with `trusted_root.json` and `policy.yaml`.
//!
//! ```text
//! cargo run --release --example stored_bundles -- DIR COUNT distinct|shared v1|v2
//! ```
//!
//! `distinct`: each bundle has a certificate of its own, as bundles of many releases do. `shared`: all have one, as those of one release do.

#![expect(clippy::disallowed_methods, reason = "a program reads its arguments and the clock")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign_oci::http::{Budget, HttpOptions, Time};
use countersign_oci::{Digest, Secret};
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::{Credentials, Services, SigningConfig};
use jiff::Timestamp;
use sandbox::{GithubIdentity, Options, RekorVersion, Sandbox};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count, certificates, rekor] = arguments.as_slice() else {
        return Err("usage: stored_bundles DIR COUNT distinct|shared v1|v2".into());
    };
    let (folder, count): (&Path, usize) = (Path::new(folder), count.parse()?);
    let shared = certificates == "shared";
    let rekor = if rekor == "v1" { RekorVersion::V1 } else { RekorVersion::V2 };
    let sandbox = Sandbox::start(Options::default())?;
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("trusted_root.json"), sandbox.trusted_root())?;
    let identity = GithubIdentity::default();
    let policy = format!(
        "version: 1\nsigners:\n  - issuer: {}\n    identity: {}\n",
        sandbox.oidc_issuer(),
        identity.subject_alternative_name(),
    );
    std::fs::write(folder.join("policy.yaml"), policy)?;

    let budget = Budget::new(Arc::new(Clock(std::time::Instant::now())), Duration::from_secs(600));
    let config = SigningConfig::from_json(sandbox.signing_config(rekor), "the sandbox")?;
    let services = Services::new(config.select(Timestamp::now())?, &HttpOptions::default(), budget)?;
    let credentials = async || {
        let token = Secret::new(sandbox.github_token(&identity));
        Credentials::new(&services, &IdentitySource::Token { origin: "the sandbox", token }).await
    };
    let mut current = credentials().await?;
    for number in 0..count {
        if !shared {
            current = credentials().await?;
        }
        let digest = Digest::of(&number.to_be_bytes());
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": format!("registry.example/stored@{digest}"), "digest": {"sha256": digest.hex()}}],
            "predicateType": "https://sigstore.dev/cosign/sign/v1",
            "predicate": {},
        });
        let signed = services.sign(&current, statement.to_string().as_bytes()).await?;
        std::fs::write(folder.join(format!("{}-{number}.json", digest.hex())), &signed.json)?;
    }
    Ok(())
}

/// The machine's time.
struct Clock(std::time::Instant);

impl Time for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, pause: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(pause))
    }
}
