//! What time the services believe it is.

use std::sync::Arc;

use jiff::Timestamp;

/// The time of every service of a sandbox. Never ahead of the system's clock, because verifiers refuse times from the future.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Clock {
        Clock(Arc::new(system_now))
    }

    /// A clock that stands still.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Clock {
        Clock::from_fn(move || at)
    }

    /// A clock that the caller turns. What it says ahead of the system's clock is cut to the system's clock.
    #[must_use]
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    /// Returns the time, at most the system's.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)().min(system_now())
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::system()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[expect(clippy::disallowed_methods, reason = "the sandbox is the edge: its clock is the one that tests inject")]
fn system_now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_ahead_of_the_system_is_cut() {
        let ahead = system_now() + jiff::SignedDuration::from_hours(5);
        assert!(Clock::fixed(ahead).now() <= system_now());
    }

    #[test]
    fn a_clock_behind_the_system_is_believed() {
        let behind = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(Clock::fixed(behind).now(), behind);
    }
}
