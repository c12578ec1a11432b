//! The steps that were run, and what each showed.

use std::collections::BTreeMap;
use std::fmt;

/// Every step of every run.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    place: String,
    step: String,
    outcome: Result<String, String>,
}

/// Where the steps of one run are noted.
pub(crate) struct Rows<'t> {
    table: &'t mut Table,
    place: String,
}

impl Table {
    pub(crate) fn of(&mut self, place: &str) -> Rows<'_> {
        Rows { table: self, place: place.to_owned() }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome.is_err()).count()
    }

    pub(crate) fn total(&self) -> usize {
        self.rows.len()
    }

    /// How many steps each run has.
    pub(crate) fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for row in &self.rows {
            *counts.entry(row.place.as_str()).or_default() += 1;
        }
        counts
    }
}

impl Rows<'_> {
    /// Notes a step with what it showed, or with what did not hold.
    pub(crate) fn note(&mut self, step: &str, outcome: anyhow::Result<String>) {
        let outcome = outcome.map_err(|error| format!("{error:#}"));
        let mark = if outcome.is_ok() { "ok  " } else { "FAIL" };
        eprintln!("   {mark} {}: {step}", self.place);
        if let Err(error) = &outcome {
            // The table is not printed where another run cannot go on.
            eprintln!("{error}");
        }
        self.table.rows.push(Row { place: self.place.clone(), step: step.to_owned(), outcome });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.step.chars().count()).max().unwrap_or_default();
        let mut place = "";
        for row in &self.rows {
            if row.place != place {
                place = &row.place;
                writeln!(f, "\n{place}")?;
            }
            let (mark, text) = match &row.outcome {
                Ok(text) => ("ok  ", text),
                Err(text) => ("FAIL", text),
            };
            writeln!(f, "  {mark} {:width$}  {text}", row.step)?;
        }
        Ok(())
    }
}
