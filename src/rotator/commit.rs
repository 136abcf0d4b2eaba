//! One commit: intent in the audit log, compare-and-swap in the store, then the readers' pointer.

use std::sync::Arc;

use thiserror::Error;
use tracing::{error, warn};

use super::intent::{Change, Intent, IntentError, announce};
use crate::audit::{Audit, AuditError, Event as Record};
use crate::failpoint::failpoint;
use crate::ids::CommitId;
use crate::lifecycle::event::{Event, IllegalTransition};
use crate::snapshot::Place;
use crate::store::{Committed, Replaced, Store, StoreError};

/// Who wants a commit and why, for the audit trail. Empty for the rotator's own.
#[derive(Debug, Clone, Default)]
pub struct Cause {
    /// Who asked.
    pub caller: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

/// Why a change was not committed, named by the reader's next move.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The state does not allow it.
    #[error("the state does not allow it")]
    Illegal(#[from] IllegalTransition),
    /// The intent could not be recorded, so nothing was tried.
    #[error("the audit log can't take the intent, so nothing was changed")]
    Audit(#[source] AuditError),
    /// The store did not take it: try again.
    #[error("the store did not take the change")]
    Store(#[from] StoreError),
    /// It is not known whether the store took it; the next look finds out.
    #[error("it is not known whether the store took the change: {0}")]
    Unknown(String),
    /// The new record would not be readable, so it was not written; this is a defect of `jwksd`.
    #[error("the new state can't be read back, so it was not written; please report this")]
    Unreadable(#[source] StoreError),
    /// Others kept committing first.
    #[error("other writers were faster, {0} times in a row")]
    Contended(u32),
    /// The store shows an older state than was committed here.
    #[error("the store went back to revision {found}, below {known}; restore it or accept the rollback")]
    WentBack {
        /// What it shows.
        found: u64,
        /// What was committed.
        known: u64,
    },
    /// The store has lost the issuer.
    #[error("the store has lost the issuer; restore it from a backup")]
    Lost,
}

impl From<IntentError> for CommitError {
    fn from(error: IntentError) -> Self {
        match error {
            IntentError::Unreadable(source) => Self::Unreadable(source),
            IntentError::Audit(source) => Self::Audit(source),
        }
    }
}

impl CommitError {
    /// Whether it may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Audit(_) | Self::Unknown(_) | Self::Contended(_) | Self::Store(StoreError::Unavailable(_)) => true,
            Self::Illegal(_) | Self::Store(_) | Self::Unreadable(_) | Self::WentBack { .. } | Self::Lost => false,
        }
    }
}

/// How often a commit is tried anew after somebody else's.
const TRIES: u32 = 8;

/// What commits go through.
#[derive(Debug)]
pub struct Committer {
    /// Where states are kept.
    pub store: Arc<dyn Store>,
    /// Where intents go first.
    pub audit: Audit,
}

impl Committer {
    /// Loads the present state and shows it to readers if it is newer than what they see.
    ///
    /// # Errors
    /// [`CommitError::WentBack`] if it is older: nothing is done with it.
    pub async fn refresh(&self, place: &Place) -> Result<Committed, CommitError> {
        let (id, known) = {
            let state = place.state();
            (state.issuer().id().clone(), state.revision())
        };
        let loaded = self.store.load(&id).await?.ok_or(CommitError::Lost)?;
        if loaded.revision < known {
            return Err(CommitError::WentBack { found: loaded.revision.get(), known: known.get() });
        }
        if loaded.revision > known {
            place.swap(loaded.clone());
        }
        Ok(loaded)
    }

    /// Lets `event` happen, durably, and shows the result to readers. Events that change nothing are not
    /// committed. The caller has marked the place as pending before it dated the event.
    ///
    /// A crash here leaves an intent in the audit log; the store says whether it was fulfilled.
    ///
    /// # Errors
    /// [`CommitError`]. After [`CommitError::Unknown`] the place stays pending until a refresh succeeds.
    pub async fn commit(&self, place: &Place, event: &Event, cause: &Cause) -> Result<Committed, CommitError> {
        let mut expected = self.refresh(place).await?;
        let mut has_failed = false;
        for _ in 0..TRIES {
            let next = expected.issuer.after(&place.settings.policy, event)?;
            if next == expected.issuer {
                return Ok(expected);
            }
            let issuer = next.id().clone();
            let change = Change::Happened(&event.fact, cause);
            let Intent { commit_id, revision, hash } = announce(&self.audit, Some(&expected), &next, change).await?;
            failpoint("commit.intent_recorded");
            match self.replace(&expected, &next, commit_id).await? {
                Written::Ours(committed) => {
                    failpoint("commit.stored");
                    let done = Record::Committed { issuer, revision, commit_id, hash };
                    if let Err(error) = self.audit.append(done).await {
                        // The store has it: the next start resolves the dangling intent by reading the store.
                        error!(issuer = %next.id(), revision = revision.get(), error = %error, "commit could not be recorded as done");
                    }
                    failpoint("commit.recorded");
                    place.swap(committed.clone());
                    return Ok(committed);
                }
                unwritten => {
                    let abandoned = Record::Abandoned { issuer, revision, commit_id };
                    if let Err(error) = self.audit.append(abandoned).await {
                        warn!(issuer = %next.id(), revision = revision.get(), error = %error, "abandoned commit could not be recorded");
                    }
                    if let Written::Nothing(reason) = unwritten {
                        // Once may be bad luck. Each further try would only fill the audit log.
                        if has_failed {
                            return Err(CommitError::Store(StoreError::Unavailable(reason)));
                        }
                        has_failed = true;
                    }
                    expected = self.refresh(place).await?;
                }
            }
        }
        Err(CommitError::Contended(TRIES))
    }

    /// What stands there after a try.
    async fn replace(
        &self,
        expected: &Committed,
        next: &crate::lifecycle::issuer::Issuer,
        commit_id: CommitId,
    ) -> Result<Written, CommitError> {
        match self.store.replace(expected, next, commit_id).await? {
            Replaced::Committed(committed) => Ok(Written::Ours(committed)),
            Replaced::Conflict => Ok(Written::Anothers),
            Replaced::Unknown(reason) => {
                // Revisions alone would mislead: another writer may have made this one.
                let found = self.store.load(next.id()).await.map_err(|_| CommitError::Unknown(reason.clone()))?;
                let found = found.ok_or(CommitError::Lost)?;
                Ok(match found.commit_id {
                    id if id == commit_id => Written::Ours(found),
                    id if id == expected.commit_id => Written::Nothing(reason),
                    _ => Written::Anothers,
                })
            }
        }
    }
}

/// Whose state stands in the store.
enum Written {
    /// That of this commit.
    Ours(Committed),
    /// Another writer's.
    Anothers,
    /// The one from before; why, in the store's words.
    Nothing(String),
}
