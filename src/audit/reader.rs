//! Reads a whole log from the outside, also while a daemon writes it.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk;
use super::error::{Fault, Flaw};
use super::line::Link;
use super::scan::{End, Record, Scan, first_of, name};
use super::verify::Start;

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

/// Where segments are read from.
pub trait Source: Debug + Send + Sync {
    /// What it is called in a complaint.
    fn path(&self) -> PathBuf;
    /// The names of the files in it, in no order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// A whole file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
}

/// A directory that somebody else may be writing to.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Source for Directory {
    fn path(&self) -> PathBuf {
        self.0.clone()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        disk::names(&self.0)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The segment's file name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

impl Place {
    /// This is wrong with the record there.
    pub fn fault(self, flaw: Flaw) -> Fault {
        let Self { file, line } = self;
        Fault::Record { file, line, flaw }
    }
}

/// The records of a log in order, each checked against the one before.
#[derive(Debug, Clone)]
pub struct Records {
    source: Arc<dyn Source>,
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
        Self::of(Arc::new(Directory::new(directory)), Start::First)
    }

    /// All records that are there: older segments may have been moved away.
    ///
    /// # Errors
    /// As for [`Records::open`].
    pub fn of_archive(directory: &Path) -> Result<Self, Fault> {
        Self::of(Arc::new(Directory::new(directory)), Start::Anywhere)
    }

    pub(super) fn of(source: Arc<dyn Source>, start: Start) -> Result<Self, Fault> {
        let path = source.path();
        let names = source.names().map_err(unreadable(&path.display().to_string()))?;
        let mut segments: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
        if segments.is_empty() {
            return Err(Fault::Missing(path));
        }
        segments.sort_unstable();
        let link = match start {
            // Whatever stands there must be record 1 and follow nothing.
            Start::First => Some(Link::ORIGIN),
            Start::Anywhere => None,
        };
        Ok(Self { source, segments: segments.into(), current: None, link, tail: Tail::Clean, is_over: false })
    }

    /// How the log ends; [`Tail::Clean`] until the last record was read.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// Where the record stands that was returned last; nothing is known of it before the first.
    pub(super) fn place(&self) -> Place {
        let place = |(first, scan): &(u64, Scan)| Place { file: name(*first), line: scan.line() - 1 };
        self.current.as_ref().map(place).unwrap_or_default()
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.source.path()
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
                    Some(Err(_)) if self.segments.is_empty() && scan.reread(read(&*self.source, &file)?) => continue,
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
            let bytes = read(&*self.source, &name(first))?;
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

fn read(source: &dyn Source, file: &str) -> Result<Vec<u8>, Fault> {
    source.read(file).map_err(unreadable(file))
}

fn unreadable(file: &str) -> impl FnOnce(io::Error) -> Fault {
    let file = file.to_owned();
    move |source| Fault::Unreadable { file, source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Records {
        /// The same reader over another source: what was read stays read, the present segment is read again.
        pub fn over(&self, source: Arc<dyn Source>) -> Self {
            let mut other = Self { source, ..self.clone() };
            let names = other.source.names().unwrap();
            other.segments.retain(|first| names.contains(&name(*first)));
            if let Some((first, scan)) = &mut other.current {
                scan.reread(other.source.read(&name(*first)).unwrap());
            }
            other
        }
    }
}
