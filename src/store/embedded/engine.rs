//! redb behind our rules: blocking calls, and the file opened and checked anew after any trouble.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use crate::failpoint::failpoint;
use crate::ids::{CommitId, IssuerId, Revision};
use crate::lifecycle::issuer::Issuer;
use crate::store::codec::{self, Sealed};
use crate::store::{Committed, Replaced, StoreError};

/// Records by issuer.
const ISSUERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("issuers");

/// Bytes of pages that redb keeps in memory. The state is read once and then lives in the snapshot.
const CACHE: usize = 32 << 20;

/// The engine, or its absence since something went wrong.
#[derive(Debug)]
pub struct Engine {
    path: PathBuf,
    database: RwLock<Option<Database>>,
}

/// Why some work on the engine ended without a result.
enum Failure {
    /// The engine is well; this is the answer.
    Answer(StoreError),
    /// The engine said so, before anything was committed.
    Engine(redb::Error),
    /// The commit itself failed: it may or may not be on disk.
    Commit(redb::Error),
    /// The engine panicked, at whatever point.
    Panic,
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

fn answer(error: StoreError) -> Failure {
    Failure::Answer(error)
}

impl Engine {
    /// Lays out an empty store in an empty file, durably. After an error it is opened anew from `path`.
    pub fn create(path: PathBuf, file: impl StorageBackend) -> Result<Self, StoreError> {
        let lay_out = || {
            let database = builder().create_with_backend(file)?;
            let transaction = database.begin_write()?;
            transaction.open_table(ISSUERS)?;
            transaction.commit()?;
            Ok::<_, redb::Error>(database)
        };
        let database = lay_out().map_err(|error| refused(&path, error))?;
        Ok(Self { path, database: RwLock::new(Some(database)) })
    }

    /// Opens the file and checks every page of it.
    pub fn open(path: PathBuf) -> Result<Self, StoreError> {
        let database = RwLock::new(Some(open(&path)?));
        Ok(Self { path, database })
    }

    pub fn load(&self, issuer: &IssuerId) -> Result<Option<Committed>, StoreError> {
        self.answered(|database| {
            let table = database.begin_read()?.open_table(ISSUERS)?;
            let record = table.get(issuer.as_str())?;
            record.map(|record| codec::decode(issuer, record.value())).transpose().map_err(answer)
        })
    }

    pub fn load_all(&self) -> Result<Vec<Committed>, StoreError> {
        self.each(codec::decode)
    }

    pub fn list(&self) -> Result<Vec<(IssuerId, Revision)>, StoreError> {
        self.each(|issuer, record| Ok((issuer.clone(), codec::cover(issuer, record)?.revision)))
    }

    fn each<T>(&self, read: impl Fn(&IssuerId, &[u8]) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
        self.answered(|database| {
            let table = database.begin_read()?.open_table(ISSUERS)?;
            let mut all = Vec::new();
            for entry in table.iter()? {
                let (name, record) = entry?;
                let name = name.value();
                let issuer = IssuerId::new(name).map_err(|error| answer(StoreError::Damaged(error.to_string())))?;
                all.push(read(&issuer, record.value()).map_err(answer)?);
            }
            Ok(all)
        })
    }

    pub fn create_issuer(&self, issuer: &Issuer, commit_id: CommitId) -> Result<Committed, StoreError> {
        let revision = Revision::new(1);
        let sealed = codec::seal(issuer, revision, commit_id, None)?;
        let written = self.run(|database| {
            write(database, issuer.id(), &sealed, |there| match there {
                None => Ok(true),
                Some(_) => Err(StoreError::Exists(issuer.id().clone())),
            })
        });
        let committed = Committed { issuer: issuer.clone(), revision, commit_id, hash: sealed.hash };
        match written {
            Ok(_) => Ok(committed),
            // There is no "unknown" to answer here, so look.
            Err(failure @ (Failure::Commit(_) | Failure::Panic)) => match self.load(issuer.id())? {
                Some(there) if there.commit_id == commit_id => Ok(there),
                _ => Err(self.refusal(failure)),
            },
            Err(failure) => Err(self.refusal(failure)),
        }
    }

