//! A proxy in front of a registry that lets writers of one referrers tag cross: their writes are held back until all of
//! them have read. Whoever writes without looking back loses somebody's entry then, every time.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// The longest that a write is held back: well within the time in which a careful writer expects its write to land.
const HELD: Duration = Duration::from_millis(1_000);
/// The most that a request's head may have.
const HEAD_BYTES: u64 = 64 * 1024;

/// The proxy, until it is dropped.
pub(super) struct Crossing {
    pub(super) host: String,
    address: SocketAddr,
    gate: Arc<Gate>,
}

/// Where writes wait for each other.
struct Gate {
    writers: usize,
    closed: AtomicBool,
    tags: Mutex<HashMap<String, Tag>>,
    all_there: Condvar,
}

/// Who waits to write a tag, and whether all were there once: from then on nobody waits.
#[derive(Default)]
struct Tag {
    waiting: usize,
    crossed: bool,
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
        let tags = self.gate.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tags.values().filter(|tag| tag.crossed).count()
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
        Self { writers, closed: AtomicBool::new(false), tags: Mutex::new(HashMap::new()), all_there: Condvar::new() }
    }

    /// Waits until all writers of this tag are here, but not for ever.
    fn wait(&self, path: &str) {
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        let tag = tags.entry(path.to_owned()).or_default();
        tag.waiting += 1;
        tag.crossed |= tag.waiting == self.writers;
        self.all_there.notify_all();
        let is_alone = |tags: &mut HashMap<String, Tag>| tags.get(path).is_some_and(|tag| !tag.crossed);
        let waited = self.all_there.wait_timeout_while(tags, HELD, is_alone);
        let (mut tags, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(tag) = tags.get_mut(path) {
            tag.waiting -= 1;
        }
    }
}

/// Passes one request and its answer on, and closes the connection.
fn pass(client: TcpStream, registry: SocketAddr, gate: &Gate) -> io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    let head = head(&mut requests)?;
    if let Some(path) = referrers_tag(&head) {
        gate.wait(path);
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

/// The path of a write to a tag of the referrers tag schema.
fn referrers_tag(head: &str) -> Option<&str> {
    let path = head.strip_prefix("PUT ")?.split(' ').next()?;
    path.rsplit_once("/manifests/").filter(|(_, tag)| tag.starts_with("sha256-")).map(|_| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writes_to_referrers_tags_are_held_back() {
        let tag = "/v2/octo/app/manifests/sha256-aa";
        assert_eq!(referrers_tag(&format!("PUT {tag} HTTP/1.1\r\n")), Some(tag));
        for other in [format!("GET {tag}"), "PUT /v2/octo/app/manifests/sha256:aa".into(), "PUT /v2/sha256-aa".into()] {
            assert_eq!(referrers_tag(&format!("{other} HTTP/1.1\r\n")), None, "{other}");
        }
    }

    #[test]
    fn writers_wait_for_each_other_once() {
        let gate = Gate::new(2);
        let started = std::time::Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| gate.wait("/a"));
            scope.spawn(|| gate.wait("/a"));
        });
        gate.wait("/a");
        assert!(started.elapsed() < HELD, "they were there, and waited all the same");
        gate.wait("/b");
        gate.wait("/b");
        assert!(started.elapsed() >= 2 * HELD, "the only one did not wait");
        let tags = gate.tags.lock().unwrap();
        assert!(tags["/a"].crossed && !tags["/b"].crossed, "one after the other is not at once");
    }
}
