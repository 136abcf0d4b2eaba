//! The only place that reads the time.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::ids::BootId;
use crate::lifecycle::time::{ClockSetting, Span, Timestamp};

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

impl SystemClock {
    /// The name of this run of the machine, or `None` if the kernel does not say.
    #[must_use]
    pub fn boot(self) -> Option<BootId> {
        let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        name.trim().replace('-', "").parse().ok()
    }
}

/// The clock by which transitions go: no setting of the wall clock shortens or lengthens a wait.
///
/// A state says by which [`ClockSetting`] its moments are told. Of that setting this clock shows what the wall clock
/// would show had it never been set since; the rotator then has the state told anew by the present setting.
#[derive(Debug)]
pub struct SteadyClock {
    clock: Arc<dyn Clock>,
    boot: BootId,
    start: ClockSetting,
}

impl SteadyClock {
    /// A steady clock over `clock`, in the run of the machine named `boot`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, boot: BootId) -> Self {
        let start = setting(&*clock, boot);
        Self { clock, boot, start }
    }

    /// What the wall clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Now, as `setting` tells it. Of another run of the machine nothing is known, so there it is the wall clock's.
    #[must_use]
    pub fn now_by(&self, setting: Option<ClockSetting>) -> Timestamp {
        match setting.filter(|setting| setting.boot == self.boot) {
            Some(setting) => setting.booted_at + Span::from_secs(self.clock.monotonic().as_secs()),
            None => self.clock.now(),
        }
    }

    /// The present setting, if moments are told by another: of another run, or a second or more apart. Both readings
    /// are cut to whole seconds, so that a difference of one is none.
    #[must_use]
    pub fn setting_unlike(&self, known: Option<ClockSetting>) -> Option<ClockSetting> {
        let present = setting(&*self.clock, self.boot);
        let ahead = known.and_then(|known| present.ahead_of(known));
        ahead.is_none_or(|ahead| ahead.unsigned_abs() > 1).then_some(present)
    }

    /// The monotonic reading of the clock behind it.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// How far the wall clock was set since the start, in seconds: positive is ahead.
    #[must_use]
    pub fn jump(&self) -> i64 {
        setting(&*self.clock, self.boot).ahead_of(self.start).unwrap_or(0)
    }
}

fn setting(clock: &dyn Clock, boot: BootId) -> ClockSetting {
    let running = Span::from_secs(clock.monotonic().as_secs());
    ClockSetting { boot, booted_at: clock.now() - running }
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
    fn a_known_setting_goes_on_whatever_the_wall_clock_is_set_to() {
        let hands = Arc::new(Hands::default());
        hands.wall.store(1_000, Ordering::SeqCst);
        let boot = BootId::new([1; 16]);
        let steady = SteadyClock::new(Arc::clone(&hands) as Arc<dyn Clock>, boot);
        let known = steady.setting_unlike(None);
        for (wall, monotonic, is_set) in
            [(1_100, 100, false), (1_101, 100, false), (86_400, 200, true), (90, 300, true)]
        {
            hands.wall.store(wall, Ordering::SeqCst);
            hands.monotonic.store(monotonic, Ordering::SeqCst);
            assert_eq!(steady.now_by(known).as_second(), 1_000 + monotonic);
            assert_eq!(steady.now_by(None).as_second(), wall);
            assert_eq!(steady.setting_unlike(known).is_some(), is_set, "wall {wall}, monotonic {monotonic}");
            assert_eq!(steady.jump(), wall - monotonic - 1_000);
        }
        let earlier_run = ClockSetting { boot: BootId::new([2; 16]), ..known.unwrap() };
        assert_eq!(steady.now_by(Some(earlier_run)).as_second(), 90);
        assert!(steady.setting_unlike(Some(earlier_run)).is_some());
    }

    #[test]
    fn the_machine_names_its_run() {
        assert_eq!(SystemClock.boot(), SystemClock.boot());
        assert!(SystemClock.boot().is_some());
    }
}
