//! Signals that ask the program to end.

use std::io;

use countersign_cli::Failure;
use countersign_oci::Class;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a person, a supervisor or a closed terminal sends.
pub(crate) struct Interruption {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interruption {
    /// Catches the signals from now on: they no longer end the program by themselves.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}

/// What is told of an installation that was given up.
pub(crate) fn failure(signal: &str) -> Failure {
    let error = io::Error::other(format!("stopped by {signal}: nothing was installed"));
    Failure::new(&error, "interrupted", Class::Unreachable, true, None)
}
