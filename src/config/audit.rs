//! The audit log in the validated tree.

use std::path::{Path, PathBuf};

use crate::ids::BackendId;
use crate::jose::alg::KeySpec;
use crate::lifecycle::time::Span;

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The directory of its segments.
    pub dir: PathBuf,
    /// What is recorded of signatures, and when.
    pub signatures: AuditSignatures,
    /// A segment is closed when it has so many bytes.
    pub segment_size: u64,
    /// A segment is closed when it is so old and something is to be written.
    pub segment_age: Span,
    /// How its checkpoints are made, if they are.
    pub checkpoints: Option<Checkpoints>,
}

impl Audit {
    /// The defaults for a daemon whose data directory is `data_dir`.
    #[must_use]
    pub fn in_data_dir(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("audit"),
            signatures: AuditSignatures::default(),
            segment_size: SEGMENT_SIZE,
            segment_age: SEGMENT_AGE,
            checkpoints: None,
        }
    }
}

/// What is recorded of signatures, and when. Changes of keys are always recorded before they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuditSignatures {
    /// No signature leaves before its record is on the disk.
    #[default]
    Durable,
    /// Recorded, but a power cut may lose the records of the last moments.
    Async,
    /// Not recorded.
    Off,
}

/// How checkpoints of the audit log are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoints {
    /// Where their key is made and kept.
    pub backend: BackendId,
    /// What their key is.
    pub key: KeySpec,
    /// How often one is made, if there are new records.
    pub every: Span,
}

/// 16 MiB.
const SEGMENT_SIZE: u64 = 16 * 1_024 * 1_024;
/// A day's records can be archived the day after.
const SEGMENT_AGE: Span = Span::from_days(1);
/// How often a checkpoint is made.
pub(super) const CHECKPOINT_PERIOD: Span = Span::from_hours(1);
