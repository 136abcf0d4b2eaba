//! One directory of small files that are created and removed durably, by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use thiserror::Error;

/// The directory, locked for this process as long as the value lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Never read: closing it gives up the lock.
    _lock: File,
}

/// What the operating system refused, and for which file.
#[derive(Debug, Error)]
#[error("{doing} {}", path.display())]
pub(super) struct FileError {
    /// "reading", "creating" …
    pub(super) doing: &'static str,
    /// The file or directory.
    pub(super) path: PathBuf,
    /// The reason.
    #[source]
    pub(super) source: io::Error,
}

/// Why a directory can't be ours.
#[derive(Debug)]
pub(super) enum DirectoryError {
    /// Everybody on the machine may enter it; its permissions.
    Exposed(u32),
    /// Another process holds the lock.
    InUse,
    /// The operating system refused.
    File(FileError),
}

impl From<FileError> for DirectoryError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl Directory {
    /// Opens the directory for this process alone, making it if need be, and removes half-written files.
    ///
    /// A crash here leaves an empty directory, or one with fewer remains than before.
    pub(super) fn open(path: &Path) -> Result<Self, DirectoryError> {
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| FileError { doing, path, source }
        };
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("creating", path))?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync(parent.unwrap_or(Path::new(".")))?;
        }
        let mode = fs::metadata(path).map_err(failed("reading", path))?.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(DirectoryError::Exposed(mode));
        }
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("opening", &lock_path))?;
        let mut patience = LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                // A daemon that is ending, or a child of ours between fork and exec, lets go in a moment.
                Err(TryLockError::WouldBlock) if !patience.is_zero() => {
                    sleep(LOCK_PAUSE);
                    patience = patience.saturating_sub(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(DirectoryError::InUse),
                Err(TryLockError::Error(source)) => Err(failed("locking", &lock_path)(source))?,
            }
        }
        let directory = Self { path: path.to_owned(), _lock: lock };
        // We hold the lock, so a temporary file here is the remains of a crash: its key was never handed out.
        for name in directory.names()? {
            if name.starts_with('.') && name.ends_with(TEMPORARY) {
                directory.unlink(&name)?;
            }
        }
        Ok(directory)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The full path of the file `name`.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The names in the directory that are text, in no order. No other name is ours.
    pub(super) fn names(&self) -> Result<Vec<String>, FileError> {
        let failed = |source| FileError { doing: "listing", path: self.path.clone(), source };
        let entries = fs::read_dir(&self.path).map_err(failed)?;
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect::<io::Result<_>>().map_err(failed)
    }

    /// Whether the file `name` is there.
    pub(super) fn has(&self, name: &str) -> Result<bool, FileError> {
        let path = self.file(name);
        path.try_exists().map_err(|source| FileError { doing: "looking for", path, source })
    }

    /// The content of the file `name`, or nothing if there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FileError> {
        let path = self.file(name);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() as u64 > FILE_MAX => {
                Err(FileError { doing: "reading", path, source: ErrorKind::FileTooLarge.into() })
            }
            Ok(_) => Ok(Some(bytes)),
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FileError { doing: "reading", path, source }),
        }
    }

    /// Writes `bytes` beside the place of `name`, durably; [`Staged::commit`] puts them there.
    ///
    /// The caller sees to it that nobody else stages the same name now. An error leaves nothing behind, a
    /// crash a temporary file that the next [`Directory::open`] removes.
    pub(super) fn stage(&self, name: &str, bytes: &[u8]) -> Result<Staged, FileError> {
        let staged =
            Staged { temporary: self.file(&format!(".{name}{TEMPORARY}")), target: self.file(name), committed: false };
        let failed = |source| FileError { doing: "writing", path: staged.temporary.clone(), source };
        // An earlier attempt that could not even remove its file.
        match fs::remove_file(&staged.temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged.temporary).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(staged)
    }

    /// Makes durable which files are there and which are not.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        sync(&self.path)
    }

    /// Removes the file `name`, if it is there. Durable after [`Directory::sync`].
    pub(super) fn unlink(&self, name: &str) -> Result<(), FileError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(FileError { doing: "removing", path, source }),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// A file that is written but not yet under its name. Dropped before [`Staged::commit`], it is removed.
#[derive(Debug)]
#[must_use]
pub(super) struct Staged {
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

/// Whether a file got its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    /// It did. Durable after [`Directory::sync`].
    Done,
    /// The name is taken; the other file was not touched.
    Taken,
}

impl Staged {
    /// Gives the file its name, unless that is taken. Not durable before [`Directory::sync`].
    pub(super) fn commit(mut self) -> Result<Commit, FileError> {
        let failed = |source: io::Error| FileError { doing: "creating", path: self.target.clone(), source };
        match renameat_with(CWD, &self.temporary, CWD, &self.target, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Commit::Taken),
            // Some network file systems know no such rename. The directory's lock, and the caller's own,
            // keep everybody else away between the question and the answer.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                if self.target.try_exists().map_err(failed)? {
                    return Ok(Commit::Taken);
                }
                fs::rename(&self.temporary, &self.target).map_err(failed)?;
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        self.committed = true;
        Ok(Commit::Done)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.committed {
            // If this fails too, the next open removes the file.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn sync(path: &Path) -> Result<(), FileError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|source| FileError { doing: "syncing", path: path.to_owned(), source })
}

const LOCK: &str = "lock";
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

const TEMPORARY: &str = ".tmp";

/// Ten times the longest file that we write: nothing of ours is longer.
const FILE_MAX: u64 = 64 * 1024;
