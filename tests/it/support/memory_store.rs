//! A store in memory that can fail a commit in either way: before it was written, or after.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jwksd::backend::BoxFuture;
use jwksd::clock::Clock;
use jwksd::ids::{CommitId, IssuerId, Revision};
use jwksd::lifecycle::issuer::Issuer;
use jwksd::lifecycle::time::Timestamp;
use jwksd::store::codec::{cover, decode, seal};
use jwksd::store::{Committed, Replaced, Store, StoreError};

/// What goes wrong with one call that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing was written.
    NotPersisted,
    /// It fails, but all was written.
    Persisted,
    /// The same, and nothing can be read any more until [`MemoryStore::recover`].
    PersistedThenMute,
}

/// Records as bytes, so that every load goes through the codec.
#[derive(Debug)]
pub struct MemoryStore {
    records: Mutex<BTreeMap<IssuerId, Vec<u8>>>,
    faults: Mutex<VecDeque<Fault>>,
    is_mute: AtomicBool,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { records: Mutex::default(), faults: Mutex::default(), is_mute: AtomicBool::new(false), clock }
    }

    /// The next call that writes, and is not failed yet, goes wrong like this.
    pub fn fail_next(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    /// Loads work again.
    pub fn recover(&self) {
        self.is_mute.store(false, Ordering::SeqCst);
    }

    /// The record's bytes, to be put back later as a backup would.
    pub fn record(&self, issuer: &IssuerId) -> Option<Vec<u8>> {
        self.records.lock().unwrap().get(issuer).cloned()
    }

    /// Puts `record` in the place of whatever stands there, as a restored backup or a bad disk would.
    pub fn put(&self, issuer: &IssuerId, record: Vec<u8>) {
        self.records.lock().unwrap().insert(issuer.clone(), record);
    }

    /// Writes if `allows` says so of what stands there; the outer result is what the caller hears.
    fn write(
        &self,
        issuer: &Issuer,
        revision: Revision,
        commit_id: CommitId,
        expected: Option<&Committed>,
    ) -> Result<Result<Replaced, Fault>, StoreError> {
        let sealed = seal(issuer, revision, commit_id, expected.map(|expected| expected.hash))?;
        let mut records = self.records.lock().unwrap();
        match (records.get(issuer.id()), expected) {
            (None, None) => {}
            (Some(_), None) => return Err(StoreError::Exists(issuer.id().clone())),
            (None, Some(_)) => {
                return Err(StoreError::Damaged(format!("the record of issuer {} is gone", issuer.id())));
            }
            (Some(there), Some(expected)) => {
                let there = cover(issuer.id(), there)?;
                if (there.revision, there.hash) != (expected.revision, expected.hash) {
                    return Ok(Ok(Replaced::Conflict));
                }
            }
        }
        let fault = self.faults.lock().unwrap().pop_front();
        if fault != Some(Fault::NotPersisted) {
            records.insert(issuer.id().clone(), sealed.bytes);
        }
        if fault == Some(Fault::PersistedThenMute) {
            self.is_mute.store(true, Ordering::SeqCst);
        }
        let committed = Committed { issuer: issuer.clone(), revision, commit_id, hash: sealed.hash };
        Ok(fault.map_or(Ok(Replaced::Committed(committed)), Err))
    }
}

impl Store for MemoryStore {
    fn load<'a>(&'a self, issuer: &'a IssuerId) -> BoxFuture<'a, Result<Option<Committed>, StoreError>> {
        if self.is_mute.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::Unavailable("fake fault in load".to_owned())) });
        }
        let record = self.record(issuer);
        Box::pin(async move { record.map(|record| decode(issuer, &record)).transpose() })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<(IssuerId, Revision)>, StoreError>> {
        let records = self.records.lock().unwrap().clone();
        let covers = |(issuer, record): (IssuerId, Vec<u8>)| Ok((issuer.clone(), cover(&issuer, &record)?.revision));
        Box::pin(async move { records.into_iter().map(covers).collect() })
    }

    fn create<'a>(&'a self, issuer: &'a Issuer, commit_id: CommitId) -> BoxFuture<'a, Result<Committed, StoreError>> {
        let written = self.write(issuer, Revision::new(1), commit_id, None);
        Box::pin(async move {
            match written? {
                Ok(Replaced::Committed(committed)) => Ok(committed),
                other => Err(StoreError::Unavailable(format!("{other:?}"))),
            }
        })
    }

    fn replace<'a>(
        &'a self,
        expected: &'a Committed,
        next: &'a Issuer,
        commit_id: CommitId,
    ) -> BoxFuture<'a, Result<Replaced, StoreError>> {
        let written = self.write(next, expected.revision.next(), commit_id, Some(expected));
        Box::pin(async move { Ok(written?.unwrap_or_else(|fault| Replaced::Unknown(format!("{fault:?}")))) })
    }

    fn server_time(&self) -> BoxFuture<'_, Result<Timestamp, StoreError>> {
        let now = self.clock.now();
        Box::pin(async move { Ok(now) })
    }
}
