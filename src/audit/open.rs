//! Opens a log to write to it: reads the last segment, and cuts off what a crash left.

use std::collections::BTreeMap;

use super::disk::{Disk, How};
use super::error::{AuditError, Fault};
use super::event::{Commit, Event};
use super::ledger::{Anchor, Ledger};
use super::options::Options;
use super::scan::{End, Scan, first_of, name};
use super::writer::{Draft, TEMPORARY, Writer};
use crate::ids::IssuerId;
use crate::lifecycle::time::Timestamp;

/// What was found in a log as it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Whether there was no log. If the store then holds anything, the log was lost.
    pub is_new: bool,
    /// The number of the last record.
    pub seq: u64,
    /// Per issuer the commit that the store must hold at least; a lower revision means that it went back.
    pub anchors: BTreeMap<IssuerId, Anchor>,
    /// Commits of unknown fate, oldest first: load the issuer and compare the commit id, then append
    /// [`Event::Committed`] or [`Event::Abandoned`].
    pub intents: Vec<Commit>,
    /// The torn tail that was cut off, if there was one.
    pub cut: Option<Cut>,
}

/// A torn tail: bytes of a group of records that was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment's file name.
    pub file: String,
    /// The line at which it began, from 1.
    pub line: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Opens the log on `disk`, or makes it.
///
/// A crash between the cut and its record leaves the cut without a record: what was cut had not been
/// acknowledged to anybody.
pub fn open(disk: Box<dyn Disk>, options: Options, now: Timestamp) -> Result<(Writer, Opened), AuditError> {
    let names = disk.names().map_err(AuditError::io("listing the log's directory"))?;
    if names.iter().any(|name| name == TEMPORARY) {
        disk.remove(TEMPORARY).map_err(AuditError::io("removing an unfinished segment"))?;
    }
    let (writer, cut) = match names.iter().filter_map(|name| first_of(name)).max() {
        None => (Writer::first(disk, options, now)?, None),
        Some(first) => resume(disk, first, options, now)?,
    };
    let is_new = names.iter().all(|name| first_of(name).is_none());
    let Ledger { anchors, intents } = writer.ledger.clone();
    let opened = Opened { is_new, seq: writer.seq(), anchors, intents, cut };
    Ok((writer, opened))
}

fn resume(
    disk: Box<dyn Disk>,
    first: u64,
    options: Options,
    now: Timestamp,
) -> Result<(Writer, Option<Cut>), AuditError> {
    // The segment may have been named just before a crash, so make sure that its name stays.
    disk.sync().map_err(AuditError::io("syncing the log's directory"))?;
    let name = name(first);
    let mut file = disk.open(&name, How::Existing).map_err(AuditError::io("opening the last segment"))?;
    let mut scan = Scan::new(file.read().map_err(AuditError::io("reading the last segment"))?, first, None);
    let mut ledger = Ledger::default();
    loop {
        let line = scan.line();
        match scan.next() {
            Some(Ok(record)) => ledger.record(&record.event),
            Some(Err(flaw)) => return Err(Fault::Record { file: name, line, flaw }.into()),
            None => break,
        }
    }
    let (line, end) = (scan.line(), scan.end());
    let mut writer = Writer::resume(disk, file, &scan, ledger, options)
        .expect("invariant: a scan that ends without a flaw has read the header");
    // Also the zeros go: they may hide bytes that were never synced, and new ones cost one write.
    writer.trim()?;
    let End::Torn { bytes, sha256 } = end else { return Ok((writer, None)) };
    writer.write(&[Draft::new(now, Event::TailCut { bytes, sha256 })?], now)?;
    Ok((writer, Some(Cut { file: name, line, bytes })))
}
