//! What the project has promised itself of verifying, and whether it is so.

use super::case::{By, Case, Cell, Trust, Who};
use super::stored::{Certificates, Rate};
use crate::bench::FAR;
use crate::bench::goals::Goal;
use crate::bench::measure::round_trips;

/// The promises that the figures say something about.
pub(super) fn of(cells: &[Cell], rates: &[Rate]) -> Vec<Goal> {
    let ours = |signatures, round_trip| {
        let case = Case { who: Who::Ours, signatures, by: By::Digest, trust: Trust::Warm, round_trip };
        cells.iter().find(|cell| cell.case == case)
    };
    let mut goals = Vec::new();
    let near = ours(1, std::time::Duration::ZERO);
    if let Some(near) = near {
        let samples = &near.samples;
        goals.push(Goal::at_most("one signature, by digest, processor", samples.cpu().as_secs_f64() * 1e3, 5.0, "ms"));
        goals.push(Goal::at_most(
            "one signature, by digest, memory",
            samples.memory() as f64 / 1_048_576.0,
            15.0,
            "MiB",
        ));
    }
    if let Some(far) = ours(1, FAR) {
        goals.push(Goal::at_most("one signature, by digest", far.samples.requests() as f64, 3.0, "requests"));
        if let Some(near) = near {
            let trips = round_trips((&far.samples, FAR), (&near.samples, near.case.round_trip));
            goals.push(Goal::at_most("one signature, by digest", trips, 4.2, "round trips"));
        }
    }
    if let Some(many) = ours(30, FAR) {
        goals.push(Goal::at_most("30 signatures, 40 ms", many.samples.wall().as_secs_f64(), 0.4, "s"));
    }
    let rate = |who, certificates| {
        let found = rates.iter().find(|rate| (rate.who, rate.certificates) == (who, certificates));
        found.map(|rate| rate.per_second)
    };
    if let (Some(ours), Some(theirs)) =
        (rate(Who::Ours, Certificates::Distinct), rate(Who::SigstoreGo, Certificates::Distinct))
    {
        goals.push(Goal::at_least("stored bundles, a certificate each", ours / theirs, 1.5, "times sigstore-go"));
    }
    if let Some(ours) = rate(Who::Ours, Certificates::Shared) {
        goals.push(Goal::at_least("stored bundles, one certificate", ours, 2000.0, "a second and core"));
    }
    goals
}
