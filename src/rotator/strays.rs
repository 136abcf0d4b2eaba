//! Keys in the backends that carry a label of this installation and belong to no living version.
//!
//! They are what a crash at a bad moment, a restored backup or a test may leave; the label may be that of a version
//! that lives, with a key of its own. They sign nothing, and cost money
//! and room; nothing is done about them unless an operator says so.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{Cause, EffectError, Rotator};
use crate::backend::{Backend, BackendError, Found};
use crate::ids::{BackendId, Handle, IssuerId, Label, RESERVED_ISSUER};
use crate::lifecycle::adopt::private_halves;
use crate::lifecycle::issuer::Issuer;
use crate::store::StoreError;

/// A key without a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Where it is.
    pub backend: BackendId,
    /// Its label and handle.
    pub found: Found,
    /// Why it is none of ours any more.
    pub why: Why,
}

/// Why a key belongs to no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No issuer of that name has ever been stored.
    NoIssuer,
    /// The issuer has no ring of that name.
    NoRing,
    /// The ring has not come to that number yet: another daemon is ahead, or the store was restored from a backup.
    Ahead,
    /// The version's private half was destroyed, or given up, long ago.
    Ended,
    /// The version has its key in another backend.
    Elsewhere,
    /// The version has another key in this backend.
    Twin,
}

/// The strays, and the backends that did not show their keys.
#[derive(Debug, Default)]
pub struct Strays {
    /// By backend and label.
    pub strays: Vec<Stray>,
    /// Those that could not be looked at, and why.
    pub unseen: Vec<(BackendId, BackendError)>,
}

/// Why a stray was not destroyed.
#[derive(Debug, Error)]
pub enum StrayError {
    /// The backend could not be looked at.
    #[error("backend {0} did not show its keys")]
    Unseen(BackendId, #[source] BackendError),
    /// There is no such backend.
    #[error("there is no backend {0}")]
    NoBackend(BackendId),
    /// The backend shows no key of ours with that handle.
    #[error("backend {0} has no key of this installation with that handle")]
    NoKey(BackendId),
    /// A version has that key, or may have it.
    #[error("{0} belongs to a living version, so it is no stray")]
    Living(Label),
    /// The store could not be asked.
    #[error("the store could not be asked who knows the key")]
    Store(#[from] StoreError),
    /// It was tried.
    #[error("the key could not be destroyed")]
    Effect(#[source] EffectError),
}

impl Rotator {
    /// Looks through every backend.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't say which issuers there are.
    pub async fn strays(&self) -> Result<Strays, StoreError> {
        let mut strays = Strays::default();
        let backends: BTreeMap<_, _> = self.effector.backends.iter().collect();
        for (id, backend) in backends {
            // Looked at before the states are: a version is recorded before its key is made.
            match backend.list().await {
                Ok(found) => {
                    for found in found {
                        if let Some(why) = self.why_stray(id, backend.as_ref(), &found).await? {
                            strays.strays.push(Stray { backend: id.clone(), found, why });
                        }
                    }
                }
                Err(error) => strays.unseen.push((id.clone(), error)),
            }
        }
        strays.strays.sort_by(|one, other| (&one.backend, &one.found.label).cmp(&(&other.backend, &other.found.label)));
        Ok(strays)
    }

    /// Destroys a stray, after it was announced in the audit log.
    ///
    /// # Errors
    /// [`StrayError`]; in particular if a version has that key, or may have it.
    pub async fn destroy_stray(&self, id: &BackendId, handle: &Handle, cause: &Cause) -> Result<Stray, StrayError> {
        let backend = self.effector.backends.get(id).ok_or_else(|| StrayError::NoBackend(id.clone()))?;
        let found = backend.list().await.map_err(|source| StrayError::Unseen(id.clone(), source))?;
        let found = found.into_iter().find(|found| found.handle == *handle);
        let found = found.ok_or_else(|| StrayError::NoKey(id.clone()))?;
        let why = self.why_stray(id, backend.as_ref(), &found).await?;
        let why = why.ok_or_else(|| StrayError::Living(found.label.clone()))?;
        self.effector.destroy_found(id, &found, cause).await.map_err(StrayError::Effect)?;
        Ok(Stray { backend: id.clone(), found, why })
    }

    /// Why that key in that backend has no version; nothing if it has one, or may have.
    async fn why_stray(&self, id: &BackendId, backend: &dyn Backend, found: &Found) -> Result<Option<Why>, StoreError> {
        let issuer = &found.label.issuer;
        if issuer.as_str() == RESERVED_ISSUER {
            // A key of the daemon's own has no version, and is needed all the same.
            return Ok(None);
        }
        Ok(match self.issuer(issuer).await? {
            None => Some(Why::NoIssuer),
            Some(issuer) => why_stray(&issuer, id, backend, found),
        })
    }

    /// The stored state: also of issuers that the configuration names no more, whose keys are theirs all the same.
    async fn issuer(&self, id: &IssuerId) -> Result<Option<Issuer>, StoreError> {
        Ok(self.committer.store.load(id).await?.map(|committed| committed.issuer))
    }
}

fn why_stray(issuer: &Issuer, id: &BackendId, backend: &dyn Backend, found: &Found) -> Option<Why> {
    let label = &found.label;
    let Some(ring) = issuer.ring(&label.ring) else { return Some(Why::NoRing) };
    match private_halves(ring).into_iter().find(|half| half.version == label.version) {
        Some(half) if half.backend != id => Some(Why::Elsewhere),
        // Before a key is known to exist, any key with its label may become it.
        Some(half) => half.handle.filter(|own| !backend.same_key(own, &found.handle)).map(|_| Why::Twin),
        None if label.version >= ring.state().next_number => Some(Why::Ahead),
        None => Some(Why::Ended),
    }
}
