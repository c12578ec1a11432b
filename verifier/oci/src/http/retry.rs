use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How a request is repeated: growing pauses with jitter, within the caller's one deadline.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often at most, the first time included.
    pub attempts: usize,
    /// The first pause; each further one is twice as long, and jitter adds up to as much again.
    pub first_pause: Duration,
    /// The longest pause: whatever a `Retry-After` asks for, unless a [`Budget`](super::Budget) has the time.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, first_pause: Duration::from_millis(200), longest_pause: Duration::from_secs(30) }
    }
}

impl RetryPolicy {
    /// Returns the pauses between attempts, one less than there are attempts.
    pub fn pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        self.growing().with_max_times(self.attempts.saturating_sub(1)).build()
    }

    /// Returns pauses without end, for calls that a [`Budget`](super::Budget) bounds.
    pub fn endless_pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let longest = self.longest_pause;
        self.growing().without_max_times().build().map(move |pause| pause.min(longest))
    }

    fn growing(&self) -> ExponentialBuilder {
        let longest = ExponentialBuilder::default().with_min_delay(self.first_pause).with_max_delay(self.longest_pause);
        longest.with_factor(2.0).with_jitter()
    }

    /// Returns how long to pause: at least as long as the server asked for, at most [`Self::longest_pause`].
    #[must_use]
    pub fn pause(&self, own: Duration, asked: Option<Duration>) -> Duration {
        asked.map_or(own, |asked| own.max(asked)).min(self.longest_pause)
    }
}

/// Returns what `Retry-After` asks for: seconds, or a date, which is compared with the server's own `Date`.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    Duration::try_from(date(text)?.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&'static str, &'static str)]) -> Option<Duration> {
        let headers = pairs.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(asked(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"), date]), Some(Duration::from_secs(3)));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"), date]), None);
        for bad in ["-1", "soon", "", "99999999999999999999", "1.5"] {
            assert_eq!(asked(&[("retry-after", bad), date]), None, "{bad}");
        }
        assert_eq!(asked(&[date]), None);
    }

    #[test]
    fn pauses_grow_and_the_servers_wish_is_capped() {
        let policy = RetryPolicy::default();
        let pauses: Vec<_> = policy.pauses().collect();
        assert_eq!(pauses.len(), 4);
        assert!(pauses[0] >= policy.first_pause);
        assert!(pauses[3] > pauses[0]);
        let second = Duration::from_secs(1);
        assert_eq!(policy.pause(second, Some(second * 3)), second * 3);
        assert_eq!(policy.pause(second, Some(second * 3600)), policy.longest_pause);
        assert_eq!(policy.pause(second, Some(Duration::ZERO)), second);
        assert_eq!(policy.pause(second, None), second);
    }
}
