//! Where secrets come from: a file, a systemd credential, or the environment. Never the configuration itself.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// Where a secret is found. It is read when it is needed, and never kept in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file that only its owner may read.
    File(PathBuf),
    /// A credential that systemd hands to the service (`LoadCredential=`, `LoadCredentialEncrypted=`).
    Credential(String),
    /// An environment variable.
    Env(String),
}

/// The bytes of a secret: wiped when dropped, not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

/// Why a secret could not be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file or credential could not be read.
    #[error("reading secret {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Others on this machine may read the file.
    #[error(
        "secret {} has mode {mode:04o}, so others may read or change it; run: chmod 0600 {}",
        path.display(),
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, a device or the like.
    #[error("secret {} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// systemd has handed over no credentials at all.
    #[error(
        "credential {0:?} needs $CREDENTIALS_DIRECTORY, which is not set; add LoadCredential={0}:PATH to the \
         unit, or use {{ file = … }}"
    )]
    NoCredentials(String),
    /// The variable is not set.
    #[error("environment variable {0} is not set")]
    Unset(String),
    /// The variable holds something other than UTF-8.
    #[error("environment variable {0} is not valid UTF-8; use {{ file = … }} for binary secrets")]
    NotText(String),
    /// Nothing is in it.
    #[error("secret {0} is empty")]
    Empty(Secret),
    /// More than [`SECRET_MAX`] bytes.
    #[error("secret {0} is longer than {SECRET_MAX} bytes; is this the right file?")]
    TooLong(Secret),
}

/// The longest secret that is read, in bytes: 64 KiB, more than any key or PIN.
pub const SECRET_MAX: usize = 64 * 1_024;

impl Secret {
    /// Reads the secret; a text without the line end at its end, other bytes as they are.
    ///
    /// A file must not be readable by group or others: whoever can read it can unseal every key. A systemd
    /// credential is exempt, since systemd itself keeps strangers out of the directory.
    ///
    /// # Errors
    /// [`SecretError`] names the source and the remedy; it never holds the secret.
    pub fn read(&self) -> Result<SecretBytes, SecretError> {
        let bytes = match self {
            Self::File(path) => match credentials() {
                Some(directory) if path.parent() == Some(&directory) => read_file(path, Exposure::LeftToSystemd)?,
                _ => read_file(path, Exposure::Refused)?,
            },
            Self::Credential(name) => {
                let directory = credentials().ok_or_else(|| SecretError::NoCredentials(name.clone()))?;
                read_file(&directory.join(name), Exposure::LeftToSystemd)?
            }
            Self::Env(name) => Zeroizing::new(variable(name)?.as_bytes().to_vec()),
        };
        self.trim(bytes)
    }

    /// A text that changes whenever the secret may have changed, and that says nothing about it.
    ///
    /// For a file, its name and when it was changed. systemd makes its credentials anew at each start of the service
    /// and the environment has no history: of those, only the name can be told, so a change goes unnoticed.
    ///
    /// # Errors
    /// [`SecretError::Unreadable`] if the file is not there.
    pub fn version(&self) -> Result<String, SecretError> {
        let path = match self {
            Self::File(path) if path.parent() != credentials().as_deref() => path,
            Self::File(_) | Self::Credential(_) | Self::Env(_) => return Ok(self.to_string()),
        };
        let metadata =
            std::fs::metadata(path).map_err(|source| SecretError::Unreadable { path: path.clone(), source })?;
        let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
        Ok(format!("{} of {seconds}.{nanos:09}, inode {}", path.display(), metadata.ino()))
    }

    fn trim(&self, mut bytes: Zeroizing<Vec<u8>>) -> Result<SecretBytes, SecretError> {
        // Editors add a line end to a text. A key of random bytes may end in the same byte, and must keep it.
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
            let len = line.len();
            bytes.truncate(len);
        }
        match bytes.len() {
            0 => Err(SecretError::Empty(self.clone())),
            len if len > SECRET_MAX => Err(SecretError::TooLong(self.clone())),
            _ => Ok(SecretBytes(bytes)),
        }
    }
}

impl fmt::Display for Secret {
    /// Where the secret is, as an operator would say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Credential(name) => write!(f, "credential {name:?}"),
            Self::Env(name) => write!(f, "${name}"),
        }
    }
}

impl SecretBytes {
    /// Wraps bytes that came from elsewhere.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Do not copy them to where they are not wiped.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// Who answers for the permissions of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exposure {
    Refused,
    LeftToSystemd,
}

