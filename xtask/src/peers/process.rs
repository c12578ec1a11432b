//! Programs of other people: run with an environment of their own, within a time, and stopped when they are done with.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};

/// How long one call of a peer may take.
pub(crate) const CALL_TIME: Duration = Duration::from_secs(120);
/// How long a server may take until it answers.
const START_TIME: Duration = Duration::from_secs(60);
/// How long a server may take to end at its signal.
const STOP_TIME: Duration = Duration::from_secs(10);

/// What a program did.
pub(crate) struct Run {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn success(&self) -> bool {
        self.exit == 0
    }

    /// Fails, with what the program printed, unless it succeeded.
    pub(crate) fn ok(self) -> anyhow::Result<Self> {
        if !self.success() {
            bail!("exit {}: {}", self.exit, self.last_words());
        }
        Ok(self)
    }

    /// The end of what the program printed, on one line.
    pub(crate) fn last_words(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let words = lines[lines.len().saturating_sub(3)..].join(" / ");
        words.chars().take(600).collect()
    }
}

/// Returns a command that sees nothing of this program's environment: its home, caches and trust are in the folder.
pub(crate) fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home).env("TMPDIR", "/tmp");
    command.env("XDG_CACHE_HOME", home.join(".cache")).env("XDG_CONFIG_HOME", home.join(".config"));
    command.env("XDG_DATA_HOME", home.join(".local/share")).env("XDG_STATE_HOME", home.join(".local/state"));
    command.env("TUF_ROOT", home.join(".sigstore/root")).env("DOCKER_CONFIG", home.join(".docker"));
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end, and kills it when that takes too long.
pub(crate) fn finish(mut command: Command, limit: Duration) -> anyhow::Result<Run> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let _guardian = Guardian::of(&child, "KILL")?;
    let stdout = child.stdout.take().context("standard output")?;
    let stderr = child.stderr.take().context("standard error")?;
    let stdout = thread::spawn(move || read(stdout));
    let stderr = thread::spawn(move || read(stderr));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("{name} did not end within {limit:.0?}");
        }
        thread::sleep(Duration::from_millis(10));
    };
    let text =
        |reader: thread::JoinHandle<Vec<u8>>| String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned();
    Ok(Run { exit: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) })
}

fn read(mut from: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before a failure is still worth showing.
    let _ = from.read_to_end(&mut bytes);
    bytes
}

/// Runs a peer with [`CALL_TIME`].
pub(crate) fn call(command: Command) -> anyhow::Result<Run> {
    finish(command, CALL_TIME)
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
    stop: Option<Signal>,
    guardian: Guardian,
}

impl Server {
    /// Starts a server whose output goes to a file, and waits until it is ready.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        log: &Path,
        ready: impl Fn() -> bool,
    ) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let guardian = Guardian::of(&child, "KILL")?;
        let mut server = Self { name: name.to_owned(), child, log: log.to_path_buf(), stop: None, guardian };
        let started = Instant::now();
        while !ready() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended with {status}: {}", server.last_words());
            }
            if started.elapsed() > START_TIME {
                bail!("{name} does not answer after {START_TIME:.0?}: {}", server.last_words());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Lets the server end by itself at a signal, with [`STOP_TIME`] to do so: one that must tidy up after itself.
    pub(crate) fn stopped_by(mut self, signal: Signal, name: &str) -> anyhow::Result<Self> {
        self.guardian = Guardian::of(&self.child, name)?;
        self.stop = Some(signal);
        Ok(self)
    }

    /// Whether the server ended at its signal.
    fn ends(&mut self) -> bool {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let (Some(signal), Some(pid)) = (self.stop, pid) else { return false };
        if rustix::process::kill_process(pid, signal).is_err() {
            return false;
        }
        let started = Instant::now();
        while started.elapsed() < STOP_TIME {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// The end of what the server printed.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(4)..].join(" / ")
    }
}

/// Ends a program when this one is gone, however it went: a port that stays taken, or an installation that goes on, would
/// spoil the next run.
struct Guardian(Child);

impl Guardian {
    /// Waits for the end of its standard input, which is this program's end, and then signals the other one.
    fn of(program: &Child, signal: &str) -> anyhow::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read -r _; kill -\"$0\" \"$1\"", signal, &program.id().to_string()]);
        // Ctrl-C is sent to this program's group, and must not end the guardian first.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Self(command.spawn().context("cannot start /bin/sh")?))
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // Whoever drops this stops the program, or has seen it end: nothing is left to guard.
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(|_| ())) {
            eprintln!("   a guardian could not be stopped: {error}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ends() {
            return;
        }
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(|_| ())) {
            eprintln!("   {} could not be stopped: {error}", self.name);
        }
    }
}

/// The ports to choose from: below those that the system gives to clients, which may take one between the choice and its use.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Returns a port of 127.0.0.1 that is free now, and another one each time.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = u32::try_from(PORTS.len())?;
    // Runs at the same time begin at different places.
    let start = std::process::id().wrapping_mul(197);
    for _ in 0..number {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + u16::try_from(start.wrapping_add(step) % number)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port of 127.0.0.1 is free")
}

/// Whether something listens on this port of 127.0.0.1.
pub(crate) fn listens(port: u16) -> bool {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_ends_when_the_program_that_started_it_is_gone() -> anyhow::Result<()> {
        let mut server = Command::new("sleep").arg("600").spawn()?;
        let mut guardian = Guardian::of(&server, "KILL")?;
        assert!(server.try_wait()?.is_none());
        drop(guardian.0.stdin.take());
        let started = Instant::now();
        while server.try_wait()?.is_none() {
            assert!(started.elapsed() < START_TIME, "the server goes on");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
