//! The same loop with the tools and servers that people run, both ways.
//!
//! Installs what the machine can have, tries every pair, and prints one matrix. A peer that cannot be had makes its
//! cells skipped, with the reason; `--require` makes that an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};

mod compatibility;
mod containerd;
mod differential;
mod http;
pub(crate) mod install;
mod judges;
mod libraries;
mod matrix;
mod older;
mod plant;
pub(crate) mod process;
mod published;
mod recipe;
mod referrers;
mod registries;
mod replica;
pub(crate) mod servers;
mod signers;
pub(crate) mod stack;
mod verdict;
pub(crate) mod versions;

use crate::flags::{PeersFlags, PeersSection};
use crate::programs::Programs;
use crate::shell::root;
use install::Toolbox;
use matrix::{Matrix, Section};

/// What every section works with.
pub(crate) struct Bench<'b> {
    pub(crate) programs: &'b Programs,
    pub(crate) toolbox: &'b Toolbox,
    folder: &'b Path,
    folders: &'b AtomicUsize,
}

impl<'b> Bench<'b> {
    /// What works with these programs and peers, below a folder.
    pub(crate) fn new(
        programs: &'b Programs,
        toolbox: &'b Toolbox,
        folder: &'b Path,
        folders: &'b AtomicUsize,
    ) -> Self {
        Self { programs, toolbox, folder, folders }
    }

    /// Returns a new, empty folder: the home of one call, or the place of one server.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("{name}-{number}"));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }
}

pub(crate) fn run(flags: &PeersFlags) -> anyhow::Result<()> {
    let started = Instant::now();
    eprintln!("== peers");
    let toolbox = Toolbox::install(&cache(flags.cache.as_deref())?, |peer| !flags.fast || peer.fast)?;
    require(flags, &toolbox)?;
    if flags.install_only {
        for (peer, found) in toolbox.iter() {
            let place = found.map_or_else(|reason| format!("missing: {reason}"), |folder| folder.display().to_string());
            println!("{:22} {:36} {place}", peer.name, install::version(peer));
        }
        return Ok(());
    }
    let programs = match &flags.binaries {
        Some(folder) => Programs::in_folder(folder)?,
        None => Programs::build()?,
    };
    if !flags.plant.is_empty() {
        return plant_faults(flags, &programs, &toolbox);
    }
    let folder = tempfile::Builder::new().prefix("countersign-peers-").tempdir()?;
    let bench = Bench { programs: &programs, toolbox: &toolbox, folder: folder.path(), folders: &AtomicUsize::new(0) };
    let mut matrix = Matrix::new(&toolbox);
    matrix.sections = run_sections(&bench, &flags.sections())?;
    report(&matrix, flags)?;
    if flags.keep {
        println!("kept: {}", folder.keep().display());
    }
    let counts = matrix.counts();
    println!(
        "peers: {} passed ({} of them limits of a peer), {} failed, {} skipped in {:.0?}",
        counts.passed,
        counts.limits,
        counts.failed,
        counts.skipped,
        started.elapsed()
    );
    match (counts.passed, counts.failed) {
        (0, 0) => bail!("not one cell was tried"),
        (_, 0) => Ok(()),
        (_, failed) => bail!("{failed} cells failed"),
    }
}

/// Runs what depends on the layout of our signatures, once with each fault in it.
fn plant_faults(flags: &PeersFlags, sound: &Programs, toolbox: &Toolbox) -> anyhow::Result<()> {
    for plant in &flags.plant {
        eprintln!("== planting: {plant:?}");
        let programs = plant::programs(*plant, sound, &cache(flags.cache.as_deref())?)?;
        let folder = tempfile::Builder::new().prefix("countersign-peers-").tempdir()?;
        let bench = Bench { programs: &programs, toolbox, folder: folder.path(), folders: &AtomicUsize::new(0) };
        let sections = run_sections(&bench, &[PeersSection::Replica])?;
        plant::judge(*plant, &sections)?;
    }
    Ok(())
}

/// Runs the sections at the same time: most of their time is spent waiting for servers.
fn run_sections(bench: &Bench<'_>, wanted: &[PeersSection]) -> anyhow::Result<Vec<Section>> {
    thread::scope(|scope| {
        let start = |section: &PeersSection| {
            let section = *section;
            scope.spawn(move || run_section(bench, section))
        };
        let running: Vec<_> = wanted.iter().map(start).collect();
        let mut sections = Vec::new();
        for run in running {
            sections.extend(run.join().map_err(|_| anyhow!("a section panicked"))??);
        }
        Ok(sections)
    })
}

fn run_section(bench: &Bench<'_>, section: PeersSection) -> anyhow::Result<Vec<Section>> {
    match section {
        PeersSection::Replica => replica::run(bench),
        PeersSection::Registries => registries::run(bench),
        PeersSection::Servers => servers::run(bench),
        PeersSection::Older => older::run(bench),
        PeersSection::Published => published::run(bench),
        PeersSection::Containerd => containerd::run(bench),
    }
}

fn require(flags: &PeersFlags, toolbox: &Toolbox) -> anyhow::Result<()> {
    for name in &flags.require {
        if versions::peer(name).is_none() {
            let names: Vec<&str> = versions::PEERS.iter().map(|peer| peer.name).collect();
            bail!("--require {name}: not a peer; the peers are {}", names.join(", "));
        }
        toolbox.folder(name).with_context(|| format!("--require {name}"))?;
    }
    Ok(())
}

fn report(matrix: &Matrix, flags: &PeersFlags) -> anyhow::Result<()> {
    println!("{matrix}");
    let document = matrix.json(&today());
    let json = match &flags.json {
        Some(file) => file.clone(),
        None => {
            let target = root().join("target");
            fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
            target.join("peers.json")
        }
    };
    fs::write(&json, format!("{document:#}\n")).with_context(|| format!("cannot write {}", json.display()))?;
    println!("written: {}", json.display());
    if flags.compatibility {
        let page = root().join(".github").join("COMPATIBILITY.md");
        fs::write(&page, compatibility::page(&document)?)
            .with_context(|| format!("cannot write {}", page.display()))?;
        println!("written: {}", page.display());
    }
    Ok(())
}

/// Where peers are kept between runs.
pub(crate) fn cache(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = named.map_or_else(default_cache, |folder| Ok(folder.to_owned()))?;
    // Installers of several ecosystems take absolute paths only.
    std::path::absolute(&folder).with_context(|| format!("cannot find {}", folder.display()))
}

/// The cache of peers where none is named: outside the target folder, so that a clean build keeps them.
#[expect(clippy::disallowed_methods, reason = "the cache of this user is where the environment says")]
fn default_cache() -> anyhow::Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let cache = cache.context("there is no home to keep peers in: give --cache DIR")?;
    Ok(cache.join("countersign").join("peers"))
}

#[expect(clippy::disallowed_methods, reason = "the page says when the run was")]
fn today() -> String {
    jiff::Timestamp::now().strftime("%F").to_string()
}
