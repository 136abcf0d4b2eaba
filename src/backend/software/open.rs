//! Opening a key directory: whose it is, how it is sealed, and whether the sealing key is the right one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::directory::{Commit, Directory, DirectoryError, FileError};
use super::seal::{SealError, Sealed, Sealer, Sealing, SealingKey};
use crate::ids::InstallationId;

/// Why a directory of software keys can't be opened. Nothing in it was changed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("{doing} {}", path.display())]
    File {
        /// "reading", "creating" …
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// Every user of the machine may enter the directory.
    #[error("{} is open to every user (mode {mode:o}); run `chmod 700` on it", path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another process works on the directory.
    #[error(
        "another process has {} open; stop it first: of two daemons on one key directory, \
         one would go on signing with keys that the other has destroyed", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// There are keys, but nothing says how they are sealed.
    #[error(
        "{} holds keys but no {SEALING_FILE}; restore that file from the same backup as the keys: \
         a new one would not open them", path.display()
    )]
    SealingMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The description of the sealing can't be used.
    #[error("{} can't be used ({detail}); restore it from a backup", path.display())]
    SealingDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A key was given for a directory that wants a passphrase, or the reverse.
    #[error("{} is sealed with {stored}, but {given} was given; configure the same kind of secret as before", path.display())]
    OtherKind {
        /// The directory.
        path: PathBuf,
        /// What the directory wants.
        stored: &'static str,
        /// What was given.
        given: &'static str,
    },
    /// The sealing key is not the one that sealed the keys.
    #[error(
        "the sealing secret given does not open {}; give the one that these keys were sealed with \
         (no key was touched or made)", path.display()
    )]
    WrongKey {
        /// The directory.
        path: PathBuf,
    },
    /// The keys belong to another installation.
    #[error(
        "{} belongs to installation {stored}, not {given}; set `installation = \"{stored}\"`, or use another directory",
        path.display()
    )]
    OtherInstallation {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        stored: String,
        /// Who asked.
        given: InstallationId,
    },
    /// Not enough memory to derive the key from the passphrase.
    #[error("deriving the sealing key from the passphrase needs 64 MiB of memory, which can't be had; raise the limit")]
    Memory,
    /// The cryptographic library gave no reason.
    #[error("the cryptographic library refused to seal")]
    Crypto,
}

impl From<FileError> for OpenError {
    fn from(FileError { doing, path, source }: FileError) -> Self {
        Self::File { doing, path, source }
    }
}

/// A directory whose sealing key was proven.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) directory: Directory,
    pub(super) sealing: Sealing,
    pub(super) sealer: Sealer,
}

/// Opens the directory, or makes it. A crash here leaves a directory that can be opened again.
pub(super) fn open(path: &Path, key: &SealingKey, installation: &InstallationId) -> Result<Opened, OpenError> {
    let directory = Directory::open(path).map_err(|error| match error {
        DirectoryError::Exposed(mode) => OpenError::Exposed { path: path.to_owned(), mode },
        DirectoryError::InUse => OpenError::InUse { path: path.to_owned() },
        DirectoryError::File(error) => error.into(),
    })?;
    let stored = match directory.read(SEALING_FILE)? {
        Some(bytes) => read(&directory, &bytes)?,
        None => {
            // Minting a new check value here would bury the keys: nothing would ever open them again.
            if directory.names()?.iter().any(|name| name.ends_with(".json")) {
                return Err(OpenError::SealingMissing { path: path.to_owned() });
            }
            create(&directory, key, installation)?
        }
    };
    let sealer = key.sealer(&stored.sealing).map_err(|error| match error {
        SealError::OtherKind => {
            OpenError::OtherKind { path: path.to_owned(), stored: stored.sealing.kind(), given: key.kind() }
        }
        SealError::Parameters => damaged(&directory, "its Argon2 parameters are not those of its format"),
        SealError::Memory => OpenError::Memory,
        SealError::Crypto => OpenError::Crypto,
    })?;
    if stored.installation != installation.as_str() {
        let stored = stored.installation;
        return Err(OpenError::OtherInstallation { path: path.to_owned(), stored, given: installation.clone() });
    }
    let opened = sealer.open(&context(installation.as_str()), &stored.check);
    if opened.is_none_or(|plain| *plain != CHECK) {
        return Err(OpenError::WrongKey { path: path.to_owned() });
    }
    Ok(Opened { directory, sealing: stored.sealing, sealer })
}

/// How the whole directory is sealed, and a value by which a sealing key is recognised.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealingFile {
    format: u64,
    installation: String,
    sealing: Sealing,
    check: Sealed,
}

#[derive(Deserialize)]
struct AnyFormat {
    format: u64,
}

fn read(directory: &Directory, bytes: &[u8]) -> Result<SealingFile, OpenError> {
    let shape = |error: serde_json::Error| damaged(directory, &error.to_string());
    let AnyFormat { format } = serde_json::from_slice(bytes).map_err(shape)?;
    if format != FORMAT {
        return Err(damaged(directory, &format!("it has format {format}, this release reads format {FORMAT}")));
    }
    serde_json::from_slice(bytes).map_err(shape)
}

fn create(directory: &Directory, key: &SealingKey, installation: &InstallationId) -> Result<SealingFile, OpenError> {
    let crypto = |error| match error {
        SealError::Memory => OpenError::Memory,
        SealError::OtherKind | SealError::Parameters | SealError::Crypto => OpenError::Crypto,
    };
    let sealing = key.new_sealing();
    let sealer = key.sealer(&sealing).map_err(crypto)?;
    let check = sealer.seal(&context(installation.as_str()), CHECK).map_err(crypto)?;
    let file = SealingFile { format: FORMAT, installation: installation.to_string(), sealing, check };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|_| OpenError::Crypto)?;
    bytes.push(b'\n');
    match directory.stage(SEALING_FILE, &bytes)?.commit()? {
        Commit::Done => {}
        Commit::Taken => return Err(OpenError::InUse { path: directory.path().to_owned() }),
    }
    directory.sync()?;
    Ok(file)
}

fn damaged(directory: &Directory, detail: &str) -> OpenError {
    OpenError::SealingDamaged { path: directory.file(SEALING_FILE), detail: detail.to_owned() }
}

fn context(installation: &str) -> Vec<u8> {
    format!("jwksd software sealing\n{FORMAT}\n{installation}\n").into_bytes()
}

/// The description of the sealing. Not a key's name: those have dots.
pub(super) const SEALING_FILE: &str = "sealing.json";

const FORMAT: u64 = 1;
const CHECK: &[u8] = b"jwksd";
