//! `jwksd accept-rollback`: an older state is taken for the truth.

use std::sync::Arc;

use crate::audit::{Audit, AuditError, Digest, Event};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::ids::{IssuerId, JwkSetVersion, Revision};
use crate::rotator::{Change, Intent, announce};
use crate::store::embedded::Embedded;
use crate::store::{Committed, Replaced, Store, StoreError};

use super::AppError;
use super::open::{self, STORE};
use super::recover::{check_anchor, load_all};

/// Takes the store's present record of an issuer as the truth, although the audit log has seen a newer one,
/// or none: keys that were made since are forgotten, and their tokens will be rejected.
///
/// Returns the revision to go on from. A crash here leaves the rollback refused as before, and calling again
/// finishes the work.
///
/// # Errors
/// [`AppError::NotRolledBack`] if nothing is wrong.
pub async fn accept_rollback(config: &Config, issuer: &IssuerId, reason: &str) -> Result<Revision, AppError> {
    if !config.issuers.contains_key(issuer) {
        return Err(AppError::UnknownIssuer(issuer.clone()));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (audit, opened) = open::audit(config, clock)?;
    let store = open::store(config)?;
    let stored = load_all(config, &store)?;
    let committed = stored.get(issuer).ok_or_else(|| AppError::MissingIssuer(issuer.clone()))?;
    let anchor = opened.anchors.get(issuer);
    if check_anchor(issuer, committed, anchor).is_ok() {
        return Err(AppError::NotRolledBack(issuer.clone()));
    }
    let accepted = match anchor {
        Some(anchor) => {
            let lost = anchor.revision.get().saturating_sub(committed.revision.get());
            let seen = committed.issuer.state().jwk_set_version.get().saturating_add(lost).max(opened.seq);
            go_on(config, &store, &audit, committed, (JwkSetVersion::new(seen), lost.max(1))).await?
        }
        // Nothing says that a newer state was lost.
        None => committed.clone(),
    };
    let revision = accepted.revision;
    let accepted = Event::RollbackAccepted {
        issuer: issuer.clone(),
        revision,
        commit_id: accepted.commit_id,
        hash: Digest(accepted.hash.0),
        caller: format!("uid:{}", rustix::process::getuid().as_raw()),
        reason: reason.to_owned(),
    };
    audit.append(accepted).await.map_err(broken_log(config))?;
    audit.close().map_err(broken_log(config))?;
    Ok(revision)
}

/// Commits the restored state behind every JWK Set that was lost with newer states, none of which had a number
/// above `seen`, and behind every version number that `lost` states can have given: a commit makes at most one set, and
/// leaves at least two records in the audit log.
async fn go_on(
    config: &Config,
    store: &Embedded,
    audit: &Audit,
    restored: &Committed,
    (seen, lost): (JwkSetVersion, u64),
) -> Result<Committed, AppError> {
    let broken = |source| AppError::Store { path: config.data_dir.join(STORE), source };
    let next = restored.issuer.restored(seen, lost).map_err(|fault| broken(StoreError::Damaged(fault)))?;
    let announced = announce(audit, Some(restored), &next, Change::Restored).await;
    let Intent { commit_id, .. } = announced.map_err(open::unannounced(config))?;
    match store.replace(restored, &next, commit_id).await.map_err(broken)? {
        Replaced::Committed(committed) => Ok(committed),
        Replaced::Conflict => Err(broken(StoreError::Unavailable("another process changed it".to_owned()))),
        Replaced::Unknown(fault) => Err(broken(StoreError::Unavailable(fault))),
    }
}

fn broken_log(config: &Config) -> impl Fn(AuditError) -> AppError {
    let dir = config.audit.dir.clone();
    move |source| AppError::Audit { dir: dir.clone(), source }
}
