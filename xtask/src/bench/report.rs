//! What was measured, for people and for programs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::child;
use super::contestant::Programs;
use super::goals::{self, Goal};
use super::measure::{Cell, round_trips};
use crate::flags::BenchOutput;
use crate::peers::versions;

/// How often a program is started to see how long that takes.
const STARTS: usize = 25;
const MEBIBYTE: f64 = 1_048_576.0;
const HEAD: &str = "services                 imgs kids regs trip who             n   median      min  \
                    requests (services)  conns  trips     cpu  memory";

/// The cells, and where they were measured.
pub(crate) struct Report {
    cells: Vec<Cell>,
    /// What could not be measured, and why.
    pub(crate) skipped: Vec<String>,
    machine: Machine,
    binary: Binary,
}

struct Machine {
    cores: usize,
    processor: String,
    /// The load average of a minute before and after.
    load: [f64; 2],
    ours: String,
    cosign: Option<&'static str>,
}

/// What our program is like before it does anything.
struct Binary {
    bytes: u64,
    start: Duration,
}

impl Report {
    pub(crate) fn new(programs: &Programs) -> anyhow::Result<Self> {
        let version = Command::new(&programs.ours).arg("--version").output().context("cannot start our signer")?;
        let cosign = programs.cosign.as_ref().and(versions::peer("cosign")).map(|peer| peer.version);
        let skipped = if cosign.is_none() { vec!["cosign: it is not installed".to_owned()] } else { Vec::new() };
        let machine = Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            load: [load(), 0.0],
            ours: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
            cosign,
        };
        let binary = Binary { bytes: std::fs::metadata(&programs.ours)?.len(), start: start(&programs.ours)? };
        eprintln!("== {}\n{HEAD}", machine.text());
        Ok(Self { cells: Vec::new(), skipped, machine, binary })
    }

    /// Adds a cell, and shows it as it comes.
    pub(crate) fn add(&mut self, cell: Cell) {
        eprintln!("{}", row(&cell, self.near(&cell)));
        self.cells.push(cell);
    }

    pub(crate) fn finish(mut self, output: BenchOutput) -> anyhow::Result<()> {
        self.machine.load[1] = load();
        let mut goals = goals::of(&self.cells);
        goals.push(Goal::at_most("the binary", self.binary.bytes as f64 / 1e6, 12.0, "MB"));
        goals.push(Goal::at_most("its start", self.binary.start.as_secs_f64() * 1e3, 5.0, "ms"));
        match output {
            BenchOutput::Json => println!("{:#}", self.json(&goals)),
            BenchOutput::Text => {
                println!("{}\n{HEAD}", self.machine.text());
                self.cells.iter().for_each(|cell| println!("{}", row(cell, self.near(cell))));
                self.skipped.iter().for_each(|reason| println!("skipped: {reason}"));
                goals.iter().for_each(|goal| println!("{goal}"));
            }
        }
        Ok(())
    }

    /// The same cell without a round trip.
    fn near(&self, cell: &Cell) -> Option<&Cell> {
        let mut case = cell.case.clone();
        case.round_trip = Duration::ZERO;
        self.cells.iter().find(|near| near.case == case)
    }

    fn json(&self, goals: &[Goal]) -> Value {
        let Machine { cores, processor, load, ours, cosign } = &self.machine;
        json!({
            "schema": "countersign.dev/bench/v1",
            "bench": "sign",
            "machine": { "cores": cores, "processor": processor, "loadBefore": load[0], "loadAfter": load[1] },
            "versions": { "ours": ours, "cosign": cosign },
            "binary": { "bytes": self.binary.bytes, "startMs": self.binary.start.as_secs_f64() * 1e3 },
            "cells": self.cells.iter().map(Cell::json).collect::<Vec<_>>(),
            "skipped": self.skipped,
            "goals": goals.iter().map(Goal::json).collect::<Vec<_>>(),
        })
    }
}

impl Machine {
    fn text(&self) -> String {
        let [before, after] = self.load;
        let cosign = self.cosign.unwrap_or("none");
        format!(
            "{} cores, {}; load {before} before, {after} after; {}; cosign {cosign}",
            self.cores, self.processor, self.ours
        )
    }
}

fn row(cell: &Cell, near: Option<&Cell>) -> String {
    let case = &cell.case;
    let trips = near.filter(|near| near.case.round_trip < case.round_trip).map(|near| round_trips(cell, near));
    let trips = trips.map_or_else(String::new, |trips| format!("{trips:.1}"));
    format!(
        "{:24} {:4} {:4} {:4} {:4} {:14} {:2} {:8} {:8}  {:8} {:10}  {:5} {trips:>6} {:4} ms {:3.0} MiB",
        case.services,
        case.load.images,
        case.load.children,
        case.load.registries,
        case.round_trip.as_millis(),
        case.who,
        cell.samples.len(),
        seconds(cell.wall()),
        seconds(cell.fastest()),
        cell.requests(),
        cell.to_services(),
        cell.connections(),
        cell.cpu().as_millis(),
        cell.memory() as f64 / MEBIBYTE,
    )
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
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
