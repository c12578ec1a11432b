//! A release in two registries: published, verified, and killed at its requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sandbox::image::{self, Image, ImageSpec};
use sandbox::{Action, Fault, GithubIdentity, Options, RegistryHandle, Sandbox, Service, TrustFiles};

use super::table::Rows;
use crate::programs::{Programs, Run};

/// The names of the registries, each mapped to one of the sandboxes.
const HOSTS: [&str; 2] = ["quay.io", "docker.io"];
/// Where the builds push to.
const CACHE: &str = "example/ci-cache";
const TAGS: [&str; 2] = ["v1", "latest"];
/// More requests than a release makes: the loop ends when one is not killed any more.
const MOST_REQUESTS: usize = 200;
/// How long a program may take to come to the request that it is killed at.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two registries, the second without services of its own in use, and what the builds pushed to the first.
struct Job<'p> {
    programs: &'p Programs,
    /// The first has the services.
    sandboxes: [Sandbox; 2],
    trust: TrustFiles,
    image: Image,
    policy: PathBuf,
    folder: PathBuf,
}

pub(crate) fn run(programs: &Programs, folder: &Path, step: usize, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let job = Job::start(programs, &folder.join("publish"))?;
    rows.note("publish to two registries", job.published("example/app"));
    rows.note("publish it again: nothing is signed or moved", job.repeated("example/app"));
    rows.note("kill -9 when a request was received, then --resume", job.killed_at_each(Moment::Received, step));
    rows.note("kill -9 before a request is received, then --resume", job.killed_at_each(Moment::Sent, step));
    Ok(())
}

/// When a program is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The server does what was asked for, and the program never learns of it.
    Received,
    /// The server never sees the request.
    Sent,
}

impl<'p> Job<'p> {
    fn start(programs: &'p Programs, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let first = Sandbox::start(Options::default())?;
        let sandboxes = [first, Sandbox::start(Options { referrers_api: false, ..Options::default() })?];
        let trust = sandboxes[0].write_trust(&folder.join("trust"))?;
        let image = image::multi_platform(&ImageSpec::with_run_script("#!/bin/sh\necho published\n", Vec::new()));
        push_untagged(&image, sandboxes[0].registry());
        let policy = folder.join("policy.yaml");
        let identity = GithubIdentity::default();
        let text = format!(
            "version: 1\nsigners:\n  - issuer: {}\n    identity: https://github.com/{}\n    github:\n      repository: {}\n\
             require:\n  tag: true\n  repository: true\n",
            sandboxes[0].oidc_issuer(),
            identity.job_workflow_ref,
            identity.repository,
        );
        fs::write(&policy, text)?;
        Ok(Self { programs, sandboxes, trust, image, policy, folder: folder.to_path_buf() })
    }

    fn published(&self, repository: &str) -> anyhow::Result<String> {
        let report = self.publish(repository, &[])?.expect(0)?.json()?;
        ensure!(report["result"] == "published", "{report}");
        self.check(repository)?;
        Ok(format!("{} for {}", report["index"]["digest"], report["index"]["platforms"]))
    }

    fn repeated(&self, repository: &str) -> anyhow::Result<String> {
        self.clear();
        let report = self.publish(repository, &[])?.expect(0)?.json()?;
        ensure!(self.entries() == 0, "{} new log entries", self.entries());
        let written = self.sandboxes.iter().map(|sandbox| tag_writes(sandbox, repository)).sum::<usize>();
        ensure!(written == 0, "{written} tags were written");
        Ok(format!("{}", report["signed"]["result"]))
    }

    /// Kills a release of its own at each request that it makes, or each of a step, and lets another call end it.
    fn killed_at_each(&self, moment: Moment, step: usize) -> anyhow::Result<String> {
        let (mut killed, mut further) = (0, 0);
        for (position, sandbox) in self.sandboxes.iter().enumerate() {
            // With a step, one moment begins where the other has its gaps.
            let first = if moment == Moment::Sent { step / 2 } else { 0 };
            for request in (first..).step_by(step) {
                ensure!(request < MOST_REQUESTS, "it makes more than {MOST_REQUESTS} requests");
                let name = if moment == Moment::Received { "received" } else { "sent" };
                let repository = format!("example/{name}-{position}-{request}");
                self.clear();
                let was_killed = self
                    .kill_at(sandbox, request, moment, &repository)
                    .with_context(|| format!("request {request} of registry {position}"))?;
                if !was_killed {
                    break;
                }
                killed += 1;
                let resumed = self.publish(&repository, &["--resume"])?;
                let checked = resumed.expect(0).and_then(|_| self.check(&repository));
                checked.with_context(|| format!("after a kill at request {request} of registry {position}"))?;
                let entries = self.entries();
                ensure!(entries == 1 || entries == 2, "{entries} log entries after a kill at request {request}");
                further += entries - 1;
                for sandbox in &self.sandboxes {
                    let written = tag_writes(sandbox, &repository);
                    ensure!(written == TAGS.len(), "{written} writes of {} tags, request {request}", TAGS.len());
                }
            }
        }
        ensure!(killed > 20 / step, "only {killed} requests were come to");
        Ok(format!("{killed} kills, {further} further log entries, every tag moved once"))
    }

