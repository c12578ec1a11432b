//! What was measured, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::contestant::Programs;
use super::goals::{self, Goal};
use super::machine::{Binary, Machine};
use super::measure::{Cell, trips};
use crate::flags::BenchOutput;
use crate::peers::versions;

pub(super) const MEBIBYTE: f64 = 1_048_576.0;
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

impl Report {
    pub(crate) fn new(programs: &Programs) -> anyhow::Result<Self> {
        let cosign = programs.cosign.as_ref().and(versions::peer("cosign")).map(|peer| peer.version);
        let skipped = if cosign.is_none() { vec!["cosign: it is not installed".to_owned()] } else { Vec::new() };
        let machine = Machine::new(&programs.ours, cosign.map(|version| ("cosign", version)).into_iter().collect())?;
        let binary = Binary::of(&programs.ours)?;
        eprintln!("== {}\n{HEAD}", machine.text());
        Ok(Self { cells: Vec::new(), skipped, machine, binary })
    }

    /// Adds a cell, and shows it as it comes.
    pub(crate) fn add(&mut self, cell: Cell) {
        eprintln!("{}", row(&cell, self.near(&cell)));
        self.cells.push(cell);
    }

    pub(crate) fn finish(mut self, output: BenchOutput) -> anyhow::Result<()> {
        self.machine.ended();
        let mut goals = goals::of(&self.cells);
        goals.extend(self.binary.goals());
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
        json!({
            "schema": "countersign.dev/bench/v1",
            "bench": "sign",
            "machine": self.machine.json(),
            "versions": self.machine.versions(),
            "binary": self.binary.json(),
            "cells": self.cells.iter().map(Cell::json).collect::<Vec<_>>(),
            "skipped": self.skipped,
            "goals": goals.iter().map(Goal::json).collect::<Vec<_>>(),
        })
    }
}

fn row(cell: &Cell, near: Option<&Cell>) -> String {
    let case = &cell.case;
    let trips = near.filter(|near| near.case.round_trip < case.round_trip).map(|near| trips(cell, near));
    let trips = trips.map_or_else(String::new, |trips| format!("{trips:.1}"));
    format!(
        "{:24} {:4} {:4} {:4} {:4} {:14} {:2} {:8} {:8}  {:8} {:10}  {:5} {trips:>6} {:4} ms {:3.0} MiB",
        case.services,
        case.load.images,
        case.load.children,
        case.load.registries,
        case.round_trip.as_millis(),
        case.who,
        cell.samples.0.len(),
        seconds(cell.samples.wall()),
        seconds(cell.samples.fastest()),
        cell.samples.requests(),
        cell.samples.to_services(),
        cell.samples.connections(),
        cell.samples.cpu().as_millis(),
        cell.samples.memory() as f64 / MEBIBYTE,
    )
}

pub(super) fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
