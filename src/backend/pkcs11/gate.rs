//! Locks between processes: one logs in at a time, one changes keys at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The lock files of one token, in a directory of the daemon's data.
///
/// Soft tokens lose keys and answer nonsense when two processes start, log in or generate at once. Everybody
/// who opens a token holds [`Self::login`] meanwhile, and who generates, destroys or lists holds [`Self::admin`].
/// The locks end with the process that holds them, however it ends.
#[derive(Debug, Clone)]
pub struct Gate {
    dir: PathBuf,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "the lock is the open file")] File);

impl Gate {
    /// The locks in `dir`, which is made (0700) if it is not there.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn new(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Waits for the right to initialise the module and to log in. Blocks.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn login(&self) -> io::Result<Held> {
        self.hold("login.lock")
    }

    /// Waits for the right to change keys. Blocks.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn admin(&self) -> io::Result<Held> {
        self.hold("admin.lock")
    }

    fn hold(&self, name: &str) -> io::Result<Held> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.dir.join(name))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Held(file))
    }
}
