//! How long to wait before the next worker is started in the place of one that was lost.

use std::time::Duration;

use crate::chance;

/// Doubles with every loss, and begins anew after a while of health.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    /// The next pause, after a worker that was ready for `healthy`.
    pub(super) fn next(&mut self, healthy: Duration) -> Duration {
        if healthy >= HEALTHY {
            self.0 = FIRST;
        }
        // Who has worked for a while is not away for longer than that: a token with a fault now and then is up half
        // of the time at least, and one that is down is left alone.
        let pause = if healthy >= USEFUL { self.0.min(healthy) } else { self.0 };
        self.0 = (self.0 * 2).min(LONGEST);
        // Three quarters to five quarters of it, so that the workers of many daemons don't knock at the token together.
        pause * 3 / 4 + chance::up_to_half(pause)
    }
}

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);
const USEFUL: Duration = Duration::from_millis(50);
const HEALTHY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_health_resets_them() {
        let mut backoff = Backoff::new();
        let mut nominal = FIRST;
        for _ in 0..12 {
            let pause = backoff.next(USEFUL - Duration::from_millis(1));
            assert!(pause >= nominal * 3 / 4 && pause <= nominal * 5 / 4, "{pause:?} for {nominal:?}");
            nominal = (nominal * 2).min(LONGEST);
        }
        assert!(backoff.next(USEFUL) <= USEFUL * 5 / 4, "up half of the time");
        assert!(backoff.next(HEALTHY) <= FIRST * 5 / 4);
    }
}
