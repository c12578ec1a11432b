//! What the action refuses, and what nobody can make it do.

use std::fs;
use std::path::PathBuf;

use anyhow::ensure;

use super::definition::Values;
use super::job::{Machine, Played};
use super::{REPOSITORY, SIGNER, Stage, lay, no_secret, pull_request, sha256, text, values};
use crate::e2e::table::Rows;

const USAGE: i32 = 2;
const ERROR: &str = "::error title=countersign::";
const MASK: &str = "::add-mask::";

pub(super) fn run(stage: &Stage, rows: &mut Rows<'_>) {
    rows.note("refused: no `id-token: write`", no_permission(stage));
    rows.note("refused: a pull request from a fork", from_fork(stage));
    rows.note("skipped: a pull request from a fork, with skip-without-token", skips(stage));
    rows.note("refused: inputs that contradict each other", contradictions(stage));
    rows.note("refused: names that would be flags, commands or scripts", hostile_names(stage));
    rows.note("refused: a registry's words that would be commands", hostile_registry(stage));
    rows.note("refused: a program that was exchanged", exchanged(stage));
    rows.note("refused: no release yet", no_release(stage));
    rows.note("installed: the release with the pinned checksum, and no other", release(stage));
}

/// A job without a way to get an identity token.
fn without_token(stage: &Stage, event: &str, document: &str) -> anyhow::Result<Machine> {
    let file = stage.machine.folder.join(format!("{event}-{}.json", sha256(document.as_bytes())));
    fs::write(&file, document)?;
    let mut env = stage.machine.env.clone();
    env.retain(|name, _| !name.starts_with("ACTIONS_ID_TOKEN"));
    env.extend(values(&[("GITHUB_EVENT_NAME", event), ("GITHUB_EVENT_PATH", &text(&file))]));
    Ok(Machine { env, ..stage.machine.clone() })
}

impl Stage {
    /// Nothing was asked of the services, and no output says that something was done.
    fn expect_nothing(&self, played: &Played) -> anyhow::Result<()> {
        ensure!(self.certificates() == 0, "a certificate was asked for");
        ensure!(played.outputs["digest"].is_empty(), "the output digest is {:?}", played.outputs["digest"]);
        no_secret(self, played)
    }
}

fn no_permission(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let skip = values(&[("skip-without-token", "true")]);
    let own = pull_request(REPOSITORY);
    for (event, document, further) in
        [("push", "{}", Values::new()), ("push", "{}", skip.clone()), ("pull_request", own.as_str(), skip)]
    {
        let mut inputs = stage.inputs();
        inputs.extend(further);
        let played = without_token(stage, event, document)?.call(&inputs)?;
        played.expect(USAGE)?.expect_commands(&[ERROR])?;
        ensure!(played.log.contains("\"id-token: write\""), "the permission is not named\n{}", played.log);
        stage.expect_nothing(&played)?;
    }
    Ok("the permission is named, before anything is installed".to_owned())
}

fn from_fork(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let document = pull_request("mallory/app");
    let played = without_token(stage, "pull_request", &document)?.call(&stage.inputs())?;
    played.expect(USAGE)?.expect_commands(&[ERROR])?;
    ensure!(played.log.contains("fork"), "the fork is not named\n{}", played.log);
    stage.expect_nothing(&played)?;
    Ok("the error says that such a job never gets a token".to_owned())
}

fn skips(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let mut inputs = stage.inputs();
    inputs.insert("skip-without-token".to_owned(), "true".to_owned());
    // A fork that was deleted meanwhile has no name.
    for head in [pull_request("mallory/app"), "{\"pull_request\":{\"head\":{\"repo\":null}}}".to_owned()] {
        let played = without_token(stage, "pull_request", &head)?.call(&inputs)?;
        played.expect(0)?.expect_commands(&["::notice title=countersign::"])?;
        ensure!(played.outputs["skipped"] == "true", "the output skipped is {:?}", played.outputs["skipped"]);
        stage.expect_nothing(&played)?;
    }
    Ok("a notice, and `skipped`".to_owned())
}

fn contradictions(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let table: [&[(&str, &str)]; 6] = [
        &[("images", "")],
        &[("images", " \n\n")],
        &[("tags", "v1")],
        &[("digests", "digests")],
        &[("skip-without-token", "yes")],
        &[("build-from-source", "maybe")],
    ];
    for further in table {
        let mut inputs = stage.inputs();
        inputs.extend(values(further));
        let played = stage.machine.call(&inputs)?;
        played.expect(USAGE)?.expect_commands(&[ERROR])?;
        stage.expect_nothing(&played)?;
    }
    Ok(format!("{} calls, each before anything was asked of a service", table.len()))
}

