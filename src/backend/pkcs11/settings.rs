//! What is needed to open a token.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Which module, which token, and how much of it is used. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The module, a shared library.
    pub module: PathBuf,
    /// A text that the module takes at its initialisation beyond the standard (NSS softokn).
    pub module_args: Option<String>,
    /// The token among those that the module shows.
    pub token: TokenChoice,
    /// The installation whose keys these are: its labels are ours, no others.
    pub installation: String,
    /// Worker processes; unused in the daemon's own process.
    pub workers: usize,
    /// Threads that sign in each process, with one session each.
    pub threads: usize,
}

/// A token, as an operator names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenChoice {
    /// By the label that it was initialised with.
    Label(String),
    /// By the serial number that its maker gave it.
    Serial(String),
    /// By the number of its slot. Some modules number anew at each start.
    Slot(u64),
}

impl fmt::Display for TokenChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "label {label:?}"),
            Self::Serial(serial) => write!(f, "serial {serial:?}"),
            Self::Slot(slot) => write!(f, "slot {slot}"),
        }
    }
}

/// The PIN of a token's user, and which version of its source it was read from: wiped when dropped, not shown by
/// `Debug`.
#[derive(Clone)]
pub struct Pin {
    text: Zeroizing<String>,
    source: String,
}

impl Pin {
    /// Wraps a PIN that came from `source`, a text that changes if, and only if, the PIN may have changed; it must not
    /// tell anything about the PIN itself. A file's name and the time of its last change will do.
    ///
    /// Returns nothing if the bytes are no UTF-8, the only form that PKCS#11 has for PINs.
    #[must_use]
    pub fn new(bytes: &[u8], source: &str) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        Some(Self { text: Zeroizing::new(text.to_owned()), source: source.to_owned() })
    }

    /// The PIN. Do not copy it to where it is not wiped.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The version of its source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin(.., from {})", self.source)
    }
}
