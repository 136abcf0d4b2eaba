//! `jwksd init`: makes the store and the first record of each issuer. Nothing else ever does, so that lost
//! data can't look like a first start.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audit::{Audit, Event, Opened};
use crate::clock::{Clock, SystemClock};
use crate::config::{self as tree, Config};
use crate::ids::IssuerId;
use crate::lifecycle;
use crate::lifecycle::adopt::adoptions;
use crate::lifecycle::issuer::Issuer;
use crate::rotator::{Change, Intent, announce};
use crate::store::embedded::Embedded;
use crate::store::{Committed, Store};

use super::open::{self, STORE};
use super::recover::load_all;
use super::{AppError, settings};

/// What `init` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitReport {
    /// Whether the store was made.
    pub store_created: bool,
    /// Issuers that were created.
    pub created: Vec<IssuerId>,
    /// Issuers that were there already, and were left as they are.
    pub present: Vec<IssuerId>,
}

/// Makes the store if there is none, and every configured issuer that it lacks. Running it again changes
/// nothing.
///
/// # Errors
/// [`AppError`]; in particular if a daemon runs on the same data, or if an issuer was lost.
pub async fn init(config: &Config) -> Result<InitReport, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    open::data_dir(&config.data_dir)?;
    // The log first: it is the witness that a store existed, so a new log with an old store is noticed.
    let (audit, opened) = open::audit(config, clock)?;
    let path = config.data_dir.join(STORE);
    let found = if path.exists() { Some(open::store(config)?) } else { None };
    let store_created = found.is_none();
    let stored = found.as_ref().map_or_else(|| Ok(BTreeMap::new()), |store| load_all(config, store))?;
    refuse_lost(config, &stored, &opened)?;
    let store = found.map_or_else(|| open::create_store(&path), Ok)?;
    let mut report = InitReport { store_created, created: Vec::new(), present: Vec::new() };
    for (id, tree) in &config.issuers {
        if stored.contains_key(id) {
            report.present.push(id.clone());
            continue;
        }
        create(config, &store, &audit, &first_state(id, tree)?).await?;
        report.created.push(id.clone());
    }
    audit.close().map_err(|source| AppError::Audit { dir: config.audit.dir.clone(), source })?;
    Ok(report)
}

/// An issuer of which the log has seen a commit is lost, not new; one made under its name would hide that.
fn refuse_lost(config: &Config, stored: &BTreeMap<IssuerId, Committed>, opened: &Opened) -> Result<(), AppError> {
    let mut absent = config.issuers.keys().filter(|id| !stored.contains_key(*id));
    let lost = absent.find_map(|id| opened.anchors.get(id).map(|anchor| (id.clone(), anchor.revision)));
    lost.map_or(Ok(()), |(issuer, known)| Err(AppError::Lost { issuer, known }))
}

/// An issuer with its rings, none of which has a version.
fn first_state(id: &IssuerId, tree: &tree::Issuer) -> Result<Issuer, AppError> {
    let (policy, specs) = (settings::issuer(tree).policy, settings::specs(tree));
    let mut issuer = Issuer::new(id.clone(), tree.known_to_verifiers);
    let at = SystemClock.now();
    for fact in adoptions(&issuer, &policy, &specs) {
        let applied = issuer.apply(&policy, &lifecycle::event::Event { at, fact });
        applied.map_err(|source| AppError::FirstState { issuer: id.clone(), source })?;
    }
    Ok(issuer)
}

async fn create(config: &Config, store: &Embedded, audit: &Audit, issuer: &Issuer) -> Result<(), AppError> {
    let announced = announce(audit, None, issuer, Change::Created).await;
    let Intent { commit_id, revision: _, hash } = announced.map_err(open::unannounced(config))?;
    let broken_store = |source| AppError::Store { path: config.data_dir.join(STORE), source };
    store.create(issuer, commit_id).await.map_err(broken_store)?;
    let created = Event::Created { issuer: issuer.id().clone(), commit_id, hash };
    let broken_log = |source| AppError::Audit { dir: config.audit.dir.clone(), source };
    audit.append(created).await.map(drop).map_err(broken_log)
}
