//! A backend behind limits: how long a call may take, how many run at once, how many may wait, all of it counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::metrics::{BackendMetrics, Operation, OperationMetrics, Outcome};
use super::usage::Usage;
use super::{Backend, BackendError, BoxFuture, Destroyed, Found, Generated, Input, KeyRef, Probe, Signature};
use crate::clock::Clock;
use crate::ids::{BackendId, Handle, Label};
use crate::jose::alg::KeySpec;

/// Bounds of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The longest that a call may take, waiting included; a caller's own bound counts if it is shorter.
    pub deadline: Duration,
    /// Calls that the backend works on at once.
    pub in_flight: usize,
    /// Calls that may wait for one of these; one more is turned away at once.
    pub queue: usize,
    /// The longest that a call waits before it is turned away.
    pub wait: Duration,
}

/// Bounds of each operation. They are separate: neither a flood of signatures nor a slow generation holds up
/// the destruction of a key that has leaked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bounds of [`Backend::generate`].
    pub generate: Limit,
    /// Bounds of [`Backend::sign`].
    pub sign: Limit,
    /// Bounds of [`Backend::destroy`].
    pub destroy: Limit,
    /// Bounds of [`Backend::list`].
    pub list: Limit,
    /// Bounds of [`Backend::probe`].
    pub probe: Limit,
}

impl Default for Limits {
    /// Signing as one HSM does it; a generation that may be of RSA-4096 in slow hardware.
    fn default() -> Self {
        let limit = |deadline, in_flight, queue, wait| Limit { deadline, in_flight, queue, wait };
        let (seconds, millis) = (Duration::from_secs, Duration::from_millis);
        Self {
            generate: limit(seconds(120), 2, 64, seconds(60)),
            sign: limit(seconds(2), 64, 256, millis(250)),
            destroy: limit(seconds(30), 4, 64, seconds(10)),
            list: limit(seconds(60), 1, 4, seconds(30)),
            probe: limit(seconds(5), 1, 4, seconds(2)),
        }
    }
}

/// Any backend, with its calls bounded and counted.
///
/// A call that is over its deadline ends as [`BackendError::Unavailable`]: its effect may have happened. One
/// that is turned away ends as [`BackendError::Throttled`] and never reached the backend.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    generate: Door,
    sign: Door,
    destroy: Door,
    list: Door,
    probe: Door,
}

impl Guarded {
    /// Puts `inner` behind `limits`; its calls are counted in `metrics` under the name `id`.
    #[must_use]
    pub fn new(
        id: &BackendId,
        inner: Arc<dyn Backend>,
        limits: Limits,
        metrics: &BackendMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let door = |limit, operation| Door::new(limit, metrics.of(id, operation));
        let Limits { generate, sign, destroy, list, probe } = limits;
        Self {
            inner,
            clock,
            generate: door(generate, Operation::Generate),
            sign: door(sign, Operation::Sign),
            destroy: door(destroy, Operation::Destroy),
            list: door(list, Operation::List),
            probe: door(probe, Operation::Probe),
        }
    }

    /// Calls through `door`, giving the call the time that is left for it.
    async fn through<'a, T>(
        &'a self,
        door: &'a Door,
        within: Duration,
        call: impl FnOnce(Duration) -> BoxFuture<'a, Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let mut record = Record { clock: &*self.clock, door, begun: self.clock.monotonic(), outcome: None };
        let in_time = timeout(within, async {
            let (_admitted, left) = match door.try_enter() {
                Some(admitted) => (admitted, within),
                None => {
                    let admitted = match door.wait().await {
                        Ok(admitted) => admitted,
                        Err(shed) => return (Err(shed), Outcome::Shed),
                    };
                    (admitted, within.saturating_sub(record.elapsed()))
                }
            };
            let answer = call(left).await;
            let outcome = Outcome::of(&answer);
            (answer, outcome)
        });
        let (answer, outcome) = in_time.await.unwrap_or_else(|_| {
            let text = format!("{} had no answer within {} ms", door.metrics.operation(), within.as_millis());
            (Err(BackendError::Unavailable(text)), Outcome::Deadline)
        });
        // A backend that keeps the deadline itself may be a moment ahead of us; it is the same event.
        let late = outcome == Outcome::Unavailable && record.elapsed() >= within;
        record.outcome = Some(if late { Outcome::Deadline } else { outcome });
        answer
    }
}

