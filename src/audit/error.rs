//! What can go wrong with the log, named by the reader's next move.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::checkpoint::CheckpointError;
use crate::jose::jwk::JwkError;

/// Why an event was not written, or the log not opened. Every waiter of a group gets the same one.
#[derive(Debug, Clone, Error)]
pub enum AuditError {
    /// The disk said no, or did not answer in time: nothing was acknowledged; try again. After a time-out
    /// the record may still be written.
    #[error("audit log unavailable: {doing}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// What came of it.
        #[source]
        source: Arc<io::Error>,
    },
    /// More is waiting to be written than is good: slow down.
    #[error("audit log busy")]
    Busy,
    /// The log was closed, or its writer is gone.
    #[error("audit log closed")]
    Closed,
    /// Another process writes it.
    #[error("it is in use by another process; is a jwksd running on the same data?")]
    Locked,
    /// The event is the log's own to write.
    #[error("a segment's header is not an event to append")]
    Reserved,
    /// What it holds can't be trusted: an operator must look. Nothing was changed.
    #[error("audit log damaged")]
    Damaged(#[from] Fault),
}

impl AuditError {
    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Unavailable { doing, source: Arc::new(source) }
    }
}

/// The first place where a log is not what was written.
#[derive(Debug, Clone, Error)]
pub enum Fault {
    /// A record.
    #[error("{file}:{line}: {flaw}")]
    Record {
        /// The segment's file name.
        file: String,
        /// The line in it, from 1.
        line: u64,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The log ends before a record that a checkpoint from outside vouches for.
    #[error(
        "{file}:{line}: the log ends here with record {last}, but {by} vouches for record {seq}: its end was cut off"
    )]
    CutOff {
        /// The segment's file name.
        file: Box<str>,
        /// The line of the last record, from 1.
        line: u64,
        /// The last record.
        last: u64,
        /// Which checkpoint.
        by: Box<str>,
        /// The record that it is about.
        seq: u64,
    },
    /// A checkpoint from outside is none to believe.
    #[error("checkpoint {name}")]
    Checkpoint {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<CheckpointError>,
    },
    /// The keys that lie beside the log can't be read.
    #[error("checkpoint-key.json is not the JWK Set that was written")]
    Keys(#[source] Arc<JwkError>),
    /// A key was pinned, and nothing is signed with it.
    #[error("no checkpoint is in the audit log in {}, although a key for them was given", .0.display())]
    NoCheckpoint(PathBuf),
    /// There is no segment at all.
    #[error("no audit segment in {}", .0.display())]
    Missing(PathBuf),
    /// It can't be read.
    #[error("{file} is not readable")]
    Unreadable {
        /// The file or directory.
        file: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// Its bytes are not those that were written.
    #[error("the record was damaged")]
    Damaged,
    /// Its number is not the next one.
    #[error("record {found} stands where {expected} belongs: records were dropped, repeated or moved")]
    Sequence {
        /// The number that belongs there.
        expected: u64,
        /// The number that stands there.
        found: u64,
    },
    /// It names another predecessor.
    #[error("record {0} was not written after the record before it")]
    Chain(u64),
    /// A segment begins with something else than its header.
    #[error("a segment begins without its header")]
    NoHeader,
    /// A header inside of a segment.
    #[error("a segment's header stands inside of the segment")]
    StrayHeader,
    /// A header that contradicts the segments before.
    #[error("the segment's header does not say what the segments before it say")]
    Ledger,
    /// A newer `jwksd` wrote it.
    #[error("the segment has format {found}, this jwksd reads up to {known}; use the newer jwksd")]
    Format {
        /// Its format.
        found: u32,
        /// The newest format that this build reads.
        known: u32,
    },
    /// The bytes are as written, but say nothing that this build knows.
    #[error("the record is not readable: {0}")]
    Unreadable(String),
    /// A record that is not the one for which a checkpoint vouches.
    #[error("record {seq} is not the one that {by} vouches for: the log was written anew")]
    Contradicted {
        /// The record.
        seq: u64,
        /// Which checkpoint.
        by: Box<str>,
    },
    /// A checkpoint in the log that is not to be believed.
    #[error("the checkpoint can't be trusted: {0}")]
    Checkpoint(Box<CheckpointError>),
    /// A checkpoint from outside is about a record before the first that is there.
    #[error("{by} vouches for record {seq}, which stands before the first one here; give the archived segments, too")]
    Archived {
        /// Which checkpoint.
        by: Box<str>,
        /// The record that it is about.
        seq: u64,
    },
    /// Bytes after the last record of a segment that is not the last one.
    #[error("the segment ends in the middle of a record, but another one follows it")]
    Torn,
}

impl From<CheckpointError> for Flaw {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_its_own_layer_and_the_place() {
        let at = |flaw| Fault::Record { file: "audit-1.jsonl".to_owned(), line: 3, flaw };
        let source = || Arc::new(io::Error::from(io::ErrorKind::StorageFull));
        let path = || PathBuf::from("/data/audit");
        let kid = || crate::ids::Kid::new("k").unwrap();
        let name = |text| crate::ids::InstallationId::new(text).unwrap();
        let errors: Vec<Box<dyn std::error::Error>> = vec![
            Box::new(AuditError::Unavailable { doing: "syncing records", source: source() }),
            Box::new(AuditError::Busy),
            Box::new(AuditError::Closed),
            Box::new(AuditError::Locked),
            Box::new(AuditError::Reserved),
            Box::new(AuditError::Damaged(Fault::Missing(path()))),
            Box::new(Fault::Missing(path())),
            Box::new(Fault::CutOff { file: "audit-1.jsonl".into(), line: 3, last: 7, by: "kept.jws".into(), seq: 9 }),
            Box::new(Fault::Checkpoint { name: "kept.jws".to_owned(), source: Box::new(CheckpointError::Typ) }),
            Box::new(Fault::Keys(Arc::new(JwkError::NoKeys))),
            Box::new(Fault::NoCheckpoint(path())),
            Box::new(Fault::Unreadable { file: "audit-1.jsonl".to_owned(), source: source() }),
            Box::new(at(Flaw::Damaged)),
            Box::new(at(Flaw::Sequence { expected: 7, found: 9 })),
            Box::new(at(Flaw::Chain(7))),
            Box::new(at(Flaw::NoHeader)),
            Box::new(at(Flaw::StrayHeader)),
            Box::new(at(Flaw::Ledger)),
            Box::new(at(Flaw::Format { found: 2, known: 1 })),
            Box::new(at(Flaw::Unreadable("unknown variant `x`".to_owned()))),
            Box::new(at(Flaw::Torn)),
            Box::new(at(Flaw::Contradicted { seq: 2, by: "kept.jws".into() })),
            Box::new(at(Flaw::Archived { by: "kept.jws".into(), seq: 2 })),
            Box::new(at(CheckpointError::Typ.into())),
            Box::new(at(CheckpointError::NoKey.into())),
            Box::new(at(CheckpointError::Payload("missing field `seq`".to_owned()).into())),
            Box::new(at(CheckpointError::UnknownKey(kid()).into())),
            Box::new(at(CheckpointError::Signature(kid()).into())),
            Box::new(at(CheckpointError::Elsewhere(9).into())),
            Box::new(at(CheckpointError::Installation { expected: name("prod"), found: name("test") }.into())),
        ];
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.join("\n"), TEXTS.trim());
    }

    const TEXTS: &str = "
audit log unavailable: syncing records
audit log busy
audit log closed
it is in use by another process; is a jwksd running on the same data?
a segment's header is not an event to append
audit log damaged
no audit segment in /data/audit
audit-1.jsonl:3: the log ends here with record 7, but kept.jws vouches for record 9: its end was cut off
checkpoint kept.jws
checkpoint-key.json is not the JWK Set that was written
no checkpoint is in the audit log in /data/audit, although a key for them was given
audit-1.jsonl is not readable
audit-1.jsonl:3: the record was damaged
audit-1.jsonl:3: record 9 stands where 7 belongs: records were dropped, repeated or moved
audit-1.jsonl:3: record 7 was not written after the record before it
audit-1.jsonl:3: a segment begins without its header
audit-1.jsonl:3: a segment's header stands inside of the segment
audit-1.jsonl:3: the segment's header does not say what the segments before it say
audit-1.jsonl:3: the segment has format 2, this jwksd reads up to 1; use the newer jwksd
audit-1.jsonl:3: the record is not readable: unknown variant `x`
audit-1.jsonl:3: the segment ends in the middle of a record, but another one follows it
audit-1.jsonl:3: record 2 is not the one that kept.jws vouches for: the log was written anew
audit-1.jsonl:3: kept.jws vouches for record 2, which stands before the first one here; give the archived segments, too
audit-1.jsonl:3: the checkpoint can't be trusted: it is not a checkpoint: its typ is not jwksd-checkpoint
audit-1.jsonl:3: the checkpoint can't be trusted: it names no key
audit-1.jsonl:3: the checkpoint can't be trusted: its payload is not that of a checkpoint: missing field `seq`
audit-1.jsonl:3: the checkpoint can't be trusted: it is signed by key k, which is not among the keys to check it with
audit-1.jsonl:3: the checkpoint can't be trusted: its signature is not one of key k
audit-1.jsonl:3: the checkpoint can't be trusted: it vouches for record 9, which is not among the records before it
audit-1.jsonl:3: the checkpoint can't be trusted: it is a checkpoint of installation test, the others are of prod
";
}
