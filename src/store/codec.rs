//! The form in which an issuer is stored.

use super::{RecordHash, StoreError};
use crate::ids::{CommitId, Revision};
use crate::lifecycle::issuer::Issuer;

/// A record ready to be written.
#[derive(Debug)]
pub struct Sealed {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their name.
    pub hash: RecordHash,
}

/// Encodes.
pub fn seal(_: &Issuer, _: Revision, _: CommitId, _: Option<RecordHash>) -> Result<Sealed, StoreError> {
    Err(StoreError::Unavailable("not yet".into()))
}
