//! Watches the calls into the module from beside them: how long each has lasted, and whether anybody still wants them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};

/// What each signing thread is doing, and since when.
#[derive(Debug)]
pub(super) struct Calls(Vec<Call>);

/// One thread's call into the module.
#[derive(Debug, Default)]
struct Call {
    /// When it began, in microseconds of the monotonic clock plus one; 0 if there is none.
    begun: AtomicU64,
    /// The id of what it signs.
    id: AtomicU64,
}

impl Calls {
    pub(super) fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Call::default()).collect())
    }

    /// Does `work` for the job `id` as a call of `thread`; says how long it took, too.
    pub(super) fn during<T>(&self, thread: usize, id: u64, work: impl FnOnce() -> T) -> (T, Duration) {
        let begun = now();
        if let Some(call) = self.0.get(thread) {
            call.id.store(id, Ordering::Relaxed);
            call.begun.store(begun + 1, Ordering::Release);
        }
        let result = work();
        if let Some(call) = self.0.get(thread) {
            call.begun.store(0, Ordering::Release);
        }
        (result, Duration::from_micros(now().saturating_sub(begun)))
    }

    /// The oldest call: the id of its job, and its age.
    pub(super) fn oldest(&self) -> Option<(u64, Duration)> {
        let now = now() + 1;
        let calls = self.0.iter().filter_map(|call| match call.begun.load(Ordering::Acquire) {
            0 => None,
            begun => Some((call.id.load(Ordering::Relaxed), Duration::from_micros(now.saturating_sub(begun)))),
        });
        calls.max_by_key(|(_, age)| *age)
    }
}

fn now() -> u64 {
    u64::try_from(SystemClock.monotonic().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_under_way_has_an_age() {
        let calls = Calls::new(2);
        assert_eq!(calls.oldest(), None);
        let ((), _) = calls.during(0, 7, || assert_eq!(calls.oldest().map(|(id, _)| id), Some(7)));
        assert_eq!(calls.oldest(), None);
    }
}
