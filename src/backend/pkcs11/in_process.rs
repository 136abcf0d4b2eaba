//! A token in the daemon's own process: threads, a bounded queue, deadlines.
//!
//! For tests and for small set-ups on soft tokens. A module that hangs costs a thread for good, and one that
//! crashes takes the daemon along; after a failure that may concern the whole module, only a restart helps. That is
//! why it is not the default.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::fault::Fault;
use super::gate::Gate;
use super::settings::{Pin, Settings};
use super::token::{Facts, Session, Token, same_id};
use crate::backend::{
    Backend, BackendError, BoxFuture, Destroyed, Found, Generated, Input, KeyRef, OwnedInput, Probe, Signature,
};
use crate::ids::{Handle, Label};
use crate::jose::alg::KeySpec;

/// A token that this process is logged in to.
#[derive(Debug)]
pub struct InProcess {
    facts: Facts,
    signing: Desk<Session>,
    admin: Desk<Admin>,
}

impl InProcess {
    /// Opens the token and starts `settings.threads` threads that sign and one that makes and destroys keys.
    ///
    /// `dir` holds the lock files and the latch. Blocks; a process does this once for each token.
    ///
    /// # Errors
    /// As [`Gate::open`].
    pub fn open(settings: &Settings, pin: &Pin, dir: &Path) -> Result<Self, Fault> {
        let locks = |error: std::io::Error| Fault::Broken(format!("lock files in {}: {error}", dir.display()));
        let gate = Gate::new(dir).map_err(locks)?;
        let token = gate.open(settings, pin)?;
        let threads = settings.threads.max(1);
        let sessions = (0..threads).map(|_| token.session()).collect::<Result<Vec<_>, _>>()?;
        let facts = token.facts().clone();
        let broken = Arc::new(OnceLock::new());
        let signing = Desk::new("pkcs11-sign", sessions, threads * QUEUE_PER_THREAD, &broken)?;
        let admin = Desk::new("pkcs11-admin", vec![Admin { token, gate }], QUEUE_ADMIN, &broken)?;
        Ok(Self { facts, signing, admin })
    }
}

impl Backend for InProcess {
    fn generate<'a>(&'a self, label: &'a Label, spec: KeySpec) -> BoxFuture<'a, Result<Generated, BackendError>> {
        let label = label.clone();
        Box::pin(self.admin.ask(move |admin| admin.alone(|token| token.generate(&label, spec))))
    }

    fn sign<'a>(
        &'a self,
        key: KeyRef<'a>,
        input: Input<'a>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Signature, BackendError>> {
        let (handle, spec, input) = (key.handle.clone(), key.spec, OwnedInput::from(input));
        Box::pin(async move {
            let signed = self.signing.ask(move |session| session.sign(&handle, spec, input.borrow()));
            timeout(within, signed).await.unwrap_or_else(|_| Err(BackendError::late(key.handle, within)))
        })
    }

    fn destroy<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<Destroyed, BackendError>> {
        let handle = handle.clone();
        Box::pin(self.admin.ask(move |admin| admin.alone(|token| token.destroy(&handle))))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, BackendError>> {
        Box::pin(self.admin.ask(|admin| admin.alone(Token::list)))
    }

    fn same_key(&self, one: &Handle, other: &Handle) -> bool {
        same_id(one, other)
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        Box::pin(async move { self.signing.check().map(|()| Probe::from(&self.facts)) })
    }
}

/// What makes and destroys keys: alone among all processes that share the lock files.
#[derive(Debug)]
struct Admin {
    token: Token,
    gate: Gate,
}

impl Admin {
    fn alone<T>(&self, work: impl FnOnce(&Token) -> Result<T, Fault>) -> Result<T, Fault> {
        let _alone = self.gate.admin().map_err(|error| Fault::Broken(format!("lock file: {error}")))?;
        work(&self.token)
    }
}

/// Threads that each own one `T`, and the queue before them.
#[derive(Debug)]
struct Desk<T> {
    queue: SyncSender<Job<T>>,
    /// What broke the module, for all desks.
    broken: Arc<OnceLock<String>>,
}

/// Something to do with what a thread owns.
type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

impl<T: Send + 'static> Desk<T> {
    fn new(name: &str, owned: Vec<T>, queue: usize, broken: &Arc<OnceLock<String>>) -> Result<Self, Fault> {
        let (sender, receiver) = sync_channel::<Job<T>>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        for mut owned in owned {
            let receiver = Arc::clone(&receiver);
            let worker = thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(job) = next(&receiver) {
                    job(&mut owned);
                }
            });
            worker.map_err(|error| Fault::Broken(format!("starting a thread: {error}")))?;
        }
        Ok(Self { queue: sender, broken: Arc::clone(broken) })
    }

    fn check(&self) -> Result<(), BackendError> {
        match self.broken.get() {
            None => Ok(()),
            Some(text) => Err(BackendError::Unavailable(format!("{text}; restart the daemon"))),
        }
    }

    /// Has `work` done by the next thread that is free. Nobody does it any more if the asker has left.
    async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut T) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, BackendError> {
        self.check()?;
        let (reply, answer) = oneshot::channel();
        let broken = Arc::clone(&self.broken);
        let job: Job<T> = Box::new(move |owned| {
            if reply.is_closed() || broken.get().is_some() {
                return;
            }
            let result = work(owned);
            if let Err(Fault::Broken(text)) = &result {
                broken.get_or_init(|| text.clone());
            }
            // An asker that has left needs no answer.
            drop(reply.send(result));
        });
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => BackendError::Throttled { retry_after: RETRY_AFTER },
            TrySendError::Disconnected(_) => BackendError::Unavailable("the threads have ended".to_owned()),
        })?;
        match answer.await {
            Ok(result) => result.map_err(BackendError::from),
            Err(_) => self.check().and(Err(BackendError::Unavailable("the thread has ended".to_owned()))),
        }
    }
}

fn next<T>(receiver: &Mutex<Receiver<Job<T>>>) -> Option<Job<T>> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Signatures that may wait, for each thread.
const QUEUE_PER_THREAD: usize = 64;
/// Changes of keys that may wait; they are rare.
const QUEUE_ADMIN: usize = 64;
/// How long who was turned away should wait.
const RETRY_AFTER: Duration = Duration::from_millis(100);
