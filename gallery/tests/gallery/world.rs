//! A sandbox with a gallery: an index on disk, images in the registry, a release job that signs them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign_gallery::capability::Capability;
use countersign_gallery::catalogue::Catalogue;
use countersign_gallery::config::Config;
use countersign_gallery::index;
use countersign_gallery::install::{self, InstallError, Outcome, Prepared, Request, Services, Transfer};
use countersign_gallery::integrity::Strictness;
use countersign_gallery::store::{Installed, Store};
use countersign_oci::http::{Budget, HttpOptions, PlainHttp, Time};
use countersign_oci::index::Platform;
use countersign_oci::{Registry, RegistryOptions, Secret};
use countersign_signer::identity::{Environment, IdentitySource};
use countersign_signer::services::{Services as SigningServices, SigningConfig};
use countersign_signer::sign::{SignRequest, Signer};
use countersign_verifier::{TrustedRoot, Verifier};
use jiff::Timestamp;
use sandbox::image::{self, Image, ImageSpec};
use sandbox::{GithubIdentity, Options, RekorVersion, Sandbox};

/// What the real index names.
pub(crate) const REPOSITORY: &str = "go-skynet/local-ai-backends";
/// The repository of the real index's mirrors.
pub(crate) const MIRROR: &str = "localai/localai-backends";

pub(crate) const INDEX: &str = "
- &llama
  name: llama-cpp
  alias: llama-cpp
  capabilities: {default: cpu-llama-cpp, nvidia: cuda-llama-cpp}
- !!merge <<: *llama
  name: cpu-llama-cpp
  uri: quay.io/go-skynet/local-ai-backends:latest-cpu-llama-cpp
  mirrors:
    - localai/localai-backends:latest-cpu-llama-cpp
- !!merge <<: *llama
  name: cuda-llama-cpp
  uri: quay.io/go-skynet/local-ai-backends:latest-cuda-llama-cpp
";

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    /// The mirror's registry: another one, so that one can fail without the other.
    pub(crate) mirror: Sandbox,
    pub(crate) directory: tempfile::TempDir,
}

/// How an entry is installed in a test.
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    pub(crate) trust: String,
    pub(crate) index: &'a str,
    pub(crate) capability: &'a str,
    pub(crate) platform: &'a str,
    pub(crate) strictness: Strictness,
    pub(crate) force: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Ended {
    Already(Box<Installed>),
    Done(Box<Outcome>),
}

#[expect(clippy::disallowed_methods, reason = "tests are the edge, and the services run on the system's clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

