//! One cell of a table: the same call, several times.

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

/// The runs of one case, at least one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(pub(crate) Vec<Sample>);

impl Samples {
    /// The median of a figure; of an even number the lower one.
    fn median<T: Ord + Copy + Default>(&self, figure: impl Fn(&Sample) -> T) -> T {
        let mut figures: Vec<T> = self.0.iter().map(figure).collect();
        figures.sort_unstable();
        figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    }

    pub(crate) fn wall(&self) -> Duration {
        self.median(|sample| sample.usage.wall)
    }

    pub(crate) fn fastest(&self) -> Duration {
        self.0.iter().map(|sample| sample.usage.wall).min().unwrap_or_default()
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.median(|sample| sample.usage.cpu)
    }

    pub(crate) fn memory(&self) -> u64 {
        self.median(|sample| sample.usage.memory)
    }

    /// The most requests that a run needed.
    pub(crate) fn requests(&self) -> usize {
        self.0.iter().map(Sample::requests).max().unwrap_or_default()
    }

    pub(crate) fn to_services(&self) -> usize {
        self.0.iter().map(|sample| sample.to_services).max().unwrap_or_default()
    }

    pub(crate) fn connections(&self) -> usize {
        self.median(|sample| sample.connections)
    }

    /// The figures as members of a document.
    pub(crate) fn json(&self) -> Value {
        let walls: Vec<f64> = self.0.iter().map(|sample| milliseconds(sample.usage.wall)).collect();
        json!({
            "wallMs": { "median": milliseconds(self.wall()), "min": milliseconds(self.fastest()), "all": walls },
            "cpuMs": milliseconds(self.cpu()),
            "memoryBytes": self.memory(),
            "requests": self.requests(),
            "requestsByServer": self.0.last().map(|sample| &sample.requests),
            "connections": self.connections(),
        })
    }
}

/// The runs of a signing.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) case: Case,
    pub(crate) samples: Samples,
}

impl Cell {
    pub(crate) fn json(&self) -> Value {
        let Case { services, load, round_trip, who } = &self.case;
        let mut document = self.samples.json();
        document["services"] = json!(services);
        document["images"] = json!(load.images);
        document["children"] = json!(load.children);
        document["registries"] = json!(load.registries);
        document["digests"] = json!(load.digests());
        document["roundTripMs"] = json!(milliseconds(*round_trip));
        document["who"] = json!(who.to_string());
        document
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

/// [`round_trips`] of two signings.
pub(crate) fn trips(slow: &Cell, fast: &Cell) -> f64 {
    round_trips((&slow.samples, slow.case.round_trip), (&fast.samples, fast.case.round_trip))
}

/// Round trips on the way from start to end, from what the time grows by with the round trip.
pub(crate) fn round_trips(slow: (&Samples, Duration), fast: (&Samples, Duration)) -> f64 {
    let more = slow.1.saturating_sub(fast.1).as_secs_f64();
    (slow.0.fastest().as_secs_f64() - fast.0.fastest().as_secs_f64()) / more
}
