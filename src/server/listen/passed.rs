//! Sockets that the service manager has bound before it started the daemon: systemd, for a socket unit.

use std::io;
use std::net;
use std::os::unix::net as unix;

use listenfd::ListenFd;
use rustix::fd::AsFd;
use rustix::net::sockopt::socket_acceptconn;
use thiserror::Error;

use super::Address;

/// Those that were passed on, until a listener takes each.
#[derive(Debug, Default)]
pub struct Passed(Vec<Socket>);

/// One of them, listening.
#[derive(Debug)]
pub enum Socket {
    /// On an IP address.
    Tcp(net::TcpListener),
    /// On a path, whose file is the service manager's.
    Unix(unix::UnixListener),
}

/// Why sockets that were passed on can't be used.
#[derive(Debug, Error)]
pub enum PassedError {
    /// It is another kind of socket, or one connection.
    #[error(
        "socket {number} of those that the service manager passed on is not a listening one; in the socket unit, use \
         ListenStream= with an IP address or a path, and Accept=no"
    )]
    NotListening {
        /// Which, from 1.
        number: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Clients would wait at it for ever.
    #[error(
        "the service manager passed on a socket at {0}, which is the address of no listener in the configuration; let \
         ListenStream= of the socket unit and [listen] say the same"
    )]
    Stray(String),
}

impl Passed {
    /// Takes over what the environment names, so that nobody else does: call it once, before there are threads.
    ///
    /// # Errors
    /// [`PassedError::NotListening`].
    pub fn receive() -> Result<Self, PassedError> {
        let mut fds = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..fds.len() {
            let socket = match fds.take_unix_listener(index) {
                Ok(Some(listener)) => listening(&listener).map(|()| Some(Socket::Unix(listener))),
                Ok(None) => Ok(None),
                Err(_) => fds.take_tcp_listener(index).and_then(|listener| match listener {
                    Some(listener) => listening(&listener).map(|()| Some(Socket::Tcp(listener))),
                    None => Ok(None),
                }),
            };
            sockets.extend(socket.map_err(|source| PassedError::NotListening { number: index + 1, source })?);
        }
        Ok(Self(sockets))
    }

    /// The socket at `address`, if it was passed on.
    pub fn take(&mut self, address: &Address) -> Option<Socket> {
        let place = self.0.iter().position(|socket| socket.is_at(address))?;
        Some(self.0.swap_remove(place))
    }

    /// Every socket has been taken.
    ///
    /// # Errors
    /// [`PassedError::Stray`] names the first that was not.
    pub fn finish(self) -> Result<(), PassedError> {
        self.0.first().map_or(Ok(()), |stray| Err(PassedError::Stray(stray.place())))
    }
}

impl Socket {
    fn is_at(&self, address: &Address) -> bool {
        match (self, address) {
            (Self::Tcp(listener), Address::Tcp(wanted)) => listener.local_addr().is_ok_and(|bound| bound == *wanted),
            (Self::Unix(listener), Address::Unix { path, mode: _ }) => {
                listener.local_addr().is_ok_and(|bound| bound.as_pathname() == Some(path))
            }
            _ => false,
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or("?".to_owned(), |address| address.to_string()),
            Self::Unix(listener) => match listener.local_addr() {
                Ok(address) => format!("{address:?}"),
                Err(_) => "?".to_owned(),
            },
        }
    }
}

fn listening(socket: impl AsFd) -> io::Result<()> {
    if socket_acceptconn(socket)? { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}
