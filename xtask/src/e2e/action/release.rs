//! A release by the reusable workflow: what it publishes, and what stops it before a tag moves.

use anyhow::{Context as _, ensure};
use sandbox::GithubIdentity;

use super::definition::Values;
use super::job::Played;
use super::workflow::Call;
use super::{PASSWORD, Stage, no_secret, values, verify};
use crate::e2e::table::Rows;

const REPOSITORIES: [&str; 2] = ["octo/backends", "octo/mirror"];
const TAG: &str = "latest-cpu-llama-cpp";

pub(super) fn run(stage: &Stage, rows: &mut Rows<'_>) {
    rows.note("publish to two registries, and verify with the command", publishes(stage));
    rows.note("only the job that signs may get an identity token, and none runs on a pull request", is_gated(stage));
    rows.note("refused: artifacts that are no digests", other_artifacts(stage));
    rows.note("refused: fewer platforms than expected", fewer_platforms(stage));
    rows.note("refused: a policy that does not admit this workflow", another_policy(stage));
}

/// What the caller of the workflow gives.
fn inputs(stage: &Stage) -> Values {
    let identity = GithubIdentity::default();
    let policy = format!(
        "version: 1\nsigners:\n  - name: release\n    issuer: {}\n    identity: https://github.com/{}\n    github:\n      repository: {}\n\
         require:\n  tag: true\n  repository: true\n",
        stage.sandbox.oidc_issuer(),
        identity.job_workflow_ref,
        identity.repository,
    );
    values(&[
        ("artifacts", "digests-cpu-llama-cpp--*"),
        ("repositories", "quay.io/octo/backends\ndocker.io/octo/mirror\n"),
        ("tags", TAG),
        ("from", "quay.io/octo/app"),
        ("expect-platforms", "linux/amd64,linux/arm64"),
        ("policy", &policy),
        ("hold-tag", ""),
        ("annotations", "commit=7fd1a60"),
        ("build-from-source", "true"),
    ])
}

fn digests(stage: &Stage) -> Vec<String> {
    let hex = |digest: &String| digest.trim_start_matches("sha256:").to_owned();
    stage.image.platforms.iter().map(|platform| hex(&platform.manifest.digest)).collect()
}

fn call<'s>(stage: &'s Stage, further: &[(&str, &str)], digests: &[String]) -> anyhow::Result<Call<'s>> {
    let mut inputs = inputs(stage);
    inputs.extend(values(further));
    Call::new(stage, &inputs, &values(&[("registry-auth", &stage.registry_auth())]), digests)
}

fn publishes(stage: &Stage) -> anyhow::Result<String> {
    let played = call(stage, &[], &digests(stage))?.play()?;
    played.expect(0)?.expect_commands(&["::add-mask::"])?;
    no_secret(stage, &played)?;
    for repository in REPOSITORIES {
        let found = stage.sandbox.registry().get_manifest(repository, TAG).map(|manifest| manifest.digest);
        ensure!(found.as_ref() == played.outputs.get("digest"), "{repository}:{TAG} is {found:?}");
        ensure!(stage.sandbox.registry().tags(repository) == [TAG], "{:?}", stage.sandbox.registry().tags(repository));
    }
    for (host, repository) in ["quay.io", "docker.io"].iter().zip(REPOSITORIES) {
        let row = format!("`{host}/{repository}:{TAG}`");
        ensure!(played.summary.contains(&row), "the summary lacks {row}\n{}", played.summary);
    }
    ensure!(!played.outputs["log-index"].is_empty() && !played.outputs["bundle"].is_empty(), "{:?}", played.outputs);
    verify(stage, &played.outputs["verify-command"])
}

fn is_gated(stage: &Stage) -> anyhow::Result<String> {
    let call = call(stage, &[], &[])?;
    for job in ["prepare", "sign"] {
        ensure!(call.runs_after(job, "push")? && call.runs_after(job, "workflow_dispatch")?, "{job} never runs");
        for event in ["pull_request", "pull_request_target"] {
            ensure!(!call.runs_after(job, event)?, "{job} runs on {event}");
        }
    }
    ensure!(call.permissions("prepare")?.is_empty(), "prepare: {:?}", call.permissions("prepare")?);
    let granted = call.permissions("sign")?;
    ensure!(granted == values(&[("id-token", "write")]), "sign: {granted:?}");
    Ok("each job is gated as a whole".to_owned())
}

/// Plays a call that must fail, and looks whether a tag moved or something was signed.
fn refuse(stage: &Stage, further: &[(&str, &str)], digests: &[String]) -> anyhow::Result<Played> {
    let before: Vec<_> = REPOSITORIES.map(|repository| stage.sandbox.registry().tags(repository)).into();
    let further: Vec<(&str, &str)> = [("tags", "v2")].into_iter().chain(further.iter().copied()).collect();
    let played = call(stage, &further, digests)?.play()?;
    ensure!(played.exit != 0, "it succeeded\n{}", played.log);
    let after: Vec<_> = REPOSITORIES.map(|repository| stage.sandbox.registry().tags(repository)).into();
    ensure!(before == after, "tags moved: {before:?} to {after:?}");
    no_secret(stage, &played)?;
    Ok(played)
}

fn other_artifacts(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let good = digests(stage);
    let first = good.first().context("no platform")?;
    let upper = first.to_uppercase();
    let hostile = [first[1..].to_owned(), format!("{first}0"), upper, "::error::x".to_owned(), ".hidden".to_owned()];
    let further = ["$(touch x)", "-rf", "a b", "x\n::error::y", "digests<<END"].map(str::to_owned);
    let none = refuse(stage, &[], &[])?;
    none.expect(2)?.expect_commands(&["::error title=countersign::"])?;
    for name in hostile.iter().chain(&further) {
        let with: Vec<String> = good.iter().chain([name]).cloned().collect();
        let played = refuse(stage, &[], &with).with_context(|| format!("{name:?}"))?;
        played.expect(2)?.expect_commands(&["::error title=countersign::"])?;
    }
    ensure!(stage.certificates() == 0, "a certificate was asked for");
    Ok(format!("none, and {} names", hostile.len() + further.len()))
}

fn fewer_platforms(stage: &Stage) -> anyhow::Result<String> {
    stage.sandbox.clear_requests();
    let one = digests(stage).into_iter().take(1).collect::<Vec<_>>();
    let played = refuse(stage, &[], &one)?;
    ensure!(stage.certificates() == 0, "a certificate was asked for");
    ensure!(played.log.contains("linux/arm64"), "the platform is not named\n{}", played.log);
    ensure!(!played.log.contains(PASSWORD), "the password is shown");
    Ok("the missing one is named, nothing is signed".to_owned())
}

fn another_policy(stage: &Stage) -> anyhow::Result<String> {
    let policy = inputs(stage)["policy"].replace("release.yml", "other.yml");
    let played = refuse(stage, &[("policy", &policy)], &digests(stage))?;
    played.expect(3)?;
    Ok("exit 3, no tag moved".to_owned())
}
