//! A network with a round trip: TCP proxies on loopback, each a delay line in front of one server.
//!
//! What is sent arrives half a round trip later, either way, however much is under way at once; and the first byte on a new
//! connection waits a whole one for the connection. TLS is not imitated.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::record::{Connection, Entry, Peer, Record};
use super::timer::Timer;

/// The proxies, and what crosses them.
#[derive(Debug)]
pub(crate) struct Network {
    runtime: Runtime,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Microseconds.
    round_trip: AtomicU64,
    timer: Timer,
    record: Record,
}

impl Network {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_io().build()?;
        let shared = Shared { round_trip: AtomicU64::new(0), timer: Timer::start()?, record: Record::new() };
        Ok(Self { runtime, shared: Arc::new(shared) })
    }

    /// Puts a proxy in front of a server of this machine, and returns its address.
    pub(crate) fn link(&self, peer: Peer, server: SocketAddr) -> anyhow::Result<SocketAddr> {
        let listener = self.runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("bind a proxy")?;
        let address = listener.local_addr()?;
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            loop {
                // A connection that was reset before it was taken.
                let Ok((client, _)) = listener.accept().await else { continue };
                let accepted = Instant::now();
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // An error is an end that closed: the other one sees its connection close.
                    let _ = carry(&shared, peer, client, server, accepted).await;
                });
            }
        });
        Ok(address)
    }

    /// Sets the round trip of every connection from now on.
    pub(crate) fn set_round_trip(&self, round_trip: Duration) {
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.shared.round_trip.store(micros, Ordering::Relaxed);
    }

    /// Returns what crossed since the last call.
    pub(crate) fn take(&self) -> Vec<Connection> {
        self.shared.record.take()
    }
}

async fn carry(
    shared: &Shared,
    peer: Peer,
    client: TcpStream,
    server: SocketAddr,
    accepted: Instant,
) -> io::Result<()> {
    let round_trip = Duration::from_micros(shared.round_trip.load(Ordering::Relaxed));
    let entry = &shared.record.opened(peer, accepted);
    let server = TcpStream::connect(server).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let line = |direction, from| Line { shared, entry, direction, delay: round_trip / 2, from };
    let (out, back) = tokio::join!(
        line(Direction::Out, accepted + round_trip).carry(from_client, to_server),
        line(Direction::Back, accepted).carry(from_server, to_client),
    );
    out.and(back)
}

/// One direction of a connection.
struct Line<'n> {
    shared: &'n Shared,
    entry: &'n Entry,
    direction: Direction,
    delay: Duration,
    /// When the connection is there: what is sent before leaves then.
    from: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// From the client to the server.
    Out,
    Back,
}

impl Line<'_> {
    /// Carries until the sender ends, and then ends too, with the same delay.
    async fn carry(self, mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf) -> io::Result<()> {
        let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
        let enter = async {
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let read = reader.read_buf(&mut piece).await;
                let now = Instant::now();
                if self.direction == Direction::Out {
                    self.entry.sent(now, &piece);
                }
                let due = now.max(self.from) + self.delay;
                let ended = piece.is_empty();
                if queue.send((due, piece)).await.is_err() || ended {
                    drop(queue);
                    return read.map(|_| ());
                }
            }
        };
        let leave = async {
            while let Some((due, piece)) = queued.recv().await {
                self.shared.timer.until(due).await;
                if piece.is_empty() {
                    break;
                }
                if self.direction == Direction::Back {
                    self.entry.received(Instant::now(), &piece);
                }
                writer.write_all(&piece).await?;
            }
            writer.shutdown().await
        };
        let (entered, left) = tokio::join!(enter, leave);
        entered.and(left)
    }
}

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// Pieces under way in one direction: more than any signer sends within a round trip.
const PIECES: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener as StdListener, TcpStream as StdStream};
    use std::thread;

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(60);

    /// Answers each byte with itself, on every connection.
    fn echo() -> anyhow::Result<SocketAddr> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read(&mut byte).is_ok_and(|read| read == 1) {
                        if stream.write_all(&byte).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(address)
    }

    fn connect(network: &Network) -> anyhow::Result<StdStream> {
        let address = network.link(Peer::Oidc, echo()?)?;
        let stream = StdStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The time of a ping, which is at least `expected`, and not a whole round trip more even on a busy machine.
    fn assert_takes(expected: Duration, elapsed: Duration) {
        assert!(elapsed >= expected, "{elapsed:?} is less than {expected:?}");
        assert!(elapsed < expected + ROUND_TRIP, "{elapsed:?} is much more than {expected:?}");
    }

    #[test]
    fn a_ping_takes_a_round_trip_and_the_first_one_also_the_connect() -> anyhow::Result<()> {
        let network = Network::start()?;
        network.set_round_trip(ROUND_TRIP);
        let started = Instant::now();
        let mut stream = connect(&network)?;
        for round_trips in 2..5 {
            stream.write_all(b"x")?;
            stream.read_exact(&mut [0])?;
            assert_takes(ROUND_TRIP * round_trips, started.elapsed());
        }
        Ok(())
    }

    #[test]
    fn a_connection_that_was_opened_ahead_costs_its_first_ping_nothing() -> anyhow::Result<()> {
        let network = Network::start()?;
        network.set_round_trip(ROUND_TRIP);
        let mut stream = connect(&network)?;
        thread::sleep(ROUND_TRIP * 2);
        let started = Instant::now();
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        assert_takes(ROUND_TRIP, started.elapsed());
        Ok(())
    }

    #[test]
    fn pipelined_requests_do_not_add_up() -> anyhow::Result<()> {
        let network = Network::start()?;
        network.set_round_trip(ROUND_TRIP);
        let mut stream = connect(&network)?;
        let started = Instant::now();
        for _ in 0..20 {
            stream.write_all(b"x")?;
            thread::sleep(Duration::from_millis(1));
        }
        stream.read_exact(&mut [0; 20])?;
        assert_takes(ROUND_TRIP * 2, started.elapsed());
        Ok(())
    }

    #[test]
    fn the_end_of_a_connection_is_passed_on() -> anyhow::Result<()> {
        let network = Network::start()?;
        let mut stream = connect(&network)?;
        stream.write_all(b"x")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        assert_eq!(answer, b"x");
        Ok(())
    }
}
