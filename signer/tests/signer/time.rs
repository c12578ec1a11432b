//! Times for signers: the machine's, one that is set otherwise, and one that passes only in pauses.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign_oci::http::Time;
use jiff::Timestamp;

use crate::world::now;

/// The machine's time.
pub(crate) fn machine() -> Arc<dyn Time> {
    MachineAt::new(now)
}

/// Waits as the machine does, with another time of day.
pub(crate) struct MachineAt<F> {
    clock: F,
    started: Instant,
}

impl<F: Fn() -> Timestamp + Send + Sync + 'static> MachineAt<F> {
    #[expect(clippy::new_ret_no_self, reason = "what is wanted is the trait")]
    pub(crate) fn new(clock: F) -> Arc<dyn Time> {
        Arc::new(MachineAt { clock, started: Instant::now() })
    }
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

/// A time that passes only in pauses, hours before the machine's, so that what is signed in it is signed in the past.
pub(crate) struct Pauses {
    began: Timestamp,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    passed: Duration,
    pauses: Vec<Duration>,
    events: Vec<(Duration, Event)>,
}

type Event = Box<dyn FnOnce() + Send>;

impl Pauses {
    /// Begins three hours ago.
    pub(crate) fn new() -> Arc<Pauses> {
        let began = now() - jiff::SignedDuration::from_hours(3);
        Arc::new(Pauses { began, state: Mutex::default() })
    }

    /// Lets something happen once so much time has passed.
    pub(crate) fn after(&self, time: Duration, event: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().events.push((time, Box::new(event)));
    }

    /// The pauses so far.
    pub(crate) fn taken(&self) -> Vec<Duration> {
        self.state.lock().unwrap().pauses.clone()
    }

    /// Lets time pass without a pause.
    pub(crate) fn pass(&self, time: Duration) {
        let mut state = self.state.lock().unwrap();
        state.passed += time;
        let passed = state.passed;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.events).into_iter().partition(|(at, _)| *at <= passed);
        state.events = later;
        drop(state);
        for (_, event) in due {
            event();
        }
    }
}

impl Time for Pauses {
    fn now(&self) -> Timestamp {
        self.began + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.state.lock().unwrap().passed
    }

    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.state.lock().unwrap().pauses.push(pause);
        self.pass(pause);
        Box::pin(std::future::ready(()))
    }
}
