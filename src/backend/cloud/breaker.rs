//! Leaves a cloud alone that fails again and again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Opens after a row of failures, and then lets one call through now and then until one goes well.
///
/// `now` is a reading of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// No call before this moment.
    closed_until: Duration,
}

impl Breaker {
    /// Whether a call may be made.
    ///
    /// # Errors
    /// After how long one may be.
    pub(super) fn ask(&self, now: Duration) -> Result<(), Duration> {
        let mut state = self.state();
        if state.failures < IN_A_ROW {
            return Ok(());
        }
        if now < state.closed_until {
            return Err(state.closed_until - now);
        }
        // This call is the trial; the others wait for its outcome, or for this long.
        state.closed_until = now + TRIAL;
        Ok(())
    }

    /// The cloud answered, be it with a no.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        if state.failures > 0 {
            *state = State::default();
        }
    }

    /// The cloud did not answer, or said that it can't. Says whether the breaker is open now.
    pub(super) fn failed(&self, now: Duration) -> bool {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let Some(over) = state.failures.checked_sub(IN_A_ROW) else { return false };
        state.closed_until = now + LONGEST.min(FIRST * 2_u32.pow(over.min(6)));
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one assignment, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failures in a row, that no success interrupts.
const IN_A_ROW: u32 = 8;
/// How long nothing is asked after these, and doubled after each further failure.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);
/// How long a trial keeps others from another one.
const TRIAL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn a_row_of_failures_opens_it_and_one_success_closes_it() {
        let breaker = Breaker::default();
        for _ in 1..IN_A_ROW {
            assert!(!breaker.failed(NOW));
        }
        assert_eq!(breaker.ask(NOW), Ok(()));
        assert!(breaker.failed(NOW));
        assert_eq!(breaker.ask(NOW), Err(FIRST));
        assert_eq!(breaker.ask(NOW + FIRST), Ok(()), "the trial");
        assert_eq!(breaker.ask(NOW + FIRST), Err(TRIAL), "only one");
        breaker.answered();
        assert_eq!(breaker.ask(NOW + FIRST), Ok(()));
        assert!(!breaker.failed(NOW), "the row begins anew");
    }

    #[test]
    fn pauses_grow_to_a_bound_and_a_lost_trial_is_not_the_last() {
        let breaker = Breaker::default();
        let mut pauses = Vec::new();
        for _ in 0..IN_A_ROW + 8 {
            breaker.failed(NOW);
            pauses.extend(breaker.ask(NOW).err());
        }
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(pauses.last(), Some(&LONGEST));
        assert_eq!(breaker.ask(NOW + LONGEST), Ok(()));
        assert_eq!(breaker.ask(NOW + LONGEST + TRIAL), Ok(()), "the first trial was never heard of again");
    }
}
