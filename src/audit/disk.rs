//! The few things that the log asks of a file system, so that tests can put a failing one beneath it.

use std::fmt::Debug;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Advice;

/// One directory.
pub trait Disk: Debug + Send {
    /// The names of the files in it, in no order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Opens a file to read and write; `create` makes it anew, and empty.
    fn open(&self, name: &str, how: How) -> io::Result<Box<dyn File>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable: created, renamed, removed.
    fn sync(&self) -> io::Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It must be there.
    Existing,
    /// Made anew, and empty.
    New,
}

/// One file in it.
pub trait File: Debug + Send {
    /// Everything in it, read from the medium rather than from memory where the system allows it.
    fn read(&mut self) -> io::Result<Vec<u8>>;
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts it to `length`, durably.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Makes what was written durable, and a length that grew.
    fn sync(&mut self) -> io::Result<()>;
}

/// A real directory, locked for as long as this value lives.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: fs::File,
}

impl Directory {
    /// Makes the directory if need be, for its owner alone, and locks it. `None` if another holds it.
    pub fn lock(path: &Path) -> io::Result<Option<Self>> {
        make(path)?;
        let handle = fs::File::open(path)?;
        match handle.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), handle })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Disk for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        names(&self.path)
    }

    fn open(&self, name: &str, how: How) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        if how == How::New {
            options.create(true).truncate(true);
        }
        Ok(Box::new(RealFile(options.open(self.path.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

fn make(path: &Path) -> io::Result<()> {
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    if !path.is_dir() {
        parent.map_or(Ok(()), make)?;
        fs::DirBuilder::new().mode(0o700).create(path)?;
    }
    // Also when it was there already: an earlier start may have died between making it and this.
    parent.map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}

/// The names of the files in `directory`.
pub fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        // A name that is not UTF-8 is none of ours.
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        // After a failed sync the cache may hold what the medium does not; only advice, so errors are nothing.
        let _ = rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed);
        let mut bytes = Vec::new();
        self.0.seek(SeekFrom::Start(0))?;
        self.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.sync_all()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
