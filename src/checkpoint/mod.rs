//! Makes checkpoints of the audit log: a key in a backend signs number and hash of the last record, at the start,
//! from time to time, and before the daemon stops.
//!
//! A checkpoint goes three ways: into the log, into the daemon's own log lines (which leave the machine), and into a
//! file beside the segments. Nothing waits for one: a backend that fails is asked again, and signing goes on.

mod error;
mod files;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::audit::{Audit, CHECKPOINT_REACH, Checkpoint, CheckpointKeys, Event, Head};
use crate::backend::{Backend, Input, KeyRef};
use crate::clock::Clock;
use crate::ids::{BackendId, Handle, InstallationId, Label, RESERVED_ISSUER, VersionId};
use crate::jose::alg::KeySpec;
use crate::jose::jwk::Jwk;
use crate::jose::jws::append_signature;
use crate::lifecycle::time::Span;
use crate::telemetry::{CheckpointMetrics, chain};

pub use error::MakeError;

/// How checkpoints are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose log it is.
    pub installation: InstallationId,
    /// Where the key is.
    pub backend: BackendId,
    /// What the key is.
    pub spec: KeySpec,
    /// How often one is made, if there are records that none vouches for.
    pub every: Span,
    /// The directory of the log.
    pub directory: PathBuf,
}

/// Makes checkpoints, one at a time.
#[derive(Debug)]
pub struct Checkpointer {
    settings: Settings,
    audit: Audit,
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    metrics: CheckpointMetrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    key: Option<Key>,
    /// The newest checkpoint of this run, and the number of its own record.
    newest: Option<(Made, u64)>,
}

#[derive(Debug, Clone)]
struct Key {
    handle: Handle,
    jwk: Jwk,
    proof: CheckpointKeys,
}

/// A checkpoint that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The checkpoint as a compact JWS.
    pub jws: String,
    /// The key by which it is verified.
    pub key: Jwk,
}

impl Checkpointer {
    /// A maker of checkpoints of `audit`, with a key in `backend`. Nothing is asked of either yet.
    #[must_use]
    pub fn new(
        settings: Settings,
        audit: Audit,
        backend: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        metrics: CheckpointMetrics,
    ) -> Self {
        Self { settings, audit, backend, clock, metrics, state: Mutex::default() }
    }

    /// Makes one now, whether or not one is due.
    ///
    /// # Errors
    /// [`MakeError`]: there is no new one. A crash or a dropped future on the way leaves at most a record without
    /// the file.
    pub async fn make(&self) -> Result<Made, MakeError> {
        let mut state = self.state.lock().await;
        let key = self.key(&mut state).await?;
        let head = self.audit.head().await?;
        self.make_of(head, key, &mut state).await
    }

    /// The newest of this run, if there is one.
    pub async fn newest(&self) -> Option<Made> {
        self.state.lock().await.newest.as_ref().map(|(made, _)| made.clone())
    }

    /// Makes one now and then whenever it is time, until `stop` completes. Failures are tried again, ever more
    /// slowly.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let every = self.settings.every.as_duration();
        let mut pause = RETRY;
        loop {
            let nap = tokio::select! {
                () = &mut stop => return,
                made = self.make_if_due() => match made {
                    Ok(()) => {
                        pause = RETRY;
                        every
                    }
                    Err(error) => {
                        let nap = pause.min(every);
                        self.complain(&error, Some(nap));
                        pause = (pause * 2).min(RETRY_MAX);
                        nap
                    }
                },
            };
            tokio::select! {
                () = &mut stop => return,
                () = sleep(nap) => {}
            }
        }
    }

    /// Makes the last one before the log is closed, unless the backend takes too long.
    pub async fn finish(&self) {
        match timeout(FINISH, self.make_if_due()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.complain(&error, None),
            Err(_) => self.complain(&MakeError::Late, None),
        }
    }

    fn complain(&self, error: &MakeError, nap: Option<Duration>) {
        self.metrics.failures.inc();
        let backend = &self.settings.backend;
        let retry_in = nap.map(tracing::field::debug);
        warn!(backend = %backend, retry_in, error = %chain(error), "no checkpoint of the audit log was made");
    }

    async fn make_if_due(&self) -> Result<(), MakeError> {
        let mut state = self.state.lock().await;
        let key = self.key(&mut state).await?;
        let head = self.audit.head().await?;
        if state.newest.as_ref().is_none_or(|(_, record)| head.seq > *record) {
            self.make_of(head, key, &mut state).await?;
        }
        self.metrics.vouched.set(self.clock.now().as_second());
        Ok(())
    }

    async fn make_of(&self, head: Head, key: Key, state: &mut State) -> Result<Made, MakeError> {
        let (installation, at) = (self.settings.installation.clone(), self.clock.now());
        let checkpoint = Checkpoint { installation, seq: head.seq, hash: head.hash, at };
        let spec = self.settings.spec;
        let mut jws = checkpoint.signing_input(spec.algorithm(), key.jwk.kid()).map_err(MakeError::Encoding)?;
        let reference = KeyRef { handle: &key.handle, spec };
        let signature =
            self.backend.sign(reference, Input::Message(jws.as_bytes()), SIGN).await.map_err(MakeError::Sign)?;
        append_signature(&mut jws, &signature.0);
        match key.proof.verify(&jws) {
            Ok((read, _)) if read == checkpoint => {}
            _ => return Err(MakeError::Forged(key.jwk.kid().clone())),
        }
        // The verifier remembers only so many records back; half of them leave room for those that wait now.
        let since = self.audit.head().await?.seq.saturating_sub(head.seq);
        if since > CHECKPOINT_REACH / 2 {
            return Err(MakeError::Late);
        }
        let event = Event::Checkpoint { kid: key.jwk.kid().clone(), jws: jws.clone() };
        let receipt = self.audit.append(event).await?;
        info!(record = head.seq, kid = %key.jwk.kid(), checkpoint = jws, "checkpoint of the audit log made");
        let made = Made { checkpoint, jws, key: key.jwk };
        files::keep(&self.settings.directory, &made.jws).await?;
        // Only now: what failed on the way is not the newest, and is made again.
        state.newest = Some((made.clone(), receipt.seq.unwrap_or(head.seq)));
        Ok(made)
    }

    /// The key, made or found by its label, and its public half beside the log.
    async fn key(&self, state: &mut State) -> Result<Key, MakeError> {
        if let Some(key) = &state.key {
            return Ok(key.clone());
        }
        let Settings { installation, spec, directory, .. } = &self.settings;
        let generated = self.backend.generate(&label(installation), *spec).await.map_err(MakeError::Key)?;
        let jwk = Jwk::with_thumbprint(spec.algorithm(), generated.public)?;
        files::publish(directory, &jwk).await?;
        let proof = CheckpointKeys::new(std::slice::from_ref(&jwk));
        Ok(state.key.insert(Key { handle: generated.handle, jwk, proof }).clone())
    }
}

/// What the key is called in the backend. No issuer can have this name: the configuration refuses it.
#[must_use]
pub fn label(installation: &InstallationId) -> Label {
    Label {
        installation: installation.clone(),
        issuer: RESERVED_ISSUER.parse().expect("invariant: a name that is made of letters alone"),
        ring: "audit".parse().expect("invariant: a name that is made of letters alone"),
        version: VersionId::new(1),
    }
}

/// For the first retry; each further one waits twice as long.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_mins(5);
/// How long one signature may take. Nobody waits for it.
const SIGN: Duration = Duration::from_secs(10);
/// How long the end of the daemon waits for the last one.
const FINISH: Duration = Duration::from_secs(5);
