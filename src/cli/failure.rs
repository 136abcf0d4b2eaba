//! Why a command ended without doing what was asked: told once, with what to do about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::client::ClientError;
use super::exit::Exit;
use super::paint::{BAD, COMING, paint, tame};
use crate::app::AppError;
use crate::audit;
use crate::config::ConfigErrors;
use crate::ids::BackendId;
use crate::telemetry::chain;

/// Why a command ended without doing what was asked.
#[derive(Debug, Error)]
pub enum Failure {
    /// The arguments can't be meant so.
    #[error("{0}")]
    Usage(String),
    /// There is no valid configuration.
    #[error(transparent)]
    Configuration(#[from] ConfigErrors),
    /// The daemon did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The daemon did not start, or work that is done without it came to nothing.
    #[error(transparent)]
    App(#[from] AppError),
    /// A backend did not do what is asked of it in a test.
    #[error("backend {backend}")]
    Backend {
        /// Which.
        backend: BackendId,
        /// What it failed at.
        #[source]
        source: AppError,
    },
    /// The audit log is not what was written.
    #[error("audit log {}", directory.display())]
    Audit {
        /// Its directory.
        directory: PathBuf,
        /// The first fault in it.
        #[source]
        source: audit::Fault,
    },
    /// Something was to be read for the command.
    #[error("reading {what}")]
    Input {
        /// Which file.
        what: String,
        /// Why that was not possible.
        #[source]
        source: io::Error,
    },
    /// Something was to be written.
    #[error("writing {what}")]
    Output {
        /// Which file or stream.
        what: String,
        /// Why that was not possible.
        #[source]
        source: io::Error,
    },
    /// The operator was asked and did not agree.
    #[error("not confirmed; nothing was changed")]
    Declined,
    /// The answer was printed, and it says that not all is well.
    #[error("the daemon is not ready")]
    NotReady,
    /// The answer was printed, and it is no.
    #[error("no grant allows it")]
    NotAllowed,
}

impl Failure {
    /// What the exit code is to say.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            // Whoever reads has seen enough: `jwksd keys | head`.
            Self::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Usage(_) => Exit::Usage,
            Self::Configuration(_) => Exit::Configuration,
            Self::Client(error) => error.exit(),
            Self::App(AppError::UnknownIssuer(_) | AppError::UnknownBackend(_)) => Exit::NotFound,
            Self::App(AppError::Audit { source: audit::AuditError::Damaged(_), .. }) => Exit::Damaged,
            Self::Audit { source: audit::Fault::Missing(_) | audit::Fault::Unreadable { .. }, .. } => Exit::NotFound,
            Self::Audit { .. } => Exit::Damaged,
            Self::App(_)
            | Self::Backend { .. }
            | Self::Input { .. }
            | Self::Output { .. }
            | Self::Declined
            | Self::NotReady
            | Self::NotAllowed => Exit::Refused,
        }
    }

    /// What the operator reads, styled; nothing if there is nothing to say.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            _ if self.exit() == Exit::Done => String::new(),
            // The answer has told why.
            Self::NotReady | Self::NotAllowed => String::new(),
            Self::Configuration(ConfigErrors::Faults(faults)) => {
                let lines: Vec<String> = faults.iter().map(|fault| tame(&fault.to_string())).collect();
                let count = if faults.len() == 1 { "1 fault".to_owned() } else { format!("{} faults", faults.len()) };
                format!("{}\n{}", lines.join("\n"), complaint(&format!("{count} in the configuration")))
            }
            _ => complaint(&tame(&chain(self))) + &self.advice(),
        }
    }

    fn advice(&self) -> String {
        let advice = match self {
            Self::Client(error) => error.advice(),
            Self::App(error) => error.advice(),
            Self::Audit { source, .. } => remedy(source),
            _ => None,
        };
        advice.map(|advice| format!("\n{} {advice}", paint(COMING, "hint:"))).unwrap_or_default()
    }
}

/// What to do about a log that did not verify.
fn remedy(fault: &audit::Fault) -> Option<&'static str> {
    match fault {
        audit::Fault::Checkpoint { .. } => {
            Some("is it of this installation, whole, and of a key among those given? If so, the log is not that log")
        }
        audit::Fault::Record { flaw: audit::Flaw::Checkpoint(error), .. }
            if matches!(**error, audit::CheckpointError::UnknownKey(_)) =>
        {
            Some("give every key that has ever signed checkpoints here: --key FILE, more than once if need be")
        }
        audit::Fault::Record { flaw: audit::Flaw::Format { .. } | audit::Flaw::Archived { .. }, .. }
        | audit::Fault::Missing(_)
        | audit::Fault::Unreadable { .. } => None,
        audit::Fault::Record { .. }
        | audit::Fault::CutOff { .. }
        | audit::Fault::Keys(_)
        | audit::Fault::NoCheckpoint(_) => Some(
            "keep the log as it is for the inquiry, and compare it with a copy; what stands before that place is sound",
        ),
    }
}

fn complaint(text: &str) -> String {
    format!("{} {text}", paint(BAD, "jwksd:"))
}
