//! A proxy in front of a registry that lets writers of one referrers tag cross: the first read of each is held back until
//! all are there, and then the write of each until all have read. Whoever writes without looking back loses somebody's
//! entry then, every time.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// The longest that a read is held back: writers that start together are not equally fast, and the machine may be busy.
const READ_HELD: Duration = Duration::from_secs(25);
/// The longest that a write is held back: well within the time in which a careful writer expects its write to land.
const WRITE_HELD: Duration = Duration::from_millis(1_000);
/// The most that a request's head may have.
const HEAD_BYTES: u64 = 64 * 1024;

/// The proxy, until it is dropped.
pub(super) struct Crossing {
    pub(super) host: String,
    address: SocketAddr,
    gate: Arc<Gate>,
}

/// Where requests for a referrers tag wait for each other.
struct Gate {
    writers: usize,
    closed: AtomicBool,
    meetings: Mutex<HashMap<Meeting, Attendance>>,
    all_there: Condvar,
}

/// What waits: all the reads of a tag, or all the writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Meeting {
    Read(String),
    Write(String),
}

/// How many wait, and whether all were there once: from then on nobody waits.
#[derive(Default)]
struct Attendance {
    waiting: usize,
    met: bool,
}

impl Meeting {
    /// What a request for a tag of the referrers tag schema waits for; nothing else waits.
    fn of(head: &str) -> Option<Self> {
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        path.rsplit_once("/manifests/").filter(|(_, tag)| tag.starts_with("sha256-"))?;
        match method {
            "GET" => Some(Self::Read(path.to_owned())),
            "PUT" => Some(Self::Write(path.to_owned())),
            _ => None,
        }
    }

    fn held(&self) -> Duration {
        match self {
            Self::Read(_) => READ_HELD,
            Self::Write(_) => WRITE_HELD,
        }
    }
}

impl Crossing {
    /// Stands in front of `host` for so many writers.
    pub(super) fn before(host: &str, writers: usize) -> anyhow::Result<Self> {
        let registry: SocketAddr = host.parse().with_context(|| format!("{host} is no address"))?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let gate = Arc::new(Gate::new(writers));
        let shared = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::Relaxed) {
                    return;
                }
                let gate = Arc::clone(&shared);
                // A connection that breaks is the client's to complain about.
                thread::spawn(move || pass(client, registry, &gate).unwrap_or_default());
            }
        });
        Ok(Self { host: address.to_string(), address, gate })
    }

    /// How many tags were written by all at once: each had read before any of them wrote.
    pub(super) fn crossed(&self) -> usize {
        let meetings = self.gate.meetings.lock().unwrap_or_else(PoisonError::into_inner);
        meetings.iter().filter(|(meeting, there)| matches!(meeting, Meeting::Write(_)) && there.met).count()
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        self.gate.closed.store(true, Ordering::Relaxed);
        // The listener looks at that when somebody comes.
        drop(TcpStream::connect(self.address));
    }
}

impl Gate {
    fn new(writers: usize) -> Self {
        let meetings = Mutex::new(HashMap::new());
        Self { writers, closed: AtomicBool::new(false), meetings, all_there: Condvar::new() }
    }

    /// Waits until all writers are here, but not for ever.
    fn wait(&self, meeting: &Meeting) {
        let mut meetings = self.meetings.lock().unwrap_or_else(PoisonError::into_inner);
        let there = meetings.entry(meeting.clone()).or_default();
        there.waiting += 1;
        there.met |= there.waiting == self.writers;
        self.all_there.notify_all();
        let is_alone = |meetings: &mut HashMap<_, Attendance>| meetings.get(meeting).is_some_and(|there| !there.met);
        let waited = self.all_there.wait_timeout_while(meetings, meeting.held(), is_alone);
        let (mut meetings, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = meetings.get_mut(meeting) {
            there.waiting -= 1;
        }
    }
}

/// Passes one request and its answer on, and closes the connection.
fn pass(client: TcpStream, registry: SocketAddr, gate: &Gate) -> io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    let head = head(&mut requests)?;
    if let Some(meeting) = Meeting::of(&head) {
        gate.wait(&meeting);
    }
    let mut registry = TcpStream::connect(registry)?;
    registry.write_all(head.as_bytes())?;
    let mut body = registry.try_clone()?;
    thread::spawn(move || io::copy(&mut requests, &mut body).unwrap_or_default());
    io::copy(&mut registry, &mut (&client))?;
    client.shutdown(Shutdown::Both)?;
    registry.shutdown(Shutdown::Both)
}

/// Reads the head of a request, and asks for the connection to be closed after it.
fn head(requests: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if requests.take(HEAD_BYTES).read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim().is_empty() {
            return Ok(head + "Connection: close\r\n\r\n");
        }
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head.push_str(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_for_referrers_tags_are_held_back() {
        let tag = "/v2/octo/app/manifests/sha256-aa";
        assert_eq!(Meeting::of(&format!("PUT {tag} HTTP/1.1\r\n")), Some(Meeting::Write(tag.to_owned())));
        assert_eq!(Meeting::of(&format!("GET {tag} HTTP/1.1\r\n")), Some(Meeting::Read(tag.to_owned())));
        for other in [format!("HEAD {tag}"), "PUT /v2/octo/app/manifests/sha256:aa".into(), "PUT /v2/sha256-aa".into()]
        {
            assert_eq!(Meeting::of(&format!("{other} HTTP/1.1\r\n")), None, "{other}");
        }
    }

    #[test]
    fn writers_wait_for_each_other_once() {
        let (gate, first, second) = (Gate::new(2), Meeting::Write("/a".into()), Meeting::Write("/b".into()));
        let started = std::time::Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| gate.wait(&first));
            scope.spawn(|| gate.wait(&first));
        });
        gate.wait(&first);
        assert!(started.elapsed() < WRITE_HELD, "they were there, and waited all the same");
        gate.wait(&second);
        gate.wait(&second);
        assert!(started.elapsed() >= 2 * WRITE_HELD, "the only one did not wait");
        let meetings = gate.meetings.lock().unwrap();
        assert!(meetings[&first].met && !meetings[&second].met, "one after the other is not at once");
    }
}
