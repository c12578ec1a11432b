//! The composite action, played with its own shell steps on the sandbox: what it signs, what it tells the job, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use ring::digest::{SHA256, digest};
use sandbox::image::{self, Image, ImageSpec};
use sandbox::{Auth, GithubIdentity, Options, Sandbox, Service};
use serde_json::json;

mod definition;
mod job;
mod page;
mod refusals;
mod release;
mod workflow;

use self::definition::Values;
use self::job::{Machine, Played};
use super::table::Table;
use crate::programs::Programs;
use crate::shell::root;

const REPOSITORY: &str = "octo/app";
/// What must appear nowhere.
const PASSWORD: &str = "canary-6f1d";
const SIGNER: &str = "countersign-signer";

/// The sandbox, and the machine of a job that signs with it.
struct Stage {
    sandbox: Sandbox,
    machine: Machine,
    image: Image,
    /// Where our own programs lie.
    programs: PathBuf,
}

pub(super) fn run(programs: &Programs, folder: &Path) -> anyhow::Result<Table> {
    let stage = Stage::set(programs, &folder.join("action"))?;
    let mut table = Table::default();
    let mut rows = table.of("the action in a GitHub Actions job");
    rows.note("sign, tell the job, verify with the command that it got", signs(&stage));
    rows.note("sign what is signed already", signs_again(&stage));
    rows.note("take over the program of another job", takes_over(&stage));
    refusals::run(&stage, &mut rows);
    release::run(&stage, &mut table.of("the workflow merge-and-sign"));
    Ok(table)
}

impl Stage {
    fn set(programs: &Programs, folder: &Path) -> anyhow::Result<Self> {
        let auth = Auth::Bearer { user: "octocat".to_owned(), password: PASSWORD.to_owned() };
        let sandbox = Sandbox::start(Options { auth, anonymous_pull: true, ..Options::default() })?;
        fs::create_dir_all(folder)?;
        let trust = sandbox.write_trust(&folder.join("trust"))?;
        let image = image::multi_platform(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()));
        image.push(sandbox.registry(), REPOSITORY, "v1");

