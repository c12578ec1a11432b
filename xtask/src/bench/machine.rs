//! Where it was measured, and what our program is like before it does anything.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::child;
use super::goals::Goal;

/// How often a program is started to see how long that takes.
const STARTS: usize = 25;

/// The machine, and the versions that ran on it.
pub(super) struct Machine {
    cores: usize,
    processor: String,
    /// The load average of a minute before and after.
    load: [f64; 2],
    ours: String,
    peers: Vec<(&'static str, &'static str)>,
}

impl Machine {
    /// Looks at the machine before anything runs; `peers` are names with versions.
    pub(super) fn new(ours: &Path, peers: Vec<(&'static str, &'static str)>) -> anyhow::Result<Self> {
        let version = Command::new(ours).arg("--version").output();
        let version = version.with_context(|| format!("cannot start {}", ours.display()))?;
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            load: [load(), 0.0],
            ours: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
            peers,
        })
    }

    /// Looks at the load again.
    pub(super) fn ended(&mut self) {
        self.load[1] = load();
    }

    pub(super) fn text(&self) -> String {
        let [before, after] = self.load;
        let mut text =
            format!("{} cores, {}; load {before} before, {after} after; {}", self.cores, self.processor, self.ours);
        self.peers.iter().for_each(|(name, version)| text.push_str(&format!("; {name} {version}")));
        text
    }

    pub(super) fn json(&self) -> Value {
        let Self { cores, processor, load: [before, after], .. } = self;
        json!({ "cores": cores, "processor": processor, "loadBefore": before, "loadAfter": after })
    }

    pub(super) fn versions(&self) -> Value {
        let mut versions = Map::new();
        versions.insert("ours".to_owned(), json!(self.ours));
        versions.extend(self.peers.iter().map(|(name, version)| ((*name).to_owned(), json!(version))));
        Value::Object(versions)
    }
}

/// A binary of ours.
pub(super) struct Binary {
    bytes: u64,
    start: Duration,
}

impl Binary {
    pub(super) fn of(program: &Path) -> anyhow::Result<Self> {
        Ok(Self { bytes: std::fs::metadata(program)?.len(), start: start(program)? })
    }

    pub(super) fn goals(&self) -> [Goal; 2] {
        [
            Goal::at_most("the binary", self.bytes as f64 / 1e6, 12.0, "MB"),
            Goal::at_most("its start", self.start.as_secs_f64() * 1e3, 5.0, "ms"),
        ]
    }

    pub(super) fn json(&self) -> Value {
        json!({ "bytes": self.bytes, "startMs": self.start.as_secs_f64() * 1e3 })
    }
}

/// The median time from start to end of a program that says its version.
fn start(program: &Path) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let mut command = Command::new(program);
        command.arg("--version").env_clear();
        times.push(child::run(command)?.0.wall);
    }
    times.sort_unstable();
    Ok(times[STARTS / 2])
}

/// A line of a file of the kernel.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}
