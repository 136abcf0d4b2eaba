//! Keys in files, for trying out and for small installations: the one backend whose keys are in our own memory.
//!
//! One file per key in one directory, sealed with AES-256-GCM under a key that the operator gives. One
//! process per directory. Keys are opened when they first sign, so that thousands of issuers start at once.

mod directory;
mod encoding;
mod key_file;
mod keystore;
mod material;
mod open;
mod seal;

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub use self::open::OpenError;
pub use self::seal::{PASSPHRASE_MIN, SealingKey, SealingKeyError};

use self::key_file::Loaded;
use self::keystore::Keystore;
use super::{
    Backend, BackendError, BoxFuture, Destroyed, Found, Generated, Input, KeyRef, OwnedInput, Probe, Signature,
};
use crate::ids::{Handle, InstallationId, Label};
use crate::jose::alg::{KeySpec, RsaBits};

/// Software keys in one directory.
#[derive(Debug)]
pub struct Software {
    keys: Arc<Keystore>,
    /// One at a time: making an RSA key takes a core for seconds, which signing needs more.
    generating: Arc<Semaphore>,
    /// One at a time, so that a burst of first signatures opens a file once and not a thousand times.
    opening: Arc<Semaphore>,
    /// Short RSA signatures on the caller's own thread: one fewer than there are cores, so that one thread
    /// is always there for whatever else the daemon serves. A single core is shared either way.
    signing_here: Semaphore,
    /// RSA signatures on threads of their own: as many as there are cores.
    signing: Arc<Semaphore>,
}

impl Software {
    /// Opens the keys of `installation` in `dir`, or makes the directory (0700) if it is not there.
    ///
    /// No key is read yet. Blocks, with a passphrase for about a tenth of a second.
    /// # Errors
    /// [`OpenError`] says what to do; above all [`OpenError::WrongKey`] for another sealing key.
    pub fn open(dir: &Path, sealing: SealingKey, installation: InstallationId) -> Result<Self, OpenError> {
        let keys = Arc::new(Keystore::open(dir, &sealing, installation)?);
        let cores = available_parallelism().map_or(1, usize::from);
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Ok(Self {
            keys,
            generating: semaphore(1),
            opening: semaphore(1),
            signing_here: Semaphore::new((cores - 1).max(1)),
            signing: semaphore(cores),
        })
    }

    /// Does `work` on a thread that may block, once `gate` lets it through.
    ///
    /// The permit goes with the work: if the caller stops waiting, the work goes on and still counts.
    async fn behind<T, F>(&self, gate: &Arc<Semaphore>, work: F) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: FnOnce(&Keystore) -> Result<T, BackendError> + Send + 'static,
    {
        let permit = Arc::clone(gate).acquire_owned().await.map_err(|_| interrupted())?;
        self.at_once(move |keys| {
            let _permit = permit;
            work(keys)
        })
        .await
    }

    /// Does `work` on a thread that may block, at once.
    async fn at_once<T, F>(&self, work: F) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: FnOnce(&Keystore) -> Result<T, BackendError> + Send + 'static,
    {
        let keys = Arc::clone(&self.keys);
        spawn_blocking(move || work(&keys)).await.map_err(|_| interrupted())?
    }

    /// Signs on the caller's own thread, if the key is in memory and the signature short.
    fn sign_here(&self, key: KeyRef<'_>, input: Input<'_>) -> Option<Result<Signature, BackendError>> {
        let loaded = self.keys.loaded(key.handle)?;
        let _permit = match key.spec.rsa_bits() {
            None => None,
            // Going to another thread and back costs a tenth of so short a signature, and of longer ones 3 %.
            Some(RsaBits::B2048) => Some(self.signing_here.try_acquire().ok()?),
            Some(RsaBits::B3072 | RsaBits::B4096) => return None,
        };
        Some(check_spec(&loaded, key).and_then(|()| sign(&loaded, input)))
    }

    async fn sign_elsewhere(&self, key: KeyRef<'_>, input: Input<'_>) -> Result<Signature, BackendError> {
        let loaded = match self.keys.loaded(key.handle) {
            Some(loaded) => loaded,
            None => {
                let handle = key.handle.clone();
                self.behind(&self.opening, move |keys| keys.load(&handle)).await?
            }
        };
        check_spec(&loaded, key)?;
        if key.spec.rsa_bits().is_none() {
            return sign(&loaded, input);
        }
        let input = OwnedInput::from(input);
        self.behind(&self.signing, move |_| sign(&loaded, input.borrow())).await
    }
}

impl Backend for Software {
    fn generate<'a>(&'a self, label: &'a Label, spec: KeySpec) -> BoxFuture<'a, Result<Generated, BackendError>> {
        let label = label.clone();
        Box::pin(self.behind(&self.generating, move |keys| keys.generate(&label, spec)))
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
            match self.sign_here(key, input) {
                Some(signature) => signature,
                None => timeout(within, self.sign_elsewhere(key, input)).await.unwrap_or_else(|_| late()),
            }
        })
    }

    fn destroy<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<Destroyed, BackendError>> {
        let handle = handle.clone();
        // Behind no gate: a key that has leaked does not wait for another that is being made.
        Box::pin(self.at_once(move |keys| keys.destroy(&handle).map(|()| Destroyed::Done)))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, BackendError>> {
        Box::pin(self.at_once(Keystore::list))
    }

    fn same_key(&self, one: &Handle, other: &Handle) -> bool {
        one == other
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        Box::pin(self.at_once(|keys| {
            let found = keys.list()?.len();
            let facts = [
                ("directory", keys.path().display().to_string()),
                ("keys", found.to_string()),
                ("sealed with", keys.sealed_with().to_owned()),
            ];
            Ok(Probe {
                summary: "software keys (AWS-LC), sealed at rest".to_owned(),
                facts: facts.map(|(name, value)| (name.to_owned(), value)).into(),
            })
        }))
    }
}

fn check_spec(loaded: &Loaded, key: KeyRef<'_>) -> Result<(), BackendError> {
    let found = loaded.material.spec();
    if found == key.spec {
        return Ok(());
    }
    Err(BackendError::Mismatch(format!("{} was made for {found}, not for {}", key.handle, key.spec)))
}

fn sign(loaded: &Loaded, input: Input<'_>) -> Result<Signature, BackendError> {
    let refused = |_| BackendError::Refused("the cryptographic library did not sign".to_owned());
    match input {
        Input::Message(message) => loaded.material.sign(message).map_err(refused),
        Input::Digest(digest) => {
            input.check(loaded.material.spec())?;
            loaded.material.sign_digest(&digest).map_err(refused)
        }
    }
}

/// The runtime is going down, or the work panicked.
fn interrupted() -> BackendError {
    BackendError::Unavailable("the work on software keys was interrupted".to_owned())
}
