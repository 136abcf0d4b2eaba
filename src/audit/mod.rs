//! The append-only, hash-chained log, written before the act.
//!
//! One chain per daemon, as JSON lines in segments `audit-<first seq>.jsonl`:
//!
//! ```text
//! {"seq":7,"prev":"<sha256 of the line before>","synced":5,"at":"2026-12-20T03:00:00Z","event":"intent",…,"sum":"…"}
//! ```
//!
//! `prev` is the SHA-256 of the exact bytes of the line before, without its newline; 64 zeros at the very
//! beginning. `synced` is the last record that was known to be on disk when this one was written: by it a
//! torn tail (a group that was never acknowledged) is told from damage to records that once were durable.
//! `sum` is the head of the SHA-256 of the line up to it, so that the last line too vouches for itself.
//!
//! What the chain alone can't show is a log that was cut short at a whole record, or written anew from some record
//! on. That takes a witness outside of it: the store's revisions, a copy of a [`verify::Report`], or a signed
//! [`Checkpoint`].

mod check;
mod checkpoint;
mod desk;
mod digest;
mod disk;
mod error;
mod event;
mod fields;
mod ledger;
mod line;
mod log;
mod mailbox;
mod open;
mod options;
mod reader;
mod scan;
pub mod verify;
mod writer;

pub use check::REACH as CHECKPOINT_REACH;
pub use checkpoint::{CHECKPOINT_FILE, Checkpoint, CheckpointError, CheckpointKeys, KEY_FILE};
pub use digest::Digest;
pub use error::{AuditError, Fault, Flaw};
pub use event::{Act, Commit, Event, Header, Outcome, Signatures};
pub use ledger::{Anchor, Ledger};
pub use log::{Audit, Head, Receipt};
pub use open::{Cut, Opened};
pub use options::Options;
pub use reader::{Records, Tail, last};
pub use scan::Record;

#[cfg(test)]
mod tests;
