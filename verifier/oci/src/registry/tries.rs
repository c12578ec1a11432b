use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::error::RegistryError;
use crate::http::{Budget, RetryPolicy};

/// The attempts at one call, and their pauses. Without a budget they share one deadline and are counted; with one, each has
/// the time of a call, and they go on for as long as the budget lasts.
pub(crate) struct Tries {
    what: String,
    limit: Duration,
    until: Until,
    policy: RetryPolicy,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    last: Option<RegistryError>,
}

enum Until {
    Budget(Budget),
    Deadline(Instant),
}

impl Tries {
    pub(super) fn new(what: &str, limit: Duration, policy: RetryPolicy, budget: Option<Budget>) -> Self {
        let pauses: Box<dyn Iterator<Item = Duration> + Send> = match budget {
            Some(_) => Box::new(policy.endless_pauses()),
            None => Box::new(policy.pauses()),
        };
        let until = budget.map_or_else(|| Until::Deadline(Instant::now() + limit), Until::Budget);
        Self { what: what.to_owned(), limit, until, policy, pauses, last: None }
    }

    /// Runs one attempt within what is left of the time.
    pub(crate) async fn within<T>(
        &mut self,
        attempt: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let outcome = match &self.until {
            Until::Deadline(deadline) => timeout_at(*deadline, attempt).await,
            Until::Budget(budget) => timeout(self.limit.min(budget.remaining()), attempt).await,
        };
        match (outcome, &self.until) {
            (Ok(outcome), _) => outcome,
            (Err(_), Until::Budget(budget)) if !budget.remaining().is_zero() => Err(self.timed_out()),
            // What went wrong before says more than that time is up.
            (Err(_), _) => Err(self.last.take().unwrap_or_else(|| self.timed_out())),
        }
    }

    /// Pauses before the next attempt, or returns `error` when there is none.
    pub(crate) async fn again(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        let pause = if error.retryable() { self.pauses.next() } else { None };
        let Some(own) = pause else { return Err(error) };
        match &self.until {
            Until::Budget(budget) => {
                // A server that names a time knows better than we do: sooner is a request for nothing.
                let pause = own.min(self.policy.longest_pause).max(error.retry_after().unwrap_or_default());
                if !budget.pause(&self.what, &error.reason(), pause).await {
                    return Err(error);
                }
            }
            Until::Deadline(deadline) => {
                let pause = self.policy.pause(own, error.retry_after());
                if Instant::now() + pause >= *deadline {
                    return Err(error);
                }
                tracing::debug!(what = self.what, code = error.code(), pause_ms = pause.as_millis(), "trying again");
                sleep(pause).await;
            }
        }
        self.last = Some(error);
        Ok(())
    }

    fn timed_out(&self) -> RegistryError {
        RegistryError::TimedOut { what: self.what.clone(), limit: self.limit }
    }
}

/// Pauses while something that was written becomes visible: growing, and bounded together.
pub(crate) struct Patience {
    what: String,
    left: Duration,
    next: Duration,
    budget: Option<Budget>,
}

impl Patience {
    pub(super) const fn new(what: String, most: Duration, budget: Option<Budget>) -> Self {
        Self { what, left: most, next: FIRST_LOOK, budget }
    }

    /// Pauses before the next look; `false` when there is no time for one.
    pub(crate) async fn pause(&mut self) -> bool {
        let pause = self.next.min(self.left);
        if pause.is_zero() {
            return false;
        }
        self.left -= pause;
        self.next = (self.next * 2).min(LONGEST_LOOK);
        match &self.budget {
            Some(budget) => budget.pause(&self.what, &"not visible yet", pause).await,
            None => {
                sleep(pause).await;
                true
            }
        }
    }
}

const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(5);
