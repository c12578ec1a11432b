//! `install`: from a name to a backend that can be run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use countersign_cli::flags::{OutputFlags, RegistryFlags, TrustFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, output, program};
use countersign_gallery::capability::Capability;
use countersign_gallery::catalogue::{FindError, Target};
use countersign_gallery::install::{self, InstallError, Plan, Prepared, Request, Services, Transfer};
use countersign_gallery::integrity::Strictness;
use countersign_gallery::name::{EntryName, EntryRequest};
use countersign_gallery::store::Store;
use countersign_oci::index::Platform;
use countersign_oci::{Class, Registry};
use countersign_policy::{Policy, Trust};
use countersign_verifier::trusted_root::{self, TrustCache, TrustSource};
use countersign_verifier::{Verdict, Verifier};

use super::galleries::{self, GalleryFlags};
use super::interruption::{self, Interruption};
use super::machine;
use super::recovery;
use super::report::{self, Document, Ended, describe};

/// Installs a backend: its image must be signed as the gallery's policy wants it.
///
/// A tag is resolved once; what is verified, unpacked and recorded is the digest. Until everything has matched, nothing
/// on disk changes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InstallArguments {
    /// The entry: NAME or GALLERY@NAME. A meta entry stands for the concrete one that fits this machine.
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    galleries: GalleryFlags,

    /// Installs nothing that is not verified, whatever the config says. The variables of the same name do so too.
    #[arg(long)]
    require_backend_integrity: bool,

    /// The platform of the image: OS/ARCHITECTURE[/VARIANT]. The default is this machine's.
    #[arg(long, value_name = "PLATFORM", env = "COUNTERSIGN_PLATFORM")]
    platform: Option<Platform>,

    /// What this machine can run, in the words of the index: default, cpu, nvidia, nvidia-cuda-12, nvidia-cuda-13,
    /// nvidia-l4t, nvidia-l4t-cuda-12, nvidia-l4t-cuda-13, amd, intel, vulkan, metal, or another one that it uses. A word
    /// that the entry does not know takes its `default`, else its `cpu`. Left out, it is what can be seen of this machine.
    #[arg(long, value_name = "CAPABILITY", env = "COUNTERSIGN_CAPABILITY")]
    capability: Option<Capability>,

    /// Installs what is installed already, and replaces what nobody installed.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    trust: TrustFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,
}

const EXAMPLES: &str = "\
Examples:
  countersign-gallery install llama-cpp --galleries galleries.yaml
  countersign-gallery install localai@cpu-llama-cpp --galleries galleries.yaml --require-backend-integrity
  countersign-gallery install llama-cpp --capability nvidia-cuda-12 --platform linux/amd64 --output json

A gallery config:
  - name: localai
    url: https://index.localai.io/backends
    verification:
      issuer: https://token.actions.githubusercontent.com
      identity: https://github.com/mudler/LocalAI/.github/workflows/backend_merge.yml@refs/heads/master
      github:
        repository: mudler/LocalAI

Environment: COUNTERSIGN_GALLERIES, COUNTERSIGN_BACKENDS_PATH, COUNTERSIGN_PLATFORM, COUNTERSIGN_CAPABILITY,
COUNTERSIGN_REQUIRE_BACKEND_INTEGRITY, LOCALAI_REQUIRE_BACKEND_INTEGRITY (1, true, yes; 0, false, no).

Exit codes: 0 done, 1 a bug, 2 usage or configuration, 3 rejected (unsigned included), 4 could not decide or finish.";

