//! Runs a program to its end and says what it took: wall time, processor time, memory.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};
use wait4::Wait4 as _;

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// The largest resident set in bytes.
    pub(crate) memory: u64,
}

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(600);
/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(4);

/// Runs a command, and fails with what it said unless it succeeded.
pub(crate) fn run(mut command: Command) -> anyhow::Result<(Usage, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process without number")?;
    let reader = |mut from: Box<dyn std::io::Read + Send>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before a failure is still worth showing.
            let _ = from.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = reader(Box::new(child.stdout.take().context("standard output")?));
    let stderr = reader(Box::new(child.stderr.take().context("standard error")?));
    let (end, ended) = mpsc::channel();
    let watch = thread::spawn(move || watch(pid, &ended));
    let done = child.wait4().with_context(|| format!("cannot wait for {name}"))?;
    let wall = started.elapsed();
    drop(end);
    let memory = watch.join().unwrap_or_default();
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    if !done.status.success() {
        bail!("{name}: {}\n{stderr}\n{stdout}", done.status);
    }
    Ok((Usage { wall, cpu: done.rusage.utime + done.rusage.stime, memory }, stdout))
}

/// Returns the largest resident set that was seen until the run ended; ends a run that takes too long.
///
/// What `wait4` says of it is not of use: a program begins with the resident set of the one that started it.
fn watch(pid: Pid, ended: &mpsc::Receiver<()>) -> u64 {
    let started = Instant::now();
    let mut memory = 0;
    while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        memory = memory.max(resident(pid).unwrap_or_default());
        if started.elapsed() > LIMIT {
            // It may have ended just now.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    memory
}

/// The peak so far, which the kernel keeps.
fn resident(pid: Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_measured_and_a_failure_is_shown() -> anyhow::Result<()> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo done"]);
        let (usage, stdout) = run(command)?;
        assert_eq!(stdout, "done\n");
        assert!(usage.cpu > Duration::ZERO && usage.wall >= usage.cpu / 2, "{usage:?}");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo because >&2; exit 3"]);
        let failure = run(command).map(|_| ()).unwrap_err().to_string();
        assert!(failure.contains("because"), "{failure}");
        Ok(())
    }
}
