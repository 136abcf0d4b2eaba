//! What every command is given beside its own arguments.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::Answer;
use super::failure::Failure;
use super::output;
use crate::lifecycle::time::Timestamp;

/// For whom a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What every command is given beside its own arguments.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// For whom it writes.
    pub format: Format,
    /// The machine's clock; read once per answer.
    pub clock: &'a dyn Fn() -> Timestamp,
}

impl Context<'_> {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Writes what the daemon answered: as it is, or as `render` tells it.
    pub fn show<T: DeserializeOwned>(
        &self,
        answer: &Answer,
        render: impl FnOnce(&T, Timestamp) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => output::print_raw(answer.json()).map_err(unwritten),
            Format::Text => self.print(&render(&answer.read()?, self.now())),
        }
    }

    /// Writes what was found out without the daemon.
    pub fn tell<T: Serialize>(&self, value: &T, render: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let json = serde_json::to_vec(value).map_err(|error| unwritten(error.into()))?;
                output::print_raw(&json).map_err(unwritten)
            }
            Format::Text => self.print(&render(value)),
        }
    }

    /// Writes a text.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        output::print(text).map_err(unwritten)
    }
}

/// Standard output takes no more.
pub(super) fn unwritten(source: io::Error) -> Failure {
    Failure::Output { what: "standard output".to_owned(), source }
}
