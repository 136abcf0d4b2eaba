//! When rotations are wanted: a period or a cron expression in UTC, and windows in which none may happen.

use std::sync::Arc;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thiserror::Error;

use super::time::{Span, Timestamp};

/// A cron expression of five fields (minute, hour, day of month, month, day of week), read in UTC.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Arc<Cron>,
    text: Arc<str>,
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// It does not parse.
    #[error("{text:?} is not a cron expression of five fields (minute hour day month weekday): {reason}")]
    Form {
        /// What was given.
        text: String,
        /// What the parser said.
        reason: String,
    },
    /// It names a day that never comes, such as 30 February.
    #[error("cron expression {0:?} never comes due")]
    Never(String),
}

impl Schedule {
    /// Reads a cron expression.
    ///
    /// # Errors
    /// [`ScheduleError`] if it does not parse or never comes due.
    pub fn new(text: &str) -> Result<Self, ScheduleError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let form = |reason: String| ScheduleError::Form { text: text.to_owned(), reason };
        // The parser speaks in sentences; ours is one line of a chain.
        let reason = |error: String| error.trim_end_matches('.').to_lowercase();
        let cron = parser.parse(text).map_err(|error| form(reason(error.to_string())))?;
        let schedule = Self { cron: Arc::new(cron), text: text.into() };
        match schedule.next_after(Timestamp::from_second(0)) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(text.to_owned())),
        }
    }

    /// The first moment after `moment` at which the schedule comes due.
    #[must_use]
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&civil(moment)?, false).ok()?;
        let zoned = next.to_zoned(TimeZone::UTC).ok()?;
        Some(Timestamp::from_second(zoned.timestamp().as_second()))
    }

    /// The shortest time between two moments at which it comes due, over the four years from `from`.
    #[must_use]
    pub fn shortest_gap(&self, from: Timestamp) -> Span {
        let end = from + Span::from_days(4 * 366);
        let mut shortest = Span::MAX;
        let mut last = self.next_after(from);
        // Ten thousand occurrences are enough to meet the shortest gap of anything denser than daily.
        for _ in 0..10_000 {
            let Some(at) = last.filter(|at| *at < end) else { break };
            last = self.next_after(at);
            if let Some(next) = last {
                shortest = shortest.min(next.since(at));
            }
        }
        shortest
    }

    /// The expression as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

fn civil(moment: Timestamp) -> Option<DateTime> {
    let moment = jiff::Timestamp::from_second(moment.as_second()).ok()?;
    Some(TimeZone::UTC.to_datetime(moment))
}

/// A window in which no scheduled rotation happens. Requests and compromises are not held up by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blackout {
    /// Once, from the first moment up to, but not including, the second.
    Once {
        /// First moment inside.
        from: Timestamp,
        /// First moment after it.
        to: Timestamp,
    },
    /// Again and again, each time for `lasts`.
    Recurring {
        /// When a window opens.
        opens: Schedule,
        /// How long it stays.
        lasts: Span,
    },
}

impl Blackout {
    /// The end of this window if `moment` is inside it.
    #[must_use]
    pub fn end_if_inside(&self, moment: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once { from, to } => (*from <= moment && moment < *to).then_some(*to),
            Self::Recurring { opens, lasts } => {
                // The latest opening that could still cover `moment`; openings may overlap.
                let mut end = None;
                let mut at = opens.next_after(moment - *lasts);
                while let Some(opened) = at.filter(|opened| *opened <= moment) {
                    end = Some(opened + *lasts);
                    at = opens.next_after(opened);
                }
                end.filter(|end| moment < *end)
            }
        }
    }
}

/// The first moment, from `moment` on, that lies in none of the windows.
#[must_use]
pub fn first_free(blackouts: &[Blackout], moment: Timestamp) -> Timestamp {
    let mut free = moment;
    // Each step leaves one window; windows that cover all time end the search after a while.
    for _ in 0..1_000 {
        let Some(end) = blackouts.iter().filter_map(|window| window.end_if_inside(free)).max() else { break };
        free = end;
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_schedule_is_read_in_utc_and_has_five_fields() {
        let monthly = Schedule::new("0 3 1 * *").unwrap();
        assert_eq!(monthly.next_after(at("2026-11-21T00:00:00Z")), Some(at("2026-12-01T03:00:00Z")));
        assert_eq!(monthly.next_after(at("2026-12-01T03:00:00Z")), Some(at("2027-01-01T03:00:00Z")));
        assert_eq!(monthly.shortest_gap(at("2026-01-01T00:00:00Z")), Span::from_days(28));
        for bad in ["", "* * * *", "0 0 3 1 * *", "61 * * * *", "every monday", "0 0 30 2 *"] {
            assert!(Schedule::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_blackout_ends_when_the_last_window_that_covers_the_moment_ends() {
        let weekend = Blackout::Recurring { opens: Schedule::new("0 16 * * 5").unwrap(), lasts: Span::from_hours(64) };
        let freeze = Blackout::Once { from: at("2026-12-18T00:00:00Z"), to: at("2027-01-04T00:00:00Z") };
        let windows = [weekend, freeze];
        assert_eq!(first_free(&windows, at("2026-11-18T12:00:00Z")), at("2026-11-18T12:00:00Z"));
        assert_eq!(first_free(&windows, at("2026-11-21T12:00:00Z")), at("2026-11-23T08:00:00Z"));
        assert_eq!(first_free(&windows, at("2026-11-23T08:00:00Z")), at("2026-11-23T08:00:00Z"));
        assert_eq!(first_free(&windows, at("2026-12-19T12:00:00Z")), at("2027-01-04T08:00:00Z"));
    }

    #[test]
    fn windows_without_a_gap_do_not_hang_the_search() {
        let always = Blackout::Recurring { opens: Schedule::new("0 * * * *").unwrap(), lasts: Span::from_hours(2) };
        let found = first_free(&[always], at("2026-11-18T12:00:00Z"));
        assert!(found > at("2026-12-01T00:00:00Z"));
    }
}
