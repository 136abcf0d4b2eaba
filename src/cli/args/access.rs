//! The arguments of `jwksd access`.

use clap::{Args, Subcommand};

use super::ConfigFile;
use crate::cli::access::{ClaimsText, Named, Proof};
use crate::ids::{IssuerId, RingName};
use crate::jose::jws::Typ;
use crate::lifecycle::time::Span;

/// The grants of a configuration.
#[derive(Debug, Clone, Subcommand)]
pub enum Access {
    /// Say whether a caller may do something, and which grant decides; without the daemon
    ///
    /// The exit code is 0 if it may, and 1 if not. Without --claims, only who may do what where is looked at.
    #[command(after_help = "Example: jwksd access explain -c /etc/jwksd/jwksd.toml --as uid:1001 --issuer main \
                            --ring es256 --claims '{\"sub\":\"alice\",\"aud\":\"shop\"}' --ttl 5m")]
    Explain(Explain),
}

/// A request that is not made.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Who: uid:N, gid:N, unit:NAME, spiffe://ID, dns:NAME, jwt:ISSUER:SUB, token_sha256:HEX or loopback; again for
    /// each thing that is known of the caller
    #[arg(long = "as", value_name = "WHO", required = true)]
    pub callers: Vec<Proof>,
    /// What: sign, sign_raw, sign_digest, read, rotate, compromise, import or audit
    #[arg(long, value_name = "WORD", default_value = "sign")]
    pub operation: Named,
    /// At which issuer; else in the whole installation
    #[arg(long)]
    pub issuer: Option<IssuerId>,
    /// In which ring; else at the whole issuer
    #[arg(long, requires = "issuer")]
    pub ring: Option<RingName>,
    /// The claims to be signed, for sign_raw the whole payload: JSON, or @FILE
    #[arg(long, value_name = "JSON", requires = "ring")]
    pub claims: Option<ClaimsText>,
    /// The typ of the token; for sign, else the ring's own
    #[arg(long, requires = "claims")]
    pub typ: Option<Typ>,
    /// The lifetime asked for, such as 5m
    #[arg(long, value_name = "DURATION", requires = "claims")]
    pub ttl: Option<Span>,
}
