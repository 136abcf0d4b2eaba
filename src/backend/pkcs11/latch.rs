//! The latch behind a refused PIN: after one, nobody tries again until an operator has acted.
//!
//! Tokens lock themselves after a few wrong PINs (a TPM at the third). A daemon that tries again, or that a service
//! manager starts again, would spend the rest within seconds; so the latch is a file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::settings::Pin;

/// Where it is remembered that a token has refused its PIN.
#[derive(Debug, Clone)]
pub struct Latch {
    path: PathBuf,
}

/// What is remembered. Neither the PIN nor a hash of it: so short a secret could be found by trying.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    /// The version of the source that the refused PIN came from.
    source: String,
    reason: String,
}

impl Latch {
    /// The latch in `dir`, beside the lock files.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { path: dir.join("pin-refused.json") }
    }

    /// Whether `pin` may be tried: nothing was refused, or what was refused came from another version of its source.
    ///
    /// # Errors
    /// [`Fault::Pin`] with what to do. Also if the file can't be read: a doubt costs no try.
    pub fn check(&self, pin: &Pin) -> Result<(), Fault> {
        let path = self.path.display();
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Fault::Pin(format!("{path} can't be read, so no PIN is tried: {error}"))),
        };
        match serde_json::from_slice::<Record>(&text) {
            Ok(record) if record.format == FORMAT && record.source != pin.source() => Ok(()),
            Ok(record) => Err(Fault::Pin(format!(
                "{}; no further PIN is tried until the source of the PIN has changed or `jwksd backend unlock` was run",
                record.reason
            ))),
            Err(error) => Err(Fault::Pin(format!(
                "{path} is damaged, so no PIN is tried until `jwksd backend unlock` was run: {error}"
            ))),
        }
    }

    /// Remembers, durably, that `pin` was refused. Called before the login gate is let go.
    ///
    /// # Errors
    /// Whatever the operating system says; then nothing but the caller keeps others from trying.
    pub fn set(&self, pin: &Pin, reason: &str) -> io::Result<()> {
        let record = Record { format: FORMAT, source: pin.source().to_owned(), reason: reason.to_owned() };
        let temporary = self.path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&record)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    /// Forgets a refusal: an operator has said so, or the PIN was accepted. Whether there was one.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn clear(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Of the file.
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(source: &str) -> Pin {
        Pin::new(b"246813", source).unwrap()
    }

    #[test]
    fn a_refusal_holds_until_its_source_changes_or_an_operator_acts() {
        let dir = tempfile::tempdir().unwrap();
        let latch = Latch::new(dir.path());
        assert_eq!(latch.check(&pin("a")), Ok(()));
        latch.set(&pin("a"), "the token refused the PIN").unwrap();
        let Err(Fault::Pin(text)) = Latch::new(dir.path()).check(&pin("a")) else { panic!("not latched") };
        assert!(text.starts_with("the token refused the PIN; ") && text.contains("jwksd backend unlock"), "{text}");
        assert_eq!(latch.check(&pin("b")), Ok(()));
        latch.set(&pin("b"), "again").unwrap();
        assert!(latch.check(&pin("b")).is_err());
        assert!(latch.clear().unwrap() && !latch.clear().unwrap());
        assert_eq!(latch.check(&pin("b")), Ok(()));
    }

    #[test]
    fn the_file_says_nothing_of_the_pin() {
        let dir = tempfile::tempdir().unwrap();
        Latch::new(dir.path()).set(&pin("a"), "refused").unwrap();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(text.contains("refused") && !text.contains("246813"), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_read_latches() {
        let dir = tempfile::tempdir().unwrap();
        for damaged in ["", "{", r#"{"format":2,"source":"b","reason":"r"}"#, r#"{"format":1,"source":"b"}"#] {
            fs::write(dir.path().join("pin-refused.json"), damaged).unwrap();
            assert!(matches!(Latch::new(dir.path()).check(&pin("a")), Err(Fault::Pin(_))), "{damaged:?}");
        }
    }
}
