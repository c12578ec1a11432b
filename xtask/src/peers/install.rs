//! Installs peers into a cache outside the target folder, each version once.
//!
//! A peer that cannot be had is not an error here: it is missing, with the reason, and every cell that needs it is
//! skipped for that reason.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::process;
use super::recipe::Recipe;
use super::versions::{PEERS, Peer};
use crate::shell::{cargo_program, root};

/// How long one installation may take.
const INSTALL_TIME: Duration = Duration::from_secs(30 * 60);
/// The file that is written when an installation is complete; it holds what was installed.
const MARKER: &str = "installed";

/// The peers of this machine.
pub(crate) struct Toolbox {
    peers: BTreeMap<&'static str, Result<PathBuf, String>>,
}

/// A peer that this machine has not got.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) peer: String,
    pub(crate) reason: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not there: {}", self.peer, self.reason)
    }
}

impl std::error::Error for Missing {}

impl Toolbox {
    /// Installs every wanted peer that is not in the cache yet.
    pub(crate) fn install(cache: &Path, wanted: impl Fn(&Peer) -> bool) -> anyhow::Result<Self> {
        let _lock = locked(cache)?;
        let mut peers = BTreeMap::new();
        for peer in PEERS {
            let found =
                if wanted(peer) { install(cache, peer) } else { Err("not part of a run with --fast".to_owned()) };
            peers.insert(peer.name, found);
        }
        Ok(Self { peers })
    }

    /// Returns the folder of a peer, or the error that makes a cell skipped.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<&Path> {
        let missing = |reason: &str| Missing { peer: name.to_owned(), reason: reason.to_owned() };
        match self.peers.get(name) {
            Some(Ok(folder)) => Ok(folder),
            Some(Err(reason)) => Err(missing(reason).into()),
            None => bail!("{name} is not in the list of peers"),
        }
    }

    /// Returns a program of a peer, or the error that makes a cell skipped.
    pub(crate) fn program(&self, name: &str, program: &str) -> anyhow::Result<PathBuf> {
        Ok(self.folder(name)?.join(program))
    }

    /// Every peer with its version, and why it is missing where it is.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static Peer, Result<&Path, &str>)> {
        PEERS.iter().filter_map(|peer| {
            let found = self.peers.get(peer.name)?;
            Some((peer, found.as_deref().map_err(String::as_str)))
        })
    }
}

/// Returns the folder of one program, installing it where it is not in the cache yet.
pub(crate) fn one(cache: &Path, program: &Peer) -> anyhow::Result<PathBuf> {
    let _lock = locked(cache)?;
    install(cache, program).map_err(|reason| anyhow!("{reason}"))
}

/// Creates the cache and waits until nobody else installs into it.
fn locked(cache: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let lock = File::create(cache.join("lock")).context("cannot create the lock of the cache")?;
    lock.lock().context("cannot lock the cache")?;
    Ok(lock)
}

/// Returns the version of a peer; for a Debian package the one that is installed.
pub(crate) fn version(peer: &Peer) -> String {
    let Recipe::Debian { package, .. } = &peer.recipe else { return peer.version.to_owned() };
    let asked = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]).output();
    let answer = asked.ok().filter(|output| output.status.success());
    answer.map_or_else(
        || peer.version.to_owned(),
        |output| format!("{} {}", peer.version, String::from_utf8_lossy(&output.stdout)),
    )
}

/// Returns the folder of a peer, installing it where it is not there yet.
fn install(cache: &Path, peer: &Peer) -> Result<PathBuf, String> {
    let started = Instant::now();
    let result = match &peer.recipe {
        Recipe::Debian { package, programs } => debian(package, programs),
        recipe => cached(cache, peer, recipe),
    };
    match &result {
        Ok(_) if started.elapsed() < Duration::from_secs(1) => {}
        Ok(_) => eprintln!("   {} {} installed in {:.0?}", peer.name, peer.version, started.elapsed()),
        Err(error) => eprintln!("   {} {} cannot be had: {error:#}", peer.name, peer.version),
    }
    result.map_err(|error| format!("{error:#}"))
}

fn cached(cache: &Path, peer: &Peer, recipe: &Recipe) -> anyhow::Result<PathBuf> {
    let folder = cache.join(peer.name).join(peer.version.replace([' ', ','], "_"));
    let contents = contents(peer, recipe)?;
    let marker = folder.join(MARKER);
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == contents) {
        return Ok(folder);
    }
    eprintln!("   installing {} {}", peer.name, peer.version);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    match recipe {
        Recipe::Go { packages, tags } => go(&folder, peer.version, packages, tags)?,
        Recipe::GoMain { requires, replaces, build } => go_main(&folder, peer.name, requires, replaces, build)?,
        Recipe::Cargo { folder: source } => cargo(cache, &folder, source)?,
        Recipe::Npm { packages } => npm(&folder, packages)?,
        Recipe::Pip { requirements } => pip(&folder, requirements)?,
        Recipe::Debian { .. } => {}
    }
    fs::write(&marker, contents)?;
    Ok(folder)
}

