//! Listening sockets: bound early, served with limits, drained at the end.
//!
//! Binding is apart from serving, so that a daemon that can't have its addresses fails before it touches a key.

mod counters;
mod paced;
mod passed;
mod renew;
mod secure;
mod serve;
mod unit;
mod unix;

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};

use crate::tls::Endpoint;

pub use counters::{ConnectionMetrics, Counters};
pub use passed::{Passed, PassedError, Socket as PassedSocket};
pub use renew::{CertificateMetrics, renew};
pub use serve::serve;
use unix::SocketFile;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP address; port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Where its file is. The directory must exist.
        path: PathBuf,
        /// The permissions of the file: whoever may write it may connect.
        mode: u32,
    },
}

impl fmt::Display for Address {
    /// `127.0.0.1:8080` or `unix:/run/jwksd/sign.sock`, as in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, mode: _ } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What one listener puts up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. One more is accepted and closed at once: its client learns it now and can turn
    /// elsewhere, which it could not from within the backlog.
    pub connections: usize,
    /// How long a client may take over the TLS handshake, how long over a request's head, and how long it may
    /// leave a full answer unread; of the last two, at most twice as long passes until the connection is closed.
    pub head: Duration,
    /// How long a connection may be idle between requests, rounded up to a multiple of `head`. Longer than
    /// the clients' own bound, so that they are the ones who close.
    pub idle: Duration,
    /// The most bytes of a request's head; hyper allows nothing below 8 KiB.
    pub head_bytes: usize,
    /// How long requests that are under way may take when the listener stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            head_bytes: 16 * 1_024,
            grace: Duration::from_secs(15),
        }
    }
}

/// Why a listener could not be bound.
#[derive(Debug, Error)]
pub enum BindError {
    /// The system refused.
    #[error("listening on {address}")]
    Io {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody answers on the Unix socket.
    #[error("another process listens on {0}")]
    InUse(Address),
    /// Something that is not a socket stands in the way, and is left alone.
    #[error("{0} is a file, not a socket; move it away")]
    NotASocket(Address),
    /// Anybody could replace the socket by one of their own.
    #[error("the directory of {0} is writable by everybody; chmod it")]
    OpenDirectory(Address),
    /// More may connect than the configuration says.
    #[error(
        "{address} was passed on with mode {shown:04o}, which lets in more than {mode:04o} does; set SocketMode={mode:04o}"
    )]
    TooOpen {
        /// Where.
        address: Address,
        /// The permissions that its file has.
        shown: u32,
        /// Those that it may have.
        mode: u32,
    },
}

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    name: &'static str,
    address: Address,
    limits: Limits,
    tls: Option<Arc<Endpoint>>,
    units: Units,
}

/// Whether callers over a Unix socket are asked for their systemd unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// A grant names one.
    Asked,
    /// None does.
    Ignored,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    /// The file goes with the listener, if it is ours.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// Binds `address` for the listener that logs and metrics call `name`; from here on clients can connect, and wait until [`serve`] runs.
    ///
    /// The file of a Unix socket is put in place with its mode already set. One that a dead process left
    /// is replaced; one that somebody answers on is not.
    ///
    /// Must run within a tokio runtime.
    /// # Errors
    /// [`BindError`].
    pub async fn bind(name: &'static str, address: &Address, limits: Limits) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { address: address.clone(), source };
        let (socket, bound) = match address {
            Address::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted).await.map_err(failed)?;
                let bound = Address::Tcp(listener.local_addr().map_err(failed)?);
                (Socket::Tcp(listener), bound)
            }
            Address::Unix { path, mode } => {
                let (listener, file) = unix::bind(path, *mode).map_err(|fault| match fault {
                    unix::Fault::Io(source) => failed(source),
                    unix::Fault::InUse => BindError::InUse(address.clone()),
                    unix::Fault::NotASocket => BindError::NotASocket(address.clone()),
                    unix::Fault::OpenDirectory => BindError::OpenDirectory(address.clone()),
                })?;
                (Socket::Unix(listener, Some(file)), address.clone())
            }
        };
        Ok(Self { socket, name, address: bound, limits, tls: None, units: Units::Ignored })
    }

    /// As [`Listener::bind`], with a socket that is bound already. A Unix socket's file stays when the listener goes: it
    /// is another's, and clients wait at it for the next one.
    ///
    /// Must run within a tokio runtime.
    /// # Errors
    /// [`BindError::TooOpen`] if more may connect than `address` says, [`BindError::Io`] if the system refuses.
    pub fn over(
        name: &'static str,
        address: &Address,
        limits: Limits,
        socket: PassedSocket,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { address: address.clone(), source };
        let socket = match socket {
            PassedSocket::Tcp(listener) => {
                let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
                Socket::Tcp(listener.map_err(failed)?)
            }
            PassedSocket::Unix(listener) => {
                if let Address::Unix { path, mode } = address {
                    let shown = socket_mode(path).map_err(failed)?;
                    if shown & !mode != 0 {
                        return Err(BindError::TooOpen { address: address.clone(), shown, mode: *mode });
                    }
                }
                let listener = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener));
                Socket::Unix(listener.map_err(failed)?, None)
            }
        };
        Ok(Self { socket, name, address: address.clone(), limits, tls: None, units: Units::Ignored })
    }

    /// The same, over TLS if it is a TCP address.
    #[must_use]
    pub fn with_tls(mut self, endpoint: Arc<Endpoint>) -> Self {
        self.tls = Some(endpoint);
        self
    }

    /// The same, asking callers for their systemd unit or not.
    #[must_use]
    pub fn with_units(mut self, units: Units) -> Self {
        self.units = units;
        self
    }

    /// Its TLS, under the name that logs and metrics use.
    #[must_use]
    pub fn tls(&self) -> Option<(&'static str, Arc<Endpoint>)> {
        self.tls.as_ref().map(|endpoint| (self.name, Arc::clone(endpoint)))
    }

    /// What it puts up with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The address that is really bound.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

fn socket_mode(path: &Path) -> io::Result<u32> {
    fs::symlink_metadata(path).map(|file| file.permissions().mode() & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_to_do() {
        let unix = || Address::Unix { path: "/run/x.sock".into(), mode: 0o660 };
        let io = BindError::Io {
            address: "127.0.0.1:80".parse().map(Address::Tcp).unwrap(),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        let texts = [
            (io, "listening on 127.0.0.1:80"),
            (BindError::InUse(unix()), "another process listens on unix:/run/x.sock"),
            (BindError::NotASocket(unix()), "unix:/run/x.sock is a file, not a socket; move it away"),
            (BindError::OpenDirectory(unix()), "the directory of unix:/run/x.sock is writable by everybody; chmod it"),
        ];
        for (error, text) in texts {
            assert_eq!(error.to_string(), text);
        }
    }
}