pub(crate) async fn run(arguments: InstallArguments) -> Exit {
    program::log(arguments.output.verbose);
    let format = arguments.output.output;
    let progress = Progress::new(arguments.output.quiet);
    let store = arguments.galleries.store();
    let restored = recovery::recover(&store);
    let transfer = Arc::new(Transfer::default());
    let answer = match Interruption::catch() {
        Ok(signals) => unless_stopped(arguments.install(&store, &progress, &transfer), signals, &transfer).await,
        Err(error) => {
            tracing::warn!(%error, "signals cannot be caught");
            arguments.install(&store, &progress, &transfer).await
        }
    };
    progress.finish();
    match answer {
        Ok(document) => document.with_restored(restored).print(format),
        Err(Refused { failure, verdict }) => {
            report::refuse(&failure, verdict.as_deref(), format);
            failure.exit
        }
    }
}

/// Gives an installation up at a signal, unless its backend is about to take its place: that is too late.
async fn unless_stopped(
    installation: impl Future<Output = Result<Document, Refused>>,
    mut signals: Interruption,
    transfer: &Transfer,
) -> Result<Document, Refused> {
    let mut installation = std::pin::pin!(installation);
    loop {
        tokio::select! {
            answer = &mut installation => return answer,
            signal = signals.next() => {
                if !transfer.is_activating() {
                    return Err(interruption::failure(signal).into());
                }
            }
        }
    }
}

/// A failure, with the verdict where it is one.
struct Refused {
    failure: Failure,
    verdict: Option<Box<Verdict>>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, verdict: None }
    }
}

impl From<InstallError> for Refused {
    fn from(error: InstallError) -> Self {
        let failure = Failure::new(&error, error.code(), error.class(), error.retryable(), error.hint());
        let verdict = match error {
            InstallError::NotVerified(verdict) => Some(verdict),
            _ => None,
        };
        Self { failure, verdict }
    }
}

impl InstallArguments {
    async fn install(&self, store: &Store, progress: &Progress, transfer: &Arc<Transfer>) -> Result<Document, Refused> {
        let request: EntryRequest = self.name.parse().map_err(|error| {
            Failure::new(
                &error,
                "malformed-name",
                Class::Usage,
                false,
                Some("an entry is NAME or GALLERY@NAME".to_owned()),
            )
        })?;
        let strictness = self.strictness()?;
        let loaded = self.galleries.load(&self.registry, "install from")?;
        let capability = self.capability.clone().unwrap_or_else(machine::capability);
        progress.say("reading the galleries");
        let catalogue = galleries::catalogue(&loaded.config, &self.registry).await?;
        let target = catalogue.find(&request, &capability).map_err(|error| find_failure(&error))?;
        if let Some(asked) = &self.capability {
            note_fallback(&target, asked);
        }
        let platform = self.platform.clone().unwrap_or_else(machine::platform);
        let request = Request { target, platform, strictness, force: self.force };
        let ended = self.install_request(request, store, loaded.folder.as_deref(), (progress, transfer)).await?;
        Ok(Document::new(ended, describe(&target, &capability)))
    }

    async fn install_request(
        &self,
        request: Request<'_>,
        store: &Store,
        folder: Option<&Path>,
        (progress, transfer): (&Progress, &Arc<Transfer>),
    ) -> Result<Ended, Refused> {
        let target = request.target;
        let plan = match install::prepare(request, store)? {
            Prepared::AlreadyInstalled(installed) => return Ok(Ended::Already(installed)),
            Prepared::Ready(plan) => plan,
            _ => return Err(Failure::usage("unsupported", "this kind of entry is not supported", None).into()),
        };
        let name = &target.concrete.name;
        for reason in plan.outdated() {
            output::note(&format!("note: {name} is installed, and is installed anew: {reason}"));
        }
        let verifier = match plan.policy() {
            Some(policy) => {
                progress.say("loading the trusted root");
                Some(self.verifier(policy, folder).await?)
            }
            None => None,
        };
        let registry = self.registry(&plan, &target)?;
        progress.say(format!("installing {name}"));
        let _shown = Watching::start(progress.clone(), Arc::clone(transfer), name);
        let services = Services { registry: &registry, clock: &program::now, transfer };
        let mut outcome = plan.install(services, verifier.as_ref()).await?;
        Ok(match outcome.already.take() {
            Some(installed) => Ended::Already(installed),
            None => Ended::Done(Box::new(outcome)),
        })
    }

