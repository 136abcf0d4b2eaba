//! The file of a Unix socket: never open to more than its mode says, never taken from a living process.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;

use tokio::net::UnixListener;

/// Why there is no socket.
#[derive(Debug)]
pub enum Fault {
    Io(io::Error),
    InUse,
    NotASocket,
    OpenDirectory,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The file of our socket; removed when this is dropped, unless another process has put its own there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Binds under a temporary name, sets the mode, then moves the socket into place: nobody can connect in
/// between with the process's default permissions. A crash leaves at most the temporary name behind.
pub fn bind(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), Fault> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory_mode = fs::metadata(directory)?.mode();
    if directory_mode & WORLD_WRITABLE != 0 && directory_mode & STICKY == 0 {
        return Err(Fault::OpenDirectory);
    }
    check_abandoned(path)?;
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?);
    name.push(format!(".{}", process::id()));
    let temporary = directory.join(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary)?;
    let placed = place(&temporary, path, mode);
    if placed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    Ok((listener, placed?))
}

const WORLD_WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;

fn place(temporary: &Path, path: &Path, mode: u32) -> io::Result<SocketFile> {
    fs::set_permissions(temporary, Permissions::from_mode(mode))?;
    fs::rename(temporary, path)?;
    Ok(SocketFile { path: path.to_owned(), identity: identity(path)? })
}

/// Succeeds if nothing is there, or a socket on which nobody listens.
fn check_abandoned(path: &Path) -> Result<(), Fault> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !there.file_type().is_socket() {
        return Err(Fault::NotASocket);
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Fault::InUse),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|there| there == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let bound = bind(&path, 0o600).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(matches!(bind(&path, 0o600), Err(Fault::InUse)));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn only_a_dead_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let first = bind(&path, 0o660).unwrap();
        assert_eq!(mode(&path), 0o660);
        // Somebody else has put a socket of their own there: it is not ours to remove.
        fs::remove_file(&path).unwrap();
        let _theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());

        let file = directory.path().join("b.sock");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(bind(&file, 0o600), Err(Fault::NotASocket)));
        let nowhere = directory.path().join("missing/c.sock");
        assert!(matches!(bind(&nowhere, 0o600), Err(Fault::Io(error)) if error.kind() == io::ErrorKind::NotFound));
    }

    #[tokio::test]
    async fn a_directory_of_everybody_is_no_place_for_a_socket() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(bind(&directory.path().join("a.sock"), 0o600), Err(Fault::OpenDirectory)));
    }
}
