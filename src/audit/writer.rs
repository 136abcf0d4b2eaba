//! The one writer: chains records, puts a group of them on disk with one sync, then tells who waits.
//!
//! What a crash leaves behind: any part of the group that was being written, none of which anybody was
//! told of; and perhaps zeros after it. A start cuts off the one and writes over the other.

use std::io;

use super::disk::{Disk, File, How};
use super::error::{AuditError, Fault, Flaw};
use super::event::{Event, Header, Signatures};
use super::ledger::Ledger;
use super::line::{Link, body, seal};
use super::log::Head;
use super::options::Options;
use super::scan::{End, FORMAT, Scan, name};
use crate::failpoint::failpoint;
use crate::lifecycle::time::Timestamp;

/// The name under which a segment is made.
pub const TEMPORARY: &str = "audit.new";

/// A record on its way, without number and predecessor.
#[derive(Debug)]
pub struct Draft {
    pub body: Vec<u8>,
    /// The event, if the ledger must hear of it once it is on disk.
    pub event: Option<Box<Event>>,
}

impl Draft {
    pub fn new(at: Timestamp, event: Event) -> Result<Self, AuditError> {
        let body = body(at, &event).map_err(|error| AuditError::io("encoding a record")(error.into()))?;
        Ok(Self { body, event: Ledger::concerns(&event).then(|| Box::new(event)) })
    }
}

/// What the present segment is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// A write failed: bytes may stand after the last record.
    Overhang,
    /// A sync failed: what the system shows of the file may not be what the medium holds.
    Doubtful,
}

#[derive(Debug)]
pub struct Writer {
    pub disk: Box<dyn Disk>,
    file: Box<dyn File>,
    /// The first record of the present segment.
    first: u64,
    /// When it began.
    begun: Timestamp,
    /// The last durable record.
    link: Link,
    /// Bytes up to its end.
    length: u64,
    /// Bytes up to the end of the zeros after it.
    ready: u64,
    pub ledger: Ledger,
    options: Options,
    health: Health,
    /// Set by a rotation that failed too: a segment with the next number may be there, so the present one
    /// must not grow any more.
    pub is_rotation_due: bool,
}

impl Writer {
    /// A new log. A crash here leaves no log, or one with its header.
    pub fn first(disk: Box<dyn Disk>, options: Options, now: Timestamp) -> Result<Self, AuditError> {
        let ledger = Ledger::default();
        let made = make_segment(&*disk, &ledger, options.signatures, Link::ORIGIN, now)?;
        Ok(Self {
            disk,
            file: made.file,
            first: 1,
            begun: now,
            link: made.link,
            length: made.length,
            ready: made.length,
            ledger,
            options,
            health: Health::Good,
            is_rotation_due: false,
        })
    }

    /// Goes on after what `scan` has read of the last segment.
    pub fn resume(
        disk: Box<dyn Disk>,
        file: Box<dyn File>,
        scan: &Scan,
        ledger: Ledger,
        options: Options,
    ) -> Option<Self> {
        let (first, begun, header, link) = (scan.first(), scan.begun()?, scan.header()?, scan.link()?);
        let is_rotation_due = header.signatures != options.signatures;
        let length = scan.length();
        Some(Self {
            disk,
            file,
            first,
            begun,
            link,
            length,
            ready: length,
            ledger,
            options,
            health: Health::Good,
            is_rotation_due,
        })
    }

    /// The number of the last durable record.
    pub fn seq(&self) -> u64 {
        self.link.seq
    }

    /// The last durable record.
    pub fn head(&self) -> Head {
        Head { seq: self.link.seq, hash: self.link.hash }
    }

    pub fn is_impaired(&self) -> bool {
        self.health != Health::Good
    }

    /// Writes `drafts` in this order and returns the number of the first. On return they are on disk.
    ///
    /// # Errors
    /// Any error means that none of them counts as written. The next call begins by cutting off what this
    /// one left.
    pub fn write(&mut self, drafts: &[Draft], now: Timestamp) -> Result<u64, AuditError> {
        self.heal()?;
        let is_old = self.options.segment_age.is_some_and(|age| now.since(self.begun) >= age);
        if self.is_rotation_due || is_old || self.length >= self.options.segment_bytes {
            self.rotate(now)?;
        }
        let mut bytes = Vec::with_capacity(drafts.iter().map(|draft| draft.body.len() + 160).sum());
        let mut link = self.link;
        for draft in drafts {
            link = seal(&mut bytes, link, self.link.seq, &draft.body);
        }
        let length = self.length + bytes.len() as u64;
        self.health = Health::Overhang;
        self.file.write_at(&bytes, self.length).map_err(AuditError::io("writing records"))?;
        self.make_ready(length)?;
        failpoint("audit.written");
        self.health = Health::Doubtful;
        self.file.sync().map_err(AuditError::io("syncing records"))?;
        failpoint("audit.synced");
        self.health = Health::Good;

        let seq = self.link.seq + 1;
        (self.link, self.length) = (link, length);
        drafts.iter().filter_map(|draft| draft.event.as_ref()).for_each(|event| self.ledger.record(event));
        Ok(seq)
    }

