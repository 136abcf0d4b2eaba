//! Reads a whole log from the outside, also while a daemon writes it.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk;
use super::error::{Fault, Flaw};
use super::line::Link;
use super::scan::{End, Record, Scan, first_of, name};

/// How a log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// With a whole record.
    Clean,
    /// In the middle of one: of a group that is being written now, or was when the daemon died. The next
    /// start cuts it off and says so in the log.
    Torn {
        /// The segment's file name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// How many bytes.
        bytes: u64,
    },
}

/// The records of a log in order, each checked against the one before.
#[derive(Debug)]
pub struct Records {
    directory: PathBuf,
    /// First records of the segments still to be read.
    segments: VecDeque<u64>,
    current: Option<(u64, Scan)>,
    link: Option<Link>,
    tail: Tail,
    is_over: bool,
}

impl Records {
    /// All records, beginning with the very first.
    ///
    /// # Errors
    /// [`Fault::Missing`] if the directory has no segment, [`Fault::Unreadable`] if it can't be read.
    pub fn open(directory: &Path) -> Result<Self, Fault> {
        let mut records = Self::of_archive(directory)?;
        // Whatever stands there must be record 1 and follow nothing.
        records.link = Some(Link::ORIGIN);
        Ok(records)
    }

    /// All records that are there: older segments may have been moved away.
    ///
    /// # Errors
    /// As for [`Records::open`].
    pub fn of_archive(directory: &Path) -> Result<Self, Fault> {
        let names = disk::names(directory).map_err(unreadable(&directory.display().to_string()))?;
        let mut segments: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
        if segments.is_empty() {
            return Err(Fault::Missing(directory.to_owned()));
        }
        segments.sort_unstable();
        let directory = directory.to_owned();
        Ok(Self { directory, segments: segments.into(), current: None, link: None, tail: Tail::Clean, is_over: false })
    }

    /// How the log ends; [`Tail::Clean`] until the last record was read.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.tail.clone()
    }

    pub(super) fn segments_left(&self) -> usize {
        self.segments.len()
    }

    fn step(&mut self) -> Result<Option<Record>, Fault> {
        loop {
            if let Some((first, scan)) = &mut self.current {
                let file = name(*first);
                let line = scan.line();
                match scan.next() {
                    Some(Ok(record)) => return Ok(Some(record)),
                    // A daemon that writes while we read can show us a late page without an early one.
                    Some(Err(_)) if self.segments.is_empty() && scan.reread(read(&self.directory, &file)?) => continue,
                    Some(Err(flaw)) => return Err(Fault::Record { file, line, flaw }),
                    None => {}
                }
                match scan.end() {
                    End::Clean => {}
                    _ if !self.segments.is_empty() => return Err(Fault::Record { file, line, flaw: Flaw::Torn }),
                    End::Ready => {}
                    End::Torn { bytes, .. } => self.tail = Tail::Torn { file, line, bytes },
                }
                self.link = scan.link();
            }
            let Some(first) = self.segments.pop_front() else { return Ok(None) };
            let bytes = read(&self.directory, &name(first))?;
            self.current = Some((first, Scan::new(bytes, first, self.link)));
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, Fault>;

    /// After an error nothing more comes: what stands beyond a fault is not proven.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let item = self.step().transpose();
        self.is_over = !matches!(item, Some(Ok(_)));
        item
    }
}

/// The last `count` records, oldest first, and how the log ends. Reads from the newest segments backwards.
///
/// # Errors
/// [`Fault`] names the first fault in the segments that had to be read.
pub fn last(directory: &Path, count: usize) -> Result<(Vec<Record>, Tail), Fault> {
    let all = Records::of_archive(directory)?.segments;
    let mut from = all.len();
    loop {
        from = from.saturating_sub(1);
        let mut records = Records::of_archive(directory)?;
        records.segments = all.iter().skip(from).copied().collect();
        let mut kept = VecDeque::new();
        for record in &mut records {
            kept.push_back(record?);
            if kept.len() > count {
                kept.pop_front();
            }
        }
        if kept.len() >= count || from == 0 {
            return Ok((kept.into(), records.tail()));
        }
    }
}

fn read(directory: &Path, file: &str) -> Result<Vec<u8>, Fault> {
    fs::read(directory.join(file)).map_err(unreadable(file))
}

fn unreadable(file: &str) -> impl FnOnce(io::Error) -> Fault {
    let file = file.to_owned();
    move |source| Fault::Unreadable { file, source: Arc::new(source) }
}