    fn strictness(&self) -> Result<Strictness, Failure> {
        let of_variables = machine::strictness()?;
        Ok(if self.require_backend_integrity { Strictness::Strict } else { of_variables })
    }

    async fn verifier(&self, policy: &Policy, folder: Option<&Path>) -> Result<Verifier, Failure> {
        let failure = |error: countersign_verifier::Error| {
            let retryable = matches!(error.class(), Class::Throttled | Class::Unreachable);
            Failure::new(&error, error.code(), error.class(), retryable, error.hint())
        };
        let source = match (trust_of(policy, folder), self.trust.choice()?) {
            (Some(_), Some(_)) => {
                let hint =
                    "leave out --trusted-root, --tuf-url and --trust: a policy believes one root only".to_owned();
                let message = "the gallery's policy names its trusted root, and so do the flags";
                return Err(Failure::usage("two-trusted-roots", message, Some(hint)));
            }
            (Some(source), None) => source,
            (None, choice) => choice.unwrap_or_default().into(),
        };
        let cache = TrustCache { folder: self.trust.cache_folder(), http: self.registry.service_client()? };
        let root = trusted_root::load(&source, &cache, program::now()).await.map_err(failure)?;
        Verifier::new(root).map_err(failure)
    }

    /// A client for the gallery's registries. Credentials of the flags are for the entry's own.
    fn registry(&self, plan: &Plan<'_>, target: &Target<'_>) -> Result<Registry, Failure> {
        let mut options = self.registry.options(Some(plan.asked().repository().registry()))?;
        options.hosts.extend(target.gallery.hosts.clone());
        Registry::new(options)
            .map_err(|error| Failure::new(&error, error.code(), error.class(), error.retryable(), error.hint()))
    }
}

/// The trusted root that a policy names; files lie beside the config.
fn trust_of(policy: &Policy, folder: Option<&Path>) -> Option<TrustSource> {
    let beside = |path: &str| folder.map_or_else(|| PathBuf::from(path), |folder| folder.join(path));
    match policy.trust()? {
        Trust::PublicGood => Some(TrustSource::PublicGoodTuf),
        Trust::File(path) => Some(TrustSource::File(beside(path))),
        Trust::Tuf { url, root } => Some(TrustSource::Tuf { url: url.clone(), root: beside(root) }),
    }
}

/// Says so where a capability that a person named leads to what the entry has for every machine.
fn note_fallback(target: &Target<'_>, asked: &Capability) {
    if let Some((meta, key)) = target.meta.filter(|(_, key)| *key != asked.as_str()) {
        output::note(&format!("note: {} has nothing for capability {asked}: `{key}` is taken", meta.name));
    }
}

fn find_failure(error: &FindError) -> Failure {
    let retryable = matches!(error.class(), Class::Unreachable | Class::Throttled);
    Failure::new(error, error.code(), error.class(), retryable, error.hint())
}

/// Moves the arrived bytes to the bar, until it is dropped.
struct Watching(tokio::task::JoinHandle<()>);

impl Watching {
    fn start(progress: Progress, transfer: Arc<Transfer>, name: &EntryName) -> Self {
        let name = name.clone();
        Self(tokio::spawn(async move {
            let (mut shown, mut expected, mut waiting) = (0, 0, false);
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if transfer.is_waiting() != waiting {
                    waiting = transfer.is_waiting();
                    progress.say(match waiting {
                        true => "waiting for another process that changes the backends".to_owned(),
                        false => format!("installing {name}"),
                    });
                }
                if transfer.expected() != expected {
                    expected = transfer.expected();
                    progress.expect_bytes(expected);
                }
                let arrived = transfer.arrived();
                progress.advance(arrived.saturating_sub(shown));
                shown = arrived;
            }
        }))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}
