//! Where the state of issuers is kept, and the contract of such a place.
//!
//! One record per issuer, changed by compare-and-swap on its revision. There is no leader and no lock:
//! whoever commits first wins, and the others load again.

use std::fmt::Debug;

use thiserror::Error;

use crate::backend::BoxFuture;
use crate::ids::{CommitId, IssuerId, Revision};
use crate::lifecycle::issuer::Issuer;
use crate::lifecycle::time::Timestamp;

pub mod codec;
pub mod embedded;

/// The SHA-256 of one encoded record: what the next record and the audit log name it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordHash(pub [u8; 32]);

/// One issuer's state as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The state.
    pub issuer: Issuer,
    /// Its number; the token of the next compare-and-swap.
    pub revision: Revision,
    /// The random name of the commit that wrote it.
    pub commit_id: CommitId,
    /// The hash of the record.
    pub hash: RecordHash,
}

/// A place that keeps the state of issuers.
pub trait Store: Debug + Send + Sync {
    /// The state of `issuer` by a linearizable read, or `None` if it was never created.
    fn load<'a>(&'a self, issuer: &'a IssuerId) -> BoxFuture<'a, Result<Option<Committed>, StoreError>>;

    /// Every issuer that the store holds, with its revision.
    fn list(&self) -> BoxFuture<'_, Result<Vec<(IssuerId, Revision)>, StoreError>>;

    /// Writes the first record of an issuer, at revision 1. Only `init` and `dev` call this: to a running
    /// daemon a missing record is lost data, never a first start.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one already.
    fn create<'a>(&'a self, issuer: &'a Issuer, commit_id: CommitId) -> BoxFuture<'a, Result<Committed, StoreError>>;

    /// Replaces the record that stands at `expected` by `next`, at the revision after it.
    ///
    /// `Committed` means durable. On [`Replaced::Unknown`] the caller loads and compares `commit_id`.
    fn replace<'a>(
        &'a self,
        expected: &'a Committed,
        next: &'a Issuer,
        commit_id: CommitId,
    ) -> BoxFuture<'a, Result<Replaced, StoreError>>;

    /// The store's own clock, to compare ours with.
    fn server_time(&self) -> BoxFuture<'_, Result<Timestamp, StoreError>>;
}

/// How a compare-and-swap ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// Written, and durable.
    Committed(Committed),
    /// Another revision stands there: load and plan again.
    Conflict,
    /// It may or may not have been written: load, and compare the commit id.
    Unknown(String),
}

/// Why a store did not answer, named by the reader's next move.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It can't be reached or is full: try again later; nothing was changed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What it holds can't be trusted: stop, an operator must restore or repair it.
    #[error("store damaged: {0}")]
    Damaged(String),
    /// An issuer that was to be created is there.
    #[error("issuer {0} exists already")]
    Exists(IssuerId),
    /// The record was written by a newer `jwksd`, and is left as it is.
    #[error("record of issuer {issuer} has format {found}, this jwksd reads up to {known}; use the newer jwksd")]
    Format {
        /// Whose record.
        issuer: IssuerId,
        /// Its format.
        found: u32,
        /// The newest format that this build reads.
        known: u32,
    },
}