/// Everything that decides what is installed, our own sources included.
fn contents(peer: &Peer, recipe: &Recipe) -> anyhow::Result<String> {
    let mut contents = format!("{peer:?}\n");
    let sources = match recipe {
        Recipe::GoMain { .. } => Some(sources().join("go").join(peer.name)),
        Recipe::Cargo { folder } => Some(sources().join(folder)),
        _ => None,
    };
    if let Some(folder) = sources {
        append(&folder, &mut contents)?;
    }
    Ok(contents)
}

fn append(folder: &Path, contents: &mut String) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths.iter().filter(|path| !path.ends_with("target")) {
        if path.is_dir() {
            append(path, contents)?;
        } else {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            contents.push_str(&format!("== {}\n{text}", path.display()));
        }
    }
    Ok(())
}

/// Where our own sources for peers are.
pub(crate) fn sources() -> PathBuf {
    root().join("xtask").join("peers")
}

fn debian(package: &str, programs: &[&str]) -> anyhow::Result<PathBuf> {
    let found = || programs.iter().map(|pattern| expand(pattern)).collect::<Option<Vec<_>>>();
    if found().is_none() {
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        if !is_root {
            bail!("the Debian package {package} is not installed, and only root may install it");
        }
        let apt = |arguments: &[&str]| {
            let mut command = Command::new("apt-get");
            command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
            run(command)
        };
        let arguments = ["install", "-y", "--no-install-recommends", package];
        if apt(&arguments).is_err() {
            apt(&["update"])?;
            apt(&arguments)?;
        }
    }
    let programs = found().with_context(|| format!("the Debian package {package} has none of {programs:?}"))?;
    let folder = programs.first().and_then(|program| program.parent()).context("a program without folder")?;
    Ok(folder.to_path_buf())
}

/// The one path that a pattern with at most one `*` as a folder's name stands for; of several the last by name.
fn expand(pattern: &str) -> Option<PathBuf> {
    let Some((before, after)) = pattern.split_once("/*/") else {
        return Some(PathBuf::from(pattern)).filter(|path| path.is_file());
    };
    let folders = fs::read_dir(before).ok()?;
    let mut paths: Vec<_> = folders.filter_map(|entry| Some(entry.ok()?.path().join(after))).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    paths.pop()
}

fn go_command() -> Command {
    let mut command = Command::new("go");
    command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-trimpath");
    command
}

fn go(folder: &Path, version: &str, packages: &[&str], tags: &str) -> anyhow::Result<()> {
    let mut command = go_command();
    command.env("GOBIN", folder).args(["install", "-ldflags=-s -w"]);
    if !tags.is_empty() {
        command.args(["-tags", tags]);
    }
    command.args(packages.iter().map(|package| format!("{package}@{version}")));
    run(command)
}

fn go_main(
    folder: &Path,
    name: &str,
    requires: &[(&str, &str)],
    replaces: &[(&str, &str)],
    build: &[&str],
) -> anyhow::Result<()> {
    let module = folder.join("module");
    copy(&sources().join("go").join(name), &module)?;
    let mut text = format!("module countersign.dev/peers/{name}\n\ngo 1.25.8\n\n");
    text.extend(requires.iter().map(|(module, version)| format!("require {module} {version}\n")));
    text.extend(replaces.iter().map(|(module, version)| format!("replace {module} => {module} {version}\n")));
    fs::write(module.join("go.mod"), text)?;
    let mut tidy = go_command();
    tidy.args(["mod", "tidy"]).current_dir(&module);
    run(tidy)?;
    let mut command = go_command();
    command.args(["build", "-ldflags=-s -w", "-o"]).arg(format!("{}/", folder.display())).args(build);
    command.current_dir(&module);
    run(command)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().context("an entry without name")?;
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

fn cargo(cache: &Path, folder: &Path, source: &str) -> anyhow::Result<()> {
    let manifest = sources().join(source).join("Cargo.toml");
    let mut command = Command::new(cargo_program());
    command
        .args(["install", "--locked", "--no-track", "--force", "--path"])
        .arg(manifest.parent().unwrap_or(&manifest));
    command.arg("--root").arg(folder).env("CARGO_TARGET_DIR", cache.join("cargo-target"));
    run(command)
}

fn npm(folder: &Path, packages: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("npm");
    command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(folder).args(packages);
    run(command)
}

fn pip(folder: &Path, requirements: &[&str]) -> anyhow::Result<()> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(folder);
    run(venv)?;
    let mut command = Command::new(folder.join("bin").join("python"));
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(requirements);
    run(command)
}

/// Runs one step of an installation in this program's own environment: its proxies and registries are needed.
fn run(command: Command) -> anyhow::Result<()> {
    let run = process::finish(command, INSTALL_TIME)?;
    if !run.success() {
        let text = if run.stderr.trim().is_empty() { &run.stdout } else { &run.stderr };
        let says = |line: &&str| !line.trim().is_empty() && !line.starts_with("go: downloading ");
        let lines: Vec<&str> = text.lines().filter(says).collect();
        bail!("{}", lines[lines.len().saturating_sub(4)..].join(" / "));
    }
    Ok(())
}
