//! What was tried with whom, and how it came out: for people, as JSON, and as a short page.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::install::{self, Missing, Toolbox};

/// How a cell came out.
pub(crate) enum Outcome {
    /// What was expected happened.
    Pass(Shown),
    /// Something else happened.
    Fail(String),
    /// It was not tried, and why.
    Skipped(String),
}

/// What a cell showed.
pub(crate) struct Shown {
    /// What happened, on one line.
    pub(crate) text: String,
    /// Set where the peer is known not to be able to do it: then the cell passes because the peer still says so.
    pub(crate) limit: bool,
}

impl Shown {
    /// What a peer that is known not to be able to do it said.
    pub(crate) fn limit(text: impl Into<String>) -> Self {
        Self { text: text.into(), limit: true }
    }
}

impl<T: Into<String>> From<T> for Shown {
    fn from(text: T) -> Self {
        Self { text: text.into(), limit: false }
    }
}

/// One thing tried with one peer.
pub(crate) struct Cell {
    pub(crate) row: String,
    pub(crate) column: String,
    pub(crate) outcome: Outcome,
    took: Duration,
}

/// Cells that belong together: a table with rows and columns.
pub(crate) struct Section {
    name: String,
    cells: Vec<Cell>,
}

impl Section {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cells: Vec::new() }
    }

    /// Tries something and notes how it came out. A peer that is missing makes the cell skipped, any other error makes it fail.
    pub(crate) fn cell<S: Into<Shown>>(
        &mut self,
        row: &str,
        column: &str,
        attempt: impl FnOnce() -> anyhow::Result<S>,
    ) {
        let started = Instant::now();
        let outcome = match attempt() {
            Ok(shown) => Outcome::Pass(shown.into()),
            Err(error) => match error.chain().find_map(|cause| cause.downcast_ref::<Missing>()) {
                Some(missing) => Outcome::Skipped(missing.to_string()),
                None => Outcome::Fail(format!("{error:#}")),
            },
        };
        let cell = Cell { row: row.to_owned(), column: column.to_owned(), outcome, took: started.elapsed() };
        eprintln!("   {} {}: {row} | {column}{}", cell.outcome.mark(), self.name, cell.outcome.why());
        self.cells.push(cell);
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter()
    }

    /// Takes over the cells of another section.
    pub(crate) fn extend(&mut self, other: Self) {
        self.cells.extend(other.cells);
    }
}

impl Outcome {
    pub(crate) fn is_pass(&self) -> bool {
        matches!(self, Self::Pass(_))
    }

    pub(crate) fn is_fail(&self) -> bool {
        matches!(self, Self::Fail(_))
    }

    fn mark(&self) -> &'static str {
        match self {
            Self::Pass(shown) if shown.limit => "ok*",
            Self::Pass(_) => "ok ",
            Self::Fail(_) => "FAIL",
            Self::Skipped(_) => "skip",
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Pass(_) => String::new(),
            Self::Fail(why) | Self::Skipped(why) => format!(": {why}"),
        }
    }
}

/// Every section of a run.
pub(crate) struct Matrix {
    pub(crate) peers: Vec<PeerLine>,
    pub(crate) sections: Vec<Section>,
}

/// A peer as it was found on this machine.
pub(crate) struct PeerLine {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) missing: Option<String>,
}

/// How many cells came out how.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    /// Those of the passed ones that show what a peer cannot do.
    pub(crate) limits: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Matrix {
    pub(crate) fn new(toolbox: &Toolbox) -> Self {
        let line = |(peer, found): (&super::versions::Peer, Result<_, &str>)| PeerLine {
            name: peer.name.to_owned(),
            version: install::version(peer),
            missing: found.err().map(ToOwned::to_owned),
        };
        Self { peers: toolbox.iter().map(line).collect(), sections: Vec::new() }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for cell in self.sections.iter().flat_map(|section| &section.cells) {
            match cell.outcome {
                Outcome::Pass(ref shown) => {
                    counts.passed += 1;
                    counts.limits += usize::from(shown.limit);
                }
                Outcome::Fail(_) => counts.failed += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
            }
        }
        counts
    }

    /// The whole matrix as one document. A cell's `outcome` is `pass`, `fail` or `skipped`; a `pass` with `limit` means that the peer
    /// is known not to be able to, and was seen to say so in `text`.
    pub(crate) fn json(&self, date: &str) -> Value {
        let peers: Vec<Value> = self
            .peers
            .iter()
            .map(|peer| json!({"name": peer.name, "version": peer.version, "missing": peer.missing}))
            .collect();
        let sections: Vec<Value> = self.sections.iter().map(Section::json).collect();
        let counts = self.counts();
        json!({
            "schema": "countersign.dev/peers/v1",
            "date": date,
            "passed": counts.passed,
            "limits": counts.limits,
            "failed": counts.failed,
            "skipped": counts.skipped,
            "peers": peers,
            "sections": sections,
        })
    }
}

