//! What the project has promised itself, and whether it is so of signing.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::FAR;
use super::contestant::Contestant;
use super::measure::{Cell, trips};
use super::sign::{OURS, OURS_BY_DIGEST, RELEASE};
use super::world::Load;

/// A promise, and what was measured of it.
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) limit: f64,
    pub(crate) is: f64,
    pub(crate) unit: &'static str,
    /// Whether more is better.
    at_least: bool,
}

impl Goal {
    pub(crate) fn at_most(what: impl Into<String>, is: f64, limit: f64, unit: &'static str) -> Self {
        Self { what: what.into(), limit, is, unit, at_least: false }
    }

    pub(crate) fn at_least(what: impl Into<String>, is: f64, limit: f64, unit: &'static str) -> Self {
        Self { what: what.into(), limit, is, unit, at_least: true }
    }

    pub(crate) fn is_met(&self) -> bool {
        if self.at_least { self.is >= self.limit } else { self.is <= self.limit }
    }

    pub(crate) fn json(&self) -> Value {
        let Self { what, limit, is, unit, at_least } = self;
        let bound = if *at_least { "min" } else { "max" };
        json!({ "what": what, bound: limit, "measured": is, "unit": unit, "met": self.is_met() })
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met() { "met    " } else { "NOT MET" };
        let bound = if self.at_least { ">=" } else { "<=" };
        let Self { what, is, limit, unit, .. } = self;
        write!(f, "{verdict}  {what}: {is:.2} {unit} ({bound} {limit} {unit})")
    }
}

/// The promises that the cells say something about.
pub(crate) fn of(cells: &[Cell]) -> Vec<Goal> {
    let find = |services: &str, load: Load, who: Contestant, round_trip: Duration| {
        cells.iter().find(|cell| {
            let case = &cell.case;
            case.services.starts_with(services) && (case.load, case.who, case.round_trip) == (load, who, round_trip)
        })
    };
    let index = |children| Load { images: 1, children, registries: 1 };
    let near = Duration::ZERO;
    let seconds = |cell: &Cell| cell.samples.wall().as_secs_f64();
    let mut goals = Vec::new();
    if let Some(cell) = find(SANDBOX, index(4), OURS, FAR) {
        goals.push(Goal::at_most("index with 4 children, 40 ms", seconds(cell), 0.45, "s"));
        let limit = (cell.case.load.digests() + 14) as f64;
        goals.push(Goal::at_most("index with 4 children, requests", cell.samples.requests() as f64, limit, "requests"));
        if let Some(fast) = find(SANDBOX, index(4), OURS, near) {
            goals.push(Goal::at_most("index with 4 children", trips(cell, fast), 11.0, "round trips"));
        }
    }
    if let Some(cell) = find(SANDBOX, index(20), OURS, FAR) {
        goals.push(Goal::at_most("index with 20 children, 40 ms", seconds(cell), 0.6, "s"));
        if let Some(cosign) = find(SANDBOX, index(20), Contestant::Cosign, FAR) {
            let times = seconds(cosign) / seconds(cell);
            goals.push(Goal::at_least("index with 20 children, 40 ms, beside cosign", times, 30.0, "times as fast"));
        }
    }
    for (load, who, what, limit) in [
        (index(4), OURS_BY_DIGEST, "--statement digest, 4 children, 40 ms", 0.6),
        (Load { images: RELEASE, children: 4, registries: 1 }, OURS, "a release of 200 images, 40 ms", 5.0),
    ] {
        let cell = find(SANDBOX, load, who, FAR);
        goals.extend(cell.map(|cell| Goal::at_most(what, seconds(cell), limit, "s")));
    }
    let real = find("real servers, Rekor v2", index(4), OURS, near);
    goals.extend(real.map(|cell| Goal::at_most("real servers (Rekor v2), 4 children", seconds(cell), 1.5, "s")));
    goals
}

const SANDBOX: &str = "sandbox, Rekor v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_at_its_limit_and_not_beyond() {
        for (goal, met) in [
            (Goal::at_most("x", 1.0, 1.0, "s"), true),
            (Goal::at_most("x", 1.01, 1.0, "s"), false),
            (Goal::at_least("x", 30.0, 30.0, "times"), true),
            (Goal::at_least("x", 29.9, 30.0, "times"), false),
        ] {
            assert_eq!(goal.is_met(), met, "{goal}");
        }
        assert_eq!(Goal::at_most("x", 1.01, 1.0, "s").to_string(), "NOT MET  x: 1.01 s (<= 1 s)");
    }
}
