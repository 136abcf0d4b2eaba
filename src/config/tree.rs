//! The validated tree: what the rest of the daemon is built from. Plain values, parsed and cross-checked.
//!
//! A tree can also be put together by code (`jwksd dev`, tests); then the builder answers for what the
//! cross checks would have refused.

mod listen;
mod trust;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub use super::audit::{Audit, AuditSignatures, Checkpoints};
use super::aws::AwsKms;
use super::fault::Fault;
use super::gcp::GcpKms;
use super::secret::Secret;
use super::token::Pkcs11;
use super::url::IssuerUrl;
use crate::access::grant::Grant;
use crate::ids::{BackendId, InstallationId, IssuerId, RingName};
use crate::jose::alg::KeySpec;
use crate::jose::jws::Typ;
use crate::lifecycle::policy::{self, Policy};
use crate::lifecycle::time::Span;
use crate::lifecycle::verifiers::Profile;

pub use listen::*;
pub use trust::*;

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Part of every label in a backend.
    pub installation: InstallationId,
    /// Whether private keys may live outside an HSM or KMS.
    pub allow_software_keys: bool,
    /// Where the daemon keeps its state.
    pub data_dir: PathBuf,
    /// Where issuers are stored.
    pub store: StoreKind,
    /// The audit log.
    pub audit: Audit,
    /// Worker threads; absent means one per processor core.
    pub workers: Option<NonZeroUsize>,
    /// Where the daemon listens.
    pub listen: Listen,
    /// How much of it one caller and one ring may have.
    pub limits: Limits,
    /// How it logs.
    pub log: Log,
    /// The backends, by name.
    pub backends: BTreeMap<BackendId, Backend>,
    /// The issuers, by name.
    pub issuers: BTreeMap<IssuerId, Issuer>,
    /// Whose tokens callers may show, by the name that grants use.
    pub trusted_issuers: BTreeMap<String, TrustedIssuer>,
    /// Who may do what.
    pub grants: Vec<Grant>,
    /// What is allowed but probably not meant, for the log and for `jwksd check-config`.
    pub warnings: Vec<Fault>,
}

/// Where issuers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreKind {
    /// A file in the data directory; for one daemon.
    #[default]
    Embedded,
}

/// How the daemon logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The shape of a line.
    pub format: LogFormat,
    /// Directives of tracing's env-filter: a level, or `target=level` joined by commas.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned() }
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object.
    #[default]
    Json,
    /// For a terminal.
    Text,
}

/// A configured backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// What it is.
    pub kind: BackendKind,
    /// The longest that one signature may take.
    pub sign_deadline: Span,
    /// Calls beyond so many at once wait, within their deadline.
    pub max_in_flight: usize,
}

/// What a backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendKind {
    /// Keys in files, encrypted at rest, in this process's memory while in use.
    Software(Sealing),
    /// Keys inside AWS KMS.
    AwsKms(Box<AwsKms>),
    /// Keys inside a token that a PKCS#11 module drives.
    Pkcs11(Box<Pkcs11>),
    /// Keys inside Google Cloud KMS.
    GcpKms(Box<GcpKms>),
}

impl Backend {
    /// A backend of this kind with the default limits.
    #[must_use]
    pub fn new(kind: BackendKind) -> Self {
        Self { kind, sign_deadline: policy::SIGN_DEADLINE, max_in_flight: 64 }
    }
}

/// What software keys are encrypted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// A random key.
    Key(Secret),
    /// A passphrase, stretched before use.
    Passphrase(Secret),
}

/// One published JWK Set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The value of `iss`, and where the set is found.
    pub url: IssuerUrl,
    /// For how long we advise caches to keep the set.
    pub jwks_max_age: Span,
    /// The declared verifiers; none means that the default propagation must do for all.
    pub verifiers: Vec<Profile>,
    /// The largest difference between any two clocks concerned.
    pub skew: Span,
    /// Whether `/.well-known/openid-configuration` is served.
    pub openid_configuration: bool,
    /// Whether verifiers hold another set of this URL already, so that first keys propagate too.
    pub known_to_verifiers: bool,
    /// How large a set the verifiers take.
    pub limits: SetLimits,
    /// Directories that the set is also written to.
    pub directories: Vec<PathBuf>,
    /// The key rings, by name.
    pub rings: BTreeMap<RingName, Ring>,
}

impl Issuer {
    /// An issuer with the defaults and without rings.
    #[must_use]
    pub fn new(url: IssuerUrl) -> Self {
        Self {
            url,
            jwks_max_age: policy::JWKS_MAX_AGE,
            verifiers: Vec::new(),
            skew: policy::SKEW,
            openid_configuration: false,
            known_to_verifiers: false,
            limits: SetLimits::default(),
            directories: Vec::new(),
            rings: BTreeMap::new(),
        }
    }
}

/// How large a set may become before it is worth a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetLimits {
    /// Keys in it.
    pub max_keys: usize,
    /// Its length in bytes.
    pub max_bytes: u64,
}

impl Default for SetLimits {
    fn default() -> Self {
        Self { max_keys: 5, max_bytes: 8 * 1_024 }
    }
}

/// One key ring of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// What its keys are.
    pub key: KeySpec,
    /// Where they are made.
    pub backend: BackendId,
    /// Where every standby is made instead, so that losing one backend is survived.
    pub standby_backend: Option<BackendId>,
    /// Its durations.
    pub policy: Policy,
    /// When a signature is checked before it is released.
    pub self_verify: SelfVerify,
    /// The `typ` of a token whose request names none.
    pub typ: Typ,
    /// Whether callers may have their own JWS signed.
    pub raw_signatures: bool,
    /// Whether it signs digests, and nothing else.
    pub digests: bool,
}

impl Ring {
    /// A ring of software keys with the defaults: durations as [`policy::Terms::default`].
    #[must_use]
    pub fn new(key: KeySpec, backend: BackendId, policy: Policy) -> Self {
        Self {
            key,
            backend,
            standby_backend: None,
            policy,
            self_verify: SelfVerify::Load,
            typ: Typ::default(),
            raw_signatures: true,
            digests: false,
        }
    }
}

/// When a signature is checked with the published key before it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfVerify {
    /// Every signature. The default for keys outside this process.
    Always,
    /// Once each time a key is loaded. The default for software keys.
    Load,
}

/// An issuer's set may never be longer than this, in bytes: common fetchers stop reading at 50 KiB.
pub const SET_BYTES_MAX: u64 = 50 * 1_024;
