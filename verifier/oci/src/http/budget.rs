use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// How time passes. Binaries pass the machine's, tests one of their own.
pub trait Time: Send + Sync {
    /// The time of day: what validity is compared with. It may jump.
    fn now(&self) -> Timestamp;

    /// The time since some fixed moment. It never goes back.
    fn elapsed(&self) -> Duration;

    /// Lets time pass.
    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The time that everything in one call may take together, repetitions and pauses included. Clones share it.
#[derive(Clone)]
pub struct Budget {
    time: Arc<dyn Time>,
    total: Duration,
    started: Duration,
}

impl Budget {
    /// Begins now.
    #[must_use]
    pub fn new(time: Arc<dyn Time>, total: Duration) -> Self {
        let started = time.elapsed();
        Self { time, total, started }
    }

    /// How time passes here.
    #[must_use]
    pub const fn time(&self) -> &Arc<dyn Time> {
        &self.time
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// How much there was at the beginning.
    #[must_use]
    pub const fn total(&self) -> Duration {
        self.total
    }

    /// How much is left.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.total.saturating_sub(self.time.elapsed().saturating_sub(self.started))
    }

    /// Pauses before `what` is tried again, because of `why`. Returns at once, and `false`, where less than the pause is
    /// left. Says what it waits for where that takes a second or longer.
    pub async fn pause(
        &self,
        what: &(dyn fmt::Display + Sync),
        why: &(dyn fmt::Display + Sync),
        pause: Duration,
    ) -> bool {
        let remaining = self.remaining();
        if pause >= remaining {
            return false;
        }
        if pause >= WORTH_SAYING {
            let (pause, remaining, total) = (rounded(pause), rounded(remaining), rounded(self.total));
            tracing::warn!("{what}: {why}; trying again in {pause:?}, {remaining:?} of {total:?} left");
        } else {
            tracing::debug!("{what}: {why}; trying again in {pause:?}");
        }
        self.time.sleep(pause).await;
        true
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("total", &self.total).field("remaining", &self.remaining()).finish()
    }
}

/// What is shown of a time: whole seconds where there are any.
fn rounded(time: Duration) -> Duration {
    if time < WORTH_SAYING { time } else { Duration::from_secs(time.as_secs()) }
}

/// Shorter pauses are nobody's business.
const WORTH_SAYING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A time that passes only in pauses.
    #[derive(Default)]
    struct Pauses(Mutex<Duration>);

    impl Time for Pauses {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH + self.elapsed()
        }

        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            *self.0.lock().unwrap() += pause;
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn pauses_use_the_budget_up_and_one_that_does_not_fit_is_not_begun() {
        let minute = Duration::from_secs(60);
        let budget = Budget::new(Arc::new(Pauses::default()), minute * 10);
        for passed in 1..=9 {
            assert!(budget.pause(&"the log", &"503", minute).await);
            assert_eq!(budget.remaining(), minute * (10 - passed));
        }
        assert!(!budget.pause(&"the log", &"503", minute).await);
        assert_eq!(budget.remaining(), minute);
        assert!(budget.clone().pause(&"the log", &"503", minute / 2).await);
        assert_eq!(budget.remaining(), minute / 2, "clones share it");
    }
}
