//! The two files beside the log: the newest checkpoint, and the keys by which all of them are verified.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use tracing::warn;

use super::MakeError;
use crate::audit::{CHECKPOINT_FILE, KEY_FILE};
use crate::jose::jwk::Jwk;
use crate::jose::jwk_set;

/// Puts the newest checkpoint in the place of the one before.
pub async fn keep(directory: &Path, jws: &str) -> Result<(), MakeError> {
    let (path, text) = (directory.join(CHECKPOINT_FILE), format!("{jws}\n"));
    blocking(path.clone(), move || replace(&path, text.as_bytes()).map_err(at(&path))).await
}

/// Adds a key to those by which checkpoints are verified. None is ever taken away: older checkpoints are in the log.
pub async fn publish(directory: &Path, jwk: &Jwk) -> Result<(), MakeError> {
    let (path, jwk) = (directory.join(KEY_FILE), jwk.clone());
    blocking(path.clone(), move || add(&path, jwk)).await
}

fn add(path: &Path, jwk: Jwk) -> Result<(), MakeError> {
    let mut keys = match fs::read_to_string(path) {
        Ok(text) => jwk_set::parse(&text).map_err(|source| MakeError::KeyFile { path: path.to_owned(), source })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(at(path)(error)),
    };
    if keys.contains(&jwk) {
        return Ok(());
    }
    if !keys.is_empty() {
        warn!(kid = %jwk.kid(), "the key that signs checkpoints of the audit log is a new one; was that meant?");
    }
    keys.push(jwk);
    replace(path, format!("{}\n", jwk_set::render(&keys)).as_bytes()).map_err(at(path))
}

/// Writes a file beside its place, syncs and renames it: a reader, and a crash, find the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> MakeError {
    let path = path.to_owned();
    move |source| MakeError::File { path, source }
}

async fn blocking(
    path: PathBuf,
    work: impl FnOnce() -> Result<(), MakeError> + Send + 'static,
) -> Result<(), MakeError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(MakeError::File { path, source: io::Error::other(error) }),
    }
}