impl World {
    pub(crate) fn start() -> World {
        World::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> World {
        let mirror = Sandbox::start(Options::default()).unwrap();
        World { sandbox: Sandbox::start(options).unwrap(), mirror, directory: tempfile::tempdir().unwrap() }
    }

    /// A world whose `cpu-llama-cpp` is there and signed by the release job.
    pub(crate) async fn signed() -> (World, Image) {
        let world = World::start();
        let image = world.push(
            &ImageSpec::with_run_script("#!/bin/sh\necho hello\n", vec![("lib/a.so", "elf").into()]),
            "cpu-llama-cpp",
        );
        world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
        (world, image)
    }

    /// Pushes an image for an entry to the registry and its mirror.
    pub(crate) fn push(&self, spec: &ImageSpec, entry: &str) -> Image {
        let image = image::multi_platform(spec);
        let tag = format!("latest-{entry}");
        image.push(self.sandbox.registry(), REPOSITORY, &tag);
        image.push(self.mirror.registry(), MIRROR, &tag);
        image
    }

    /// Signs an entry's image as its release job does, under the name that the index has for it.
    pub(crate) async fn sign(&self, entry: &str, identity: &GithubIdentity) {
        self.sign_reference(&format!("quay.io/{REPOSITORY}:latest-{entry}"), identity).await;
    }

    pub(crate) async fn sign_reference(&self, reference: &str, identity: &GithubIdentity) {
        let variables = self.sandbox.ambient(identity);
        let variable = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let environment = Environment {
            actions_request_url: variable("ACTIONS_ID_TOKEN_REQUEST_URL"),
            actions_request_token: variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN").map(Secret::new),
            ..Environment::default()
        };
        let config = SigningConfig::from_json(self.sandbox.signing_config(RekorVersion::V1), "sandbox").unwrap();
        let selection = config.select(now()).unwrap();
        let budget = Budget::new(Arc::new(Machine(std::time::Instant::now())), Duration::from_secs(20));
        let signer = Signer {
            registry: self.registry(),
            services: SigningServices::new(selection, &HttpOptions::default(), budget).unwrap(),
            identity: IdentitySource::choose(None, &environment).unwrap(),
            verifier: Arc::new(self.verifier()),
        };
        let request = SignRequest::new(vec![reference.parse().unwrap()]);
        signer.sign(&request).await.unwrap();
    }

    /// A policy that admits the release job of `octo/app` only.
    pub(crate) fn policy(&self, more: &str) -> String {
        format!(
            "verification:\n    issuer: {}\n    identity: {}\n    github: {{repository: octo/app}}\n{more}",
            self.sandbox.oidc_issuer(),
            GithubIdentity::default().subject_alternative_name(),
        )
    }

    pub(crate) fn backends(&self) -> PathBuf {
        self.directory.path().join("backends")
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(self.backends())
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::new(TrustedRoot::from_json(self.sandbox.trusted_root(), "sandbox").unwrap()).unwrap()
    }

    pub(crate) fn registry(&self) -> Registry {
        let mut options = RegistryOptions::default();
        options.hosts = BTreeMap::from([
            ("quay.io".to_owned(), self.sandbox.registry().host().to_owned()),
            ("docker.io".to_owned(), self.mirror.registry().host().to_owned()),
        ]);
        options.retry.attempts = 2;
        options.retry.first_pause = Duration::from_millis(5);
        options.total_timeout = Duration::from_secs(20);
        Registry::new(options).unwrap()
    }

    /// The config of a gallery, written beside its index.
    pub(crate) fn config(&self, trust: &str, index: &str) -> String {
        let path = self.directory.path().join("index.yaml");
        fs::write(&path, index).unwrap();
        format!(
            "- name: localai\n  url: {}\n  hosts: {{quay.io: '{}', docker.io: '{}'}}\n  {trust}\n",
            path.display(),
            self.sandbox.registry().host(),
            self.mirror.registry().host(),
        )
    }

    pub(crate) fn call<'a>(&self, name: &'a str) -> Call<'a> {
        Call {
            name,
            trust: self.policy(""),
            index: INDEX,
            capability: "default",
            platform: "linux/amd64",
            strictness: Strictness::AsConfigured,
            force: false,
        }
    }

    pub(crate) async fn install(&self, call: &Call<'_>) -> Result<Ended, InstallError> {
        let config = Config::from_yaml("galleries.yaml", &self.config(&call.trust, call.index)).unwrap();
        let client = countersign_oci::http::client(&HttpOptions::default()).unwrap();
        let gallery = &config.galleries()[0];
        let fetched = index::fetch(gallery, &client, PlainHttp::LoopbackOnly).await;
        let catalogue = Catalogue::new([(gallery, fetched)]);
        let capability: Capability = call.capability.parse().unwrap();
        let target = catalogue.find(&call.name.parse().unwrap(), &capability).unwrap();
        let platform: Platform = call.platform.parse().unwrap();
        let request = Request { target, platform, strictness: call.strictness, force: call.force };
        let store = self.store();
        let plan = match install::prepare(request, &store)? {
            Prepared::AlreadyInstalled(installed) => return Ok(Ended::Already(installed)),
            Prepared::Ready(plan) => plan,
            other => panic!("{other:?}"),
        };
        let verifier = plan.policy().map(|_| self.verifier());
        let (registry, transfer) = (self.registry(), Arc::new(Transfer::default()));
        let services = Services { registry: &registry, clock: &now, transfer: &transfer };
        let mut outcome = plan.install(services, verifier.as_ref()).await?;
        Ok(match outcome.already.take() {
            Some(installed) => Ended::Already(installed),
            None => Ended::Done(Box::new(outcome)),
        })
    }

    /// Installs, and expects that something was done.
    pub(crate) async fn installed(&self, call: &Call<'_>) -> Outcome {
        match self.install(call).await.unwrap() {
            Ended::Done(outcome) => *outcome,
            Ended::Already(installed) => panic!("{installed:?}"),
        }
    }

    /// Installs, expects a refusal, and that nothing on disk is different for it.
    pub(crate) async fn refused(&self, call: &Call<'_>) -> InstallError {
        self.config(&call.trust, call.index);
        let before = snapshot(self.directory.path());
        let error = match self.install(call).await {
            Err(error) => error,
            Ok(ended) => panic!("installed: {ended:?}"),
        };
        assert_eq!(snapshot(self.directory.path()), before, "a refusal changed the disk: {error}");
        error
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.backends().join(path)).unwrap()
    }
}

/// Everything below a directory: kind, mode and content of each path.
pub(crate) fn snapshot(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![directory.to_owned()];
    while let Some(path) = ahead.pop() {
        let status = path.symlink_metadata().unwrap();
        let mode = status.permissions().mode();
        let content = if status.is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "directory".to_owned()
        } else if status.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else {
            countersign_oci::Digest::of(&fs::read(&path).unwrap()).to_string()
        };
        found.insert(path, format!("{mode:o} {content}"));
    }
    found
}

/// The machine's time, for signers.
struct Machine(std::time::Instant);

impl Time for Machine {
    fn now(&self) -> Timestamp {
        now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, pause: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(pause))
    }
}
