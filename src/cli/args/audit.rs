//! The arguments of `jwksd audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Daemon;
use crate::cli::when::Since;
use crate::ids::{IssuerId, Kid, RingName};

/// The audit log.
#[derive(Debug, Clone, Subcommand)]
pub enum Audit {
    /// Check every byte of a log, without the daemon
    ///
    /// It finds a changed byte and a record that was dropped, inserted or moved. With checkpoints, and their key from
    /// elsewhere, it also finds a log that was written anew, and with checkpoints from elsewhere one whose end was cut
    /// off. What lies beside the log is taken into account, but whoever can write the log can write that, too.
    #[command(after_help = "Example: jwksd audit verify /var/lib/jwksd/audit --key audit-key.json --checkpoint \
                            last-week.jws")]
    Verify(AuditVerify),
    /// Print the newest records
    Tail {
        /// How many, up to 1000
        #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20)]
        #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
        lines: u16,
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Print the newest records that are about something, without the daemon
    ///
    /// Also while a daemon writes the log. Every record that is read is checked on the way; with --json each is printed
    /// exactly as it stands in the log.
    #[command(
        after_help = "Example: jwksd audit search /var/lib/jwksd/audit --event signed --caller uid:1001 --since 2h"
    )]
    Search(AuditSearch),
    /// Print every record in the words of another system, without the daemon
    #[command(after_help = "Example: jwksd audit export /var/lib/jwksd/audit --format ocsf --since 1d")]
    Export(AuditExport),
    /// Have the daemon sign number and hash of the newest record, and print that
    ///
    /// Keep it on another machine: by it, `jwksd audit verify --checkpoint` shows whether records were cut off or
    /// changed since. With --json it comes with its public key.
    #[command(after_help = "Example: jwksd audit checkpoint > $(date +%F).jws")]
    Checkpoint(Daemon),
}

/// A log to be checked.
#[derive(Debug, Clone, Args)]
pub struct AuditVerify {
    /// The directory of its segments, DATA/audit unless the configuration says otherwise
    pub directory: PathBuf,
    /// Allow that the oldest segments were moved to an archive
    #[arg(long)]
    pub rest: bool,
    /// The key that checkpoints must be signed with, as a JWK or JWK Set that was kept elsewhere; may be repeated.
    /// Without it, the keys that lie beside the log
    #[arg(long = "key", value_name = "JWK-FILE")]
    pub keys: Vec<PathBuf>,
    /// A checkpoint that was kept elsewhere, or several, one a line; may be repeated
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub checkpoints: Vec<PathBuf>,
}

/// Records to be found.
#[derive(Debug, Clone, Args)]
pub struct AuditSearch {
    /// The directory of its segments, DATA/audit unless the configuration says otherwise
    pub directory: PathBuf,
    /// Which.
    #[command(flatten)]
    pub sought: Sought,
    /// How many, the newest
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 1000)]
    pub limit: u16,
}

/// What records must be about: all of what is given.
#[derive(Debug, Clone, Args)]
pub struct Sought {
    /// Of this kind, such as signed, refused or committed
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// About this issuer
    #[arg(long)]
    pub issuer: Option<IssuerId>,
    /// About this ring
    #[arg(long)]
    pub ring: Option<RingName>,
    /// About this key
    #[arg(long, value_parser = Kid::new, allow_hyphen_values = true)]
    pub kid: Option<Kid>,
    /// About the token of this name
    #[arg(long, allow_hyphen_values = true)]
    pub jti: Option<String>,
    /// Asked for by this caller, as `jwksd whoami` names it
    #[arg(long)]
    pub caller: Option<String>,
    /// Of this request
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub request_id: Option<String>,
    /// That ended so
    #[arg(long, value_enum)]
    pub outcome: Option<Outcome>,
    /// When.
    #[command(flatten)]
    pub between: Between,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Outcome {
    /// It was done
    Done,
    /// It was not done
    Failed,
    /// It may or may not have been done
    Unknown,
}

impl Outcome {
    /// As it stands in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// A stretch of time.
#[derive(Debug, Clone, Args)]
pub struct Between {
    /// Not before then: a moment such as 2026-12-20T00:00:00Z, or so long ago, such as 2h
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Before then
    #[arg(long, value_name = "TIME")]
    pub until: Option<Since>,
}

/// Records to be told to another system.
#[derive(Debug, Clone, Args)]
pub struct AuditExport {
    /// The directory of its segments, DATA/audit unless the configuration says otherwise
    pub directory: PathBuf,
    /// In which words
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// When.
    #[command(flatten)]
    pub between: Between,
}

/// The words of other systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// The records as they stand in the log, one JSON object a line
    Jsonl,
    /// Open Cybersecurity Schema Framework 1.6, one event a line
    Ocsf,
    /// ArcSight Common Event Format, one event a line
    Cef,
}
