//! Signing, beside cosign with the same services.

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::contestant::{Contestant, Programs};
use super::measure::{Case, Cell, Sample, Samples};
use super::report::Report;
use super::world::{Load, Services, World};
use super::{FAR, PATIENCE, child, round_trips, waterfall};
use crate::flags::{BenchPart, BenchSignFlags};
use crate::peers::install::Toolbox;
use crate::peers::servers::{Real, RealStack};
use crate::peers::stack::{Rekor, Stack};
use crate::peers::{self, Bench as PeersBench};
use crate::{programs, shell};

pub(super) const OURS: Contestant = Contestant::Ours("image");
pub(super) const OURS_BY_DIGEST: Contestant = Contestant::Ours("digest");
pub(super) const OURS_AT_ONCE: Contestant = Contestant::Ours("release");

/// What the real servers are tried with; they are those that install a peer of this name.
const REAL: [&str; 7] =
    ["fulcio", "postgresql", "rekor", "rekor-tiles", "tesseract", "timestamp-authority", "trillian"];

pub(super) fn run(flags: &BenchSignFlags) -> anyhow::Result<()> {
    let toolbox = Toolbox::install(&peers::cache(flags.cache.as_deref())?, |peer| {
        peer.name == "cosign" || (flags.real && REAL.contains(&peer.name))
    })?;
    let programs = Programs { ours: ours(flags)?, cosign: toolbox.program("cosign", "cosign").ok() };
    let folder = tempfile::Builder::new().prefix("countersign-bench-").tempdir()?;
    let mut world = World::start()?;
    let sandbox = Stack::of_sandbox(world.sandbox(), Rekor::V1, folder.path())?;
    let services = world.services(sandbox, folder.path())?;
    let mut bench = Bench { flags, programs: &programs, world: &mut world, folder: folder.path(), runs: 0 };
    if flags.trace {
        return bench.trace(&services);
    }
    let mut report = Report::new(&programs)?;
    if flags.has(BenchPart::Index) {
        bench.matrix(&services, &mut report)?;
    }
    if flags.has(BenchPart::Release) {
        bench.releases(&services, &mut report)?;
    }
    if flags.real {
        bench.real(&toolbox, &mut report)?;
    }
    report.finish(flags.output)
}

/// The release build of our signer.
fn ours(flags: &BenchSignFlags) -> anyhow::Result<std::path::PathBuf> {
    if let Some(program) = &flags.signer {
        return Ok(program.clone());
    }
    let arguments = ["build", "--locked", "--release", "--package", "countersign-signer"];
    shell::run("building the signer", &mut shell::cargo(&arguments))?;
    Ok(programs::target()?.join("release").join("countersign-signer"))
}

struct Bench<'b> {
    flags: &'b BenchSignFlags,
    programs: &'b Programs,
    world: &'b mut World,
    folder: &'b Path,
    runs: usize,
}