        let mut env = Values::from_iter(sandbox.ambient(&GithubIdentity::default()));
        let event = folder.join("push.json");
        fs::write(&event, "{}")?;
        for (name, value) in [
            ("CI", "true"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_EVENT_PATH", &text(&event)),
            ("GITHUB_REPOSITORY", REPOSITORY),
            ("COUNTERSIGN_TRUSTED_ROOT", &text(&trust.trusted_root)),
            ("COUNTERSIGN_SIGNING_CONFIG", &text(&trust.signing_config_rekor_v2)),
            ("COUNTERSIGN_REGISTRY_MAP", &format!("quay.io={0},docker.io={0}", sandbox.registry().host())),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        let machine = Machine {
            folder: folder.join("jobs"),
            tools: tools(&folder.join("tools"), &programs.path(SIGNER))?,
            env,
            repository: lay(&folder.join("_actions/octo/countersign/0123456789abcdef"))?,
        };
        let programs = programs.path(SIGNER).parent().context("a program without folder")?.to_owned();
        Ok(Self { sandbox, machine, image, programs: std::path::absolute(programs)? })
    }

    /// The inputs by which the image is signed.
    fn inputs(&self) -> Values {
        values(&[
            ("images", "quay.io/octo/app:v1"),
            ("build-from-source", "true"),
            ("registry-auth", &self.registry_auth()),
        ])
    }

    /// Credentials, for the address that the names of registries are mapped to: they follow the connection.
    fn registry_auth(&self) -> String {
        format!("\n  {} octocat {PASSWORD}\n\n", self.sandbox.registry().host())
    }

    /// The file with the program, and its digest as the action compares it.
    fn program(&self) -> anyhow::Result<(PathBuf, String)> {
        let program = self.programs.join(SIGNER);
        let sha256 = sha256(&fs::read(&program)?);
        Ok((program, sha256))
    }

    /// Everything that was asked of the services since the request log was emptied.
    fn certificates(&self) -> usize {
        self.sandbox.requests_of(Service::Fulcio).iter().filter(|request| request.method == "POST").count()
    }
}

fn signs(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let played = stage.machine.call(&stage.inputs())?;
    // The one value that is masked is what the registry is sent; nothing else in the log is a command.
    played.expect(0)?.expect_commands(&["::add-mask::"])?;
    ensure!(stage.certificates() == 1, "{} certificates were asked for", stage.certificates());
    check_told(stage, &played)?;
    for digest in stage.image.digests() {
        let found = stage.sandbox.registry().referrers(REPOSITORY, &digest).len();
        ensure!(found == 1, "{digest} has {found} referrers");
    }
    verify(stage, &played.outputs["verify-command"])
}

/// Outputs and summary say the same as the registry.
fn check_told(stage: &Stage, played: &Played) -> anyhow::Result<()> {
    let outputs = &played.outputs;
    ensure!(outputs["digest"] == stage.image.digest(), "the output digest is {:?}", outputs["digest"]);
    ensure!(outputs["bundle"].starts_with("sha256:"), "the output bundle is {:?}", outputs["bundle"]);
    ensure!(outputs["log-index"].parse::<u64>().is_ok(), "the output log-index is {:?}", outputs["log-index"]);
    ensure!(outputs["skipped"] == "false", "the output skipped is {:?}", outputs["skipped"]);
    for digest in stage.image.digests() {
        let row = format!("| `signed` | `quay.io/octo/app` | `{digest}` |");
        ensure!(played.summary.contains(&row), "the summary lacks {row}\n{}", played.summary);
    }
    ensure!(played.summary.contains(&outputs["verify-command"]), "the summary lacks the verify command");
    no_secret(stage, played)
}

/// Neither the password nor the token that fetches identity tokens, nor an identity token, is in anything that a person may read.
fn no_secret(stage: &Stage, played: &Played) -> anyhow::Result<()> {
    let unmasked: Vec<&str> = played.log.lines().filter(|line| !line.starts_with("::add-mask::")).collect();
    let shown = format!("{}\n{}\n{:?}", unmasked.join("\n"), played.summary, played.outputs);
    let request_token = &stage.machine.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"];
    for secret in [PASSWORD, request_token.as_str(), "eyJ"] {
        ensure!(!shown.contains(secret), "{secret} is shown:\n{shown}");
    }
    Ok(())
}

/// Runs the command as a consumer would: in a shell, with nothing else of the job.
fn verify(stage: &Stage, command: &str) -> anyhow::Result<String> {
    let mut consumer = Command::new("bash");
    let path = format!("{}:/usr/bin:/bin", stage.programs.display());
    consumer.args(["-c", command]).env_clear().env("PATH", path).env("HOME", &stage.machine.folder);
    let output = consumer.output().context("cannot start bash")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{command}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

fn signs_again(stage: &Stage) -> anyhow::Result<String> {
    let digest = stage.machine.call(&stage.inputs())?.expect(0)?.outputs["digest"].clone();
    ensure!(digest == stage.image.digest(), "the output digest is {digest:?}");
    Ok("the digest is told all the same".to_owned())
}

fn takes_over(stage: &Stage) -> anyhow::Result<String> {
    let (program, sha256) = stage.program()?;
    let mut inputs = stage.inputs();
    inputs.extend(values(&[("build-from-source", "false"), ("program", &text(&program)), ("program-sha256", &sha256)]));
    stage.machine.call(&inputs)?.expect(0)?.expect_commands(&["::add-mask::"])?;
    Ok("its digest is the one that was handed over".to_owned())
}

/// Lays the repository of the action as the runner does: all of it at one commit, of which little is needed.
fn lay(repository: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(repository.join("signer"))?;
    fs::copy(root().join("signer/Cargo.toml"), repository.join("signer/Cargo.toml"))?;
    for name in ["prepare", "sign"] {
        let action = Path::new(".github/actions").join(name);
        fs::create_dir_all(repository.join(&action))?;
        for entry in fs::read_dir(root().join(&action))? {
            let file = entry?.path();
            fs::copy(&file, repository.join(&action).join(file.file_name().context("a file without name")?))?;
        }
    }
    Ok(repository.to_owned())
}

/// Programs that the steps find first: a cargo that has built already, and a curl that fetches from a folder. The action has no other way
/// in for tests: whoever may put a program before those of the system may do anything in a job.
fn tools(folder: &Path, signer: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let signer = std::path::absolute(signer)?;
    let cargo = format!(
        "#!/bin/sh\nset -eu\ntest \"$1 $2 $3\" = 'build --release --locked'\ntest -f signer/Cargo.toml\n\
         while test \"$1\" != --target-dir; do shift; done\nmkdir -p \"$2/release\"\ncp '{}' \"$2/release/{SIGNER}\"\n",
        signer.display()
    );
    // The last argument is the address, and the one behind `--output` the file.
    let curl = format!(
        "#!/bin/sh\nset -eu\nfor address; do :; done\nwhile test \"$1\" != --output; do shift; done\n\
         cp \"{}/$(printf %s \"$address\" | tr -c 'a-zA-Z0-9.-' _)\" \"$2\"\n",
        folder.display()
    );
    for (name, script) in [("cargo", cargo), ("curl", curl)] {
        let file = folder.join(name);
        fs::write(&file, script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(folder.to_owned())
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The event of a pull request.
fn pull_request(head: &str) -> String {
    json!({ "pull_request": { "head": { "repo": { "full_name": head, "fork": head != REPOSITORY } } } }).to_string()
}
