//! How a log is written.

use std::time::Duration;

use super::event::Signatures;
use crate::lifecycle::time::Span;

/// How a log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// When a record of a signature counts as written.
    pub signatures: Signatures,
    /// Bytes after which a segment is followed by the next.
    pub segment_bytes: u64,
    /// The age after which the next record begins a new segment; none means that size alone decides.
    pub segment_age: Option<Span>,
    /// Bytes of zeros written ahead, because a sync that need not make the file longer is quicker.
    /// None for a shipper that follows the open segment and can't cope with zeros at its end.
    pub ahead_bytes: usize,
    /// How many records may wait to be written; one more is [`AuditError::Busy`](super::AuditError::Busy).
    pub queue: usize,
    /// How long [`Audit::append`](super::Audit::append) waits for the disk.
    pub within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            signatures: Signatures::Durable,
            segment_bytes: 16 << 20,
            segment_age: None,
            ahead_bytes: 1 << 20,
            queue: 8_192,
            within: Duration::from_secs(2),
        }
    }
}
