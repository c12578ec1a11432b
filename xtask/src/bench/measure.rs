//! One cell of the table: the same signing, several times.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::child::Usage;
use super::contestant::Contestant;
use super::record::Connection;
use super::world::Load;

/// Who signs what, with which services, over which network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) services: String,
    pub(crate) load: Load,
    pub(crate) round_trip: Duration,
    pub(crate) who: Contestant,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) usage: Usage,
    /// By server and method.
    pub(crate) requests: BTreeMap<String, usize>,
    pub(crate) to_registries: usize,
    pub(crate) to_services: usize,
    pub(crate) connections: usize,
}

impl Sample {
    pub(crate) fn new(usage: Usage, connections: &[Connection]) -> Self {
        let mut requests = BTreeMap::new();
        let (mut to_registries, mut to_services) = (0, 0);
        for connection in connections {
            for exchange in &connection.exchanges {
                *requests.entry(format!("{} {}", connection.peer, exchange.method)).or_default() += 1;
                *(if connection.peer.is_registry() { &mut to_registries } else { &mut to_services }) += 1;
            }
        }
        Self { usage, requests, to_registries, to_services, connections: connections.len() }
    }

    pub(crate) fn requests(&self) -> usize {
        self.to_registries + self.to_services
    }
}

/// The runs of a case, at least one.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) case: Case,
    pub(crate) samples: Vec<Sample>,
}

impl Cell {
    /// The median of a figure; of an even number the lower one.
    fn median<T: Ord + Copy + Default>(&self, figure: impl Fn(&Sample) -> T) -> T {
        let mut figures: Vec<T> = self.samples.iter().map(figure).collect();
        figures.sort_unstable();
        figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    }

    pub(crate) fn wall(&self) -> Duration {
        self.median(|sample| sample.usage.wall)
    }

    pub(crate) fn fastest(&self) -> Duration {
        self.samples.iter().map(|sample| sample.usage.wall).min().unwrap_or_default()
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.median(|sample| sample.usage.cpu)
    }

    pub(crate) fn memory(&self) -> u64 {
        self.median(|sample| sample.usage.memory)
    }

    /// The most requests that a run needed.
    pub(crate) fn requests(&self) -> usize {
        self.samples.iter().map(Sample::requests).max().unwrap_or_default()
    }

    pub(crate) fn to_services(&self) -> usize {
        self.samples.iter().map(|sample| sample.to_services).max().unwrap_or_default()
    }

    pub(crate) fn connections(&self) -> usize {
        self.median(|sample| sample.connections)
    }

    pub(crate) fn json(&self) -> Value {
        let Case { services, load, round_trip, who } = &self.case;
        let milliseconds = |time: Duration| time.as_micros() as f64 / 1e3;
        let walls: Vec<f64> = self.samples.iter().map(|sample| milliseconds(sample.usage.wall)).collect();
        json!({
            "services": services,
            "images": load.images,
            "children": load.children,
            "registries": load.registries,
            "digests": load.digests(),
            "roundTripMs": milliseconds(*round_trip),
            "who": who.to_string(),
            "wallMs": { "median": milliseconds(self.wall()), "min": milliseconds(self.fastest()), "all": walls },
            "cpuMs": milliseconds(self.cpu()),
            "memoryBytes": self.memory(),
            "requests": self.requests(),
            "requestsByServer": self.samples.last().map(|sample| &sample.requests),
            "connections": self.connections(),
        })
    }
}

/// Round trips on the way from start to end, from what the time grows by with the round trip.
pub(crate) fn round_trips(slow: &Cell, fast: &Cell) -> f64 {
    let more = slow.case.round_trip.saturating_sub(fast.case.round_trip).as_secs_f64();
    (slow.fastest().as_secs_f64() - fast.fastest().as_secs_f64()) / more
}
