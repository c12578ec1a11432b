//! Credential helpers as processes.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use countersign_oci::auth::{HelperAnswer, HelperFailure};
use countersign_oci::limits::{HELPER_BYTES, HELPER_TIME};

/// Runs `docker-credential-<name> get`, without a shell, and returns what it printed. What it says on standard error may quote
/// what it keeps, and is not shown.
pub(super) fn run(name: &str, server: &str) -> Result<HelperAnswer, HelperFailure> {
    run_within(&format!("docker-credential-{name}"), server, HELPER_TIME)
}

fn run_within(program: &str, server: &str, limit: Duration) -> Result<HelperAnswer, HelperFailure> {
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Ended(command.spawn().map_err(|_| HelperFailure::NotRun)?);
    let (Some(mut stdin), Some(stdout)) = (child.0.stdin.take(), child.0.stdout.take()) else {
        return Err(HelperFailure::NotRun);
    };
    // A name fits into a pipe, so this does not wait; a helper that does not read it is no failure by itself.
    let _ = stdin.write_all(format!("{server}\n").as_bytes());
    drop(stdin);
    let (sender, receiver) = mpsc::channel();
    // On a thread of its own: what a helper has started may keep its output open for ever.
    thread::spawn(move || {
        let mut output = zeroize::Zeroizing::new(Vec::new());
        let read = stdout.take(HELPER_BYTES + 1).read_to_end(&mut output);
        let _ = sender.send(read.map(|_| output));
    });
    let output = match receiver.recv_timeout(limit) {
        Ok(read) => read.map_err(|_| HelperFailure::Failed)?,
        Err(RecvTimeoutError::Timeout) => return Err(HelperFailure::TimedOut),
        Err(RecvTimeoutError::Disconnected) => return Err(HelperFailure::Failed),
    };
    if output.len() as u64 > HELPER_BYTES {
        return Err(HelperFailure::TooLong);
    }
    Ok(HelperAnswer { succeeded: child.succeeds_within(limit)?, output })
}

/// A process that does not outlive this.
struct Ended(Child);

impl Ended {
    /// Waits for the end of a process that has printed everything.
    fn succeeds_within(&mut self, limit: Duration) -> Result<bool, HelperFailure> {
        let mut left = limit;
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Ok(status.success()),
                Ok(None) if left.is_zero() => return Err(HelperFailure::TimedOut),
                Ok(None) => thread::sleep(LOOK_AGAIN),
                Err(_) => return Err(HelperFailure::Failed),
            }
            left = left.saturating_sub(LOOK_AGAIN);
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    /// Writes a helper; the folder goes when the test ends.
    fn helper(script: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    fn outcome(script: &str, limit: Duration) -> Result<(bool, String), HelperFailure> {
        let (_folder, path) = helper(script);
        let answer = run_within(path.to_str().unwrap(), "ghcr.io", limit)?;
        Ok((answer.succeeded, String::from_utf8(answer.output.to_vec()).unwrap()))
    }

    const PATIENT: Duration = Duration::from_secs(20);

    #[test]
    fn a_helper_is_told_the_server_and_its_answer_comes_back() {
        let answer = outcome(r#"read server; echo "$1 $server"; echo canary >&2"#, PATIENT).unwrap();
        assert_eq!(answer, (true, "get ghcr.io\n".to_owned()));
        let absent = outcome("echo 'credentials not found in native keychain'; exit 1", PATIENT).unwrap();
        assert_eq!(absent, (false, "credentials not found in native keychain\n".to_owned()));
        assert_eq!(outcome("exec <&-; echo x", PATIENT).unwrap(), (true, "x\n".to_owned()));
    }

    #[test]
    fn a_helper_that_never_ends_is_ended() {
        let short = Duration::from_millis(200);
        for script in ["exec sleep 60", "exec >&-; exec sleep 60", "sleep 60 & exit 0"] {
            assert_eq!(outcome(script, short).unwrap_err(), HelperFailure::TimedOut, "{script}");
        }
        assert_eq!(outcome("while :; do echo canary; done", PATIENT).unwrap_err(), HelperFailure::TooLong);
    }

    #[test]
    fn a_helper_that_is_not_there_is_named_as_that() {
        let failure = run_within("docker-credential-there-is-none-of-this-name", "ghcr.io", PATIENT).unwrap_err();
        assert_eq!(failure, HelperFailure::NotRun);
    }
}
