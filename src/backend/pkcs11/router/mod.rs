//! The token behind worker processes: who signs, who waits, and what happens when one of them is lost.
//!
//! The daemon never loads the module. At least two workers sign; each is a process that ends at the first thing that
//! is not clearly its caller's fault, and a new one takes its place. What a lost worker was signing goes to another,
//! since signing is safe to repeat. Keys are made and destroyed in further workers, one for each piece of work, so
//! that this never gets into the way of signing.

mod admin;
mod backoff;
mod blame;
mod link;
mod metrics;
mod pool;
mod process;
mod shared;
mod tend;
mod used;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

pub use self::metrics::WorkerMetrics;

use self::admin::Administration;
use self::pool::Job;
use self::process::Spawner;
use self::shared::{Shared, State, Waiting};
use super::settings::{Pin, Settings};
use super::token::same_id;
use super::wire::{Admin, FRAME_MAX, HEAD, Order, Outcome};
use crate::backend::{Backend, BackendError, BoxFuture, Destroyed, Found, Generated, Input, KeyRef, Probe, Signature};
use crate::ids::{BackendId, Handle, Label};
use crate::jose::alg::KeySpec;

/// What the workers are to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program that becomes a worker if its only argument is [`super::WORKER`].
    pub program: PathBuf,
    /// Module and token.
    pub settings: Settings,
    /// Where the PIN comes from.
    pub pin: PinSource,
    /// The directory of the lock files and of the latch.
    pub gate: PathBuf,
    /// A call into the module that lasts longer costs its worker.
    pub hang_limit: Duration,
    /// Making or destroying a key may take so long, waiting for other processes at the same token included.
    pub admin_limit: Duration,
}

/// Longer than any caller waits for a key: who gave up may still find it made.
pub const ADMIN_LIMIT: Duration = Duration::from_secs(150);

/// Reads the PIN; asked anew for each worker.
#[derive(Clone)]
pub struct PinSource(pub Arc<dyn Fn() -> Result<Pin, String> + Send + Sync>);

impl fmt::Debug for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinSource(..)")
    }
}

/// A token behind worker processes. Dropped, it ends them.
#[derive(Debug)]
pub struct Router {
    shared: Arc<Shared>,
    administration: Administration,
    /// One for each seat; they end when this is dropped.
    _links: JoinSet<()>,
}

impl Router {
    /// Begins to start workers, and does not wait for them: a token that is away must not keep a daemon from serving
    /// what it can without it.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The operating system gives out no thread.
    pub fn start(id: BackendId, plan: Plan, metrics: &WorkerMetrics) -> io::Result<Self> {
        let spawner = Spawner::new(plan.program.clone())?;
        let counters = metrics.of(&id);
        let shared = Arc::new(Shared::new(id, plan, counters, spawner));
        let mut links = JoinSet::new();
        for seat in 0..shared.wake.len() {
            links.spawn(tend::tend(Arc::clone(&shared), seat));
        }
        Ok(Self { administration: Administration::new(Arc::clone(&shared)), shared, _links: links })
    }

    fn submit(&self, key: KeyRef<'_>, job: Job<Waiting>, now: Instant) -> Result<(), BackendError> {
        let seat = {
            let mut state = self.shared.state();
            let State { pool, used } = &mut *state;
            if used.is_gone(key.handle) {
                return Err(BackendError::NotFound(key.handle.to_string()));
            }
            used.used(key.handle, key.spec);
            let seat = pool.submit(job, now)?;
            if seat.is_none() {
                self.shared.gauge(pool);
            }
            seat
        };
        if let Some(wake) = seat.and_then(|seat| self.shared.wake.get(seat)) {
            wake.notify_one();
        }
        Ok(())
    }
}

impl Backend for Router {
    fn generate<'a>(&'a self, label: &'a Label, spec: KeySpec) -> BoxFuture<'a, Result<Generated, BackendError>> {
        Box::pin(async move {
            match self.administration.order(Admin::Generate(label.clone(), spec)).await? {
                Outcome::Generated(generated) => Ok(generated),
                other => Err(unfitting(&other)),
            }
        })
    }

    fn sign<'a>(
        &'a self,
        key: KeyRef<'a>,
        input: Input<'a>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Signature, BackendError>> {
        Box::pin(async move {
            let late = || Err(BackendError::late(key.handle, within));
            if within.is_zero() {
                return late();
            }
            input.check(key.spec)?;
            let frame = Order::sign(key.handle, key.spec, input);
            if frame.len() > FRAME_MAX + HEAD {
                return Err(BackendError::Refused(format!("{} bytes are too many to sign", frame.len())));
            }
            let now = Instant::now();
            let deadline = now + within;
            let (caller, answer) = oneshot::channel();
            let job = Job { handle: key.handle.clone(), frame, deadline, lost: 0, caller: Waiting(caller) };
            self.submit(key, job, now)?;
            match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                // The job was dropped because its time was over, or the router is.
                Ok(Err(_)) | Err(_) => late(),
            }
        })
    }

    fn destroy<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<Destroyed, BackendError>> {
        Box::pin(async move {
            match self.administration.order(Admin::Destroy(handle.clone())).await? {
                Outcome::Destroyed(destroyed) => Ok(destroyed),
                other => Err(unfitting(&other)),
            }
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, BackendError>> {
        Box::pin(async move {
            match self.administration.order(Admin::List).await? {
                Outcome::Found(found) => Ok(found),
                other => Err(unfitting(&other)),
            }
        })
    }

    fn same_key(&self, one: &Handle, other: &Handle) -> bool {
        same_id(one, other)
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        Box::pin(async move {
            match self.administration.order(Admin::Probe).await? {
                Outcome::Probed(mut probe) => {
                    let ready = self.shared.state().pool.ready_count();
                    let of = self.shared.wake.len();
                    probe.facts.push(("worker processes".to_owned(), format!("{ready} of {of} ready")));
                    Ok(probe)
                }
                other => Err(unfitting(&other)),
            }
        })
    }
}

fn unfitting(outcome: &Outcome) -> BackendError {
    let kind = match outcome {
        Outcome::Generated(_) => "a key",
        Outcome::Destroyed(_) => "a destruction",
        Outcome::Found(_) => "a list of keys",
        Outcome::Probed(_) => "a probe",
    };
    BackendError::Unavailable(format!("a worker process answered another question with {kind}"))
}
