//! What every command that signs has in common: who signs, with which services, under which trusted root, within which time.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use countersign_cli::flags::{self, RegistryFlags, TrustChoice, TrustFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Failure, program};
use countersign_oci::http::Budget;
use countersign_oci::{Class, Registry, limits};
use countersign_policy::{Policy, Trust};
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::{Services, SigningConfig};
use countersign_signer::sign::Signer;
use countersign_verifier::Verifier;
use countersign_verifier::trusted_root::{self, TrustCache, TrustSource, TrustedRoot};
use jiff::SignedDuration;

use super::identity::IdentityFlags;
use super::report;

/// Who signs, with what, and how long it may take.
#[derive(Args)]
pub(crate) struct SetupFlags {
    /// How long everything together may take, such as 90s, 10m or 1h: outages are waited for, and what is waited for is said.
    #[arg(long, value_name = "TIME", default_value = "10m", env = "COUNTERSIGN_TIMEOUT", value_parser = time)]
    timeout: Duration,
    /// Which services to use (a signing config, JSON). Without it the one beside the trusted root.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_SIGNING_CONFIG", help_heading = "Trusted root")]
    signing_config: Option<PathBuf>,
    #[command(flatten)]
    identity: IdentityFlags,
    #[command(flatten)]
    pub(crate) trust: TrustFlags,
}

/// A policy file of the consumers, and the trusted root that it names.
pub(crate) struct ConsumerPolicy {
    pub(crate) policy: Arc<Policy>,
    trust: Option<TrustSource>,
}

impl ConsumerPolicy {
    /// Reads it.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = flags::read_file("policy", path, limits::CONFIG_BYTES)?;
        let text = String::from_utf8_lossy(&bytes);
        let policy = Policy::from_yaml(&path.display().to_string(), &text)
            .map_err(|error| Failure::new(&error, error.code(), Class::Usage, false, error.hint()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let trust = policy.trust().map(|trust| match trust {
            Trust::PublicGood => TrustSource::PublicGoodTuf,
            Trust::File(file) => TrustSource::File(folder.join(file)),
            Trust::Tuf { url, root } => TrustSource::Tuf { url: url.clone(), root: folder.join(root) },
        });
        Ok(Self { policy: Arc::new(policy), trust })
    }
}

/// What signs, but for the registries.
pub(crate) struct Setup {
    pub(crate) services: Services,
    pub(crate) identity: IdentitySource,
    pub(crate) verifier: Arc<Verifier>,
}

impl Setup {
    /// What signs what is in these registries.
    pub(crate) fn signer(self, registry: Registry) -> Signer {
        let Self { services, identity, verifier } = self;
        Signer { registry, services, identity, verifier }
    }
}

impl SetupFlags {
    /// The time that everything together may take: it begins now.
    pub(crate) fn budget(&self) -> Budget {
        Budget::new(program::time(), self.timeout)
    }

    /// Finds the token, the trusted root and the services. What needs no network is checked before anything that does.
    pub(crate) async fn load(
        &self,
        registry: &RegistryFlags,
        policy: Option<&ConsumerPolicy>,
        budget: &Budget,
        progress: &Progress,
    ) -> Result<Setup, Failure> {
        let identity = self.identity.source().map_err(|error| report::failure(&error))?;
        progress.say("loading the trusted root");
        let (root, config) = self.trust(registry, policy).await?;
        let verifier = Verifier::new(root).map_err(|error| verifier_failure(&error))?;
        let http = registry.http_options()?;
        let services = config
            .select(program::now())
            .and_then(|selection| Services::new(selection, &http, budget.clone()))
            .map_err(|error| report::failure(&error))?;
        Ok(Setup { services, identity, verifier: Arc::new(verifier) })
    }

    /// The trusted root that judges the new signature, and the services that make it: they have to belong together.
    async fn trust(
        &self,
        registry: &RegistryFlags,
        policy: Option<&ConsumerPolicy>,
    ) -> Result<(TrustedRoot, SigningConfig), Failure> {
        let source = match (policy.and_then(|policy| policy.trust.clone()), self.trust.choice()?) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "two-trusted-roots",
                    "the policy of --self-verify names its trusted root, and so do the flags",
                    Some("leave out --trusted-root, --tuf-url and --trust: a policy believes one root only".into()),
                ));
            }
            (Some(named), None) => named,
            (None, choice) => source(choice.unwrap_or_default()),
        };
        let cache = TrustCache { folder: self.trust.cache_folder(), http: registry.service_client()? };
        if let Some(path) = &self.signing_config {
            let config = read_config(path)?;
            let root = trusted_root::load(&source, &cache, program::now()).await;
            return Ok((root.map_err(|error| verifier_failure(&error))?, config));
        }
        let material = trusted_root::load_material(&source, &cache, program::now()).await;
        let material = material.map_err(|error| verifier_failure(&error))?;
        let Some(text) = material.signing_config else {
            return Err(Failure::usage(
                "no-signing-config",
                format!("no signing config belongs to {}", material.trusted_root.origin()),
                Some("give --signing-config FILE: it says which services sign under this trusted root".to_owned()),
            ));
        };
        let config = SigningConfig::from_json(&text, "the signing config beside the trusted root");
        Ok((material.trusted_root, config.map_err(|error| report::failure(&error))?))
    }
}

/// A client for the registries of a call, which takes no longer than the call may.
pub(crate) fn registry(flags: &RegistryFlags, first: Option<&str>, budget: &Budget) -> Result<Registry, Failure> {
    let mut options = flags.options(first)?;
    options.budget = Some(budget.clone());
    Registry::new(options)
        .map_err(|error| Failure::new(&error, error.code(), error.class(), error.retryable(), error.hint()))
}

fn read_config(path: &Path) -> Result<SigningConfig, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(limits::CONFIG_BYTES + 1).read_to_string(&mut text));
    read.map_err(|cause| {
        let message = format!("cannot read the signing config {}: {cause}", path.display());
        Failure::usage("signing-config-unreadable", message, None)
    })?;
    SigningConfig::from_json(&text, &path.display().to_string()).map_err(|error| report::failure(&error))
}

fn source(choice: TrustChoice) -> TrustSource {
    match choice {
        TrustChoice::Embedded => TrustSource::EmbeddedPublicGood,
        TrustChoice::File(path) => TrustSource::File(path),
        TrustChoice::PublicGood => TrustSource::PublicGoodTuf,
        TrustChoice::Tuf { url, root } => TrustSource::Tuf { url, root },
    }
}

fn verifier_failure(error: &countersign_verifier::Error) -> Failure {
    let retryable = matches!(error.class(), Class::Throttled | Class::Unreachable);
    Failure::new(error, error.code(), error.class(), retryable, error.hint())
}

/// Reads a time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let time: SignedDuration =
        text.parse().map_err(|_| "write a number with its unit, such as 90s, 10m or 1h".to_owned())?;
    let time = Duration::try_from(time).map_err(|_| "a time is not negative".to_owned())?;
    if time.is_zero() { Err("nothing can be done in no time".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        let table = [("90s", 90), ("10m", 600), ("1h", 3600), ("1h30m", 5400), ("500ms", 0)];
        for (given, seconds) in table {
            assert_eq!(time(given).unwrap().as_secs(), seconds, "{given}");
        }
        for refused in ["", "10", "-1m", "0s", "ten minutes", "m"] {
            assert!(time(refused).is_err(), "{refused}");
        }
    }
}
