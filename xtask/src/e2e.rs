//! The whole loop with the real binaries on the sandbox: sign, verify, install, run, and every refusal.
//!
//! It runs four times: with and without the referrers API, with Rekor v1 and v2; beside it a release is published to two registries, and
//! killed at its requests, and the composite action and the reusable workflow are played with their own shell steps. Each step asserts
//! what it shows, and the table at the end lists them all; one that does not hold fails the task.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, anyhow, bail};

mod action;
pub(crate) mod gallery;
mod offline;
mod publish;
mod refusals;
mod round_trip;
pub(crate) mod snapshot;
mod table;
mod verifying;
mod world;

use crate::flags::E2eFlags;
use crate::programs::Programs;
use table::Table;
use world::{Rekor, World};

pub(crate) fn run(flags: &E2eFlags) -> anyhow::Result<()> {
    eprintln!("== e2e");
    let programs = match &flags.binaries {
        Some(folder) => Programs::in_folder(folder)?,
        None => Programs::build()?,
    };
    let folder = tempfile::Builder::new().prefix("countersign-e2e-").tempdir()?;
    let table = run_all(&programs, folder.path(), flags)?;
    print(&table);
    if flags.keep {
        let kept = folder.keep();
        println!("kept: {}", kept.display());
    }
    match table.failed() {
        0 => Ok(()),
        failed => bail!("{failed} of {} steps did not hold", table.total()),
    }
}

/// Runs every combination at the same time: each has a sandbox and a folder of its own.
fn run_all(programs: &Programs, folder: &Path, flags: &E2eFlags) -> anyhow::Result<Table> {
    let combinations = [(true, Rekor::V1), (true, Rekor::V2), (false, Rekor::V1), (false, Rekor::V2)];
    let mut table = Table::default();
    thread::scope(|scope| {
        let run_one = |(referrers_api, rekor)| scope.spawn(move || run_one(programs, folder, referrers_api, rekor));
        let released = scope.spawn(move || release(programs, folder, flags));
        let played = scope.spawn(move || action::run(programs, folder).context("the action"));
        let running: Vec<_> = combinations.into_iter().map(run_one).chain([released, played]).collect();
        for run in running {
            table.extend(run.join().map_err(|_| anyhow!("a run of the round trip panicked"))??);
        }
        Ok(table)
    })
}

fn run_one(programs: &Programs, folder: &Path, referrers_api: bool, rekor: Rekor) -> anyhow::Result<Table> {
    let place = format!("{}, {rekor}", if referrers_api { "referrers API" } else { "tag schema" });
    let world = World::start(programs, folder, referrers_api, rekor)?;
    let mut table = Table::default();
    let mut rows = table.of(&place);
    round_trip::run(&world, &mut rows).with_context(|| format!("round trip ({place})"))?;
    verifying::run(&world, &mut rows).with_context(|| format!("verifying ({place})"))?;
    refusals::run(&world, &mut rows).with_context(|| format!("refusals ({place})"))?;
    offline::run(programs, &world, &mut rows).with_context(|| format!("offline ({place})"))?;
    Ok(table)
}

/// A release in two registries, one with the referrers API and one without.
fn release(programs: &Programs, folder: &Path, flags: &E2eFlags) -> anyhow::Result<Table> {
    let mut table = Table::default();
    let step = if flags.every_request { 1 } else { 7 };
    publish::run(programs, folder, step, &mut table.of("two registries, publish")).context("publish")?;
    Ok(table)
}

fn print(table: &Table) {
    println!("{table}");
    let by_place: BTreeMap<&str, usize> = table.counts();
    let steps: usize = by_place.values().sum();
    println!("e2e: {} passed, {} failed", steps - table.failed(), table.failed());
}