impl Bench<'_> {
    /// An index with few and with many manifests, in one and in two registries, near and far.
    fn matrix(&mut self, services: &Services, report: &mut Report) -> anyhow::Result<()> {
        let registries: &[usize] = if self.flags.quick { &[1] } else { &[1, 2] };
        for &registries in registries {
            for children in [4, 20] {
                for round_trip in round_trips(self.flags.quick) {
                    let load = Load { images: 1, children, registries };
                    self.compare(services, load, round_trip, &[OURS, OURS_BY_DIGEST, Contestant::Cosign], report)?;
                }
            }
        }
        Ok(())
    }

    /// Whole releases in one call: of these ours alone, as a loop of the others would take hours.
    fn releases(&mut self, services: &Services, report: &mut Report) -> anyhow::Result<()> {
        let load = Load { images: RELEASE, children: 4, registries: 1 };
        for round_trip in round_trips(self.flags.quick).into_iter().filter(|round_trip| *round_trip <= FAR) {
            let whos: &[Contestant] = if self.flags.quick { &[OURS] } else { &[OURS, OURS_AT_ONCE] };
            self.compare(services, load, round_trip, whos, report)?;
        }
        Ok(())
    }

    /// The servers that people run, where they are installed: their log of version 2 answers once a second.
    fn real(&mut self, toolbox: &Toolbox, report: &mut Report) -> anyhow::Result<()> {
        let folder = self.folder.join("real");
        std::fs::create_dir_all(&folder)?;
        let folders = AtomicUsize::new(0);
        let built = programs::Programs::beside(&self.programs.ours);
        let bench = PeersBench::new(&built, toolbox, &folder, &folders);
        let real = Real::start(&bench, self.world.sandbox())?;
        let load = Load { images: 1, children: 4, registries: 1 };
        for rekor in [Rekor::V2, Rekor::V1] {
            match RealStack::new(&bench, self.world.sandbox(), &real, rekor) {
                Ok(stack) => {
                    let services = self.world.services(stack.stack.clone(), &folder)?;
                    for round_trip in round_trips(self.flags.quick).into_iter().filter(|round_trip| *round_trip <= FAR)
                    {
                        let whos = [OURS, OURS_BY_DIGEST, Contestant::Cosign];
                        self.compare(&services, load, round_trip, &whos, report)?;
                    }
                }
                Err(missing) => report.skipped.push(format!("real servers, {rekor}: {missing:#}")),
            }
        }
        Ok(())
    }

    /// Lets everybody sign in turn, as often as is asked for, each time something new.
    fn compare(
        &mut self,
        services: &Services,
        load: Load,
        round_trip: Duration,
        whos: &[Contestant],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let case = |who| Case { services: services.name.clone(), load, round_trip, who };
        let mut cells: Vec<Cell> =
            whos.iter().map(|who| Cell { case: case(*who), samples: Samples::default() }).collect();
        let mut spent = vec![Duration::ZERO; cells.len()];
        for _ in 0..self.flags.repetitions.unwrap_or(if self.flags.quick { 3 } else { 5 }).max(1) {
            for (cell, spent) in cells.iter_mut().zip(&mut spent).filter(|(_, spent)| **spent < PATIENCE) {
                let started = Instant::now();
                let sample = self.once(services, &cell.case).with_context(|| format!("{:?}", cell.case))?;
                cell.samples.0.extend(sample);
                *spent += started.elapsed();
            }
        }
        cells.retain(|cell| !cell.samples.0.is_empty());
        for cell in cells {
            report.add(cell);
        }
        Ok(())
    }

    fn once(&mut self, services: &Services, case: &Case) -> anyhow::Result<Option<Sample>> {
        self.world.network.set_round_trip(case.round_trip);
        let references = self.world.push(case.load);
        self.runs += 1;
        let home = self.folder.join(format!("home-{}", self.runs));
        let Some(command) = self.programs.command(case.who, services, &references, &home)? else {
            return Ok(None);
        };
        self.world.clear();
        let (usage, _) = child::run(command)?;
        let connections = self.world.crossed()?;
        Ok(Some(Sample::new(usage, &connections)))
    }

    /// One run of ours, request by request.
    fn trace(&mut self, services: &Services) -> anyhow::Result<()> {
        let images = if self.flags.only == [BenchPart::Release] { RELEASE } else { 1 };
        let load = Load { images, children: 4, registries: 1 };
        self.world.network.set_round_trip(FAR);
        for warm in [false, true] {
            let references = self.world.push(load);
            let home = self.folder.join(format!("trace-{warm}"));
            let command = self.programs.command(OURS, services, &references, &home)?;
            let Some(command) = command else { bail!("there is no signer") };
            self.world.clear();
            let (usage, _) = child::run(command)?;
            let connections = self.world.crossed()?;
            if warm {
                print!("{}", waterfall::draw(&connections, usage.wall, FAR));
            }
        }
        Ok(())
    }
}

/// Images of a release.
pub(super) const RELEASE: usize = 200;
