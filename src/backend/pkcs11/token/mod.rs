//! One token in one process: blocking calls, each of which says what its failure means.
//!
//! Whoever calls knows that a call may never return, and does so on a thread, or in a process, that it can spare.

mod attributes;
mod facts;
mod keys;
mod locator;
mod mechanism;
mod open;
mod public;
mod search;
mod session;
mod template;

use std::sync::{Arc, Mutex};

use cryptoki::context::Pkcs11;
use cryptoki::slot::Slot;

pub use facts::Facts;
pub use locator::same_id;
pub use session::Session;

use super::fault::Fault;
use crate::ids::InstallationId;
use mechanism::Mechanisms;

/// A token that this process is logged in to, for the rest of the process's life.
#[derive(Debug)]
pub struct Token {
    module: Pkcs11,
    slot: Slot,
    installation: InstallationId,
    mechanisms: Arc<Mechanisms>,
    facts: Facts,
    /// A login lasts as long as some session of the process does.
    _anchor: Mutex<cryptoki::session::Session>,
}

impl Token {
    /// What the token said of itself when it was opened.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Opens a session, for one thread.
    ///
    /// # Errors
    /// [`Fault::Broken`] if the token gives out none.
    pub fn session(&self) -> Result<Session, Fault> {
        Ok(Session::new(self.raw_session()?, Arc::clone(&self.mechanisms), self.installation.clone()))
    }

    /// Read and write always: some tokens know no other sessions.
    fn raw_session(&self) -> Result<cryptoki::session::Session, Fault> {
        Ok(self.module.open_rw_session(self.slot)?)
    }
}
