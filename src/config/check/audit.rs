//! The audit log, and the key that signs its checkpoints.

use toml::Spanned;

use super::backend::{Backends, refuse_lacking};
use super::faults::Faults;
use super::ring::reference;
use crate::config::audit::CHECKPOINT_PERIOD;
use crate::config::file::{AuditTable, CheckpointsTable};
use crate::config::scalar::AbsolutePath;
use crate::config::tree::{Audit, AuditSignatures, Checkpoints};
use crate::config::value::{Section, plain};
use crate::ids::BackendId;
use crate::jose::alg::{Algorithm, KeySpec};
use crate::lifecycle::time::Span;

/// What the file says of the audit log.
pub(super) struct Found {
    dir: Option<AbsolutePath>,
    signatures: Option<AuditSignatures>,
    segment_size: Option<u64>,
    segment_age: Option<Span>,
    checkpoints: Option<Checkpoints>,
}

impl Found {
    /// The backend that checkpoints use.
    pub(super) fn backend(&self) -> Option<&BackendId> {
        self.checkpoints.as_ref().map(|checkpoints| &checkpoints.backend)
    }

    /// The log, with `default` where the file says nothing.
    pub(super) fn over(self, default: Audit) -> Audit {
        Audit {
            dir: self.dir.map_or(default.dir, |dir| dir.0),
            signatures: self.signatures.unwrap_or(default.signatures),
            segment_size: self.segment_size.unwrap_or(default.segment_size),
            segment_age: self.segment_age.unwrap_or(default.segment_age),
            checkpoints: self.checkpoints,
        }
    }
}

/// Absent if it has a fault.
pub(super) fn audit(table: Section<AuditTable>, backends: &Backends, faults: &mut Faults<'_>) -> Option<Found> {
    let table = table.map(Spanned::into_inner).unwrap_or_default();
    let AuditTable { dir, signatures, segment_size, segment_age, checkpoints } = table;
    let segment_age = segment_age.map(|age| faults.nonzero(Some(age), CHECKPOINT_PERIOD));
    let checkpoints = match checkpoints {
        Some(table) => Some(self::checkpoints(table, backends, faults)?),
        None => None,
    };
    let segment_size = plain(segment_size).map(|size| size.0);
    Some(Found { dir: plain(dir), signatures: plain(signatures), segment_size, segment_age, checkpoints })
}

fn checkpoints(table: Spanned<CheckpointsTable>, backends: &Backends, faults: &mut Faults<'_>) -> Option<Checkpoints> {
    let place = table.span();
    let CheckpointsTable { backend, algorithm, every } = table.into_inner();
    let every = faults.nonzero(every, CHECKPOINT_PERIOD);
    let algorithm = plain(algorithm).unwrap_or(Algorithm::Es256);
    if backend.is_none() {
        faults.absent(Some(&place), "backend", "missing; name the backend that is to hold their key");
    }
    let backend = reference(&backend, backends, faults)?;
    // RSA keys get their default size, which is as long as a checkpoint is worth.
    let key = KeySpec::new(algorithm, None).ok()?;
    refuse_lacking(&backend, key, backends, &place, faults);
    Some(Checkpoints { backend, key, every })
}
