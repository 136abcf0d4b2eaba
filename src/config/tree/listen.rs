//! Listeners: where they are, who may connect, and how much may be asked of them at once.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::lifecycle::time::Span;

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

/// Owner and group.
pub const SOCKET_MODE: u32 = 0o660;

/// How much of the signing listener one caller, and one ring, may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// One caller.
    pub caller: Share,
    /// One ring.
    pub ring: Share,
}

/// A part of what the signing listener can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Signatures in a second; without bound, if absent.
    pub rate: Option<u32>,
    /// Requests at once.
    pub concurrency: usize,
}

impl Default for Share {
    fn default() -> Self {
        Self { rate: None, concurrency: 256 }
    }
}
