//! Wakes futures at a moment, to a tenth of a millisecond: tokio's timers count in whole milliseconds, which add up over a dozen round trips.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use tokio::sync::oneshot;

/// A thread that sleeps until the next moment that somebody waits for.
#[derive(Debug)]
pub(crate) struct Timer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    alarms: Mutex<Alarms>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Alarms {
    next: BinaryHeap<Reverse<Alarm>>,
    numbered: u64,
    ended: bool,
}

/// Ordered by the moment; the number tells those of one moment apart.
#[derive(Debug)]
struct Alarm {
    at: Instant,
    number: u64,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Timer {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let sleeper = Arc::clone(&shared);
        thread::Builder::new().name("timer".to_owned()).spawn(move || sleeper.run()).context("start the timer")?;
        Ok(Self(shared))
    }

    /// Returns at the moment, or at once when that is past.
    pub(crate) async fn until(&self, at: Instant) {
        if Instant::now() >= at {
            return;
        }
        let (wake, woken) = oneshot::channel();
        {
            let mut alarms = self.0.alarms();
            alarms.numbered += 1;
            let number = alarms.numbered;
            alarms.next.push(Reverse(Alarm { at, number, wake }));
        }
        self.0.changed.notify_one();
        // An error is the end of the timer: nobody waits then.
        let _ = woken.await;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.alarms().ended = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut alarms = self.alarms();
        while !alarms.ended {
            let now = Instant::now();
            let due = |alarms: &Alarms| alarms.next.peek().is_some_and(|Reverse(alarm)| alarm.at <= now);
            while due(&alarms) {
                if let Some(Reverse(alarm)) = alarms.next.pop() {
                    // Whoever does not wait any more need not be woken.
                    let _ = alarm.wake.send(());
                }
            }
            let pause = alarms.next.peek().map(|Reverse(alarm)| alarm.at.saturating_duration_since(Instant::now()));
            alarms = match pause {
                Some(pause) => self.changed.wait_timeout(alarms, pause).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(alarms).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_waits_is_woken_at_the_moment_and_in_its_order() -> anyhow::Result<()> {
        let timer = Timer::start()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let started = Instant::now();
        let wait = |milliseconds: u64| {
            let timer = &timer;
            async move {
                timer.until(started + Duration::from_millis(milliseconds)).await;
                (milliseconds, started.elapsed())
            }
        };
        let (late, early, past) = runtime.block_on(async { tokio::join!(wait(30), wait(10), wait(0)) });
        for (asked, elapsed) in [late, early, past] {
            assert!(elapsed >= Duration::from_millis(asked), "{asked} ms after {elapsed:?}");
        }
        assert!(early.1 < late.1);
        Ok(())
    }
}
