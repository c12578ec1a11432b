//! Everybody signs and everybody verifies, with the sandbox's services.

use std::thread;

use anyhow::{Context as _, anyhow};

mod files;
mod limits;
mod tools;
pub(crate) mod verifying;
pub(crate) mod world;

use super::Bench;
use super::libraries::Library;
use super::matrix::{Section, Shown};
use super::signers::Signer;
use super::stack::Rekor;
use super::versions;
use verifying::Judge;
use world::World;

const FILES: &str = "replica: without a registry";
const TOOLS: &str = "replica: tools";

/// The kinds of registry and log.
const WORLDS: [(bool, Rekor); 4] = [(true, Rekor::V1), (true, Rekor::V2), (false, Rekor::V1), (false, Rekor::V2)];

pub(crate) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Section>> {
    let mut missing = Section::new("replica: not installed");
    let judges = present(bench, &mut missing)?;
    for tool in ["oras", "regctl"] {
        if let Err(error) = bench.toolbox.folder(tool) {
            missing.cell("every row", tool, || Err::<Shown, _>(error));
        }
    }
    let parts = thread::scope(|scope| {
        let judges = &judges;
        let running: Vec<_> = WORLDS
            .into_iter()
            .map(|(referrers_api, rekor)| scope.spawn(move || one_world(bench, judges, referrers_api, rekor)))
            .collect();
        let parts = running.into_iter().map(|run| run.join().map_err(|_| anyhow!("a world panicked"))?);
        parts.collect::<anyhow::Result<Vec<Parts>>>()
    })?;
    let (mut sections, mut files, mut tools) = (Vec::new(), Section::new(FILES), Section::new(TOOLS));
    for part in parts {
        sections.push(part.images);
        files.extend(part.files);
        tools.extend(part.tools);
    }
    sections.extend([files, tools]);
    if missing.cells().next().is_some() {
        sections.push(missing);
    }
    Ok(sections)
}

/// The judges of this machine. One that is missing is noted once, not in every row.
pub(crate) fn present(bench: &Bench<'_>, missing: &mut Section) -> anyhow::Result<Vec<Judge>> {
    let mut judges = vec![
        Judge::Ours,
        Judge::Cosign("cosign"),
        Judge::Cosign("cosign-2.6"),
        Judge::Library(Library::Python),
        Judge::Library(Library::Js),
    ];
    let rust = versions::peer("sigstore-rs").context("sigstore-rs is not in the list of peers")?;
    judges.extend(rust.version.split(", ").map(|version| Judge::Library(Library::Rust(version))));
    judges.extend(rust.version.split(", ").map(|version| Judge::Library(Library::RustCosign(version))));
    judges.retain(|judge| match judge.is_there(bench) {
        Ok(()) => true,
        Err(error) => {
            missing.cell("every row", &judge.name(), || Err::<Shown, _>(error));
            false
        }
    });
    Ok(judges)
}

/// What one world is tried with.
struct Parts {
    images: Section,
    files: Section,
    tools: Section,
}

fn one_world(bench: &Bench<'_>, judges: &[Judge], referrers_api: bool, rekor: Rekor) -> anyhow::Result<Parts> {
    let world = World::start(bench, referrers_api, rekor)?;
    let mut parts = Parts {
        images: Section::new(&format!("replica: {world}")),
        files: Section::new(FILES),
        tools: Section::new(TOOLS),
    };
    let mut signers = vec![Signer::Ours("image"), Signer::Ours("digest"), Signer::Ours("release")];
    if bench.toolbox.folder("cosign").is_ok() {
        signers.push(Signer::Cosign);
    }
    verifying::run_all(bench, &world, judges, &signers, &mut parts.images);
    if referrers_api {
        // No registry takes part in these.
        files::run(bench, &world, judges, &mut parts.files);
    }
    tools::run(bench, &world, &mut parts.tools);
    Ok(parts)
}