fn read_file(path: &Path, exposure: Exposure) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    // Opening a named pipe would wait for its writer, so the kind is looked at first, and again on what was opened.
    let not_a_file = || SecretError::NotAFile(path.to_owned());
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(not_a_file());
    }
    let file = File::open(path).map_err(unreadable)?;
    // What was opened is what is checked: the name may mean another file a moment later.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(not_a_file());
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if exposure == Exposure::Refused && mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode });
    }
    // Room for everything from the start: a buffer that grows leaves copies behind that nobody wipes.
    let room = SECRET_MAX + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(room as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The directory in which systemd puts the credentials of this service.
fn credentials() -> Option<PathBuf> {
    let directory = variable("CREDENTIALS_DIRECTORY").ok()?;
    Some(PathBuf::from(directory.as_str())).filter(|directory| directory.is_absolute())
}

#[expect(clippy::disallowed_methods, reason = "this is the one home of the environment")]
fn variable(name: &str) -> Result<Zeroizing<String>, SecretError> {
    match std::env::var(name) {
        Ok(value) => Ok(Zeroizing::new(value)),
        Err(std::env::VarError::NotPresent) => Err(SecretError::Unset(name.to_owned())),
        Err(std::env::VarError::NotUnicode(_)) => Err(SecretError::NotText(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, Secret) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, Secret::File(path))
    }

    #[test]
    fn one_line_end_is_not_part_of_a_text_and_every_byte_is_part_of_a_key() {
        let key = [&[0xff; 31][..], b"\n"].concat();
        let cases = [
            (&b"1234\n"[..], &b"1234"[..]),
            (b"1234\r\n", b"1234"),
            (b"1234\r", b"1234\r"),
            (b" a \n\n", b" a \n"),
            (&key, &key),
        ];
        for (content, secret) in cases {
            let (_dir, source) = file(content, 0o600);
            assert_eq!(source.read().unwrap().expose(), secret);
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_remedy() {
        for mode in [0o640, 0o604, 0o620, 0o777] {
            let (_dir, source) = file(b"1234", mode);
            let text = source.read().unwrap_err().to_string();
            assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 0600"), "{text}");
        }
        let (_dir, source) = file(b"1234", 0o400);
        assert!(source.read().is_ok());
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let (_dir, empty) = file(b"\n", 0o600);
        assert!(matches!(empty.read(), Err(SecretError::Empty(_))));
        let (_dir, long) = file(&[b'x'; SECRET_MAX + 1], 0o600);
        assert!(matches!(long.read(), Err(SecretError::TooLong(_))));
        let (_dir, longest) = file(&[&[b'x'; SECRET_MAX][..], b"\r\n"].concat(), 0o600);
        assert_eq!(longest.read().unwrap().expose().len(), SECRET_MAX);
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Secret::File(dir.path().to_owned()).read(), Err(SecretError::NotAFile(_))));
        let absent = Secret::File(dir.path().join("absent"));
        assert!(matches!(absent.read(), Err(SecretError::Unreadable { .. })));
        let unset = Secret::Env("JWKSD_TEST_THIS_IS_NEVER_SET".to_owned());
        assert_eq!(
            unset.read().unwrap_err().to_string(),
            "environment variable JWKSD_TEST_THIS_IS_NEVER_SET is not set"
        );
    }

    #[test]
    fn a_variable_is_read_as_it_is() {
        // Cargo sets it for every test.
        let secret = Secret::Env("CARGO_PKG_NAME".to_owned()).read().unwrap();
        assert_eq!(secret.expose(), b"jwksd");
        assert_eq!(format!("{secret:?}"), "SecretBytes(..)");
    }

    #[test]
    fn a_changed_file_is_another_version_of_its_secret() {
        let (_dir, source) = file(b"1234", 0o600);
        let Secret::File(path) = &source else { panic!("{source:?}") };
        let first = source.version().unwrap();
        assert_eq!(source.version().unwrap(), first);
        let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(7);
        File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
        let second = source.version().unwrap();
        assert!(first != second && !second.contains("1234"), "{second}");
        assert_eq!(Secret::Env("P".to_owned()).version().unwrap(), "$P");
    }

    #[test]
    fn a_credential_needs_systemd() {
        if variable("CREDENTIALS_DIRECTORY").is_err() {
            let error = Secret::Credential("hsm-pin".to_owned()).read().unwrap_err();
            assert!(error.to_string().contains("LoadCredential=hsm-pin:PATH"), "{error}");
        }
    }
}
