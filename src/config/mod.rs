//! The configuration file and the validated tree made from it.
//!
//! [`Config::load`] reads everything, collects every fault, and only then fails: each fault names the file,
//! the line, the key and the remedy. What it returns is parsed and needs no further checks.

use std::path::Path;

mod audit;
mod aws;
mod check;
mod document;
mod fault;
mod file;
mod gcp;
mod nearest;
mod one_or_many;
mod scalar;
pub mod secret;
mod token;
pub mod tree;
mod unknown;
mod url;
mod value;

use self::document::Document;
use self::file::File;

pub use aws::{AwsCreate, AwsKms};
pub use fault::{ConfigErrors, Fault};
pub use gcp::{GcpCredentials, GcpKms, KeyRingName, Protection, gcp_has};
pub use token::{Isolation, Pkcs11, TokenChoice};
pub use tree::*;
pub use url::{IssuerUrl, UrlError};

impl Config {
    /// Reads, parses and checks the configuration at `path`.
    ///
    /// # Errors
    /// [`ConfigErrors::Unreadable`] if the file can't be read, [`ConfigErrors::Faults`] with every fault in it.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigErrors::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses and checks a configuration that calls itself `origin` in its faults.
    ///
    /// # Errors
    /// [`ConfigErrors::Faults`] with every fault, in the order of their lines.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigErrors> {
        let document = Document::parse(text, origin).map_err(ConfigErrors::Faults)?;
        let (file, misfits) = document.read::<File>();
        check::config(&document, file, misfits).map_err(ConfigErrors::Faults)
    }
}
