//! Moments and lengths of time as arguments.

use std::str::FromStr;

use thiserror::Error;

use crate::lifecycle::time::{Span, SpanError, Timestamp};

/// A moment, named outright or by its distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Then.
    At(Timestamp),
    /// So long from now.
    In(Span),
}

impl Until {
    /// The moment, seen from `now`.
    #[must_use]
    pub fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(span) => now + span,
        }
    }
}

/// A moment, named outright or by how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Then.
    At(Timestamp),
    /// So long ago.
    Ago(Span),
}

impl Since {
    /// The moment, seen from `now`.
    #[must_use]
    pub fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => now - span,
        }
    }
}

impl FromStr for Since {
    type Err = UntilError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = text.parse().map(Self::At).ok();
        at.or_else(|| text.parse().map(Self::Ago).ok()).ok_or(UntilError)
    }
}

/// A text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("write a moment such as 2026-12-20T00:00:00Z, or a length of time such as 30d")]
pub struct UntilError;

impl FromStr for Until {
    type Err = UntilError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = text.parse().map(Self::At).ok();
        at.or_else(|| text.parse().map(Self::In).ok()).ok_or(UntilError)
    }
}

/// Parses how far to look ahead. Unlike in a configuration, a year is a word here.
///
/// # Errors
/// [`SpanError`] if it is no length of time.
pub fn horizon(text: &str) -> Result<Span, SpanError> {
    match text.strip_suffix('y').and_then(|years| years.parse::<u64>().ok()) {
        Some(years) if years <= 100 => Ok(Span::from_days(365 * years)),
        Some(_) => Err(SpanError::TooLong(text.to_owned())),
        None => text.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_horizon_may_be_in_years() {
        assert_eq!(horizon("1y"), Ok(Span::from_days(365)));
        assert_eq!(horizon("36h"), Ok(Span::from_hours(36)));
        assert!(matches!(horizon("101y"), Err(SpanError::TooLong(_))));
        assert!(matches!(horizon("year"), Err(SpanError::Form(_))));
    }

    #[test]
    fn a_moment_may_be_told_by_its_distance() {
        let now = Timestamp::from_second(1_797_735_600);
        let at = |text: &str| text.parse::<Until>().map(|until| until.seen_from(now).to_string());
        assert_eq!(at("2026-12-21T00:00:00Z").as_deref(), Ok("2026-12-21T00:00:00Z"));
        assert_eq!(at("1d").as_deref(), Ok("2026-12-21T03:00:00Z"));
        assert_eq!(at("soon"), Err(UntilError));
    }
}
