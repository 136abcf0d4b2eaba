//! Checks a whole log, without the daemon and without changing a byte.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::check::{Check, Origin, Witness};
use super::checkpoint::{CHECKPOINT_FILE, CheckpointKeys, KEY_FILE};
use super::digest::Digest;
use super::error::Fault;
use super::ledger::Ledger;
use super::reader::{Directory, Records, Source, Tail};
use crate::ids::{InstallationId, Kid};
use crate::jose::jwk::Jwk;
use crate::jose::jwk_set;
use crate::lifecycle::time::Timestamp;

/// What a log is held against, beside itself.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// Where it must begin.
    pub start: Start,
    /// The keys that its checkpoints must be signed with. If there is none, those that lie beside the log are
    /// taken, which only shows that log and keys fit together.
    pub keys: Vec<Jwk>,
    /// Checkpoints that were kept elsewhere: the name of each for people, and its text.
    pub checkpoints: Vec<(String, String)>,
}

/// Where a log must begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the very first record.
    #[default]
    First,
    /// With whatever is there: older segments were moved to an archive. The first record is taken on trust.
    Anywhere,
}

/// What a sound log holds.
///
/// Keep it elsewhere: a later log must still contain record `last` with this `hash`. Without such a
/// witness, or a checkpoint, nobody can see that whole records were cut off the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many segments were read.
    pub segments: usize,
    /// The number of the first record.
    pub first: u64,
    /// The number of the last record.
    pub last: u64,
    /// The hash of the last record.
    pub hash: Digest,
    /// Whether the last record says that the daemon ended in good order.
    pub is_stopped: bool,
    /// What stands after the last record.
    pub tail: Tail,
    /// What the log knows of the store.
    pub ledger: Ledger,
    /// How many checkpoints are in the log, each proven.
    pub checkpoints: u64,
    /// The newest record that a checkpoint vouches for, in the log or from outside.
    pub vouched: Option<Vouched>,
    /// Whose word the keys of the checkpoints are.
    pub trust: Trust,
}

/// The newest record that a checkpoint vouches for: nobody without the key can have changed it or one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// Whose log it is.
    pub installation: InstallationId,
    /// The record.
    pub seq: u64,
    /// When it was the last one.
    pub at: Timestamp,
    /// The key that signed.
    pub kid: Kid,
}

/// Whose word the keys of the checkpoints are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Of whoever checks: they were given.
    Pinned,
    /// Of the log's own directory: whoever wrote the log anew may have made them, too.
    Beside,
}

/// Reads all segments and checks every byte, from the very first record on, and whatever checkpoints there are.
///
/// # Errors
/// [`Fault`] names file and line of the first record that is not as it was written: a changed byte, a
/// record dropped, inserted or moved, a missing segment, an end that was cut off.
pub fn verify(directory: &Path) -> Result<Report, Fault> {
    verify_against(directory, &Against::default())
}

/// Like [`verify`], with what somebody knows of the log beside it.
///
/// # Errors
/// As for [`verify`]; also if a checkpoint is not what one of the keys has signed, or the log contradicts it.
pub fn verify_against(directory: &Path, against: &Against) -> Result<Report, Fault> {
    verify_source(Arc::new(Directory::new(directory)), against)
}

pub(super) fn verify_source(source: Arc<dyn Source>, against: &Against) -> Result<Report, Fault> {
    let (mut check, mut records, trust) = begin(source, against)?;
    let segments = records.segments_left();
    go_on(&mut check, &mut records, !against.keys.is_empty())?;
    let Check { ledger, first, newest, vouched, checkpoints, .. } = check;
    // A segment without a header is a fault, so there is at least one record.
    let (Some(first), Some((last, hash, is_stopped))) = (first, newest) else {
        return Err(Fault::Missing(records.directory()));
    };
    let tail = records.tail();
    Ok(Report { segments, first, last, hash, is_stopped, tail, ledger, checkpoints, vouched, trust })
}

/// Everything before the first record. What lies beside the log is read before the log, so that a daemon that goes on
/// writing is always ahead of it.
pub(super) fn begin(source: Arc<dyn Source>, against: &Against) -> Result<(Check, Records, Trust), Fault> {
    let (keys, trust) = if against.keys.is_empty() {
        (CheckpointKeys::new(&keys_beside(&*source)?), Trust::Beside)
    } else {
        (CheckpointKeys::new(&against.keys), Trust::Pinned)
    };
    let given = against.checkpoints.iter().map(|(name, text)| (name.clone(), text.clone(), Origin::Given));
    let beside = beside(&*source, CHECKPOINT_FILE)?.map(|text| (CHECKPOINT_FILE.to_owned(), text, Origin::Beside));
    let witness = |(name, text, origin): (String, String, Origin)| {
        let (checkpoint, kid) = keys
            .verify(text.trim())
            .map_err(|source| Fault::Checkpoint { name: name.clone(), source: Box::new(source) })?;
        Ok(Witness { name, checkpoint, kid, origin })
    };
    let witnesses = given.chain(beside).map(witness).collect::<Result<_, Fault>>()?;
    let records = Records::of(source, against.start)?;
    Ok((Check::new(against.start, keys, witnesses), records, trust))
}

/// Reads on to the end of the log.
pub(super) fn go_on(check: &mut Check, records: &mut Records, is_pinned: bool) -> Result<(), Fault> {
    while let Some(record) = records.next() {
        let at = |flaw| records.place().fault(flaw);
        check.take(&record?).map_err(at)?;
    }
    check.end(&records.place())?;
    if is_pinned && check.vouched.is_none() {
        return Err(Fault::NoCheckpoint(records.directory()));
    }
    Ok(())
}

fn keys_beside(source: &dyn Source) -> Result<Vec<Jwk>, Fault> {
    let Some(text) = beside(source, KEY_FILE)? else { return Ok(Vec::new()) };
    jwk_set::parse(&text).map_err(|source| Fault::Keys(Arc::new(source)))
}

/// The text of a file beside the segments, if it is there.
fn beside(source: &dyn Source, name: &str) -> Result<Option<String>, Fault> {
    match source.read(name) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::Unreadable { file: name.to_owned(), source: Arc::new(error) }),
    }
}
