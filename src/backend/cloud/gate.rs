//! The one way out to a cloud: within the quota, not while the cloud is ill, again only where that is safe.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::warn;

use super::breaker::Breaker;
use super::budget::Budget;
use super::fault::{Class, Fault};
use super::metrics::{CloudMetrics, Counters};
use crate::backend::usage::{Money, Quota};
use crate::chance;
use crate::clock::Clock;
use crate::ids::BackendId;

/// Calls that count against one quota.
#[derive(Debug)]
pub struct Lane {
    per_second: u32,
    budget: Budget,
    patience: Duration,
}

impl Lane {
    /// At most `per_second` calls; one that is too many waits for up to `patience`, or is turned away at once.
    #[must_use]
    pub fn new(per_second: u32, patience: Duration) -> Self {
        Self { per_second, budget: Budget::new(per_second), patience }
    }
}

/// Stands before every call to one cloud.
#[derive(Debug)]
pub struct Gate {
    backend: BackendId,
    breaker: Breaker,
    counters: Counters,
    clock: Arc<dyn Clock>,
}

impl Gate {
    /// A gate for the backend `id`.
    #[must_use]
    pub fn new(id: &BackendId, metrics: &CloudMetrics, clock: Arc<dyn Clock>) -> Self {
        Self { backend: id.clone(), breaker: Breaker::default(), counters: metrics.of(id), clock }
    }

    /// Makes a call that must not happen twice, within `within`.
    ///
    /// # Errors
    /// The call's own fault; [`Class::Unknown`] if no answer came in time; [`Class::Throttled`] or
    /// [`Class::Transient`] if it was not made.
    pub async fn once<T>(
        &self,
        lane: &Lane,
        within: Duration,
        call: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        self.enter(lane, within).await?;
        self.call(lane, within, call).await
    }

    /// Makes a call that may happen twice, and makes it again if that may help, all of it within `within`.
    ///
    /// # Errors
    /// As [`Gate::once`]; the fault is that of the last call.
    pub async fn repeat<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        lane: &Lane,
        within: Duration,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Fault> {
        let begun = self.clock.monotonic();
        let left = || within.saturating_sub(self.clock.monotonic().saturating_sub(begun));
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            self.enter(lane, left()).await?;
            let fault = match self.call(lane, left(), call()).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            // A throttled call is held up by its lane, which has just been paused.
            let rest = if fault.class == Class::Throttled { Duration::ZERO } else { jittered(pause) };
            if !(fault.class == Class::Throttled || fault.class.may_pass()) || rest >= left() {
                return Err(fault);
            }
            sleep(rest).await;
            pause *= 2;
            self.counters.repeated.inc();
        }
        self.enter(lane, left()).await?;
        self.call(lane, left(), call()).await
    }

    /// A lane's quota, and how much of it was used lately. `of` names it, `ten_thousand` is the highest price of
    /// so many calls.
    #[must_use]
    pub fn quota(&self, lane: &Lane, of: &'static str, ten_thousand: Money) -> Quota {
        let last_minute = lane.budget.last_minute(self.clock.monotonic());
        Quota { of, per_second: lane.per_second, last_minute, ten_thousand }
    }

    async fn enter(&self, lane: &Lane, within: Duration) -> Result<(), Fault> {
        let now = self.clock.monotonic();
        self.breaker.ask(now).map_err(|rest| {
            let text = format!("it failed again and again, so it is asked again in {} ms only", rest.as_millis());
            Fault { retry_after: Some(rest), ..Fault::new(Class::Transient, text) }
        })?;
        match lane.budget.take(now, lane.patience.min(within)) {
            Ok(Duration::ZERO) => Ok(()),
            Ok(wait) => {
                sleep(wait).await;
                Ok(())
            }
            Err(wait) => {
                self.counters.shed.inc();
                let text = format!("more than the {} calls a second that are allowed", lane.per_second);
                Err(Fault { retry_after: Some(wait), ..Fault::new(Class::Throttled, text) })
            }
        }
    }

    async fn call<T>(
        &self,
        lane: &Lane,
        within: Duration,
        call: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        // A little less than the caller allows: whoever is stopped from outside can't tell that the cloud was slow.
        let within = within - within / 20;
        let answer = timeout(within, call)
            .await
            .unwrap_or_else(|_| Err(Fault::new(Class::Unknown, format!("no answer within {} ms", within.as_millis()))));
        match &answer {
            Ok(_) => self.answered(),
            Err(fault) => self.failed(lane, fault),
        }
        answer
    }

    fn answered(&self) {
        self.breaker.answered();
        self.counters.left_alone.set(0);
    }

    fn failed(&self, lane: &Lane, fault: &Fault) {
        self.counters.faults.count(fault.class);
        match fault.class {
            Class::Transient | Class::Unknown => {
                if self.breaker.failed(self.clock.monotonic()) && self.counters.left_alone.set(1) == 0 {
                    warn!(backend = %self.backend, error = %fault, "cloud failed again and again; it is left alone for a while");
                }
            }
            Class::Throttled => {
                let rest = fault.retry_after.unwrap_or_else(|| jittered(BREATH));
                lane.budget.pause(self.clock.monotonic(), rest);
                self.answered();
            }
            _ => self.answered(),
        }
    }
}