    /// Starts a release and kills it at one request. Returns whether it came to that.
    fn kill_at(&self, sandbox: &Sandbox, request: usize, moment: Moment, repository: &str) -> anyhow::Result<bool> {
        let victim: Arc<Mutex<Option<Child>>> = Arc::default();
        let hook = Arc::clone(&victim);
        let kill = move || {
            if let Some(child) = lock(&hook).as_mut() {
                let _ = child.kill();
            }
        };
        let action = match moment {
            Moment::Received => Action::Before(Arc::new(kill.clone())),
            Moment::Sent => Action::Stall,
        };
        let mut any = Fault::new(Service::Registry, action).after(request).times(1);
        any.service = None;
        let fault = sandbox.fault(any);
        {
            // The hook waits for the child to be there.
            let mut started = lock(&victim);
            *started = Some(self.command(repository, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        }
        let started = Instant::now();
        loop {
            if fault.hits() > 0 {
                kill();
            }
            if let Some(status) = lock(&victim).as_mut().map(Child::try_wait).transpose()?.flatten() {
                ensure!(status.success() || fault.hits() > 0, "it failed by itself: {status}");
                return Ok(!status.success());
            }
            if started.elapsed() > PATIENCE {
                kill();
                bail!("it did not end in {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Every tag leads to the release, every digest of it verifies in both registries, and nothing holds a manifest any more.
    fn check(&self, repository: &str) -> anyhow::Result<()> {
        let mut arguments = vec!["verify".to_owned(), "--policy".to_owned(), shown(&self.policy)];
        arguments.extend(self.common());
        let mut index = None;
        for (host, sandbox) in HOSTS.into_iter().zip(&self.sandboxes) {
            for tag in TAGS {
                let found = sandbox.registry().get_manifest(repository, tag).context("a tag is not there")?;
                let digest = index.get_or_insert_with(|| found.digest.clone());
                ensure!(*digest == found.digest, "{host}/{repository}:{tag} is {}", found.digest);
                let platforms = self.image.platforms.iter().map(|image| image.manifest.digest.as_str());
                let digests = std::iter::once(found.digest.as_str()).chain(platforms);
                arguments.extend(digests.map(|digest| format!("{host}/{repository}:{tag}@{digest}")));
            }
            let holding = sandbox.registry().tags(repository).into_iter().find(|tag| tag.starts_with("hold-"));
            ensure!(holding.is_none(), "{holding:?} stays");
        }
        self.programs.run("countersign-verifier", &arguments, &self.environment())?.expect(0)?;
        Ok(())
    }

    fn publish(&self, repository: &str, further: &[&str]) -> anyhow::Result<Run> {
        let output = self.command(repository, further).output().context("cannot start countersign-signer")?;
        Ok(Run {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn command(&self, repository: &str, further: &[&str]) -> Command {
        let mut command = Command::new(self.programs.path("countersign-signer"));
        command.args(["publish", "--output", "json", "--hold-tag", "hold", "--from"]);
        command.arg(format!("{}/{CACHE}", HOSTS[0]));
        for host in HOSTS {
            command.arg("--repository").arg(format!("{host}/{repository}"));
        }
        for tag in TAGS {
            command.args(["--tag", tag]);
        }
        command.args(["--expect-platforms", "linux/amd64,linux/arm64", "--self-verify"]).arg(&self.policy);
        command.arg("--signing-config").arg(&self.trust.signing_config_rekor_v1);
        command.args(self.common()).args(further);
        command.args(self.image.platforms.iter().map(|image| &image.manifest.digest));
        command.env_clear().envs(self.environment()).envs(self.sandboxes[0].ambient(&GithubIdentity::default()));
        command
    }

    fn common(&self) -> Vec<String> {
        let mut arguments = vec!["--trusted-root".to_owned(), shown(&self.trust.trusted_root)];
        for (host, sandbox) in HOSTS.into_iter().zip(&self.sandboxes) {
            arguments.extend(["--registry-map".to_owned(), format!("{host}={}", sandbox.registry().host())]);
        }
        arguments
    }

    fn environment(&self) -> Vec<(String, String)> {
        vec![("HOME".to_owned(), shown(&self.folder.join("home")))]
    }

    fn clear(&self) {
        self.sandboxes.iter().for_each(Sandbox::clear_requests);
    }

    fn entries(&self) -> usize {
        let logged = self.sandboxes[0].requests_of(Service::RekorV1);
        logged.iter().filter(|request| request.method == "POST" && request.status == 201).count()
    }
}

/// What `docker buildx build --output push-by-digest=true` leaves behind.
fn push_untagged(image: &Image, registry: &RegistryHandle) {
    for blob in image.blobs() {
        registry.put_blob(CACHE, blob.clone());
    }
    for manifest in image.platforms.iter().map(|image| &image.manifest) {
        registry.put_manifest(CACHE, &manifest.digest, &manifest.media_type, manifest.bytes.clone());
    }
}

/// How often the release's tags were written, whoever learned of it.
fn tag_writes(sandbox: &Sandbox, repository: &str) -> usize {
    let places = TAGS.map(|tag| format!("/v2/{repository}/manifests/{tag}"));
    let requests = sandbox.requests_of(Service::Registry);
    requests.iter().filter(|one| one.method == "PUT" && places.contains(&one.path) && one.status != 0).count()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
