//! What crossed the network: connections, and the requests on them, with the times as the client sees them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A server that requests go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Oidc,
    Fulcio,
    Rekor,
    Tsa,
    Tuf,
    /// A registry, counted from 1.
    Registry(usize),
}

impl Peer {
    pub(crate) fn is_registry(self) -> bool {
        matches!(self, Self::Registry(_))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oidc => f.pad("oidc"),
            Self::Fulcio => f.pad("fulcio"),
            Self::Rekor => f.pad("rekor"),
            Self::Tsa => f.pad("tsa"),
            Self::Tuf => f.pad("tuf"),
            Self::Registry(1) => f.pad("registry"),
            Self::Registry(number) => f.pad(&format!("registry {number}")),
        }
    }
}

/// One connection and what it carried. Times count from the beginning of the recording.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    pub(crate) opened: Duration,
    pub(crate) exchanges: Vec<Exchange>,
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// When the client had sent its first byte.
    pub(crate) begun: Duration,
    /// When the client had the last byte of the answer; absent while there is none.
    pub(crate) ended: Option<Duration>,
    /// Absent while there is no answer.
    pub(crate) status: Option<u16>,
}

/// What is being recorded.
#[derive(Clone, Debug)]
pub(crate) struct Record(Arc<Mutex<Recording>>);

#[derive(Debug)]
struct Recording {
    started: Instant,
    /// Which recording it is: a connection that outlives its own writes into no later one.
    number: usize,
    connections: Vec<Connection>,
}

/// The place of one connection in a record.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    record: Record,
    recording: usize,
    position: usize,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Recording { started: Instant::now(), number: 0, connections: Vec::new() })))
    }

    /// Returns everything since the last call, and starts anew.
    pub(crate) fn take(&self) -> Vec<Connection> {
        let mut recording = self.lock();
        recording.started = Instant::now();
        recording.number += 1;
        std::mem::take(&mut recording.connections)
    }

    /// Adds a connection.
    pub(crate) fn opened(&self, peer: Peer, at: Instant) -> Entry {
        let mut recording = self.lock();
        let opened = at.saturating_duration_since(recording.started);
        recording.connections.push(Connection { peer, opened, exchanges: Vec::new() });
        Entry { record: self.clone(), recording: recording.number, position: recording.connections.len() - 1 }
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Notes what the client sent. A request begins where the last one was answered and the bytes begin with a request line;
    /// everything else is the rest of one: clients of HTTP/1.1 do not send a second before the first is answered.
    pub(crate) fn sent(&self, at: Instant, bytes: &[u8]) {
        self.with(|connection, started| {
            let free = connection.exchanges.last().is_none_or(|last| last.status.is_some());
            if let Some((method, path)) = request_line(bytes).filter(|_| free) {
                let begun = at.saturating_duration_since(started);
                connection.exchanges.push(Exchange { method, path, begun, ended: None, status: None });
            }
        });
    }

    /// Notes what the client has got.
    pub(crate) fn received(&self, at: Instant, bytes: &[u8]) {
        self.with(|connection, started| {
            let Some(exchange) = connection.exchanges.last_mut() else { return };
            if exchange.status.is_none() {
                exchange.status = status(bytes);
            }
            exchange.ended = Some(at.saturating_duration_since(started));
        });
    }

    fn with(&self, note: impl FnOnce(&mut Connection, Instant)) {
        let mut recording = self.record.lock();
        let started = recording.started;
        if recording.number == self.recording
            && let Some(connection) = recording.connections.get_mut(self.position)
        {
            note(connection, started);
        }
    }
}

/// Method and path of a request line of HTTP/1.1.
fn request_line(bytes: &[u8]) -> Option<(String, String)> {
    let line = bytes.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?.strip_suffix(" HTTP/1.1")?;
    let (method, path) = line.split_once(' ')?;
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_method && path.starts_with('/')).then(|| (method.to_owned(), path.to_owned()))
}

/// The status of a final answer; an interim one announces it.
fn status(bytes: &[u8]) -> Option<u16> {
    let code = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = std::str::from_utf8(code).ok()?.parse().ok()?;
    (status >= 200).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_looks_like_a_request_is_not_one() {
        let record = Record::new();
        let entry = record.opened(Peer::Fulcio, Instant::now());
        entry.sent(Instant::now(), b"POST /a HTTP/1.1\r\ncontent-length: 19\r\n\r\n");
        entry.sent(Instant::now(), b"POST /b HTTP/1.1\r\n\r\n");
        entry.received(Instant::now(), b"HTTP/1.1 100 Continue\r\n\r\n");
        entry.sent(Instant::now(), b"GET /c HTTP/1.1\r\n\r\n");
        entry.received(Instant::now(), b"HTTP/1.1 201 Created\r\n\r\n");
        entry.sent(Instant::now(), b"GET /d?e HTTP/1.1\r\n\r\n");
        let connections = record.take();
        let [connection] = connections.as_slice() else { panic!("{connections:?}") };
        let seen: Vec<_> =
            connection.exchanges.iter().map(|one| (one.method.as_str(), one.path.as_str(), one.status)).collect();
        assert_eq!(seen, [("POST", "/a", Some(201)), ("GET", "/d?e", None)]);
    }

    #[test]
    fn a_connection_that_outlives_its_recording_is_in_no_other() {
        let record = Record::new();
        let old = record.opened(Peer::Oidc, Instant::now());
        record.take();
        record.opened(Peer::Rekor, Instant::now());
        old.sent(Instant::now(), b"GET / HTTP/1.1\r\n\r\n");
        let connections = record.take();
        assert_eq!(connections.len(), 1);
        assert!(connections[0].exchanges.is_empty());
    }
}