impl Section {
    fn json(&self) -> Value {
        let cells: Vec<Value> = self.cells.iter().map(Cell::json).collect();
        json!({"name": self.name, "cells": cells})
    }
}

impl Cell {
    fn json(&self) -> Value {
        let (outcome, text, limit) = match &self.outcome {
            Outcome::Pass(shown) => ("pass", &shown.text, shown.limit),
            Outcome::Fail(why) => ("fail", why, false),
            Outcome::Skipped(why) => ("skipped", why, false),
        };
        json!({
            "row": self.row,
            "column": self.column,
            "outcome": outcome,
            "limit": limit,
            "text": text,
            "milliseconds": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            writeln!(f, "\n{section}")?;
        }
        writeln!(f, "ok* = the peer is known not to be able to, and says so")
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut columns: Vec<&str> = Vec::new();
        let mut rows: Vec<&str> = Vec::new();
        let mut marks: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for cell in &self.cells {
            if !columns.contains(&cell.column.as_str()) {
                columns.push(&cell.column);
            }
            if !rows.contains(&cell.row.as_str()) {
                rows.push(&cell.row);
            }
            let mark = marks.entry((&cell.row, &cell.column)).or_insert("ok ");
            if *mark != "FAIL" && cell.outcome.mark() != "ok " {
                *mark = cell.outcome.mark();
            }
        }
        let first = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0).max(self.name.chars().count());
        write!(f, "{:first$}", self.name)?;
        for column in &columns {
            write!(f, "  {column}")?;
        }
        for row in rows {
            write!(f, "\n{row:first$}")?;
            for column in &columns {
                let width = column.chars().count();
                write!(f, "  {:width$}", marks.get(&(row, *column)).copied().unwrap_or("-"))?;
            }
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn section() -> Section {
        let mut section = Section::new("part");
        let missing = Missing { peer: "cosign".to_owned(), reason: "no Go".to_owned() };
        section.cell("ours", "python", || Ok("accepted"));
        section.cell("ours", "js", || Ok(Shown::limit("cannot")));
        section.cell("ours", "cosign", || Err::<Shown, _>(anyhow::Error::from(missing).context("verify")));
        section.cell("theirs", "python", || Err::<Shown, _>(anyhow!("refused")));
        section
    }

    #[test]
    fn only_a_missing_peer_makes_a_cell_skipped() {
        let toolbox = Matrix { peers: Vec::new(), sections: vec![section()] };
        assert_eq!(toolbox.counts(), Counts { passed: 2, limits: 1, failed: 1, skipped: 1 });
        let json = toolbox.json("2026-01-01");
        let cells = &json["sections"][0]["cells"];
        assert_eq!(cells[2]["outcome"], "skipped");
        assert_eq!(cells[2]["text"], "cosign is not there: no Go");
        assert_eq!(cells[1]["limit"], true);
        assert_eq!(cells[3]["outcome"], "fail");
    }

    #[test]
    fn the_worst_of_several_attempts_is_shown() {
        let mut section = section();
        section.cell("ours", "python", || Err::<Shown, _>(anyhow!("refused")));
        section.cell("ours", "python", || Ok("accepted"));
        let text = section.to_string();
        let line = text.lines().find(|line| line.starts_with("ours")).unwrap_or_default();
        assert!(line.contains("FAIL"), "{text}");
    }
}
