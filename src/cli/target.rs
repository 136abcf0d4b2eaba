//! Where the daemon's admin listener is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// The admin listener of the packaged daemon.
pub const DEFAULT: &str = "unix:/run/jwksd/admin.sock";

/// Where to find the admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A host, by name or address, and a port: ready for the resolver.
    Tcp {
        /// The host, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// The same, over TLS.
    Tls {
        /// The host, without brackets, as its certificate names it.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Target {
    /// Whether nobody on the way can read what is sent.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tls { .. } => true,
            Self::Tcp { host, .. } => match host.parse::<IpAddr>() {
                Ok(IpAddr::V4(address)) => address.is_loopback() && address != Ipv4Addr::UNSPECIFIED,
                Ok(IpAddr::V6(address)) => address == Ipv6Addr::LOCALHOST,
                Err(_) => host == "localhost",
            },
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Tls { host, port } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Tls { host, port } => write!(f, "https://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text does not say where the daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// None of the forms.
    #[error("write HOST:PORT such as 127.0.0.1:8082, https://HOST:PORT for TLS, or unix:PATH such as {DEFAULT}")]
    Form,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(TargetError::Form) } else { Ok(Self::Unix(path.into())) };
        }
        let (text, is_tls) = match text.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (text.strip_prefix("http://").unwrap_or(text), false),
        };
        let text = text.trim_end_matches('/');
        let (host, port) = text.rsplit_once(':').ok_or(TargetError::Form)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let host = match bare {
            Some(address) => address.parse::<Ipv6Addr>().map(|_| address).map_err(|_| TargetError::Form)?,
            None if !host.is_empty() && host.chars().all(is_host) => host,
            None => return Err(TargetError::Form),
        };
        let port = port.parse().map_err(|_| TargetError::Form)?;
        let host = host.to_owned();
        Ok(if is_tls { Self::Tls { host, port } } else { Self::Tcp { host, port } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_a_port_or_a_socket() {
        for (text, shown, is_private) in [
            ("127.0.0.1:8082", "127.0.0.1:8082", true),
            ("http://localhost:8082/", "localhost:8082", true),
            ("[::1]:8082", "[::1]:8082", true),
            ("[2001:db8::1]:80", "[2001:db8::1]:80", false),
            ("keys.example.com:8082", "keys.example.com:8082", false),
            ("https://keys.example.com:8082/", "https://keys.example.com:8082", true),
            ("https://[2001:db8::1]:80", "https://[2001:db8::1]:80", true),
            (DEFAULT, DEFAULT, true),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.to_string().as_str(), target.is_private()), (shown, is_private));
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms() {
        for text in [
            "https://keys.example.com",
            "https:a:1",
            "",
            "unix:",
            "8082",
            "/run/jwksd/admin.sock",
            "::1:8082",
            "a b:1",
            "host:65536",
            "http://a/b:1",
        ] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::Form), "{text:?}");
        }
    }
}
