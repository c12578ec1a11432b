//! The whole loop with the real binaries on the sandbox: sign, verify, install, run, and every refusal.
//!
//! It runs four times: with and without the referrers API, with Rekor v1 and v2. Each step asserts what it shows, and
//! the table at the end lists them all; one that does not hold fails the task.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

mod gallery;
mod programs;
mod refusals;
mod round_trip;
mod snapshot;
mod table;
mod world;

use crate::flags::E2eFlags;
use programs::Programs;
use table::Table;
use world::{Rekor, World};

pub(crate) fn run(flags: &E2eFlags) -> anyhow::Result<()> {
    eprintln!("== e2e");
    let programs = match &flags.binaries {
        Some(folder) => Programs::in_folder(folder)?,
        None => Programs::build()?,
    };
    let folder = tempfile::Builder::new().prefix("countersign-e2e-").tempdir()?;
    let mut table = Table::default();
    for referrers_api in [true, false] {
        for rekor in [Rekor::V1, Rekor::V2] {
            let place = format!("{}, {rekor}", if referrers_api { "referrers API" } else { "tag schema" });
            eprintln!("== e2e: {place}");
            let world = World::start(&programs, folder.path(), referrers_api, rekor)?;
            let mut rows = table.of(&place);
            round_trip::run(&world, &mut rows).with_context(|| format!("round trip ({place})"))?;
            refusals::run(&world, &mut rows).with_context(|| format!("refusals ({place})"))?;
        }
    }
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

fn print(table: &Table) {
    println!("{table}");
    let by_place: BTreeMap<&str, usize> = table.counts();
    let steps: usize = by_place.values().sum();
    println!("e2e: {} passed, {} failed", steps - table.failed(), table.failed());
}
