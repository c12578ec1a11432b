//! Verifying, beside cosign and a program that embeds sigstore-go, with the same registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

mod case;
mod goals;
mod signed;
mod stored;
mod table;

use super::measure::{Sample, Samples};
use super::record::Peer;
use super::world::World;
use super::{PATIENCE, child, round_trips};
use crate::flags::{BenchVerifyFlags, BenchVerifyPart};
use crate::peers::install::Toolbox;
use crate::peers::stack::{Rekor, Stack};
use crate::{peers, programs, shell};
use case::{By, Case, Cell, Programs, Trust, Who};
use signed::Signed;
use table::Report;

/// What one certificate authority, one log and one timestamp authority said of a digest, so many times.
const SIGNATURES: [usize; 3] = [1, 30, 100];

pub(super) fn run(flags: &BenchVerifyFlags) -> anyhow::Result<()> {
    let wanted = ["cosign", "sigstore-go"];
    let toolbox = Toolbox::install(&peers::cache(flags.cache.as_deref())?, |peer| wanted.contains(&peer.name))?;
    let ours = ours(flags)?;
    let programs = Programs {
        verifier: ours.join("countersign-verifier"),
        signer: ours.join("countersign-signer"),
        stored: ours.join("examples").join("verify_stored"),
        cosign: toolbox.program("cosign", "cosign").ok(),
        sigstore_go: toolbox.program("sigstore-go", "sigstore-go").ok(),
    };
    let folder = tempfile::Builder::new().prefix("countersign-bench-").tempdir()?;
    let mut world = World::start()?;
    let stack = Stack::of_sandbox(world.sandbox(), Rekor::V1, folder.path())?;
    let tuf = stack.tuf.as_ref().context("the sandbox has no TUF repository")?;
    let tuf = (world.behind(Peer::Tuf, &tuf.url)?, tuf.root.clone());
    let mut report = Report::new(&programs)?;
    let mut bench =
        Bench { flags, programs: &programs, world: &mut world, stack, tuf, folder: folder.path(), homes: 0 };
    if flags.has(BenchVerifyPart::Registry) {
        bench.registry(&mut report)?;
    }
    if flags.has(BenchVerifyPart::Stored) {
        stored::measure(&mut bench, &mut report)?;
    }
    report.finish(flags.output)
}

/// The folder of the release builds.
fn ours(flags: &BenchVerifyFlags) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &flags.binaries {
        return Ok(folder.clone());
    }
    for arguments in [
        ["build", "--locked", "--release", "--package", "countersign-signer"].as_slice(),
        &["build", "--locked", "--release", "--package", "countersign-verifier", "--features", "cli", "--bins"],
        &["build", "--locked", "--release", "--package", "countersign-verifier", "--example", "verify_stored"],
    ] {
        shell::run("building the programs", &mut shell::cargo(arguments))?;
    }
    Ok(programs::target()?.join("release"))
}

struct Bench<'b> {
    flags: &'b BenchVerifyFlags,
    programs: &'b Programs,
    world: &'b mut World,
    stack: Stack,
    /// The TUF repository, behind the network, and its first root.
    tuf: (String, PathBuf),
    folder: &'b Path,
    homes: usize,
}

impl Bench<'_> {
    fn registry(&mut self, report: &mut Report) -> anyhow::Result<()> {
        for signatures in SIGNATURES {
            let signed = Signed::new(self, signatures)?;
            let mut rows = vec![(Trust::Warm, By::Digest)];
            if signatures == 1 {
                rows.extend([(Trust::Warm, By::Tag), (Trust::Cold, By::Digest)]);
            }
            for (trust, by) in rows {
                for round_trip in round_trips(self.flags.quick) {
                    let case = |who| Case { who, signatures, by, trust, round_trip };
                    self.compare(&signed, &Who::ALL.map(case), report)?;
                }
            }
        }
        Ok(())
    }

    /// Lets everybody verify in turn, as often as is asked for.
    fn compare(&mut self, signed: &Signed, cases: &[Case], report: &mut Report) -> anyhow::Result<()> {
        let mut cells: Vec<Cell> = Vec::new();
        let mut homes = Vec::new();
        for case in cases.iter().filter(|case| self.programs.can(case)) {
            cells.push(Cell { case: *case, samples: Samples::default() });
            homes.push(self.home()?);
        }
        // Whatever is kept between two calls is there when they are measured.
        for (cell, home) in cells.iter().zip(&homes).filter(|(cell, _)| cell.case.trust == Trust::Warm) {
            self.once(signed, &cell.case, home)?;
        }
        let mut spent = vec![Duration::ZERO; cells.len()];
        for _ in 0..self.flags.repetitions.unwrap_or(if self.flags.quick { 3 } else { 7 }).max(1) {
            for ((cell, home), spent) in
                cells.iter_mut().zip(&homes).zip(&mut spent).filter(|(_, spent)| **spent < PATIENCE)
            {
                let started = Instant::now();
                let home = match cell.case.trust {
                    Trust::Warm => home.clone(),
                    Trust::Cold => self.home()?,
                };
                let sample = self.once(signed, &cell.case, &home).with_context(|| format!("{:?}", cell.case))?;
                cell.samples.0.push(sample);
                *spent += started.elapsed();
            }
        }
        cells.into_iter().for_each(|cell| report.add(cell));
        Ok(())
    }

    fn once(&self, signed: &Signed, case: &Case, home: &Path) -> anyhow::Result<Sample> {
        self.world.network.set_round_trip(case.round_trip);
        let commands = self.programs.commands(case, &self.stack, signed, home)?;
        self.world.clear();
        let mut usages = Vec::new();
        for command in commands {
            usages.push(child::run(command)?.0);
        }
        let connections = self.world.crossed()?;
        let usage = child::Usage {
            wall: usages.iter().map(|usage| usage.wall).sum(),
            cpu: usages.iter().map(|usage| usage.cpu).sum(),
            memory: usages.iter().map(|usage| usage.memory).max().unwrap_or_default(),
        };
        Ok(Sample::new(usage, &connections))
    }

    fn home(&mut self) -> anyhow::Result<PathBuf> {
        self.homes += 1;
        let home = self.folder.join(format!("home-{}", self.homes));
        fs::create_dir_all(&home)?;
        Ok(home)
    }
}
