//! Locks between processes: one logs in at a time, one changes keys at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::fault::Fault;
use super::latch::Latch;
use super::settings::{Pin, Settings};
use super::token::Token;

/// The lock files of one token and its [`Latch`], in a directory of the daemon's data.
///
/// Soft tokens lose keys and answer nonsense when two processes start, log in or generate at once. Everybody
/// who opens a token does it by [`Self::open`], and who generates, destroys or lists holds [`Self::admin`].
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

    /// Waits for the right to initialise the module and to log in.
    fn login(&self) -> io::Result<Held> {
        self.hold("login.lock")
    }

    /// Loads and initialises the module, finds the token and logs in, with exactly one C_Login; alone among all
    /// processes, and only if no PIN was refused before.
    ///
    /// A refusal is latched before anybody else gets in; a success takes back the latch of an older PIN. Blocks.
    ///
    /// # Errors
    /// [`Fault::Pin`] if the PIN was refused, now or before, or must not be tried; [`Fault::Broken`] for whatever else
    /// is in the way, tokens that are not there (yet) included.
    pub fn open(&self, settings: &Settings, pin: &Pin) -> Result<Token, Fault> {
        let files = |error: io::Error| Fault::Broken(format!("files in {}: {error}", self.dir.display()));
        let _alone = self.login().map_err(files)?;
        let latch = Latch::new(&self.dir);
        latch.check(pin)?;
        let opened = Token::open(settings, pin);
        match &opened {
            Ok(_) => {
                latch.clear().map_err(files)?;
            }
            Err(Fault::Pin(reason)) => {
                let unlatched =
                    |error| Fault::Pin(format!("{reason}; and it can't be latched, so stop the daemon: {error}"));
                latch.set(pin, reason).map_err(unlatched)?;
            }
            Err(_) => {}
        }
        opened
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
