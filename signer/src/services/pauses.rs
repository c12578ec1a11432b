//! How long to wait between two attempts.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

/// The first pause, without its jitter.
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause that nobody asked for, jitter included.
const LONGEST: Duration = Duration::from_secs(30);
/// What is left of a budget below this is no time for a further attempt.
const LEAST: Duration = Duration::from_millis(200);

/// Pauses that double, with jitter, so that those who failed together do not come back together.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    taken: u32,
}

impl Pauses {
    /// The next pause. Near the end of the time that is left, half of that: the last attempts use what there is. None where too little
    /// is left.
    pub(crate) fn next(&mut self, left: Duration) -> Option<Duration> {
        if left < LEAST {
            return None;
        }
        let doubled = FIRST.saturating_mul(1_u32.checked_shl(self.taken).unwrap_or(u32::MAX));
        self.taken = (self.taken + 1).min(u32::BITS);
        let pause = doubled.min(LONGEST / 2).mul_f64(1.0 + jitter());
        Some(if pause < left { pause } else { left / 2 })
    }
}

/// From 0 up to 1; 0 where the operating system has no randomness, which spreads nothing and harms nothing.
fn jitter() -> f64 {
    let mut byte = [0];
    if SystemRandom::new().fill(&mut byte).is_err() {
        return 0.0;
    }
    f64::from(byte[0]) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_jittered() {
        let mut pauses = Pauses::default();
        let taken: Vec<_> = (0..100).map(|_| pauses.next(Duration::from_secs(3600)).unwrap()).collect();
        assert!(taken[0] >= FIRST && taken[0] < FIRST * 2, "{taken:?}");
        assert!(taken[4] >= FIRST * 16 && taken[4] < FIRST * 32, "{taken:?}");
        assert!(taken.iter().all(|pause| *pause <= LONGEST), "{taken:?}");
        assert!(taken[10..].iter().all(|pause| *pause >= LONGEST / 2), "{taken:?}");
        assert!(taken[10..].iter().any(|pause| *pause != taken[10]), "{taken:?}");
    }

    #[test]
    fn the_last_pauses_use_what_is_left_and_none_is_longer() {
        let mut pauses = Pauses { taken: 20 };
        let mut left = Duration::from_secs(16);
        let mut count = 0;
        while let Some(pause) = pauses.next(left) {
            assert!(pause < left);
            left -= pause;
            count += 1;
        }
        assert!(left < LEAST && count < 12, "{left:?} {count}");
    }
}
