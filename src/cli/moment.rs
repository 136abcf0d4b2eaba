//! Moments as people say them: how far off, and exactly when.

use crate::lifecycle::time::{Span, Timestamp};

/// `in 3 days (2026-12-20T03:00:00Z)`, `2 minutes ago (…)`, `now (…)`.
#[must_use]
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", relative(at, now), absolute(at))
}

/// `in 3 days`, `2 minutes ago` or `now`.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    match (at.since(now), now.since(at)) {
        (Span::ZERO, Span::ZERO) => "now".to_owned(),
        (Span::ZERO, past) => format!("{} ago", rough(past)),
        (ahead, _) => format!("in {}", rough(ahead)),
    }
}

/// `2026-12-20T03:00:00Z`: as it can be given back to us, and to every other tool.
#[must_use]
pub fn absolute(at: Timestamp) -> String {
    at.to_string()
}

/// The greatest unit of which there are at least two, rounded down: "90 minutes", "47 hours", "3 days".
#[must_use]
pub fn rough(span: Span) -> String {
    const UNITS: [(u64, &str); 4] = [(365 * 86_400, "years"), (86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let seconds = span.as_secs();
    match UNITS.into_iter().find(|(unit, _)| seconds >= 2 * unit) {
        Some((unit, name)) => format!("{} {name}", seconds / unit),
        None if seconds == 1 => "1 second".to_owned(),
        None => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_the_greatest_unit_that_is_not_too_rough() {
        let now = Timestamp::from_second(1_797_735_600);
        for (ahead, words) in [
            (0, "now"),
            (1, "in 1 second"),
            (119, "in 119 seconds"),
            (120, "in 2 minutes"),
            (7_199, "in 119 minutes"),
            (7_200, "in 2 hours"),
            (172_799, "in 47 hours"),
            (259_200, "in 3 days"),
            (365 * 86_400, "in 365 days"),
            (730 * 86_400, "in 2 years"),
            (-59, "59 seconds ago"),
            (-86_400, "24 hours ago"),
        ] {
            assert_eq!(relative(Timestamp::from_second(now.as_second() + ahead), now), words);
        }
        assert_eq!(moment(now, now), "now (2026-12-20T03:00:00Z)");
    }
}
