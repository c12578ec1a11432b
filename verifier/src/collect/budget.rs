//! How much may still be read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use countersign_oci::limits;
use tokio::time::Instant;

use crate::evidence::Gap;

/// How much of one image is looked at and shown: by default what [`limits`] says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InspectBounds {
    /// Levels of an image index.
    pub depth: usize,
    /// Manifests, indexes included.
    pub manifests: usize,
    /// Referrers, those of children included.
    pub referrers: usize,
    /// Bytes of everything that is read.
    pub bytes: u64,
    /// Wall clock.
    pub time: Duration,
}

impl Default for InspectBounds {
    fn default() -> Self {
        Self {
            depth: limits::INSPECT_DEPTH,
            manifests: limits::INSPECT_MANIFESTS,
            referrers: limits::INSPECT_REFERRERS,
            bytes: limits::INSPECT_BYTES,
            time: limits::INSPECT_TIME,
        }
    }
}

/// When no more is read, and which limit that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    what: &'static str,
    limit: Duration,
}

impl Deadline {
    /// The time for one digest begins now.
    pub(super) fn of_evidence() -> Self {
        Self { at: Instant::now() + limits::EVIDENCE_TIME, what: "evidence", limit: limits::EVIDENCE_TIME }
    }

    /// The time for one image with its children begins now.
    pub(super) fn of_image(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, what: "an image with its children", limit }
    }

    /// Returns the one of two that comes first.
    pub(super) fn min(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    pub(super) fn is_past(&self) -> bool {
        Instant::now() >= self.at
    }

    /// Says that it is past, with the limit that it comes from.
    pub(super) fn used_up(&self) -> String {
        format!("the time for looking at {} ({} s) is used up", self.what, self.limit.as_secs())
    }
}

/// Bytes that may still be read. Several readers share it: each reads to the end what it began, so that it is exceeded
/// by at most one answer for each of them.
#[derive(Debug)]
pub(super) struct ByteBudget {
    limit: u64,
    left: AtomicU64,
}

impl ByteBudget {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, left: AtomicU64::new(limit) }
    }

    pub(super) fn spend(&self, bytes: u64) {
        let less = |left: u64| Some(left.saturating_sub(bytes));
        // Never fails: there is always a new value.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Names what is not read because nothing is left.
    pub(super) fn gap(&self) -> Gap {
        let detail = format!("the limit of {} bytes for everything that is read of one image is reached", self.limit);
        Gap::new(detail, "inspect-too-large", false)
    }
}

/// Things that may still be shown.
#[derive(Debug)]
pub(super) struct CountBudget(AtomicUsize);

impl CountBudget {
    pub(super) fn new(limit: usize) -> Self {
        Self(AtomicUsize::new(limit))
    }

    /// Takes as many as are wanted, or those that are left.
    pub(super) fn take(&self, wanted: usize) -> usize {
        let less = |left: usize| Some(left.saturating_sub(wanted));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or_default();
        wanted.min(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_gone_and_no_more_than_there_is() {
        let count = CountBudget::new(5);
        assert_eq!([count.take(3), count.take(3), count.take(3)], [3, 2, 0]);
        let bytes = ByteBudget::new(10);
        bytes.spend(9);
        assert!(!bytes.is_used_up());
        bytes.spend(u64::MAX);
        assert!(bytes.is_used_up());
        assert!(bytes.gap().detail.contains("10 bytes"));
    }

    #[test]
    fn the_deadline_that_comes_first_names_its_own_limit() {
        let (long, short) = (Duration::from_secs(120), Duration::from_secs(5));
        let first = |limit| Deadline::of_image(limit).min(Deadline::of_evidence()).used_up();
        assert_eq!(first(long), "the time for looking at evidence (60 s) is used up");
        assert_eq!(first(short), "the time for looking at an image with its children (5 s) is used up");
    }
}
