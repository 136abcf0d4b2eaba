//! A directory in memory that can lose, tear and refuse what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::audit::disk::{Disk, File, How};

/// What tears apart in a crash: far smaller than a real sector, so that records tear often.
const SECTOR: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A write takes half and then there is no space.
    Full,
    /// A sync fails, and the system forgets what it could not write.
    SyncForgets,
    /// A sync fails after all was written.
    SyncLies,
    /// Names can't be made durable.
    DirectorySync,
}

#[derive(Debug, Default, Clone)]
struct Content {
    durable: Vec<u8>,
    /// Writes since the last sync: offset and bytes.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    trouble: Option<Trouble>,
}

#[derive(Debug, Clone, Default)]
pub struct FakeDisk(Arc<Mutex<State>>);

impl FakeDisk {
    /// From now on, until told otherwise, this goes wrong.
    pub fn trouble(&self, trouble: Option<Trouble>) {
        self.0.lock().unwrap().trouble = trouble;
    }

    /// What a crash now leaves; `coin` decides what of the unsynced survives.
    pub fn crash(&self, mut coin: impl FnMut() -> bool) -> Self {
        let state = self.0.lock().unwrap();
        let mut survive = |content: &Content| {
            let mut durable = content.durable.clone();
            for (offset, bytes) in &content.pending {
                for (n, sector) in bytes.chunks(SECTOR).enumerate().filter(|_| coin()) {
                    overwrite(&mut durable, offset + n * SECTOR, sector);
                }
            }
            Content { durable, pending: Vec::new() }
        };
        let files = state.files.iter().map(&mut survive).collect();
        let names = if coin() { state.names.clone() } else { state.durable_names.clone() };
        Self(Arc::new(Mutex::new(State { files, durable_names: names.clone(), names, trouble: None })))
    }

    /// The files as a reader sees them.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.names.iter().map(|(name, at)| (name.clone(), seen(&state.files[*at]))).collect()
    }
}

fn overwrite(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    file.resize(file.len().max(offset + bytes.len()), 0);
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn seen(content: &Content) -> Vec<u8> {
    let mut bytes = content.durable.clone();
    content.pending.iter().for_each(|(offset, written)| overwrite(&mut bytes, *offset, written));
    bytes
}

impl Disk for FakeDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().names.keys().cloned().collect())
    }

    fn open(&self, name: &str, how: How) -> io::Result<Box<dyn File>> {
        let mut state = self.0.lock().unwrap();
        let at = match how {
            How::Existing => *state.names.get(name).ok_or(io::ErrorKind::NotFound)?,
            How::New => {
                state.files.push(Content::default());
                let at = state.files.len() - 1;
                state.names.insert(name.to_owned(), at);
                at
            }
        };
        Ok(Box::new(FakeFile { disk: self.clone(), at }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let at = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), at);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().names.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.trouble == Some(Trouble::DirectorySync) {
            return Err(io::Error::other("EIO"));
        }
        state.durable_names = state.names.clone();
        Ok(())
    }
}

#[derive(Debug)]
struct FakeFile {
    disk: FakeDisk,
    at: usize,
}

impl File for FakeFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(seen(&self.disk.0.lock().unwrap().files[self.at]))
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let (taken, outcome) = match state.trouble {
            Some(Trouble::Full) => (bytes.len() / 2, Err(io::ErrorKind::StorageFull.into())),
            _ => (bytes.len(), Ok(())),
        };
        state.files[self.at].pending.push((usize::try_from(offset).unwrap(), bytes[..taken].to_vec()));
        outcome
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let content = &mut self.disk.0.lock().unwrap().files[self.at];
        let mut bytes = seen(content);
        bytes.resize(usize::try_from(length).unwrap(), 0);
        *content = Content { durable: bytes, pending: Vec::new() };
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let trouble = state.trouble;
        let content = &mut state.files[self.at];
        let durable = if trouble == Some(Trouble::SyncForgets) { content.durable.clone() } else { seen(content) };
        *content = Content { durable, pending: Vec::new() };
        match trouble {
            Some(Trouble::SyncForgets | Trouble::SyncLies) => Err(io::Error::other("EIO")),
            _ => Ok(()),
        }
    }
}
