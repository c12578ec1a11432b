//! What is verified where there is no network: in a namespace without routes and without loopback.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use sandbox::{GithubIdentity, LayoutStyle};
use serde_json::Value;

use super::table::Rows;
use super::world::World;
use crate::programs::{Programs, Run};

const REPOSITORY: &str = "offline/app";

/// One image, signed, and carried away in a layout and as a bundle.
struct Carried {
    folder: PathBuf,
    digest: String,
}

pub(crate) fn run(programs: &Programs, world: &World<'_>, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    if !Command::new("unshare").args(["-rn", "true"]).output().is_ok_and(|output| output.status.success()) {
        rows.note("no network at all: skipped", Ok("`unshare -rn` does not work on this machine".to_owned()));
        return Ok(());
    }
    let carried = Carried::new(world)?;
    let at_digest = format!("{}/{REPOSITORY}@{}", super::world::HOST, carried.digest);
    let tagged = format!("{}/{REPOSITORY}:v1", super::world::HOST);
    let path = |name: &str| carried.folder.join(name).display().to_string();
    let (layout, unsigned, bundle) = (path("layout"), path("unsigned"), path("bundle.json"));
    let judge = |reference: &str, flags: &[&str]| isolated(programs, world, reference, flags);
    let verdict = |run: anyhow::Result<Run>, exit, verdict: &str| {
        let document = run?.expect(exit)?.json()?;
        ensure!(document["verdict"] == verdict, "{document}");
        Ok(verdict.to_owned())
    };
    let bundled = judge(&at_digest, &["--bundle", &bundle, "--offline"]);
    rows.note("no network at all: a bundle", verdict(bundled, 0, "verified"));
    let by_tag = judge(&tagged, &["--layout", &layout, "--offline"]);
    rows.note("no network at all: an image layout", verdict(by_tag, 0, "verified"));
    // Docker's export calls the image by the name that it was pulled under, so it is asked for by its digest.
    let without = judge(&at_digest, &["--layout", &unsigned, "--offline"]);
    rows.note("no network at all: a layout without signatures", verdict(without, 3, "rejected"));
    let registry = judge(&tagged, &["--offline"]);
    rows.note("no network at all: the registry", verdict(registry, 4, "undecided"));
    Ok(())
}

impl Carried {
    fn new(world: &World<'_>) -> anyhow::Result<Self> {
        let pushed = world.push("offline", REPOSITORY, "v1");
        world.sign(&[pushed.reference()], &GithubIdentity::default())?.expect(0)?;
        let registry = world.sandbox.registry();
        let folder = world.folder.join("offline");
        registry.write_layout(REPOSITORY, &folder.join("layout"), LayoutStyle::Oras)?;
        registry.write_layout(REPOSITORY, &folder.join("unsigned"), LayoutStyle::Docker)?;
        let digest = pushed.image.digest().to_owned();
        let referrers = registry.referrers(REPOSITORY, &digest);
        let referrer = referrers.first().and_then(|entry| entry["digest"].as_str()).context("no referrer")?;
        let manifest = registry.get_manifest(REPOSITORY, referrer).context("no manifest")?;
        let manifest: Value = serde_json::from_slice(&manifest.bytes)?;
        let layer = manifest["layers"][0]["digest"].as_str().context("no layer")?;
        fs::write(folder.join("bundle.json"), registry.get_blob(layer).context("no bundle")?)?;
        Ok(Self { folder, digest })
    }
}

/// Verifies in a namespace of its own; what is believed comes from a file.
fn isolated(programs: &Programs, world: &World<'_>, reference: &str, flags: &[&str]) -> anyhow::Result<Run> {
    let policy = world.folder.join("offline-policy.yaml");
    fs::write(&policy, world.admitted().policy())?;
    let output = Command::new("unshare")
        .arg("-rn")
        .arg(programs.path("countersign-verifier"))
        .args(["verify", reference, "--output", "json", "--policy"])
        .arg(&policy)
        .arg("--trusted-root")
        .arg(&world.trust.trusted_root)
        .args(flags)
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", world.folder.join("home"))
        .output()
        .context("cannot start unshare")?;
    Ok(Run {
        exit: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
