//! The only place that reads the time.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

use crate::lifecycle::time::Timestamp;

/// A source of time. `now` is read once per request or tick and then handed on as a value.
pub trait Clock: Debug + Send + Sync {
    /// Wall-clock time: UTC, whole seconds. It may jump, in both directions.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start that never goes backwards; by it, jumps of [`Clock::now`] are noticed.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic reading starts at zero now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the machine's clocks")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the machine's clocks")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A machine set to before 1970 has no usable clock; the epoch makes every transition wait.
        Timestamp::from_second(since_epoch.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX)))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
