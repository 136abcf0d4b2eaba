//! So many calls in a second, and how many there were.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Calls at a steady rate, a few of them at once. Without a lock: signers meet here.
///
/// A call takes the next moment at which it keeps the rate. `now` is a reading of the monotonic clock.
#[derive(Debug)]
pub(super) struct Budget {
    /// Nanoseconds from one call to the next.
    every: u64,
    /// Nanoseconds by which calls may be ahead of the rate.
    ahead: u64,
    /// Up to when everything taken so far would last at the rate.
    paid_until: AtomicU64,
    recent: Recent,
}

impl Budget {
    /// `per_second` calls, a tenth of them at once after a pause.
    pub(super) fn new(per_second: u32) -> Self {
        let every = SECOND / u64::from(per_second.max(1));
        let ahead = (SECOND / 10).saturating_sub(every);
        Self { every, ahead, paid_until: AtomicU64::new(0), recent: Recent::default() }
    }

    /// Takes a call that is to be made after the returned wait; if that is longer than `patience`, takes nothing.
    ///
    /// # Errors
    /// After how long there is room again.
    pub(super) fn take(&self, now: Duration, patience: Duration) -> Result<Duration, Duration> {
        let now = nanos(now);
        let mut wait = 0;
        let next = |paid_until: u64| {
            let begun = paid_until.max(now);
            wait = begun.saturating_sub(now).saturating_sub(self.ahead);
            (wait <= nanos(patience)).then_some(begun.saturating_add(self.every))
        };
        let taken = self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        let wait = Duration::from_nanos(wait);
        if taken {
            self.recent.add(now);
            Ok(wait)
        } else {
            Err(wait)
        }
    }

    /// Lets no call through until `rest` is over.
    pub(super) fn pause(&self, now: Duration, rest: Duration) {
        let until = nanos(now).saturating_add(nanos(rest)).saturating_add(self.ahead);
        self.paid_until.fetch_max(until, Ordering::Relaxed);
    }

    /// Calls in the last minute.
    pub(super) fn last_minute(&self, now: Duration) -> u64 {
        self.recent.sum(nanos(now))
    }
}

/// Calls of the last minute, by slices of ten seconds. Each word holds the slice's number above its count.
#[derive(Debug, Default)]
struct Recent([AtomicU64; SLICES as usize + 1]);

impl Recent {
    fn add(&self, now: u64) {
        let slice = now / SLICE;
        let counted = |word: u64| {
            let count = if word >> 32 == slice & 0xffff_ffff { word & 0xffff_ffff } else { 0 };
            Some(slice << 32 | (count + 1).min(0xffff_ffff))
        };
        if let Some(word) = self.0.get((slice % (SLICES + 1)) as usize) {
            // The update always has a value to store.
            _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
        }
    }

    /// Of the slices that are over, so that the sum does not sink whenever one begins.
    fn sum(&self, now: u64) -> u64 {
        let slice = (now / SLICE) & 0xffff_ffff;
        let is_recent = |word: &u64| (1..=SLICES).contains(&slice.wrapping_sub(word >> 32));
        self.0.iter().map(|word| word.load(Ordering::Relaxed)).filter(is_recent).map(|word| word & 0xffff_ffff).sum()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const SECOND: u64 = 1_000_000_000;
const SLICE: u64 = 10 * SECOND;
/// Slices in a minute.
const SLICES: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn a_second_has_no_more_calls_than_the_rate_and_the_head_start() {
        let budget = Budget::new(100);
        let millis = (0..1_000).map(|n| NOW + Duration::from_millis(n));
        let taken = millis.flat_map(|now| [now; 3]).filter(|now| budget.take(*now, Duration::ZERO).is_ok()).count();
        assert_eq!(taken, 100 + 9, "a tenth of a second's worth at the start, less the one that is on time anyway");
    }

    #[test]
    fn who_has_patience_is_told_how_long_to_wait() {
        let budget = Budget::new(5);
        assert_eq!(budget.take(NOW, Duration::ZERO), Ok(Duration::ZERO));
        assert_eq!(budget.take(NOW, Duration::ZERO), Err(Duration::from_millis(200)));
        assert_eq!(budget.take(NOW, Duration::from_secs(1)), Ok(Duration::from_millis(200)));
        assert_eq!(budget.take(NOW, Duration::from_secs(1)), Ok(Duration::from_millis(400)));
        assert_eq!(budget.take(NOW + Duration::from_millis(600), Duration::ZERO), Ok(Duration::ZERO));
    }

    #[test]
    fn a_pause_holds_for_its_whole_length() {
        let budget = Budget::new(1_000);
        budget.pause(NOW, Duration::from_secs(2));
        let almost = NOW + Duration::from_millis(1_999);
        assert_eq!(budget.take(almost, Duration::ZERO), Err(Duration::from_millis(1)));
        assert_eq!(budget.take(NOW + Duration::from_secs(2), Duration::ZERO), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_counted_is_the_last_whole_minute() {
        let budget = Budget::new(1_000);
        assert_eq!(budget.last_minute(NOW), 0);
        for second in 0..60 {
            for _ in 0..6 {
                budget.take(NOW + Duration::from_secs(second), Duration::from_secs(1)).unwrap();
            }
        }
        assert_eq!(budget.last_minute(NOW + Duration::from_secs(60)), 360);
        assert_eq!(budget.last_minute(NOW + Duration::from_secs(90)), 180);
        assert_eq!(budget.last_minute(NOW + Duration::from_secs(300)), 0);
    }
}
