//! When a signature may have been made.

use jiff::{SignedDuration, Timestamp};

use crate::denial::{Denial, Field};
use crate::draft::Text;
use crate::error::PolicyError;

/// Holds the bounds that every verified time of a signature must keep; a time exactly on a bound passes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) max_age: Option<SignedDuration>,
}

impl Window {
    pub(crate) fn parse(
        not_before: Option<Text>,
        not_after: Option<Text>,
        max_age: Option<Text>,
    ) -> Result<Self, PolicyError> {
        let not_before = not_before.map(|text| timestamp(&text)).transpose()?;
        let parsed = not_after.as_ref().map(timestamp).transpose()?;
        if let (Some(after), Some(before), Some(text)) = (parsed, not_before, not_after)
            && after < before
        {
            return Err(PolicyError::InvalidValue {
                at: text.at,
                expected: "a time that is not before `not_before`",
                found: text.value,
            });
        }
        Ok(Self { not_before, not_after: parsed, max_age: max_age.map(|text| age(&text)).transpose()? })
    }

    pub(crate) fn denials(&self, times: &[Timestamp], now: Timestamp) -> Vec<Denial> {
        let (Some(oldest), Some(newest)) = (times.iter().min(), times.iter().max()) else {
            return vec![Denial::new(Field::VerifiedTime, "at least one", None)];
        };
        let mut denials = Vec::new();
        let mut deny = |field, expected, found: &Timestamp| {
            denials.push(Denial::new(field, expected, Some(&found.to_string())));
        };
        if let Some(cutoff) = self.not_before.filter(|cutoff| oldest < cutoff) {
            deny(Field::NotBefore, format!("{cutoff} or later"), oldest);
        }
        if let Some(cutoff) = self.not_after.filter(|cutoff| newest > cutoff) {
            deny(Field::NotAfter, format!("{cutoff} or earlier"), newest);
        }
        if let Some(age) = self.max_age.filter(|age| now.duration_since(*oldest) > *age) {
            let expected = format!("at most {} s before {now}", age.as_secs());
            deny(Field::MaxAge, expected, oldest);
        }
        denials
    }
}

/// Reads an RFC 3339 time in its one usual spelling, `2026-06-01T00:00:00Z` or with an offset.
pub(crate) fn timestamp(text: &Text) -> Result<Timestamp, PolicyError> {
    let usual = is_rfc3339(text.value.as_bytes());
    match text.value.parse() {
        Ok(time) if usual => Ok(time),
        _ => Err(PolicyError::InvalidValue {
            at: text.at.clone(),
            expected: "an RFC 3339 time",
            found: text.value.clone(),
        }),
    }
}

fn is_rfc3339(text: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let like = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(letter, shape)| match shape {
                b'0' => letter.is_ascii_digit(),
                shape => letter == shape,
            })
    };
    let Some((time, mut rest)) = text.split_at_checked(SHAPE.len()) else {
        return false;
    };
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|letter| letter.is_ascii_digit()).count();
        if digits == 0 || digits > 9 {
            return false;
        }
        rest = &fraction[digits..];
    }
    like(time, SHAPE) && (rest == b"Z" || like(rest, b"+00:00") || like(rest, b"-00:00"))
}

/// Reads a whole number with its unit: `90d`, `12h`, `4w`.
fn age(text: &Text) -> Result<SignedDuration, PolicyError> {
    let seconds = || -> Option<i64> {
        let unit = text.value.chars().last()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        let number = text.value.strip_suffix(unit)?;
        if !number.bytes().all(|letter| letter.is_ascii_digit()) {
            return None;
        }
        let number: i64 = number.parse().ok().filter(|number| *number > 0)?;
        number.checked_mul(seconds).filter(|seconds| *seconds <= MAX_AGE_SECONDS)
    };
    seconds().map(SignedDuration::from_secs).ok_or_else(|| PolicyError::InvalidValue {
        at: text.at.clone(),
        expected: "a whole number with a unit of s, m, h, d or w, such as 90d",
        found: text.value.clone(),
    })
}

/// A hundred years: more is a slip of the keyboard.
const MAX_AGE_SECONDS: i64 = 100 * 366 * 86_400;
