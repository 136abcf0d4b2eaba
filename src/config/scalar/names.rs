//! The values by which callers and those who vouch for them are named.

use std::net::IpAddr;

use http::Uri;
use serde_json::Value;

use crate::config::value::Scalar;

/// A DNS name as certificates hold it, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct DnsName(pub(in crate::config) String);

impl Scalar for DnsName {
    const EXPECTED: &'static str = "a DNS name in quotes, such as \"idp.example.com\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
        let good = text.len() <= 253 && text.split('.').all(is_label);
        Some(match good {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(format!("{text:?} is not a DNS name such as \"idp.example.com\"; wildcards are not taken")),
        })
    }
}

/// The SHA-256 of a bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct TokenHash(pub(in crate::config) [u8; 32]);

impl Scalar for TokenHash {
    const EXPECTED: &'static str = "64 hexadecimal digits in quotes";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let nibble = |b: &u8| char::from(*b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let nibbles: Option<Vec<u8>> = text.as_bytes().iter().map(nibble).collect();
        let hash: Option<Vec<u8>> =
            nibbles.map(|nibbles| nibbles.chunks(2).map(|pair| pair.iter().fold(0, |byte, n| byte << 4 | n)).collect());
        let hash = hash.filter(|_| text.len() == 64).and_then(|hash| hash.try_into().ok());
        // The text is not repeated: it may well be the token itself.
        Some(hash.map(Self).ok_or_else(|| {
            "not 64 hexadecimal digits; write the SHA-256 of the token, which `printf %s TOKEN | sha256sum` \
             shows, never the token"
                .to_owned()
        }))
    }
}

/// The name of a systemd service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct UnitName(pub(in crate::config) String);

impl Scalar for UnitName {
    const EXPECTED: &'static str = "the name of a systemd service in quotes, such as \"idp.service\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        let stem = text.strip_suffix(".service");
        let good = stem.is_some_and(|stem| !stem.is_empty() && text.len() <= 255 && stem.bytes().all(fits));
        Some(match good {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is not the whole name of a service, such as \"idp.service\"")),
        })
    }
}

/// A text that others have chosen and that is compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct PlainText(pub(in crate::config) String);

impl Scalar for PlainText {
    const EXPECTED: &'static str = "a text in quotes";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let good = (1..=1_024).contains(&text.len()) && !text.contains(char::is_control);
        Some(match good {
            true => Ok(Self(text.to_owned())),
            false => Err("not a text of 1 to 1024 bytes without control characters".to_owned()),
        })
    }
}

/// Where a JWK Set is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct JwksUrl(pub(in crate::config) String);

impl Scalar for JwksUrl {
    const EXPECTED: &'static str = "a URL in quotes, such as \"https://id.example.com/.well-known/jwks.json\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let url: Option<Uri> = text.parse().ok();
        let host = url.as_ref().and_then(Uri::host).map(|host| host.trim_matches(['[', ']']));
        let is_here = || host.and_then(|host| host.parse::<IpAddr>().ok()).is_some_and(|address| address.is_loopback());
        let has_user = url.as_ref().and_then(Uri::authority).is_some_and(|authority| authority.as_str().contains('@'));
        let good = match url.as_ref().and_then(Uri::scheme_str) {
            Some("https") => host.is_some() && !has_user,
            Some("http") => is_here() && !has_user,
            _ => false,
        };
        Some(match good {
            true => Ok(Self(text.to_owned())),
            false => {
                Err("not a URL that begins with https://, or with http:// and a loopback address, and has no user \
                          name"
                    .to_owned())
            }
        })
    }
}

/// The value that a claim must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct FixedValue(pub(in crate::config) Value);

impl Scalar for FixedValue {
    const EXPECTED: &'static str = "a text in quotes, a whole number, or true or false";

    fn text(text: &str) -> Option<Result<Self, String>> {
        Some(Ok(Self(text.into())))
    }

    fn number(number: i64) -> Option<Result<Self, String>> {
        Some(Ok(Self(number.into())))
    }

    fn boolean(flag: bool) -> Option<Self> {
        Some(Self(flag.into()))
    }
}
