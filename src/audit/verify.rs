//! Checks a whole log, without the daemon and without changing a byte.

use std::path::Path;

use super::digest::Digest;
use super::error::{Fault, Flaw};
use super::event::Event;
use super::ledger::Ledger;
use super::reader::{Records, Tail};
use super::scan::name;

/// What a sound log holds.
///
/// Keep it elsewhere: a later log must still contain record `last` with this `hash`. Without such a
/// witness nobody can see that whole records were cut off the end.
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
}

/// Reads all segments and checks every byte, from the very first record on.
///
/// # Errors
/// [`Fault`] names file and line of the first record that is not as it was written: a changed byte, a
/// record dropped, inserted or moved, a missing segment.
pub fn verify(directory: &Path) -> Result<Report, Fault> {
    report(directory, Records::open(directory)?)
}

/// Like [`verify`], for a log whose older segments were moved to an archive: the first record that is
/// there is taken on trust, and [`Report::first`] tells which it is.
///
/// # Errors
/// As for [`verify`].
pub fn verify_rest(directory: &Path) -> Result<Report, Fault> {
    report(directory, Records::of_archive(directory)?)
}

fn report(directory: &Path, mut records: Records) -> Result<Report, Fault> {
    let segments = records.segments_left();
    let mut ledger = Ledger::default();
    let mut first = None;
    let mut newest = None;
    for record in &mut records {
        let record = record?;
        // A start trusts the last header alone, so it had better say what the segments before it say.
        if let Event::Segment(header) = &record.event
            && first.is_some()
            && ledger != Ledger::of(&header.anchors, &header.intents)
        {
            return Err(Fault::Record { file: name(record.seq), line: 1, flaw: Flaw::Ledger });
        }
        ledger.record(&record.event);
        first = first.or(Some(record.seq));
        newest = Some((record.seq, record.hash, record.event == Event::Stopped {}));
    }
    // A segment without a header is a fault, so there is at least one record.
    let (Some(first), Some((last, hash, is_stopped))) = (first, newest) else {
        return Err(Fault::Missing(directory.to_owned()));
    };
    Ok(Report { segments, first, last, hash, is_stopped, tail: records.tail(), ledger })
}
