//! The arguments, and with them every word of `--help`, of the man page and of the shell completions.

mod access;
mod audit;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::exit::Exit;
use super::output::Color;
use super::target::{DEFAULT, Target};
use super::when::{self, Until};
use crate::ids::{BackendId, IssuerId, Kid, RingName};
use crate::lifecycle::time::Span;

pub use access::{Access, Explain};
pub use audit::{Audit, AuditExport, AuditSearch, AuditVerify, Between, ExportFormat, Sought};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "jwksd",
    version,
    about = "Owns an organisation's token-signing keys",
    long_about = "Owns an organisation's token-signing keys: makes them, rotates them without one verifier failing, \
                  publishes them as a JWK Set and signs for identity providers, so that no private key leaves its \
                  backend.",
    after_long_help = Exit::table(),
    after_help = "A first look: jwksd dev. A key has leaked: jwksd compromise. Exit codes: jwksd --help",
    max_term_width = 100,
    disable_help_subcommand = true,
)]
pub struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub general: General,
    /// Which command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Copy, Args)]
pub struct General {
    /// Print the answer as JSON, for programs
    #[arg(long, global = true, display_order = 90)]
    pub json: bool,
    /// When to colour
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, hide_possible_values = true)]
    #[arg(help = "When to colour: auto, always or never", display_order = 91)]
    pub color: Color,
}

/// One command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try it out: a whole installation with software keys and short periods, no configuration
    ///
    /// It prints its addresses and what to try. Anybody on this machine may do everything with it. Ctrl-C ends it; the
    /// next start goes on with the same keys.
    Dev(Dev),
    /// Run the daemon
    ///
    /// It stays in the foreground, logs to standard error and ends at SIGTERM or SIGINT, after what is under way is
    /// finished. A changed configuration holds from the next start on.
    Run(ConfigFile),
    /// Create the data directory and the issuers that the configuration names
    ///
    /// Run it once for a new installation, and again after adding an issuer. It never overwrites: an issuer whose
    /// record is lost is restored from a backup, not initialised again.
    Init(ConfigFile),
    /// Say everything that is wrong with a configuration, and what its durations come to
    ///
    /// It reads that file alone: `jwksd backend test` tries the secrets, and whether it fits the keys that live shows
    /// at the start.
    CheckConfig(CheckConfig),
    /// How the daemon is, and what it needs from you
    ///
    /// The exit code is 1 if the daemon is not ready, for instance while a ring has no signer.
    Status(Daemon),
    /// What happens next, why, and what each step waits for
    Plan(Plan),
    /// All key versions: state, kid, and what comes next for each
    Keys(Keys),
    /// Replace a ring's signer now, without waiting for its schedule
    ///
    /// The standby takes over as soon as every verifier can have fetched it: at once, in most cases. No valid token
    /// is rejected. If a key has leaked, use `jwksd compromise` instead.
    #[command(after_help = "Example: jwksd rotate main es256 --reason \"before the holidays\"")]
    Rotate(Rotate),
    /// A key has leaked: stop signing with it, withdraw it, destroy it
    ///
    /// Signing moves at once to the standby, the key leaves the JWK Set, its private half is destroyed, and a new key
    /// is published so that lazy verifiers fetch again. Tokens that the key has signed are rejected from then on, as
    /// verifiers forget it; the answer says when each kind of verifier has. This can't be undone. Repeating the command
    /// is harmless and shows how far it is.
    #[command(after_help = "Example: jwksd compromise main N8SCzIXpOxrJmDOJf1jpEzRxawqFrjuiTTYwEOLuZnY --reason \
                            \"build server stolen\"")]
    Compromise(Compromise),
    /// Publish the public keys of another issuer, to move from it without rejecting its tokens
    ///
    /// They are published beside ours under their own kids, and never sign. Importing a key again sets its --until
    /// anew.
    #[command(after_help = "Example: curl -s https://old.example.com/.well-known/jwks.json | \
                            jwksd import main - --until 30d")]
    Import(Import),
    /// Take an imported key out of the JWK Set
    ///
    /// Tokens that it signed are rejected from then on, as verifiers forget it.
    Withdraw(Withdraw),
    /// Keys in the backends that carry our label and belong to no living version
    ///
    /// A crash at a bad moment, a restored backup or a test may leave them. They sign nothing, and are never destroyed
    /// unless you say so. Half-made keys that a crash left are cleared when their version is made again.
    #[command(after_help = "Example: jwksd strays --destroy HANDLE --backend hsm --reason \"left by a test\"")]
    Strays(Strays),
    /// Read or check the audit log
    #[command(subcommand)]
    Audit(Audit),
    /// Accept that the store holds an older state than the audit log has seen
    ///
    /// For after a restore from a backup. Stop the daemon first. What happened since that backup is lost: keys made
    /// since then are unknown, a compromise declared since then must be declared again.
    #[command(after_help = "Example: jwksd accept-rollback -c /etc/jwksd/jwksd.toml main --reason \"disk lost, \
                            restored Monday's backup\"")]
    AcceptRollback(AcceptRollback),
    /// Look at a backend of the configuration
    #[command(subcommand)]
    Backend(Backend),
    /// Who the daemon takes you for, and what you may do
    Whoami(Daemon),
    /// Look at the grants of a configuration
    #[command(subcommand)]
    Access(Access),
    /// Print shell completions
    #[command(after_help = "Example: jwksd completions bash > /usr/share/bash-completion/completions/jwksd")]
    Completions {
        /// For which shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the man page, or write it and those of all commands into a directory
    #[command(after_help = "Examples: jwksd man | man -l -; jwksd man /usr/share/man/man1")]
    Man {
        /// Where to write them
        directory: Option<PathBuf>,
    },
}

