//! Push, sign, verify, install, run.

use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use sandbox::{GithubIdentity, Service};

use super::gallery::Index;
use super::table::Rows;
use super::world::{Pushed, World};

/// The repository and tag of the entry `cpu-llama-cpp` in the real index.
const REPOSITORY: &str = "go-skynet/local-ai-backends";
const TAG: &str = "latest-cpu-llama-cpp";

pub(crate) fn run(world: &World<'_>, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let pushed = world.push("llama-cpp", REPOSITORY, TAG);
    let digests = pushed.image.digests().len();
    rows.note("push an index with 2 platforms and 2 attestations", Ok(format!("{digests} digests")));
    let signed = sign(world, &pushed);
    let is_signed = signed.is_ok();
    rows.note("sign it in a release job", signed);
    if !is_signed {
        return Ok(());
    }
    rows.note("verify by tag, repository and tag bound", verify_tag(world, &pushed));
    rows.note("verify each digest", verify_digests(world, &pushed));
    let index = Index::find(&world.folder)?;
    rows.note("install cpu-llama-cpp from a gallery", install(world, &index, "cpu-llama-cpp"));
    rows.note("install the meta llama-cpp", install(world, &index, "llama-cpp"));
    rows.note("run the installed run.sh", run_installed(world));
    Ok(())
}

/// One token, one certificate, one log entry, and no more requests than the budget allows.
fn sign(world: &World<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    world.sandbox.clear_requests();
    world.sign(&[pushed.reference()], &GithubIdentity::default())?.expect(0)?;
    let requests = world.sandbox.requests();
    let posts = |service: Service| {
        requests.iter().filter(|request| request.service == service && request.method == "POST").count()
    };
    let certificates = posts(Service::Fulcio);
    let entries = posts(Service::RekorV1) + posts(Service::RekorV2);
    ensure!(certificates == 1, "{certificates} certificates were asked for");
    ensure!(entries == 1, "{entries} entries were logged");
    let digests = pushed.image.digests();
    let budget = digests.len() + 14;
    // The budget is that of the referrers API: the tag schema needs a read and a write for each digest besides.
    if world.referrers_api && requests.len() > budget {
        let list: Vec<String> = requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect();
        bail!("{} requests, more than {budget}:\n{}", requests.len(), list.join("\n"));
    }
    for digest in &digests {
        let found = world.sandbox.registry().referrers(REPOSITORY, digest).len();
        ensure!(found == 1, "{digest} has {found} referrers");
    }
    Ok(format!("1 certificate, 1 log entry, {} requests in all for {} digests", requests.len(), digests.len()))
}

fn verify_tag(world: &World<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    let mut admitted = world.admitted();
    admitted.require_repository = true;
    admitted.require_tag = true;
    let run = world.verify(&pushed.reference(), &admitted, &world.trust.trusted_root)?;
    let document = run.expect(0)?.json()?;
    ensure!(document["verdict"] == "verified", "{document}");
    ensure!(document["digest"] == pushed.image.digest(), "{document}");
    let identity = document["signatures"][0]["identity"].as_str().context("no identity")?;
    Ok(format!("verified: {identity}"))
}

fn verify_digests(world: &World<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    let digests = pushed.image.digests();
    for digest in &digests {
        let run = world.verify(&pushed.at(digest), &world.admitted(), &world.trust.trusted_root)?;
        run.expect(0)?;
    }
    Ok(format!("{} of {} verified", digests.len(), digests.len()))
}

fn install(world: &World<'_>, index: &Index, entry: &str) -> anyhow::Result<String> {
    let mut admitted = world.admitted();
    admitted.require_repository = true;
    admitted.require_tag = true;
    let config = world.config(index.path(), &admitted.block());
    let strict = ["--require-backend-integrity"];
    world.install(entry, &config, &world.trust.trusted_root, &strict)?.expect(0)?;
    let metadata = world.backends().join(entry).join("metadata.json");
    ensure!(metadata.is_file(), "{} was not written", metadata.display());
    Ok(format!("installed, from {index}"))
}

fn run_installed(world: &World<'_>) -> anyhow::Result<String> {
    let program = world.backends().join("cpu-llama-cpp/run.sh");
    let output = Command::new(&program).output().with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(output.status.success() && said == "llama-cpp is running", "it said {said:?}");
    Ok(said)
}
