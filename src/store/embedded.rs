//! The embedded store: one file, one process, on redb.
//!
//! redb is trusted to say "durable" only when it is, and to refuse a damaged file once it was told to check it
//! as it opens. Everything else is ours: whole records under their own hashes, compare-and-swap, a file
//! that is complete before it gets its name, and a fresh look at the file after any error, because after
//! a failed sync neither the engine's memory nor the system's is worth anything.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio::task::spawn_blocking;

use super::{Committed, Replaced, Store, StoreError};
use crate::backend::BoxFuture;
use crate::chance;
use crate::clock::{Clock, SystemClock};
use crate::failpoint::failpoint;
use crate::ids::{CommitId, IssuerId, Revision};
use crate::lifecycle::issuer::Issuer;
use crate::lifecycle::time::Timestamp;

mod engine;

use engine::Engine;

/// A store in a file of this machine. Clones share it.
#[derive(Debug, Clone)]
pub struct Embedded {
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
}

impl Embedded {
    /// Makes an empty store at `path` and opens it. Blocks on the disk.
    ///
    /// A crash here leaves no store, or an empty one, or besides a file `<path>.<random>.new` that nobody reads.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if there is a file already, or the disk fails.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let taken = || StoreError::Unavailable(format!("{} is there already", path.display()));
        if path.exists() {
            return Err(taken());
        }
        let temporary = suffixed(path, &format!(".{:016x}.new", u64::from_ne_bytes(chance::bytes())));
        let failed = |doing: &'static str| {
            let path = path.display().to_string();
            move |error: io::Error| StoreError::Unavailable(format!("{doing} {path}: {error}"))
        };
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.map_err(failed("making"))?;
        let synced = file.try_clone().map_err(failed("making"))?;
        let backend = FileBackend::new(file).map_err(|error| engine::refused(path, error))?;
        let engine = Engine::create(path.to_owned(), backend)?;
        synced.sync_all().map_err(failed("syncing"))?;
        failpoint("store.create.synced");
        renameat_with(CWD, &temporary, CWD, path, RenameFlags::NOREPLACE).map_err(|error| match error {
            rustix::io::Errno::EXIST => taken(),
            error => failed("naming")(error.into()),
        })?;
        failpoint("store.create.renamed");
        sync_directory_of(path).map_err(failed("syncing the directory of"))?;
        Ok(Self::over(engine))
    }

    /// Opens the store at `path` and checks all of it. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file is missing (it is never made here: a missing store is lost
    /// data, not a first start) or another process has it open; [`StoreError::Damaged`] if it is not what
    /// was written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Engine::open(path.to_owned()).map(Self::over)
    }

    /// Takes the store's own time from `clock`. Without this it is the machine's clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Every issuer. Blocks on the disk: 10,000 take well under a second.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] or [`StoreError::Format`] for the first record that can't be read.
    pub fn load_all(&self) -> Result<Vec<Committed>, StoreError> {
        self.engine.load_all()
    }

    fn over(engine: Engine) -> Self {
        Self { engine: Arc::new(engine), clock: Arc::new(SystemClock) }
    }

    /// Runs `work` where it may block.
    fn blocking<'a, T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let engine = self.engine.clone();
        Box::pin(async move {
            match spawn_blocking(move || work(&engine)).await {
                Ok(outcome) => outcome,
                // The runtime is going down, and never began the work or never tells how it ended.
                Err(error) => Err(StoreError::Unavailable(format!("the work was abandoned: {error}"))),
            }
        })
    }
}

impl Store for Embedded {
    fn load<'a>(&'a self, issuer: &'a IssuerId) -> BoxFuture<'a, Result<Option<Committed>, StoreError>> {
        let issuer = issuer.clone();
        self.blocking(move |engine| engine.load(&issuer))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<(IssuerId, Revision)>, StoreError>> {
        self.blocking(Engine::list)
    }

    /// An error other than [`StoreError::Exists`] leaves it open whether the record was written.
    fn create<'a>(&'a self, issuer: &'a Issuer, commit_id: CommitId) -> BoxFuture<'a, Result<Committed, StoreError>> {
        let issuer = issuer.clone();
        self.blocking(move |engine| engine.create_issuer(&issuer, commit_id))
    }

    fn replace<'a>(
        &'a self,
        expected: &'a Committed,
        next: &'a Issuer,
        commit_id: CommitId,
    ) -> BoxFuture<'a, Result<Replaced, StoreError>> {
        let (expected, next) = (expected.clone(), next.clone());
        self.blocking(move |engine| engine.replace(&expected, &next, commit_id))
    }

    fn server_time(&self) -> BoxFuture<'_, Result<Timestamp, StoreError>> {
        let now = self.clock.now();
        Box::pin(async move { Ok(now) })
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
