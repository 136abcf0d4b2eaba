//! What is to be stored is announced in the audit log first.

use crate::audit::{Audit, AuditError, Digest, Event as Record};
use crate::chance;
use crate::ids::{CommitId, Revision, VersionId};
use crate::lifecycle::event::Fact;
use crate::lifecycle::issuer::Issuer;
use crate::store::{Committed, StoreError, codec};

use super::Cause;

/// A commit that the audit log knows to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// Its random name.
    pub commit_id: CommitId,
    /// The revision that it will have.
    pub revision: Revision,
    /// The hash of the record to be stored.
    pub hash: Digest,
}

/// What a commit changes.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// There was no such issuer.
    Created,
    /// An older state is taken for the truth.
    Restored,
    /// This happened, for that cause.
    Happened(&'a Fact, &'a Cause),
}

/// Why nothing was announced, so that nothing may be stored.
#[derive(Debug)]
pub enum IntentError {
    /// The new record could not be read back.
    Unreadable(StoreError),
    /// The log did not take it.
    Audit(AuditError),
}

/// Records that `next` is about to be stored, in the place of `expected` if there is one.
///
/// A crash here leaves an intent in the audit log at most; the store says whether it was fulfilled.
///
/// # Errors
/// [`IntentError`].
pub async fn announce(
    audit: &Audit,
    expected: Option<&Committed>,
    next: &Issuer,
    change: Change<'_>,
) -> Result<Intent, IntentError> {
    let commit_id = CommitId::new(chance::bytes());
    let revision = expected.map_or(Revision::new(1), |expected| expected.revision.next());
    let sealed = codec::seal(next, revision, commit_id, expected.map(|expected| expected.hash));
    // A record that can't be read back would lock everybody out: it is never written.
    let sealed = sealed.and_then(|sealed| codec::decode(next.id(), &sealed.bytes).map(|_| sealed));
    let hash = Digest(sealed.map_err(IntentError::Unreadable)?.hash.0);
    let (what, fact, cause) = match change {
        Change::Created => ("created", None, Cause::default()),
        Change::Restored => ("restored", None, Cause::default()),
        Change::Happened(fact, cause) => (fact.name(), Some(fact), cause.clone()),
    };
    let Cause { caller, request_id, reason } = cause;
    let intent = Record::Intent {
        issuer: next.id().clone(),
        revision,
        commit_id,
        hash,
        what: what.to_owned(),
        ring: fact.and_then(Fact::ring).cloned(),
        version: fact.and_then(Fact::version).map(VersionId::get),
        kid: fact.and_then(Fact::kid).map(ToString::to_string),
        caller,
        request_id,
        reason,
    };
    audit.append(intent).await.map_err(IntentError::Audit)?;
    Ok(Intent { commit_id, revision, hash })
}
