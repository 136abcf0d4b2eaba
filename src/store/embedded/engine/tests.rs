//! The engine over a disk that fails, and then does not.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use redb::backends::FileBackend;

use super::*;

/// What the disk does from now on.
const WELL: u8 = 0;
/// Syncs are lost: the file does not get what was written.
const SYNC_FORGETS: u8 = 1;
/// Syncs fail after they did their work.
const SYNC_LIES: u8 = 2;
/// Nothing can be written.
const WRITES_FAIL: u8 = 3;

#[derive(Debug)]
struct Flaky {
    file: FileBackend,
    mood: Arc<AtomicU8>,
}

impl Flaky {
    fn fails(&self, mood: u8) -> io::Result<()> {
        if self.mood.load(Ordering::SeqCst) == mood { Err(io::Error::other("EIO")) } else { Ok(()) }
    }
}

impl StorageBackend for Flaky {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fails(WRITES_FAIL)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fails(SYNC_FORGETS)?;
        self.file.sync_data()?;
        self.fails(SYNC_LIES)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fails(WRITES_FAIL)?;
        if self.mood.load(Ordering::SeqCst) == SYNC_FORGETS { Ok(()) } else { self.file.write(offset, data) }
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

fn issuer(count: u64) -> Issuer {
    use crate::ids::JwkSetVersion;
    let state = Issuer::new(IssuerId::new("main").unwrap(), false).state().clone();
    Issuer::from_state(crate::lifecycle::issuer::IssuerState { jwk_set_version: JwkSetVersion::new(count), ..state })
        .unwrap()
}

fn commit(byte: u8) -> CommitId {
    CommitId::new([byte; 16])
}

fn flaky(directory: &Path) -> (Engine, Arc<AtomicU8>) {
    let path = directory.join("state.redb");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    let mood = Arc::new(AtomicU8::new(WELL));
    let backend = Flaky { file: FileBackend::new(file).unwrap(), mood: mood.clone() };
    (Engine::create(path, backend).unwrap(), mood)
}

#[test]
fn a_failed_commit_is_unknown_and_the_file_then_tells_how_it_ended() {
    for (mood, is_written) in [(SYNC_FORGETS, false), (SYNC_LIES, true), (WRITES_FAIL, false)] {
        let directory = tempfile::tempdir().unwrap();
        let (engine, disk) = flaky(directory.path());
        let first = engine.create_issuer(&issuer(1), commit(1)).unwrap();
        disk.store(mood, Ordering::SeqCst);
        let outcome = engine.replace(&first, &issuer(2), commit(2));
        assert!(matches!(outcome, Ok(Replaced::Unknown(_))), "mood {mood}: {outcome:?}");

        let there = engine.load(first.issuer.id()).unwrap().unwrap();
        assert_eq!(there.commit_id, commit(if is_written { 2 } else { 1 }), "mood {mood}");
        let next = engine.replace(&there, &issuer(3), commit(3)).unwrap();
        assert!(matches!(next, Replaced::Committed(_)), "mood {mood}: {next:?}");
    }
}

#[test]
fn a_failed_creation_is_resolved_by_looking() {
    for (mood, is_written) in [(SYNC_FORGETS, false), (SYNC_LIES, true)] {
        let directory = tempfile::tempdir().unwrap();
        let (engine, disk) = flaky(directory.path());
        disk.store(mood, Ordering::SeqCst);
        let outcome = engine.create_issuer(&issuer(1), commit(1));
        assert_eq!(outcome.is_ok(), is_written, "mood {mood}: {outcome:?}");
        assert_eq!(engine.load(issuer(1).id()).unwrap().is_some(), is_written);
    }
}
