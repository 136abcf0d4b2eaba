//! Who is at the other end of a connection, as far as transport, certificate and a presented token tell.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::spiffe::SpiffeId;

/// The other end of a connection, as the operating system names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A process on this machine, by the credentials of its Unix socket.
    Unix {
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A TCP connection.
    Tcp(SocketAddr),
}

/// The names in a client certificate that was verified against the listener's authorities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateNames {
    /// The SPIFFE ID, if the certificate has exactly one URI and that is one.
    pub spiffe: Option<SpiffeId>,
    /// The DNS names, in lower case.
    pub dns: Vec<String>,
}

/// The SHA-256 of a bearer token: how the configuration names a token without holding it.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl PartialEq for TokenHash {
    /// Takes as long for one difference as for another.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({self})")
    }
}

impl fmt::Display for TokenHash {
    /// The first eight hexadecimal digits: enough to tell tokens apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whoever makes a request. A caller can be several things at once, and a grant for any of them holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The other end of the connection.
    pub peer: Peer,
    /// What its certificate says.
    pub certificate: Option<Arc<CertificateNames>>,
    /// The hash of the bearer token that came with the request.
    pub token: Option<TokenHash>,
}

impl Caller {
    /// Whoever is at the other end, without further proof.
    #[must_use]
    pub fn at(peer: Peer) -> Self {
        Self { peer, certificate: None, token: None }
    }
}

impl fmt::Display for Caller {
    /// What logs and the audit trail call it, by its strongest proof: `token:1a2b3c4d`, `spiffe://td/idp`,
    /// `dns:idp.example.com`, `uid:1001` or `tcp:127.0.0.1:50412`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hash) = self.token {
            return write!(f, "token:{hash}");
        }
        if let Some(names) = &self.certificate {
            match (&names.spiffe, names.dns.first()) {
                (Some(id), _) => return id.fmt(f),
                (None, Some(name)) => return write!(f, "dns:{name}"),
                (None, None) => {}
            }
        }
        match self.peer {
            Peer::Unix { uid, .. } => write!(f, "uid:{uid}"),
            Peer::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}
