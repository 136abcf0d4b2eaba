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

impl TokenHash {
    /// All of it, as a grant has it. Who has shown the token may know.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

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

/// Whom a bearer token names that a trusted issuer has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The name of the trusted issuer in the configuration.
    pub issuer: String,
    /// The claim `sub`.
    pub sub: String,
}

/// A bearer token, as far as it matters who shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A secret, of which the configuration may know the hash.
    Secret(TokenHash),
    /// A token that was verified.
    Jwt(Arc<Subject>),
}

/// Whoever makes a request. A caller can be several things at once, and a grant for any of them holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The other end of the connection.
    pub peer: Peer,
    /// The systemd unit of the process at the other end of a Unix socket, if it was asked for and could be told.
    pub unit: Option<Arc<str>>,
    /// What its certificate says.
    pub certificate: Option<Arc<CertificateNames>>,
    /// The bearer token that came with the request.
    pub token: Option<Token>,
}

impl Caller {
    /// Whoever is at the other end, without further proof.
    #[must_use]
    pub fn at(peer: Peer) -> Self {
        Self { peer, unit: None, certificate: None, token: None }
    }

    /// Against whom its requests are counted: itself, or its address if nothing else is known.
    #[must_use]
    pub fn account(&self) -> String {
        match self.peer {
            Peer::Tcp(address) if self.token.is_none() && self.certificate.is_none() => address.ip().to_string(),
            _ => self.to_string(),
        }
    }

    /// Everything that is known of it and that a grant can name, each as `jwksd access explain --as` takes it.
    #[must_use]
    pub fn proofs(&self) -> Vec<String> {
        let mut proofs = Vec::new();
        match &self.token {
            Some(Token::Secret(hash)) => proofs.push(format!("token_sha256:{}", hash.hex())),
            Some(Token::Jwt(subject)) => proofs.push(format!("jwt:{}:{}", subject.issuer, subject.sub)),
            None => {}
        }
        if let Some(names) = &self.certificate {
            proofs.extend(names.spiffe.iter().map(ToString::to_string));
            proofs.extend(names.dns.iter().map(|name| format!("dns:{name}")));
        }
        proofs.extend(self.unit.iter().map(|unit| format!("unit:{unit}")));
        match self.peer {
            Peer::Unix { uid, gid } => proofs.extend([format!("uid:{uid}"), format!("gid:{gid}")]),
            Peer::Tcp(address) if address.ip().to_canonical().is_loopback() => proofs.push("loopback".to_owned()),
            Peer::Tcp(_) => {}
        }
        proofs
    }
}

impl fmt::Display for Caller {
    /// What logs and the audit trail call it, by its strongest proof: `token:1a2b3c4d`,
    /// `jwt:k8s:system:serviceaccount:ns:name`, `spiffe://td/idp`, `dns:idp.example.com`, `uid:1001`,
    /// `uid:1001,unit:idp.service` or `tcp:127.0.0.1:50412`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.token {
            Some(Token::Secret(hash)) => return write!(f, "token:{hash}"),
            Some(Token::Jwt(subject)) => return write!(f, "jwt:{}:{}", subject.issuer, subject.sub),
            None => {}
        }
        if let Some(names) = &self.certificate {
            match (&names.spiffe, names.dns.first()) {
                (Some(id), _) => return id.fmt(f),
                (None, Some(name)) => return write!(f, "dns:{name}"),
                (None, None) => {}
            }
        }
        match (self.peer, &self.unit) {
            (Peer::Unix { uid, .. }, Some(unit)) => write!(f, "uid:{uid},unit:{unit}"),
            (Peer::Unix { uid, .. }, None) => write!(f, "uid:{uid}"),
            (Peer::Tcp(address), _) => write!(f, "tcp:{address}"),
        }
    }
}
