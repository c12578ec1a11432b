//! What was measured of verifying, for people and for programs.

use std::time::Duration;

use serde_json::json;

use super::case::{Case, Cell, Programs};
use super::goals;
use super::stored::Rate;
use crate::bench::goals::Goal;
use crate::bench::machine::{Binary, Machine};
use crate::bench::measure::round_trips;
use crate::bench::report::{MEBIBYTE, seconds};
use crate::flags::BenchOutput;
use crate::peers::versions;

const HEAD: &str =
    "signatures by     root trip who           n   median      min  requests  conns  trips      cpu  memory";

/// The rows, and where they were measured.
pub(super) struct Report {
    cells: Vec<Cell>,
    rates: Vec<Rate>,
    skipped: Vec<String>,
    machine: Machine,
    binary: Binary,
}

impl Report {
    pub(super) fn new(programs: &Programs) -> anyhow::Result<Self> {
        let there = [("cosign", &programs.cosign), ("sigstore-go", &programs.sigstore_go)];
        let skipped = there.iter().filter(|(_, program)| program.is_none());
        let skipped = skipped.map(|(name, _)| format!("{name}: it is not installed")).collect();
        let peers = there.iter().filter(|(_, program)| program.is_some()).filter_map(|(name, _)| versions::peer(name));
        let machine = Machine::new(&programs.verifier, peers.map(|peer| (peer.name, peer.version)).collect())?;
        eprintln!("== {}\n{HEAD}", machine.text());
        let binary = Binary::of(&programs.verifier)?;
        Ok(Self { cells: Vec::new(), rates: Vec::new(), skipped, machine, binary })
    }

    /// Adds a row, and shows it as it comes.
    pub(super) fn add(&mut self, cell: Cell) {
        eprintln!("{}", self.row(&cell));
        self.cells.push(cell);
    }

    /// Adds a rate, and shows it as it comes.
    pub(super) fn add_rate(&mut self, rate: Rate) {
        eprintln!("{}", rate.text());
        self.rates.push(rate);
    }

    pub(super) fn finish(mut self, output: BenchOutput) -> anyhow::Result<()> {
        self.machine.ended();
        let mut goals = goals::of(&self.cells, &self.rates);
        goals.extend(self.binary.goals());
        match output {
            BenchOutput::Json => {
                let document = json!({
                    "schema": "countersign.dev/bench/v1",
                    "bench": "verify",
                    "machine": self.machine.json(),
                    "versions": self.machine.versions(),
                    "binary": self.binary.json(),
                    "cells": self.cells.iter().map(Cell::json).collect::<Vec<_>>(),
                    "stored": self.rates.iter().map(Rate::json).collect::<Vec<_>>(),
                    "skipped": self.skipped,
                    "goals": goals.iter().map(Goal::json).collect::<Vec<_>>(),
                });
                println!("{document:#}");
            }
            BenchOutput::Text => {
                println!("{}\n{HEAD}", self.machine.text());
                self.cells.iter().for_each(|cell| println!("{}", self.row(cell)));
                self.rates.iter().for_each(|rate| println!("{}", rate.text()));
                self.skipped.iter().for_each(|reason| println!("skipped: {reason}"));
                goals.iter().for_each(|goal| println!("{goal}"));
            }
        }
        Ok(())
    }

    fn row(&self, cell: &Cell) -> String {
        let Case { who, signatures, by, trust, round_trip } = cell.case;
        let samples = &cell.samples;
        let near = Case { round_trip: Duration::ZERO, ..cell.case };
        let near = self.cells.iter().find(|cell| cell.case == near).filter(|_| !round_trip.is_zero());
        let trips = near.map(|near| round_trips((samples, round_trip), (&near.samples, Duration::ZERO)));
        let trips = trips.map_or_else(String::new, |trips| format!("{trips:.1}"));
        format!(
            "{signatures:10} {by:6} {trust:4} {:4} {who:12} {:2} {:8} {:8}  {:8}  {:5} {trips:>6} {:5.1} ms {:3.0} MiB",
            round_trip.as_millis(),
            samples.0.len(),
            seconds(samples.wall()),
            seconds(samples.fastest()),
            samples.requests(),
            samples.connections(),
            samples.cpu().as_secs_f64() * 1e3,
            samples.memory() as f64 / MEBIBYTE,
        )
    }
}
