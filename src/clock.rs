//! The only place that reads the time.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::lifecycle::time::{Span, Timestamp};

/// A source of time. `now` is read once per request or tick and then handed on as a value.
pub trait Clock: Debug + Send + Sync {
    /// Wall-clock time: UTC, whole seconds. It may jump, in both directions.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start that never goes backwards; by it, jumps of [`Clock::now`] are noticed.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the machine's clocks")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A machine set to before 1970 has no usable clock; the epoch makes every transition wait.
        Timestamp::from_second(since_epoch.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX)))
    }

    fn monotonic(&self) -> Duration {
        // Unlike `Instant`, this clock goes on while the machine is suspended.
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// A clock that a jump of the wall clock can't make run ahead: transitions go by it.
///
/// It shows the earlier of the wall clock and of what the wall clock would show had it run steadily
/// since the start. A jump forward therefore brings no activation or withdrawal before its wait is
/// really over; a jump back delays them.
#[derive(Debug)]
pub struct SteadyClock {
    clock: Arc<dyn Clock>,
    start: Timestamp,
    started: Duration,
}

impl SteadyClock {
    /// A steady clock that starts with what `clock` shows now.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (start, started) = (clock.now(), clock.monotonic());
        Self { clock, start, started }
    }

    /// The moment by which transitions are decided.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now().min(self.steady())
    }

    /// The monotonic reading of the clock behind it.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// How far the wall clock has jumped since the start, in seconds: positive is ahead.
    #[must_use]
    pub fn jump(&self) -> i64 {
        self.clock.now().as_second() - self.steady().as_second()
    }

    /// What the wall clock would show; a second more, since both readings are cut to whole seconds.
    fn steady(&self) -> Timestamp {
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        self.start + Span::from_secs(elapsed.as_secs() + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Hands {
        wall: AtomicI64,
        monotonic: AtomicI64,
    }

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.wall.load(Ordering::SeqCst))
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.monotonic.load(Ordering::SeqCst).unsigned_abs())
        }
    }

    #[test]
    fn a_jump_of_the_wall_clock_brings_nothing_forward() {
        let hands = Arc::new(Hands::default());
        let steady = SteadyClock::new(Arc::clone(&hands) as Arc<dyn Clock>);
        let cases = [(100, 100, 100), (86_400, 200, 201), (90, 200, 90), (300, 300, 300)];
        for (wall, monotonic, expected) in cases {
            hands.wall.store(wall, Ordering::SeqCst);
            hands.monotonic.store(monotonic, Ordering::SeqCst);
            assert_eq!(steady.now().as_second(), expected, "wall {wall}, monotonic {monotonic}");
            assert_eq!(steady.jump(), wall - monotonic - 1);
        }
    }
}
