//! What the links of all workers, and the callers, have in common.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::super::wire::BATCH;
use super::super::worker::{Opening, Role};
use super::link::Loss;
use super::metrics::{Cause, Counters};
use super::pool::{Bounds, Caller, Job, Pool};
use super::process::Spawner;
use super::used::Used;
use super::{PinSource, Plan};
use crate::backend::{BackendError, Signature};
use crate::ids::BackendId;

/// A caller who waits on a channel.
#[derive(Debug)]
pub(super) struct Waiting(pub oneshot::Sender<Result<Signature, BackendError>>);

/// What is shared.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: BackendId,
    pub(super) counters: Counters,
    pub(super) spawner: Spawner,
    /// Held while a worker starts.
    pub(super) starting: tokio::sync::Mutex<()>,
    /// One for each seat, whose link has orders to write.
    pub(super) wake: Vec<Notify>,
    plan: Plan,
    state: Mutex<State>,
}

/// What changes with every signature.
#[derive(Debug)]
pub(super) struct State {
    pub(super) pool: Pool<Waiting>,
    pub(super) used: Used,
}

impl Shared {
    pub(super) fn new(id: BackendId, plan: Plan, counters: Counters, spawner: Spawner) -> Self {
        let seats = plan.settings.workers.max(1);
        let bounds = Bounds { in_flight: 2 * plan.settings.threads.max(1) + BATCH, queue: QUEUE };
        let pool = Pool::new(seats, bounds, Instant::now());
        Self {
            id,
            counters,
            spawner,
            starting: tokio::sync::Mutex::new(()),
            wake: (0..seats).map(|_| Notify::new()).collect(),
            plan,
            state: Mutex::new(State { pool, used: Used::default() }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hang_limit(&self) -> Duration {
        self.plan.hang_limit
    }

    /// How long a worker may take until it is logged in. A network HSM takes a while, so this is no hang limit.
    pub(super) fn start_limit(&self) -> Duration {
        self.plan.hang_limit * 10
    }

    /// How long admin work may take.
    pub(super) fn admin_limit(&self) -> Duration {
        self.plan.admin_limit
    }

    /// What a new worker is told. Reads the PIN anew, since an operator may have put the right one there meanwhile.
    pub(super) async fn opening(&self, role: Role) -> Result<Opening, String> {
        let PinSource(read) = self.plan.pin.clone();
        let read = tokio::task::spawn_blocking(move || read()).await;
        let pin = read.map_err(|error| error.to_string())??;
        let keys = match role {
            Role::Admin => Vec::new(),
            Role::Sign => {
                let state = self.state();
                let mut keys = state.used.keys();
                keys.retain(|(handle, _)| !state.pool.is_blamed(handle));
                keys
            }
        };
        let Plan { settings, gate, hang_limit, .. } = &self.plan;
        Ok(Opening { role, settings: settings.clone(), pin, gate: gate.clone(), hang_limit: *hang_limit, keys })
    }

    /// Tells the links that they have orders to write.
    pub(super) fn wake(&self, seats: Vec<usize>) {
        seats.into_iter().filter_map(|seat| self.wake.get(seat)).for_each(Notify::notify_one);
    }

    /// Hands answers of the worker in `seat`, whose start began at `begun`, to their callers.
    ///
    /// # Errors
    /// It does not find a key that was made after its start. That says nothing of the key: it is left to others.
    pub(super) fn answer(
        &self,
        seat: usize,
        begun: Instant,
        answers: &mut Vec<(u64, Result<Signature, BackendError>)>,
        is_alive: bool,
    ) -> Result<(), Loss> {
        if answers.is_empty() && !is_alive {
            return Ok(());
        }
        let mut outcome = Ok(());
        let now = Instant::now();
        let mut ready: Vec<(Waiting, Result<Signature, BackendError>)> = Vec::with_capacity(answers.len());
        {
            let mut state = self.state();
            let State { pool, used } = &mut *state;
            if is_alive {
                pool.heard(seat, now);
            }
            for (id, answer) in answers.drain(..) {
                if let Err(BackendError::NotFound(_)) = &answer
                    && let Some(key) = pool.key_of(seat, id).filter(|key| used.is_new_to(key, begun))
                {
                    let text = format!("a worker process does not see {key}, which is newer than it");
                    outcome = Err(Loss::new(Cause::Stale, text));
                    continue;
                }
                let Some(Job { handle, caller, .. }) = pool.answered(seat, id, now) else { continue };
                match &answer {
                    Ok(_) => pool.acquit(&handle),
                    Err(BackendError::NotFound(_)) => used.forget(&handle),
                    Err(_) => {}
                }
                ready.push((caller, answer));
            }
            self.gauge(pool);
        }
        // The lock is free by now: a caller that wakes up may want it at once.
        ready.into_iter().for_each(|(caller, answer)| caller.answer(answer));
        outcome
    }

    /// Shows how things stand.
    pub(super) fn gauge(&self, pool: &Pool<Waiting>) {
        self.counters.ready.set(i64::try_from(pool.ready_count()).unwrap_or(i64::MAX));
        self.counters.waiting.set(i64::try_from(pool.queued()).unwrap_or(i64::MAX));
    }
}

/// Signatures that wait for room, at most. The guard in front lets no more than its own limit come this far.
const QUEUE: usize = 512;
