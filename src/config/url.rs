//! The URL of an issuer: byte for byte what stands in `iss`, and where its JWK Set is found.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// An issuer's URL in its one accepted spelling.
///
/// Verifiers compare `iss` byte for byte, so nothing is normalised: a spelling that a library could
/// rewrite (capital letters, a trailing slash, percent signs, dot segments) is refused instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerUrl {
    text: Box<str>,
    path_at: usize,
}

/// Why a text is not an issuer's URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Neither https nor http.
    #[error("{0:?} does not begin with https://")]
    Scheme(String),
    /// http, to a host that is not this machine.
    #[error("{0:?} is plain http, which is taken for loopback hosts only; write https://")]
    PlainHttp(String),
    /// A user name or password before the host.
    #[error("a URL with a user name or password cannot be published; remove everything up to the @")]
    UserInfo,
    /// A query or a fragment.
    #[error("{0:?} has a query or a fragment; an issuer has neither")]
    QueryOrFragment(String),
    /// A slash at the end.
    #[error("{0:?} ends in a slash; remove it, and check that callers and verifiers expect the issuer without it")]
    TrailingSlash(String),
    /// Not a host name or address.
    #[error("{0:?} is not a host name in lower case, an IPv4 address or a bracketed IPv6 address")]
    Host(String),
    /// Not a port.
    #[error("port {0:?} is not a number from 1 to 65535")]
    Port(String),
    /// A segment of the path that software on the way may rewrite.
    #[error("path segment {0:?} may hold only a-z, A-Z, 0-9 and . _ ~ -, and must not be empty, \".\" or \"..\"")]
    Segment(String),
    /// The path of the documents that are served below an issuer.
    #[error("{0:?} holds .well-known, which is added below the issuer by itself; remove it")]
    WellKnown(String),
}

impl IssuerUrl {
    /// The URL as it was written: the value of `iss`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path, empty or with a leading slash and no trailing one: `""`, `"/tenant-a"`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }

    /// Where verifiers fetch the JWK Set.
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        format!("{}/.well-known/jwks.json", self.text)
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for IssuerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole = || text.to_owned();
        let (plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(UrlError::Scheme(whole())),
        };
        let authority_len = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_len);
        // Checked first, and without echoing the text: it may hold a password.
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        if rest.contains(['?', '#']) {
            return Err(UrlError::QueryOrFragment(whole()));
        }
        if path.ends_with('/') {
            return Err(UrlError::TrailingSlash(whole()));
        }
        let host = host_of(authority)?;
        if plain && !is_loopback(host) {
            return Err(UrlError::PlainHttp(whole()));
        }
        for segment in path.split('/').skip(1) {
            check_segment(segment)?;
        }
        if path.split('/').any(|segment| segment == ".well-known") {
            return Err(UrlError::WellKnown(whole()));
        }
        Ok(Self { text: text.into(), path_at: text.len() - path.len() })
    }
}

/// The host of `host` or `host:port`, both checked.
fn host_of(authority: &str) -> Result<&str, UrlError> {
    let host_len = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_len);
    if !is_host(host) {
        return Err(UrlError::Host(host.to_owned()));
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(host),
        Some(digits) if is_port(digits) => Ok(host),
        Some(digits) => Err(UrlError::Port(digits.to_owned())),
        None => Err(UrlError::Host(authority.to_owned())),
    }
}

fn is_port(digits: &str) -> bool {
    digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0')
        && digits.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    host.len() <= 253 && host.split('.').all(label) && (!numeric || host.parse::<Ipv4Addr>().is_ok())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

fn check_segment(segment: &str) -> Result<(), UrlError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(fits) {
        return Err(UrlError::Segment(segment.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_url_keeps_its_spelling_and_knows_its_path() {
        for (text, path) in [
            ("https://id.example.com", ""),
            ("https://id.example.com:8443/tenant-a", "/tenant-a"),
            ("https://id.example.com/realms/Main_1.0~x", "/realms/Main_1.0~x"),
            ("https://[2001:db8::1]/a", "/a"),
            ("http://127.0.0.1:8080", ""),
            ("http://[::1]:8080/dev", "/dev"),
            ("http://localhost:8080", ""),
        ] {
            let url: IssuerUrl = text.parse().unwrap();
            assert_eq!((url.as_str(), url.path()), (text, path));
            assert_eq!(url.jwks_uri(), format!("{text}/.well-known/jwks.json"));
        }
    }

    #[test]
    fn a_spelling_that_somebody_could_rewrite_is_refused() {
        use UrlError as E;
        type Case = (&'static str, fn(&E) -> bool);
        let cases: [Case; 24] = [
            ("", |e| matches!(e, E::Scheme(_))),
            ("id.example.com", |e| matches!(e, E::Scheme(_))),
            ("HTTPS://id.example.com", |e| matches!(e, E::Scheme(_))),
            ("http://id.example.com", |e| matches!(e, E::PlainHttp(_))),
            ("http://127.0.0.1.example.com", |e| matches!(e, E::PlainHttp(_))),
            ("https://user:secret@id.example.com", |e| matches!(e, E::UserInfo)),
            ("http://localhost:80@id.example.com", |e| matches!(e, E::UserInfo)),
            ("https://id.example.com?x=1", |e| matches!(e, E::QueryOrFragment(_))),
            ("https://id.example.com/a#b", |e| matches!(e, E::QueryOrFragment(_))),
            ("https://id.example.com/", |e| matches!(e, E::TrailingSlash(_))),
            ("https://", |e| matches!(e, E::Host(_))),
            ("https://Id.example.com", |e| matches!(e, E::Host(_))),
            ("https://bücher.example", |e| matches!(e, E::Host(_))),
            ("https://1.2.3", |e| matches!(e, E::Host(_))),
            ("https://[::g]", |e| matches!(e, E::Host(_))),
            ("https://[::1]x", |e| matches!(e, E::Host(_))),
            ("https://id.example.com:0", |e| matches!(e, E::Port(_))),
            ("https://id.example.com:", |e| matches!(e, E::Port(_))),
            ("https://id.example.com:+80", |e| matches!(e, E::Port(_))),
            ("https://id.example.com//a", |e| matches!(e, E::Segment(_))),
            ("https://id.example.com/a/../b", |e| matches!(e, E::Segment(_))),
            ("https://id.example.com/a%2fb", |e| matches!(e, E::Segment(_))),
            ("https://id.example.com/a b", |e| matches!(e, E::Segment(_))),
            ("https://id.example.com/.well-known/x", |e| matches!(e, E::WellKnown(_))),
        ];
        for (text, expected) in cases {
            let error = text.parse::<IssuerUrl>().unwrap_err();
            assert!(expected(&error), "{text:?}: {error:?}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
