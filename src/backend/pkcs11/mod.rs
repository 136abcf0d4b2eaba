//! Keys inside a token that a PKCS#11 module drives: an HSM, a smart card, a soft token.
//!
//! The module is foreign code that may hang, crash, or answer with another key's signature after it was
//! re-initialised. So a process opens a token once, never finalises it and never initialises it again; each key
//! is proven against what was published before a session signs with it; and whatever is not clearly the
//! asker's fault ends the process's use of the module ([`Fault::Broken`]).

mod fault;
mod gate;
mod in_process;
mod latch;
pub mod router;
mod settings;
pub mod token;
pub mod wire;
pub mod worker;

pub use fault::Fault;
pub use gate::{Gate, Held};
pub use in_process::InProcess;
pub use latch::Latch;
pub use settings::{Pin, Settings, TokenChoice};
pub use token::{Facts, Session, Token};

/// The argument by which this program becomes a worker process.
pub const WORKER: &str = "pkcs11-worker";
