//! The time that a signer reads: the machine's, or one that stands still.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_oci::http::{Budget, Time};
use jiff::Timestamp;

use crate::world::now;

/// What one signer may take: half a minute of the machine's time.
pub(crate) fn budget() -> Budget {
    budget_at(now)
}

/// The same with another time of day.
pub(crate) fn budget_at(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Budget {
    let time = MachineAt { clock, started: Instant::now() };
    Budget::new(Arc::new(time), Duration::from_secs(30))
}

/// Waits as the machine does.
struct MachineAt<F> {
    clock: F,
    started: Instant,
}

impl<F: Fn() -> Timestamp + Send + Sync> Time for MachineAt<F> {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(pause))
    }
}
