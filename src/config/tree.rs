//! The validated tree: what the rest of the daemon is built from. Plain values, parsed and cross-checked.
//!
//! A tree can also be put together by code (`jwksd dev`, tests); then the builder answers for what the
//! cross checks would have refused.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub use super::audit::{Audit, AuditSignatures, Checkpoints};
use super::fault::Fault;
use super::secret::Secret;
use super::token::Pkcs11;
use super::url::IssuerUrl;
use crate::access::grant::Grant;
use crate::ids::{BackendId, InstallationId, IssuerId, RingName};
use crate::jose::alg::KeySpec;
use crate::lifecycle::policy::{self, Policy};
use crate::lifecycle::time::Span;
use crate::lifecycle::verifiers::Profile;

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
    /// How it logs.
    pub log: Log,
    /// The backends, by name.
    pub backends: BTreeMap<BackendId, Backend>,
    /// The issuers, by name.
    pub issuers: BTreeMap<IssuerId, Issuer>,
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

/// Where the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// For verifiers.
    pub public: Listener,
    /// For identity providers.
    pub signing: ApiListener,
    /// For operators.
    pub admin: ApiListener,
    /// For Prometheus.
    pub metrics: Option<Listener>,
}

/// An address, and what may be asked of it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where to listen.
    pub address: Address,
    /// The permission bits of a Unix socket; unused for TCP.
    pub mode: u32,
    /// TLS, if this listener speaks it.
    pub tls: Option<Tls>,
    /// Connections beyond so many are closed at once.
    pub max_connections: usize,
    /// How long a request may take. On listeners that answer from memory: how long a client may take to send it,
    /// and to read the answer.
    pub request_timeout: Span,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, leaf first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The oldest version of the protocol that is spoken.
    pub min_version: MinVersion,
    /// How clients are recognised by certificates, if they are.
    pub clients: Option<TlsClients>,
}

/// How clients are recognised by certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsClients {
    /// The bundle of certificate authorities.
    pub ca: PathBuf,
    /// Whether a client must show a certificate.
    pub auth: ClientAuth,
    /// Files of revocation lists.
    pub crls: Vec<PathBuf>,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    #[default]
    Tls13,
}

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// It must.
    #[default]
    Required,
    /// It may.
    Optional,
}

/// A listener that takes requests with a body and does work for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiListener {
    /// The address and the limits of connections.
    pub listener: Listener,
    /// A larger body is refused, in bytes.
    pub max_body: u64,
    /// Requests beyond so many at once are refused with 503.
    pub max_concurrency: usize,
}

impl Listener {
    /// The defaults of `[listen] public`.
    #[must_use]
    pub fn public(address: Address) -> Self {
        Self { address, mode: SOCKET_MODE, tls: None, max_connections: 1_024, request_timeout: Span::from_secs(10) }
    }

    /// The defaults of `[listen] metrics`.
    #[must_use]
    pub fn metrics(address: Address) -> Self {
        Self { address, mode: SOCKET_MODE, tls: None, max_connections: 16, request_timeout: Span::from_secs(10) }
    }
}

impl ApiListener {
    /// The defaults of `[listen] signing`.
    #[must_use]
    pub fn signing(address: Address) -> Self {
        let request_timeout = Span::from_secs(30);
        let listener = Listener { address, mode: SOCKET_MODE, tls: None, max_connections: 1_024, request_timeout };
        Self { listener, max_body: 64 * 1_024, max_concurrency: 256 }
    }

    /// The defaults of `[listen] admin`.
    #[must_use]
    pub fn admin(address: Address) -> Self {
        let request_timeout = Span::from_mins(1);
        let listener = Listener { address, mode: SOCKET_MODE, tls: None, max_connections: 64, request_timeout };
        Self { listener, max_body: 1_024 * 1_024, max_concurrency: 16 }
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
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
    /// Keys inside a token that a PKCS#11 module drives.
    Pkcs11(Box<Pkcs11>),
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
    pub typ: String,
    /// Whether callers may have their own JWS signed.
    pub raw_signatures: bool,
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
            typ: TYP.to_owned(),
            raw_signatures: true,
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

/// Owner and group.
pub const SOCKET_MODE: u32 = 0o660;
/// The `typ` of RFC 7519, section 5.1.
pub const TYP: &str = "JWT";
/// An issuer's set may never be longer than this, in bytes: common fetchers stop reading at 50 KiB.
pub const SET_BYTES_MAX: u64 = 50 * 1_024;
