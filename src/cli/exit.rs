//! What the exit code says.

use std::process::ExitCode;

/// How a command ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was done.
    Done = 0,
    /// The daemon or the operation said no; nothing was changed unless the message says so.
    Refused = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// The configuration is not valid.
    Configuration = 3,
    /// No daemon answered, and nothing was asked of it.
    Unreachable = 4,
    /// There is no such issuer, ring or key.
    NotFound = 5,
    /// The audit log is not what was written.
    Damaged = 6,
    /// A change was asked for, but no answer came.
    Unknown = 7,
}

impl Exit {
    /// Every code with its meaning, in order.
    const ALL: [(Self, &'static str); 8] = [
        (Self::Done, "done"),
        (Self::Refused, "refused by the daemon, or the operation failed"),
        (Self::Usage, "wrong arguments"),
        (Self::Configuration, "the configuration is not valid"),
        (Self::Unreachable, "no daemon answers at that address"),
        (Self::NotFound, "no such issuer, ring or key"),
        (Self::Damaged, "the audit log did not verify"),
        (Self::Unknown, "no answer came: the change may or may not have been made; look before repeating"),
    ];

    /// The table at the end of `jwksd --help` and in the man page.
    #[must_use]
    pub fn table() -> String {
        let mut text = "Exit codes:\n".to_owned();
        for (exit, meaning) in Self::ALL {
            text.push_str(&format!("  {}  {meaning}\n", exit as u8));
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
