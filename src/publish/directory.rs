//! A directory that some web server serves.
//!
//! ```text
//! <root>/<path>/.well-known/jwks.json                   the newest set
//! <root>/<path>/.well-known/jwks/<version>.json         every set, for ever
//! <root>/<path>/.well-known/openid-configuration        when wanted
//! ```
//!
//! Files are written beside their place, synced and renamed: a reader, and a crash, find the old file
//! or the new one. The numbered file goes first; by it a later writer knows how far publication has come.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::backend::BoxFuture;
use crate::failpoint::failpoint;
use crate::ids::JwkSetVersion;

use super::{Publication, PublishError, Publisher};

/// Publishes into a directory.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    /// Held by whoever writes: a write that nobody waits for any more must not end after a later one.
    writing: Arc<Mutex<()>>,
}

impl Directory {
    /// A publisher into `root`, which has to exist.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, writing: Arc::default() }
    }
}

impl Publisher for Directory {
    fn publish<'a>(&'a self, publication: &'a Publication) -> BoxFuture<'a, Result<(), PublishError>> {
        let (root, publication) = (self.root.clone(), publication.clone());
        let writing = Arc::clone(&self.writing);
        Box::pin(async move {
            let writing = writing.lock_owned().await;
            let written = tokio::task::spawn_blocking(move || {
                let _writing = writing;
                write(&root, &publication)
            });
            let written = written.await;
            written.unwrap_or_else(|panic| Err(PublishError::Unavailable(panic.to_string())))
        })
    }
}

fn write(root: &Path, publication: &Publication) -> Result<(), PublishError> {
    let well_known = root.join(publication.path.trim_start_matches('/')).join(".well-known");
    let archive = well_known.join("jwks");
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| PublishError::Unavailable(format!("{path}: {error}"))
    };
    if !root.is_dir() {
        return Err(PublishError::Unavailable(format!("{} is not a directory; create it", root.display())));
    }
    create_open(root, &archive).map_err(failed(&archive))?;
    let ours = publication.version;
    if let Some(found) = newest(&archive).map_err(failed(&archive))?.filter(|found| *found > ours) {
        return Err(PublishError::Newer { found, ours });
    }
    let numbered = archive.join(format!("{ours}.json"));
    replace(&numbered, &publication.jwk_set).map_err(failed(&numbered))?;
    failpoint("publish.directory.numbered");
    let current = well_known.join("jwks.json");
    replace(&current, &publication.jwk_set).map_err(failed(&current))?;
    if let Some(document) = &publication.openid_configuration {
        let path = well_known.join("openid-configuration");
        replace(&path, document).map_err(failed(&path))?;
    }
    Ok(())
}

/// Makes the directories from `root` to `path` that are not there, for everybody to read.
fn create_open(root: &Path, path: &Path) -> io::Result<()> {
    if path == root || path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), |parent| create_open(root, parent))?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)),
    }
}

/// The highest number in the archive.
fn newest(archive: &Path) -> io::Result<Option<JwkSetVersion>> {
    let mut newest = None;
    for entry in fs::read_dir(archive)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
        newest = newest.max(number.map(JwkSetVersion::new));
    }
    Ok(newest)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    let temporary = directory.join(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Made anew: a link put there by whoever else may write the directory is not followed.
    let mut file = File::create_new(&temporary)?;
    // Public, whatever the umask: a web server under another user serves it.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn publication(version: u64, body: &'static str) -> Publication {
        Publication {
            path: "/tenant-a".to_owned(),
            version: JwkSetVersion::new(version),
            jwk_set: Bytes::from_static(body.as_bytes()),
            openid_configuration: None,
        }
    }

    #[test]
    fn a_lower_version_never_replaces_a_higher_one() {
        let root = tempfile::tempdir().unwrap();
        let current = root.path().join("tenant-a/.well-known/jwks.json");
        assert_eq!(write(root.path(), &publication(9, "nine")), Ok(()));
        assert_eq!(write(root.path(), &publication(10, "ten")), Ok(()));
        assert_eq!(write(root.path(), &publication(10, "ten")), Ok(()));
        let (found, ours) = (JwkSetVersion::new(10), JwkSetVersion::new(9));
        assert_eq!(write(root.path(), &publication(9, "nine")), Err(PublishError::Newer { found, ours }));
        assert_eq!(fs::read_to_string(current).unwrap(), "ten");
        assert_eq!(fs::read_to_string(root.path().join("tenant-a/.well-known/jwks/9.json")).unwrap(), "nine");
    }

    #[test]
    fn a_link_in_the_place_of_a_temporary_file_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let archive = root.path().join("tenant-a/.well-known/jwks");
        let precious = root.path().join("precious");
        fs::create_dir_all(&archive).unwrap();
        fs::write(&precious, "keep").unwrap();
        std::os::unix::fs::symlink(&precious, archive.join(".1.json.new")).unwrap();
        assert_eq!(write(root.path(), &publication(1, "one")), Ok(()));
        assert_eq!(fs::read_to_string(&precious).unwrap(), "keep");
        assert_eq!(fs::read_to_string(archive.join("1.json")).unwrap(), "one");
        assert!(!fs::symlink_metadata(archive.join("1.json")).unwrap().is_symlink());
    }

    #[test]
    fn what_is_published_can_be_read_by_everybody() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(write(root.path(), &publication(1, "one")), Ok(()));
        let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
        for directory in ["tenant-a", "tenant-a/.well-known", "tenant-a/.well-known/jwks"] {
            assert_eq!(mode(directory), 0o755, "{directory}");
        }
        for file in ["tenant-a/.well-known/jwks.json", "tenant-a/.well-known/jwks/1.json"] {
            assert_eq!(mode(file), 0o644, "{file}");
        }
    }

    #[test]
    fn a_missing_root_is_not_made_up() {
        let root = tempfile::tempdir().unwrap();
        let gone = root.path().join("gone");
        let refused = write(&gone, &publication(1, "one")).unwrap_err().to_string();
        assert!(refused.ends_with("gone is not a directory; create it"), "{refused}");
    }
}
