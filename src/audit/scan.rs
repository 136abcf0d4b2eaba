//! Reads one segment, record by record, and tells a torn tail from damage.

use super::digest::Digest;
use super::error::Flaw;
use super::event::{Event, Header};
use super::line::{Framed, Link, OPEN, parse};
use crate::lifecycle::time::Timestamp;

/// The format that this build writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".jsonl";

/// The file name of the segment that begins with record `first`; names sort as numbers do.
pub fn name(first: u64) -> String {
    format!("{PREFIX}{first:020}{SUFFIX}")
}

/// The first record of the segment of this name, or `None` if no segment is called so.
pub fn first_of(file: &str) -> Option<u64> {
    let first = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
    (name(first) == file).then_some(first)
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1.
    pub seq: u64,
    /// The hash of its line, which the next record names.
    pub hash: Digest,
    /// When it was handed in.
    pub at: Timestamp,
    /// What it says.
    pub event: Event,
    /// The line itself, without its newline.
    pub line: String,
}

/// What stands after the last record of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Clean,
    /// Zeros: space that was made ready for further records.
    Ready,
    /// Bytes of a group that was being written when the machine or the process died.
    Torn { bytes: u64, sha256: Digest },
}

/// Goes through the bytes of one segment. After the last record, [`Scan::end`] tells what follows.
#[derive(Debug, Clone)]
pub struct Scan {
    bytes: Vec<u8>,
    /// The number that the file's name says.
    first: u64,
    /// Where the next record begins.
    offset: usize,
    lines: u64,
    /// The last record, of this segment or the one before; absent where the segment before is not known.
    link: Option<Link>,
    header: Option<Header>,
    /// When the header was written.
    begun: Option<Timestamp>,
    end: Option<End>,
}

impl Scan {
    /// `first`: from the file's name. `before`: the last record of the segment before, if it was read.
    pub fn new(bytes: Vec<u8>, first: u64, before: Option<Link>) -> Self {
        Self { bytes, first, offset: 0, lines: 0, link: before, header: None, begun: None, end: None }
    }

    /// The last record so far.
    pub fn link(&self) -> Option<Link> {
        self.link
    }

    /// The number in the file's name.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The segment's header, once it was read.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// When the segment began, once its header was read.
    pub fn begun(&self) -> Option<Timestamp> {
        self.begun
    }

    /// Bytes up to the end of the last record so far.
    pub fn length(&self) -> u64 {
        self.offset as u64
    }

    /// The line that is read next, from 1.
    pub fn line(&self) -> u64 {
        self.lines + 1
    }

    /// What follows the last record; [`End::Clean`] until that was read.
    pub fn end(&self) -> End {
        self.end.clone().unwrap_or(End::Clean)
    }

    /// Goes on from here with `bytes` as read again; false if they are what was read before.
    pub fn reread(&mut self, bytes: Vec<u8>) -> bool {
        let is_new = self.bytes != bytes;
        self.bytes = bytes;
        is_new
    }

    fn step(&mut self) -> Result<Option<Record>, Flaw> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        if rest.iter().all(|byte| *byte == 0) {
            self.end = Some(if rest.is_empty() { End::Clean } else { End::Ready });
            // A segment gets its name only once its header is on disk.
            return if self.header.is_some() { Ok(None) } else { Err(Flaw::NoHeader) };
        }
        let line = rest.split_inclusive(|byte| *byte == b'\n').next().and_then(|line| line.strip_suffix(b"\n"));
        let Some((line, framed)) = line.and_then(|line| Some((line, parse(line)?))) else {
            if self.header.is_none() {
                return Err(if line.is_some_and(is_newer) { newer(line) } else { Flaw::Damaged });
            }
            return self.torn(rest).map(|end| {
                self.end = Some(end);
                None
            });
        };
        let (at, event) = self.check(line, &framed)?;
        let text = String::from_utf8_lossy(line).into_owned();
        let record = Record { seq: framed.seq, hash: framed.hash, at, event, line: text };
        self.offset += line.len() + 1;
        self.lines += 1;
        self.link = Some(Link { seq: record.seq, hash: record.hash });
        if let Event::Segment(header) = &record.event {
            self.header = Some(header.clone());
            self.begun = Some(record.at);
        }
        Ok(Some(record))
    }

    fn check(&self, line: &[u8], framed: &Framed<'_>) -> Result<(Timestamp, Event), Flaw> {
        let is_first = self.header.is_none();
        let expected = if is_first && self.link.is_none() { self.first } else { self.link.map_or(1, |l| l.seq + 1) };
        if framed.seq != expected || is_first && framed.seq != self.first {
            return Err(Flaw::Sequence { expected, found: framed.seq });
        }
        if self.link.is_some_and(|link| link.hash != framed.prev) || framed.synced >= framed.seq {
            return Err(Flaw::Chain(framed.seq));
        }
        if is_first && is_newer(line) {
            return Err(newer(Some(line)));
        }
        let content = framed.content()?;
        match (&content.1, is_first) {
            (Event::Segment(_), false) => Err(Flaw::StrayHeader),
            (Event::Segment(_), true) => Ok(content),
            (_, true) => Err(Flaw::NoHeader),
            (_, false) => Ok(content),
        }
    }

    /// Decides about `rest`, which begins with something that is no record.
    ///
    /// A crash leaves that of the last group alone, and any of the group's pages may be missing. So whole
    /// records may follow, but none that repeats an older number, and none that was written when the one
    /// that is broken here was known to be on disk.
    fn torn(&self, rest: &[u8]) -> Result<End, Flaw> {
        let last = self.link.map_or(0, |link| link.seq);
        // Part of a record may stand before a whole one; but a whole one holds no other, so one look at each line does.
        for line in rest.split(|byte| *byte == b'\n') {
            let at = line.windows(OPEN.len()).rposition(|window| window == OPEN);
            let record = at.and_then(|at| parse(line.get(at..)?));
            if record.is_some_and(|record| record.seq <= last || record.synced > last) {
                return Err(Flaw::Damaged);
            }
        }
        let used = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let sha256 = Digest::of(rest.get(..used).unwrap_or_default());
        Ok(End::Torn { bytes: used as u64, sha256 })
    }
}

impl Iterator for Scan {
    type Item = Result<Record, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// The one member of a header that every format keeps, and keeps readable as JSON.
#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

fn format_of(line: &[u8]) -> Option<u32> {
    serde_json::from_slice::<Format>(line).ok().map(|Format { format }| format)
}

fn is_newer(line: &[u8]) -> bool {
    format_of(line).is_some_and(|found| found > FORMAT)
}

fn newer(line: Option<&[u8]>) -> Flaw {
    Flaw::Format { found: line.and_then(format_of).unwrap_or_default(), known: FORMAT }
}
