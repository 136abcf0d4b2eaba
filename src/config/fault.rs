//! What is wrong with a configuration, told to the person who must put it right.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// One thing wrong, or doubtful, at one place: `jwksd.toml:31: issuers.main.rings.es256.drain: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named to us.
    pub origin: String,
    /// The line, from 1; absent if the fault is something that is nowhere in the file.
    pub line: Option<usize>,
    /// The key, dotted; empty if the file as a whole is meant.
    pub key: String,
    /// What is wrong, with the value and the remedy.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigErrors {
    /// The file could not be read.
    #[error("reading the configuration {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file was read; these are all its faults, in the order of their lines.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}
