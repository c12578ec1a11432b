//! Measures the programs beside those that people use, over a network with a round trip.

use std::time::Duration;

mod child;
mod contestant;
mod goals;
mod machine;
mod measure;
mod network;
mod record;
mod report;
mod sign;
mod timer;
mod verify;
mod waterfall;
mod world;

use crate::flags::BenchTask;

/// The round trip that the goals are stated for.
const FAR: Duration = Duration::from_millis(40);
/// A cell that took this long is not repeated.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn run(task: &BenchTask) -> anyhow::Result<()> {
    match task {
        BenchTask::Sign(flags) => sign::run(flags),
        BenchTask::Verify(flags) => verify::run(flags),
    }
}

/// The round trips that are measured, from near to far.
fn round_trips(quick: bool) -> Vec<Duration> {
    let milliseconds: &[u64] = if quick { &[0, 40] } else { &[0, 40, 100] };
    milliseconds.iter().map(|milliseconds| Duration::from_millis(*milliseconds)).collect()
}