fn hostile_names(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let mark = stage.machine.folder.join("was-run");
    let run = format!("$(touch {0})`touch {0}`; touch {0}; '; touch {0}; \"; touch {0} #", mark.display());
    let table = [
        ("images", "--registry-map=quay.io=127.0.0.1:1"),
        ("images", "-h"),
        ("images", "::error::owned"),
        ("images", "x ##[error]owned"),
        ("images", "quay.io/octo/app:v1\n::stop-commands::x\n::add-mask::y"),
        ("images", "quay.io/octo/app:v1 --dry-run"),
        ("images", run.as_str()),
        ("annotations", "::error::owned"),
        ("annotations", run.as_str()),
        ("statement", "image\n::error::owned"),
        ("statement", run.as_str()),
        ("timeout", "--dry-run"),
        ("policy", "::error::owned"),
        ("policy", run.as_str()),
    ];
    for (name, value) in table {
        let mut inputs = stage.inputs();
        inputs.insert(name.to_owned(), value.to_owned());
        let played = stage.machine.call(&inputs)?;
        played.expect(USAGE)?.expect_commands(&[MASK, ERROR])?;
        stage.expect_nothing(&played)?;
        ensure!(!mark.exists(), "the input {name} was run: {value}");
    }
    // These are read before the registry's password is masked.
    let before_mask = [("registry-auth", "::error::owned"), ("registry-auth", run.as_str()), ("program", run.as_str())];
    for (name, value) in before_mask {
        let mut inputs = stage.inputs();
        inputs.insert(name.to_owned(), value.to_owned());
        let played = stage.machine.call(&inputs)?;
        played.expect(USAGE)?.expect_commands(&[ERROR])?;
        stage.expect_nothing(&played)?;
        ensure!(!mark.exists(), "the input {name} was run: {value}");
    }
    Ok(format!("{} names; the runner obeys none", table.len() + before_mask.len()))
}

/// A server's own words reach log and summary, and are neither commands nor Markdown there.
fn hostile_registry(stage: &Stage) -> anyhow::Result<String> {
    let words = "x\n::error::owned\n```\n# owned\n| a | b |\n<img src=x>##[error]owned";
    let body = serde_json::json!({ "errors": [{ "code": "DENIED", "message": words }] }).to_string();
    let action = sandbox::Action::Status { status: 403, headers: Vec::new(), body };
    let _guard = stage.sandbox.fault(sandbox::Fault::new(sandbox::Service::Registry, action));
    let played = stage.machine.call(&stage.inputs())?;
    ensure!(played.exit != 0, "it succeeded");
    played.expect_commands(&[MASK, ERROR])?;
    ensure!(!played.log.lines().any(|line| line.trim_start().starts_with("::error::owned")), "{}", played.log);
    ensure!(!played.log.contains("##["), "{}", played.log);
    let mut fences = 0;
    for line in played.summary.lines() {
        fences += usize::from(line.starts_with("```"));
        let inside = fences % 2 == 1;
        ensure!(inside || !line.contains("owned"), "the summary was broken:\n{}", played.summary);
    }
    ensure!(fences == 2 && played.summary.contains("error: "), "no error in the summary:\n{}", played.summary);
    Ok("they stand in log and summary as text".to_owned())
}

fn exchanged(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let (_, sha256) = stage.program()?;
    let mark = stage.machine.folder.join("exchanged-was-run");
    let program = stage.machine.folder.join("exchanged");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\n", mark.display()))?;
    for sha256 in [sha256.as_str(), "", "0", &sha256.to_uppercase()] {
        let mut inputs = stage.inputs();
        inputs.extend(values(&[("program", &text(&program)), ("program-sha256", sha256)]));
        let played = stage.machine.call(&inputs)?;
        played.expect(USAGE)?.expect_commands(&[ERROR])?;
        stage.expect_nothing(&played)?;
        ensure!(!mark.exists(), "it was run");
    }
    Ok("it is not run, and the other ways to install are not tried".to_owned())
}

fn no_release(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let mut inputs = stage.inputs();
    inputs.remove("build-from-source");
    let played = stage.machine.call(&inputs)?;
    played.expect(USAGE)?.expect_commands(&[ERROR])?;
    ensure!(played.log.contains("build-from-source"), "the way on is not named\n{}", played.log);
    stage.expect_nothing(&played)?;
    Ok("`build-from-source` is named".to_owned())
}

/// The action of a commit that pins a release.
fn release(stage: &Stage) -> anyhow::Result<String> {
    let repository = stage.machine.folder.join("_actions/octo/countersign/pinned");
    lay(&repository)?;
    let (program, sha256) = stage.program()?;
    let name = format!("{SIGNER}-{}-unknown-linux-musl", std::env::consts::ARCH);
    let pins = format!("version v0.1.0\nrepository octo/countersign\n{sha256}  {name}\n");
    fs::write(repository.join(".github/actions/sign/release.txt"), pins)?;
    let address = format!("https___github.com_octo_countersign_releases_download_v0.1.0_{name}");
    let served = stage.machine.tools.join(address);
    let machine = Machine { repository: repository.clone(), ..stage.machine.clone() };
    let mut inputs = stage.inputs();
    inputs.remove("build-from-source");
    let call = |bytes: Option<PathBuf>| {
        let _ = fs::remove_file(&served);
        if let Some(bytes) = bytes {
            fs::copy(bytes, &served)?;
        }
        machine.call(&inputs)
    };
    call(None)?.expect(USAGE)?.expect_commands(&[ERROR])?;
    call(Some(repository.join("signer/Cargo.toml")))?.expect(USAGE)?.expect_commands(&[ERROR])?;
    call(Some(program))?.expect(0)?.expect_commands(&[MASK])?;
    Ok("its address and checksum are those that the action's commit pins".to_owned())
}
