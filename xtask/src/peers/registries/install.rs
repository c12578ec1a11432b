//! The gallery takes an image from the registry under a strict policy, and leaves an unsigned one alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::super::matrix::Section;
use super::super::process::{self, Run};
use super::super::signers::Signer;
use super::Site;
use super::push;
use crate::e2e::gallery::Admitted;
use crate::e2e::snapshot::Snapshot;

pub(crate) fn run(site: &Site<'_>, section: &mut Section) {
    let column = site.registry.kind.peer();
    let mut folder = None;
    section.cell("the gallery installs a signed backend, and it runs", column, || {
        let place = site.bench.folder("gallery")?;
        let shown = signed(site, &place)?;
        folder = Some(place);
        Ok(shown)
    });
    let Some(folder) = folder else { return };
    section.cell("the gallery refuses an unsigned backend", column, || unsigned(site, &folder));
}

fn signed(site: &Site<'_>, folder: &Path) -> anyhow::Result<String> {
    let pushed = push::push(&site.registry.host, "octo/backend", push::image("backend"))?;
    Signer::Ours("image").sign(site.bench, site.stack, &pushed.by_tag)?;
    install(site, folder, "backend", &pushed.by_tag)?.ok()?;
    let program = backends(folder).join("backend/run.sh");
    let output = Command::new(&program).output().with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(output.status.success() && said == "backend is running", "it said {said:?}");
    Ok(said)
}

fn unsigned(site: &Site<'_>, folder: &Path) -> anyhow::Result<String> {
    let pushed = push::push(&site.registry.host, "octo/stranger", push::image("stranger"))?;
    let before = Snapshot::of(&backends(folder))?;
    let run = install(site, folder, "stranger", &pushed.by_tag)?;
    let document: Value = serde_json::from_str(&run.stdout).with_context(|| run.last_words())?;
    let code = document["error"]["code"].as_str().unwrap_or_default();
    ensure!(run.exit == 3 && code == "unsigned", "exit {}: {document}", run.exit);
    let after = Snapshot::of(&backends(folder))?;
    ensure!(before == after, "the disk changed: {:?}", before.difference(&after));
    Ok("exit 3, unsigned; nothing was written".to_owned())
}

fn backends(folder: &Path) -> PathBuf {
    folder.join("backends")
}

fn install(site: &Site<'_>, folder: &Path, entry: &str, uri: &str) -> anyhow::Result<Run> {
    let index = folder.join("index.yaml");
    fs::write(&index, format!("- name: \"{entry}\"\n  uri: \"{uri}\"\n"))?;
    let admitted = Admitted {
        issuer: site.stack.issuer.clone(),
        identity: site.stack.identity.clone(),
        repository: None,
        not_before: None,
        require_tag: true,
        require_repository: true,
    };
    let galleries = folder.join("galleries.yaml");
    let config = format!("- name: demo\n  url: file://{}\n{}", index.display(), admitted.block());
    fs::write(&galleries, config)?;
    let home = site.bench.folder("gallery-home")?;
    let mut command = process::command(&site.bench.programs.path("countersign-gallery"), &home);
    command.args(["install", entry, "--output", "json", "--platform", "linux/amd64", "--capability", "default"]);
    command.arg("--require-backend-integrity").arg("--galleries").arg(galleries);
    command.arg("--backends-path").arg(backends(folder)).arg("--trusted-root").arg(&site.stack.trusted_root);
    process::call(command)
}
