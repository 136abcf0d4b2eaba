//! The arguments of `jwksd audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Daemon;

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