    pub fn replace(&self, expected: &Committed, next: &Issuer, commit_id: CommitId) -> Result<Replaced, StoreError> {
        let revision = expected.revision.next();
        let sealed = codec::seal(next, revision, commit_id, Some(expected.hash))?;
        let written = self.run(|database| {
            write(database, next.id(), &sealed, |there| {
                let gone = || StoreError::Damaged(format!("the record of issuer {} is gone", next.id()));
                let there = codec::cover(next.id(), there.ok_or_else(gone)?)?;
                let found = (there.revision, there.commit_id, there.hash);
                Ok(found == (expected.revision, expected.commit_id, expected.hash))
            })
        });
        match written {
            Ok(true) => {
                Ok(Replaced::Committed(Committed { issuer: next.clone(), revision, commit_id, hash: sealed.hash }))
            }
            Ok(false) => Ok(Replaced::Conflict),
            Err(Failure::Commit(error)) => Ok(Replaced::Unknown(error.to_string())),
            Err(Failure::Panic) => Ok(Replaced::Unknown(self.gave_up())),
            Err(failure) => Err(self.refusal(failure)),
        }
    }

    fn answered<T>(&self, work: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, StoreError> {
        self.run(work).map_err(|failure| self.refusal(failure))
    }

    /// Does `work`, on an engine opened anew if the last work failed in it.
    fn run<T>(&self, work: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, Failure> {
        self.reopen().map_err(answer)?;
        let outcome = {
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
            let gone = || answer(StoreError::Unavailable(format!("{}: closed after an error", self.path.display())));
            let database = database.as_ref().ok_or_else(gone)?;
            catch_unwind(AssertUnwindSafe(|| work(database))).unwrap_or(Err(Failure::Panic))
        };
        if matches!(outcome, Err(Failure::Engine(_) | Failure::Commit(_) | Failure::Panic)) {
            // Waits for whoever still reads: redb's lock on the file goes with the engine.
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        outcome
    }

    fn reopen(&self) -> Result<(), StoreError> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some(open(&self.path)?);
        }
        Ok(())
    }

    fn refusal(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Answer(error) => error,
            Failure::Engine(error) | Failure::Commit(error) => refused(&self.path, error),
            Failure::Panic => StoreError::Damaged(self.gave_up()),
        }
    }

    fn gave_up(&self) -> String {
        format!("{}: the engine gave up on what it found", self.path.display())
    }
}

/// Writes `sealed` if `allows` says so of the record that stands there. Once this returns true it is durable.
fn write(
    database: &Database,
    issuer: &IssuerId,
    sealed: &Sealed,
    allows: impl FnOnce(Option<&[u8]>) -> Result<bool, StoreError>,
) -> Result<bool, Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut table = transaction.open_table(ISSUERS)?;
        let is_allowed = {
            let there = table.get(issuer.as_str())?;
            allows(there.as_ref().map(|record| record.value())).map_err(answer)?
        };
        if !is_allowed {
            return Ok(false);
        }
        table.insert(issuer.as_str(), sealed.bytes.as_slice())?;
    }
    failpoint("store.commit.before");
    transaction.commit().map_err(|error| Failure::Commit(error.into()))?;
    failpoint("store.commit.after");
    echo(database).map_err(Failure::Commit)?;
    Ok(true)
}

/// Commits once more, changing nothing.
///
/// redb keeps its last two commits and one bit that tells which is the newer. After a kill, a damaged newer
/// one looks like a torn commit, and redb goes back to the older one without a word. So both are made to hold
/// the newest state. A crash before this leaves the commit as durable as it was, only without its double.
fn echo(database: &Database) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction.commit()?)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // Without the check a clean close is trusted, and a damaged file may answer old or make redb panic.
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let opening = || {
        let database = builder().open(path)?;
        // A store that was not laid out by us to the end is not ours.
        database.begin_read()?.open_table(ISSUERS)?;
        Ok::<_, redb::Error>(database)
    };
    match catch_unwind(AssertUnwindSafe(opening)) {
        Ok(opened) => opened.map_err(|error| refused(path, error)),
        Err(_) => Err(StoreError::Damaged(format!("{}: the engine gave up on what it found", path.display()))),
    }
}

/// What an error of redb means to the caller.
pub fn refused(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    use redb::Error;
    let error = error.into();
    let path = path.display();
    match &error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => {
            StoreError::Unavailable(format!("{path} is in use by another process"))
        }
        Error::Io(cause) => match cause.kind() {
            io::ErrorKind::NotFound => {
                StoreError::Unavailable(format!("{path} does not exist; if this is a first start, run `jwksd init`"))
            }
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                StoreError::Damaged(format!("{path}: {error}"))
            }
            _ => StoreError::Unavailable(format!("{path}: {error}")),
        },
        Error::Corrupted(_)
        | Error::RepairAborted
        | Error::UpgradeRequired(_)
        | Error::TableDoesNotExist(_)
        | Error::TableTypeMismatch { .. }
        | Error::TableIsMultimap(_)
        | Error::TypeDefinitionChanged { .. } => StoreError::Damaged(format!("{path}: {error}")),
        _ => StoreError::Unavailable(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests;