impl Backend for Guarded {
    fn generate<'a>(&'a self, label: &'a Label, spec: KeySpec) -> BoxFuture<'a, Result<Generated, BackendError>> {
        let door = &self.generate;
        Box::pin(self.through(door, door.limit.deadline, move |_| self.inner.generate(label, spec)))
    }

    fn sign<'a>(
        &'a self,
        key: KeyRef<'a>,
        input: Input<'a>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Signature, BackendError>> {
        let door = &self.sign;
        let within = within.min(door.limit.deadline);
        Box::pin(self.through(door, within, move |left| self.inner.sign(key, input, left)))
    }

    fn destroy<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<Destroyed, BackendError>> {
        let door = &self.destroy;
        Box::pin(self.through(door, door.limit.deadline, move |_| self.inner.destroy(handle)))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, BackendError>> {
        let door = &self.list;
        Box::pin(self.through(door, door.limit.deadline, move |_| self.inner.list()))
    }

    fn same_key(&self, one: &Handle, other: &Handle) -> bool {
        self.inner.same_key(one, other)
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        let door = &self.probe;
        Box::pin(self.through(door, door.limit.deadline, move |_| self.inner.probe()))
    }

    fn usage(&self) -> Option<Usage> {
        self.inner.usage()
    }
}

/// Where the calls of one operation go in, so many at a time.
#[derive(Debug)]
struct Door {
    limit: Limit,
    permits: Semaphore,
    waiting: AtomicUsize,
    metrics: OperationMetrics,
}

impl Door {
    fn new(limit: Limit, metrics: OperationMetrics) -> Self {
        let permits = Semaphore::new(limit.in_flight.min(Semaphore::MAX_PERMITS));
        Self { limit, permits, waiting: AtomicUsize::new(0), metrics }
    }

    /// Goes in if there is room now. Never overtakes a waiting call: a freed place goes to the first of them.
    fn try_enter(&self) -> Option<Admitted<'_>> {
        self.permits.try_acquire().ok().map(|permit| Admitted::new(permit, self))
    }

    /// Waits for room, unless too many do so already.
    async fn wait(&self) -> Result<Admitted<'_>, BackendError> {
        let shed = || BackendError::Throttled { retry_after: self.limit.wait };
        let _waiting = Waiting::new(&self.waiting, self.limit.queue).ok_or_else(shed)?;
        match timeout(self.limit.wait, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(Admitted::new(permit, self)),
            Ok(Err(_)) | Err(_) => Err(shed()),
        }
    }
}

/// A call that the backend works on.
struct Admitted<'a> {
    door: &'a Door,
    _permit: SemaphorePermit<'a>,
}

impl<'a> Admitted<'a> {
    fn new(permit: SemaphorePermit<'a>, door: &'a Door) -> Self {
        door.metrics.in_flight.inc();
        Self { door, _permit: permit }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.door.metrics.in_flight.dec();
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize, queue: usize) -> Option<Self> {
        let place = Self(waiting);
        // Dropping `place` gives it back also when it was one too many.
        (waiting.fetch_add(1, Ordering::Relaxed) < queue).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts the call when it ends, also if its caller walks away.
struct Record<'a> {
    clock: &'a dyn Clock,
    door: &'a Door,
    begun: Duration,
    outcome: Option<Outcome>,
}

impl Record<'_> {
    fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.begun)
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.door.metrics.record(self.outcome.unwrap_or(Outcome::Abandoned), self.elapsed());
    }
}
