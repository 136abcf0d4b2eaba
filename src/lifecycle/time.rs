//! Moments and lengths of time, in whole seconds: the only two kinds of time the core knows.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use thiserror::Error;

use crate::ids::BootId;

/// A moment in UTC, whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `second` seconds after 1970-01-01T00:00:00Z, kept within years 0 to 9999.
    #[must_use]
    pub fn from_second(second: i64) -> Self {
        Self(second.clamp(EARLIEST, LATEST))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_second(self) -> i64 {
        self.0
    }

    /// This moment as a clock tells it that was set ahead by `seconds`; set back, if they are negative.
    #[must_use]
    pub fn shifted(self, seconds: i64) -> Self {
        Self::from_second(self.0.saturating_add(seconds))
    }

    /// How long after `earlier` this moment is; nothing if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span::from_secs(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

/// 0000-01-01T00:00:00Z and 9999-12-30T22:00:00Z: what RFC 3339 can write at every offset.
const EARLIEST: i64 = -62_167_219_200;
const LATEST: i64 = 253_402_207_200;

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self::from_second(self.0.saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self::from_second(self.0.saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(moment) => moment.fmt(f),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// How a machine's wall clock is set. Moments that were told by one setting are told by another by shifting
/// them, so that a clock that is set shortens no wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSetting {
    /// Which run of the machine: settings of different runs can't be compared.
    pub boot: BootId,
    /// The moment at which that run began, by the wall clock as it is set.
    pub booted_at: Timestamp,
}

impl ClockSetting {
    /// By how many seconds this setting is ahead of `other`, if that is of the same run of the machine.
    #[must_use]
    pub fn ahead_of(self, other: Self) -> Option<i64> {
        (self.boot == other.boot).then(|| self.booted_at.0.saturating_sub(other.booted_at.0))
    }
}

/// A text that is not a moment we can read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a moment such as \"2026-12-20T00:00:00Z\"")]
pub struct TimestampError(pub String);

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| TimestampError(text.to_owned()))?;
        Ok(Self::from_second(moment.as_second()))
    }
}

/// A length of time, whole seconds, never negative. Written `"90s"`, `"15m"`, `"26h"`, `"30d"`, `"2w"` or, joined, `"1h30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The longest length a text can say: a hundred years.
    pub const MAX: Self = Self::from_days(36_525);

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// So many minutes.
    #[must_use]
    pub const fn from_mins(minutes: u64) -> Self {
        Self(minutes * 60)
    }

    /// So many hours.
    #[must_use]
    pub const fn from_hours(hours: u64) -> Self {
        Self(hours * 3_600)
    }

    /// So many days of 24 hours.
    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self(days * 86_400)
    }

    /// The whole days in it.
    #[must_use]
    pub const fn as_days(self) -> u64 {
        self.0 / 86_400
    }

    /// The length in seconds.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The length as the standard library's type, for timers.
    #[must_use]
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }

    /// This length less `other`, or nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let mut text = String::new();
        let mut left = self.0;
        // Weeks are read but never written: "30d" says more than "4w2d", and "26h" more than "1d2h".
        let in_hours = self.0 < 3 * 86_400 && !self.0.is_multiple_of(86_400);
        for (unit, seconds) in UNITS.into_iter().skip(1) {
            if left >= seconds && !(unit == 'd' && in_hours) {
                text.push_str(&format!("{}{unit}", left / seconds));
                left %= seconds;
            }
        }
        f.pad(&text)
    }
}

/// A text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpanError {
    /// Not numbers with units.
    #[error("{0:?} is not a duration; write a number with w, d, h, m or s, such as \"30d\" or \"1h30m\"")]
    Form(String),
    /// More than [`Span::MAX`].
    #[error("duration {0:?} is longer than a hundred years")]
    TooLong(String),
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || SpanError::Form(text.to_owned());
        let too_long = || SpanError::TooLong(text.to_owned());
        let mut total: u64 = 0;
        let mut rest = text;
        let mut last_unit = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
            let (number, tail) = rest.split_at(digits);
            let unit = tail.chars().next().ok_or_else(form)?;
            let (_, seconds) = UNITS.into_iter().find(|(u, _)| *u == unit).ok_or_else(form)?;
            if number.is_empty() || seconds >= last_unit {
                return Err(form());
            }
            let number: u64 = number.parse().map_err(|_| too_long())?;
            let part = number.checked_mul(seconds).ok_or_else(too_long)?;
            total = total.checked_add(part).ok_or_else(too_long)?;
            last_unit = seconds;
            rest = tail.get(1..).unwrap_or_default();
        }
        match Self(total) {
            _ if text.is_empty() => Err(form()),
            span if span > Self::MAX => Err(too_long()),
            span => Ok(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_the_way_it_is_read() {
        for text in ["0s", "90d", "1h30m", "26h3m4s", "3d2h", "1d", "1m30s"] {
            assert_eq!(text.parse::<Span>().map(|s| s.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("2w".parse(), Ok(Span::from_days(14)));
        assert_eq!("90m".parse(), Ok(Span::from_secs(5_400)));
    }

    #[test]
    fn a_bare_number_or_a_muddle_of_units_is_no_span() {
        for bad in ["", "5", "m", "5x", "-5m", "1.5h", "5 m", "5m5m", "5m1h", "1y"] {
            assert!(matches!(bad.parse::<Span>(), Err(SpanError::Form(_))), "{bad:?}");
        }
        for long in ["36526d", "99999999999999999999s", "30500568904944w"] {
            assert!(matches!(long.parse::<Span>(), Err(SpanError::TooLong(_))), "{long:?}");
        }
    }

    #[test]
    fn arithmetic_stays_within_what_rfc_3339_can_write() {
        let end = Timestamp::from_second(i64::MAX);
        assert_eq!(end.to_string(), "9999-12-30T22:00:00Z");
        assert_eq!(end + Span::MAX, end);
        assert_eq!(Timestamp::from_second(5).since(Timestamp::from_second(9)), Span::ZERO);
    }

    #[test]
    fn a_moment_is_read_from_rfc_3339() {
        assert_eq!("1970-01-01T00:01:00Z".parse(), Ok(Timestamp::from_second(60)));
        assert!("tomorrow".parse::<Timestamp>().is_err());
    }
}