/// A half of it to the whole, so that the calls of many daemons don't come back together.
fn jittered(pause: Duration) -> Duration {
    pause / 2 + chance::up_to_half(pause)
}

/// How often a call is made at most.
const TRIES: u32 = 3;
/// Before the second try, doubled before the third.
const PAUSE: Duration = Duration::from_millis(50);
/// How long calls of a lane are held up by one that the cloud throttled without saying for how long: the quota is
/// counted by the second, and a tenth of it is room again.
const BREATH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use prometheus_client::registry::Registry;

    use super::*;
    use crate::clock::SystemClock;

    fn gate() -> Gate {
        let metrics = CloudMetrics::register(&mut Registry::default());
        Gate::new(&"kms".parse().unwrap(), &metrics, Arc::new(SystemClock))
    }

    fn wide() -> Lane {
        Lane::new(1_000_000, Duration::ZERO)
    }

    fn fault<T>(class: Class) -> Result<T, Fault> {
        Err(Fault::new(class, "as told"))
    }

    /// How often a call that always fails so is made.
    async fn tries(gate: &Gate, class: Class) -> u32 {
        let calls = Cell::new(0);
        let call = || {
            calls.set(calls.get() + 1);
            ready(fault::<()>(class))
        };
        assert_eq!(gate.repeat(&wide(), LONG, call).await.map_err(|fault| fault.class), Err(class));
        calls.get()
    }

    async fn note(called: &Cell<bool>) -> Result<(), Fault> {
        called.set(true);
        Ok(())
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again() {
        for class in Class::ALL {
            let expected = if class.may_pass() { TRIES } else { 1 };
            // The second try of a throttled call is turned away by its lane, which has no patience.
            assert_eq!(tries(&gate(), class).await, expected, "{}", class.name());
        }
    }

    #[tokio::test]
    async fn what_must_not_happen_twice_is_tried_once() {
        for class in Class::ALL {
            let calls = Cell::new(0);
            let call = async {
                calls.set(calls.get() + 1);
                fault::<()>(class)
            };
            assert!(gate().once(&wide(), LONG, call).await.is_err());
            assert_eq!(calls.get(), 1, "{}", class.name());
        }
    }

    #[tokio::test]
    async fn a_throttled_call_waits_with_its_lane_and_goes_well() {
        let lane = Lane::new(1_000, Duration::from_secs(1));
        let calls = Cell::new(0);
        let call = || {
            calls.set(calls.get() + 1);
            ready(if calls.get() < 3 { fault(Class::Throttled) } else { Ok(()) })
        };
        assert_eq!(gate().repeat(&lane, LONG, call).await, Ok(()));
    }

    #[tokio::test]
    async fn beyond_the_quota_nothing_is_called_and_the_caller_knows_for_how_long() {
        let (gate, lane) = (gate(), Lane::new(1, Duration::ZERO));
        assert_eq!(gate.once(&lane, LONG, ready(Ok(()))).await, Ok(()));
        let called = Cell::new(false);
        let turned_away = gate.once(&lane, LONG, note(&called)).await.unwrap_err();
        assert_eq!(turned_away.class, Class::Throttled);
        assert!(turned_away.retry_after.is_some_and(|rest| rest > Duration::from_millis(500)));
        assert!(!called.get());
        assert_eq!(gate.counters.shed.get(), 1);
    }

    #[tokio::test]
    async fn a_cloud_that_is_silent_is_left_alone_after_a_while() {
        let gate = gate();
        let lane = wide();
        let silent = || gate.once(&lane, Duration::from_millis(2), pending::<Result<(), Fault>>());
        let mut classes = Vec::new();
        while gate.counters.left_alone.get() == 0 {
            classes.push(silent().await.unwrap_err().class);
        }
        assert!(classes.iter().all(|class| *class == Class::Unknown), "{classes:?}");
        let called = Cell::new(false);
        let turned_away = gate.once(&wide(), LONG, note(&called)).await.unwrap_err();
        assert_eq!(turned_away.class, Class::Transient);
        assert!(!called.get());
    }
}
