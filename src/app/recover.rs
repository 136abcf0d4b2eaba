//! Brings audit log and store back together after whatever ended the last run, and refuses what can't be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tracing::{error, info, warn};

use crate::audit::{Anchor, Audit, AuditError, Event, Opened};
use crate::backend::Backend;
use crate::config::Config;
use crate::ids::{BackendId, IssuerId, Label};
use crate::lifecycle::adopt::{misfits, private_keys};
use crate::store::Committed;
use crate::store::embedded::Embedded;

use super::{AppError, settings};

/// What was found on disk, and fits together.
pub(super) struct Found {
    /// Every configured issuer's state.
    pub(super) issuers: BTreeMap<IssuerId, Committed>,
}

/// Resolves commits of unknown fate, then checks that the store is not older than the log, and that the
/// configuration fits what lives.
pub(super) async fn recover(
    config: &Config,
    store: &Embedded,
    audit: &Audit,
    mut opened: Opened,
) -> Result<Found, AppError> {
    if let Some(cut) = &opened.cut {
        warn!(reason = %format_args!("{} bytes of {}", cut.bytes, cut.file), "unacknowledged tail of the audit log was cut off");
    }
    let stored = load_all(config, store)?;
    resolve(config, &stored, audit, &mut opened).await?;
    let mut issuers = BTreeMap::new();
    for (id, tree) in &config.issuers {
        let committed = stored.get(id).ok_or_else(|| AppError::MissingIssuer(id.clone()))?;
        check_anchor(id, committed, opened.anchors.get(id))?;
        let has_backend = |backend: &_| config.backends.contains_key(backend);
        let found = misfits(&committed.issuer, &settings::specs(tree), has_backend);
        if let Some(source) = found.into_iter().next() {
            return Err(AppError::Misfit { issuer: id.clone(), source });
        }
        issuers.insert(id.clone(), committed.clone());
    }
    for id in stored.keys().filter(|id| !config.issuers.contains_key(*id)) {
        warn!(issuer = %id, "issuer is in the store but not in the configuration; it is neither served nor rotated");
    }
    Ok(Found { issuers })
}

pub(super) fn load_all(config: &Config, store: &Embedded) -> Result<BTreeMap<IssuerId, Committed>, AppError> {
    let stored = store.load_all().map_err(|source| AppError::Store { path: config.data_dir.clone(), source })?;
    Ok(stored.into_iter().map(|committed| (committed.issuer.id().clone(), committed)).collect())
}

/// Finds out in the store how intents ended of which the log does not say so, and records it.
async fn resolve(
    config: &Config,
    stored: &BTreeMap<IssuerId, Committed>,
    audit: &Audit,
    opened: &mut Opened,
) -> Result<(), AppError> {
    let failed = |source: AuditError| AppError::Audit { dir: config.audit.dir.clone(), source };
    for intent in std::mem::take(&mut opened.intents) {
        let there = stored.get(&intent.issuer).filter(|committed| committed.commit_id == intent.commit_id);
        let (issuer, revision, commit_id, hash) = (intent.issuer, intent.revision, intent.commit_id, intent.hash);
        if there.is_some() {
            info!(issuer = %issuer, revision = revision.get(), "unfinished commit was found in the store");
            // Not if the store went back and a rollback was about to be accepted: that still is to be done.
            if opened.anchors.get(&issuer).is_none_or(|known| known.revision < revision) {
                opened.anchors.insert(issuer.clone(), Anchor { revision, commit_id, hash });
            }
            audit.append(Event::Committed { issuer, revision, commit_id, hash }).await.map_err(failed)?;
        } else {
            info!(issuer = %issuer, revision = revision.get(), "unfinished commit was not in the store");
            audit.append(Event::Abandoned { issuer, revision, commit_id }).await.map_err(failed)?;
        }
    }
    Ok(())
}

pub(super) fn check_anchor(id: &IssuerId, committed: &Committed, anchor: Option<&Anchor>) -> Result<(), AppError> {
    let anchor = anchor.ok_or_else(|| AppError::Unwitnessed(id.clone()))?;
    let (found, known) = (committed.revision, anchor.revision);
    if found < known {
        return Err(AppError::RolledBack { issuer: id.clone(), found, known });
    }
    // Every commit of this store passes through the log: a revision that it does not know is as wrong as
    // one that it knows differently.
    if found > known || committed.commit_id != anchor.commit_id {
        return Err(AppError::Forked { issuer: id.clone(), revision: found });
    }
    Ok(())
}

/// Looks for the private keys that the state counts on. A lost one is said at once and loudly: the JWK Set goes
/// on being served, but nobody wants to learn it from the next signature.
pub(super) async fn look_for_keys(
    config: &Config,
    issuers: &BTreeMap<IssuerId, Committed>,
    backends: &HashMap<BackendId, Arc<dyn Backend>>,
) {
    for (id, backend) in backends {
        let found: BTreeSet<Label> = match backend.list().await {
            Ok(found) => found.into_iter().map(|found| found.label).collect(),
            Err(error) => {
                warn!(backend = %id, error = %error, "keys could not be listed at the start");
                continue;
            }
        };
        for (issuer, committed) in issuers {
            for (ring, state) in &committed.issuer.state().rings {
                let here = private_keys(state).into_iter().filter(|(_, backend)| backend == id);
                for (version, _) in here {
                    let installation = config.installation.clone();
                    let label = Label { installation, issuer: issuer.clone(), ring: ring.clone(), version };
                    if !found.contains(&label) {
                        error!(
                            issuer = %issuer, ring = %ring, version = version.get(), backend = %id,
                            "private key is missing from its backend: restore the backend's backup, or declare the key compromised"
                        );
                    }
                }
            }
        }
    }
}