    /// Begins a new segment.
    ///
    /// A crash here leaves the old segment without its zeros, and perhaps the new one with its header.
    pub fn rotate(&mut self, now: Timestamp) -> Result<(), AuditError> {
        self.heal()?;
        self.is_rotation_due = true;
        self.trim()?;
        let made = make_segment(&*self.disk, &self.ledger, self.options.signatures, self.link, now)?;
        (self.file, self.first, self.link, self.begun) = (made.file, made.link.seq, made.link, now);
        (self.length, self.ready) = (made.length, made.length);
        self.is_rotation_due = false;
        Ok(())
    }

    /// Takes the zeros off the end.
    pub fn trim(&mut self) -> Result<(), AuditError> {
        self.health = Health::Doubtful;
        self.file.truncate(self.length).map_err(AuditError::io("cutting the end off"))?;
        (self.ready, self.health) = (self.length, Health::Good);
        Ok(())
    }

    /// Writes zeros ahead, if `length` bytes leave none. No space for them is no error: the records decide.
    fn make_ready(&mut self, length: u64) -> Result<(), AuditError> {
        if length <= self.ready {
            return Ok(());
        }
        self.ready = length;
        match self.file.write_at(&vec![0; self.options.ahead_bytes], length) {
            Ok(()) => self.ready = length + self.options.ahead_bytes as u64,
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(AuditError::io("making space for records")(error)),
        }
        Ok(())
    }

    /// Brings the segment back to its last durable record after an error.
    ///
    /// After a failed sync the system may drop the pages that it could not write, or show them as clean;
    /// so everything is read again, from the medium if possible, and nothing goes on unless all
    /// acknowledged records are there.
    fn heal(&mut self) -> Result<(), AuditError> {
        match self.health {
            Health::Good => return Ok(()),
            Health::Overhang => {}
            Health::Doubtful => self.reread()?,
        }
        self.trim()
    }

    fn reread(&mut self) -> Result<(), AuditError> {
        let file = name(self.first);
        self.file = self.disk.open(&file, How::Existing).map_err(AuditError::io("opening the log again"))?;
        let mut bytes = self.file.read().map_err(AuditError::io("reading the log again"))?;
        bytes.truncate(usize::try_from(self.length).unwrap_or(usize::MAX));
        let mut scan = Scan::new(bytes, self.first, None);
        while let Some(record) = scan.next() {
            record.map_err(|flaw| Fault::Record { file: file.clone(), line: scan.line(), flaw })?;
        }
        if scan.link() == Some(self.link) && scan.end() == End::Clean {
            return Ok(());
        }
        Err(Fault::Record { line: scan.line(), flaw: Flaw::Damaged, file }.into())
    }
}

struct Made {
    file: Box<dyn File>,
    link: Link,
    length: u64,
}

/// Makes the segment that follows `after`, complete before it gets its name. A crash here leaves a
/// temporary file, which the next attempt writes over.
fn make_segment(
    disk: &dyn Disk,
    ledger: &Ledger,
    signatures: Signatures,
    after: Link,
    now: Timestamp,
) -> Result<Made, AuditError> {
    let header = Header { format: FORMAT, signatures, anchors: ledger.commits(), intents: ledger.intents.clone() };
    let draft = Draft::new(now, Event::Segment(header))?;
    let mut bytes = Vec::new();
    let link = seal(&mut bytes, after, after.seq, &draft.body);
    let mut file = disk.open(TEMPORARY, How::New).map_err(AuditError::io("making a segment"))?;
    file.write_at(&bytes, 0).map_err(AuditError::io("writing a segment's header"))?;
    file.sync().map_err(AuditError::io("syncing a segment's header"))?;
    failpoint("audit.segment.synced");
    disk.rename(TEMPORARY, &name(link.seq)).map_err(AuditError::io("naming a segment"))?;
    failpoint("audit.segment.renamed");
    disk.sync().map_err(AuditError::io("syncing the log's directory"))?;
    Ok(Made { file, link, length: bytes.len() as u64 })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
