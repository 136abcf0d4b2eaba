//! Who is at the other end of a connection, as far as the transport and a presented token tell.

use std::fmt;
use std::net::SocketAddr;

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

/// The SHA-256 of a bearer token: how the configuration names a token without holding it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

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

/// Whoever makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The other end of the connection.
    pub peer: Peer,
    /// The hash of the bearer token that came with the request.
    pub token: Option<TokenHash>,
}

impl fmt::Display for Caller {
    /// What logs and the audit trail call it: `token:1a2b3c4d`, `uid:1001` or `tcp:127.0.0.1:50412`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.token, self.peer) {
            (Some(hash), _) => write!(f, "token:{hash}"),
            (None, Peer::Unix { uid, .. }) => write!(f, "uid:{uid}"),
            (None, Peer::Tcp(address)) => write!(f, "tcp:{address}"),
        }
    }
}