/// A daemon without a configuration.
#[derive(Debug, Clone, Args)]
pub struct Dev {
    /// Where keys, state and audit log go
    #[arg(long, value_name = "DIR", default_value = "./jwksd-dev")]
    pub data: PathBuf,
    /// Listens for verifiers; a loopback address
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub public: SocketAddr,
    /// Listens for identity providers
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081")]
    pub signing: SocketAddr,
    /// Listens for operators
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8082")]
    pub admin: SocketAddr,
}

/// A configuration file.
#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// The configuration
    #[arg(long = "config", short = 'c', value_name = "FILE", env = "JWKSD_CONFIG")]
    pub path: PathBuf,
}

/// A configuration file to be judged.
#[derive(Debug, Clone, Args)]
pub struct CheckConfig {
    /// The configuration
    #[arg(value_name = "FILE", env = "JWKSD_CONFIG")]
    pub path: PathBuf,
}

/// Which daemon, and how it knows us.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Daemon")]
pub struct Daemon {
    /// Its admin listener: HOST:PORT, https://HOST:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", env = "JWKSD_ADMIN", default_value = DEFAULT)]
    pub admin: Target,
    /// A file with the bearer token to show; over a Unix socket the user id is usually enough
    #[arg(long, value_name = "FILE", env = "JWKSD_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// For https: the authorities that its certificate must come from; else those of the system
    #[arg(long, value_name = "FILE", env = "JWKSD_CA")]
    pub ca: Option<PathBuf>,
    /// For https: the certificate to show
    #[arg(long, value_name = "FILE", env = "JWKSD_CERT", requires = "key")]
    pub cert: Option<PathBuf>,
    /// For https: the private key of that certificate
    #[arg(long, value_name = "FILE", env = "JWKSD_KEY", requires = "cert")]
    pub key: Option<PathBuf>,
}

/// What happens next.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// Only this issuer
    pub issuer: Option<IssuerId>,
    /// How far to look ahead, such as 90d or 1y, and to list all of it; else the nearest steps of the coming year
    #[arg(long = "for", value_name = "DURATION", value_parser = when::horizon)]
    pub horizon: Option<Span>,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// All keys.
#[derive(Debug, Clone, Args)]
pub struct Keys {
    /// Only this issuer
    pub issuer: Option<IssuerId>,
    /// Also those that are long gone
    #[arg(long)]
    pub all: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// A rotation out of turn.
#[derive(Debug, Clone, Args)]
pub struct Rotate {
    /// The issuer
    pub issuer: IssuerId,
    /// Its ring
    pub ring: RingName,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// A leaked key.
#[derive(Debug, Clone, Args)]
pub struct Compromise {
    /// The issuer
    pub issuer: IssuerId,
    /// The key, as `jwksd keys` and the header of a token name it
    #[arg(value_parser = Kid::new, allow_hyphen_values = true)]
    pub kid: Kid,
    /// Why, for the audit log and for whoever asks next year
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// If no standby is ready, sign with a key that verifiers may not hold yet: some tokens will be rejected for a
    /// while. Without this, signing stops until the next key is ready
    #[arg(long)]
    pub activate_unpropagated: bool,
    /// Don't ask
    #[arg(long)]
    pub yes: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Keys of another issuer.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// The issuer that is to publish them
    pub issuer: IssuerId,
    /// A JWK or a JWK Set, public halves only; - reads from standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Withdraw them then: a moment such as 2026-12-20T00:00:00Z, or so long from now, such as 30d
    #[arg(long, value_name = "TIME")]
    pub until: Option<Until>,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// An imported key that is no longer needed.
#[derive(Debug, Clone, Args)]
pub struct Withdraw {
    /// The issuer
    pub issuer: IssuerId,
    /// The key
    #[arg(value_parser = Kid::new, allow_hyphen_values = true)]
    pub kid: Kid,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Keys without a version.
#[derive(Debug, Clone, Args)]
pub struct Strays {
    /// Destroy the one with this handle, for good
    #[arg(long, value_name = "HANDLE", requires_all = ["backend", "reason"])]
    pub destroy: Option<String>,
    /// The backend that holds it
    #[arg(long, value_name = "NAME", requires = "destroy")]
    pub backend: Option<BackendId>,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", requires = "destroy")]
    pub reason: Option<String>,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// A restored store.
#[derive(Debug, Clone, Args)]
pub struct AcceptRollback {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// The issuer whose older state is right
    pub issuer: IssuerId,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// A backend.
#[derive(Debug, Clone, Subcommand)]
pub enum Backend {
    /// Make a throw-away key, sign with it, verify, destroy it; without the daemon
    ///
    /// It reads the secrets of the backend as the daemon would; run it as the daemon's user. Software keys can be
    /// opened by one process only: stop the daemon first.
    Test {
        /// Its name in the configuration
        name: BackendId,
        /// Which configuration.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Let a token's PIN be tried again that the token has refused
    ///
    /// One refused PIN stops all further tries, since tokens lock after a few. Run this once the PIN is known to be
    /// right: after the token was unlocked, or if the PIN comes from a credential or the environment, whose changes
    /// can't be seen. A changed PIN file is noticed without it.
    Unlock {
        /// Its name in the configuration
        name: BackendId,
        /// Which configuration.
        #[command(flatten)]
        config: ConfigFile,
    },
}
