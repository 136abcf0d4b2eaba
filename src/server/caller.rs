//! Who asks: the connection's peer, and the bearer token that came with the request.

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::problem::{Code, Refusal};
use crate::access::caller::{Caller, TokenHash};

/// The caller of a request with these headers over a connection of `caller`.
///
/// The token itself is hashed here and goes no further.
/// # Errors
/// `credentials_malformed` if there is an `Authorization` that is not exactly one bearer token: a caller who
/// tried to present credentials must not be taken for one who has none.
/// # Source
/// RFC 6750, section 2.1.
pub fn identify(caller: &Caller, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let token = match (all.next(), all.next()) {
        (None, _) => None,
        (Some(one), None) => Some(bearer(one.as_bytes()).ok_or_else(malformed)?),
        _ => return Err(malformed()),
    };
    Ok(Caller { token: token.map(hash), ..caller.clone() })
}

/// The hash by which the configuration names `token`.
#[must_use]
pub fn hash(token: &[u8]) -> TokenHash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token).as_ref());
    TokenHash(bytes)
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let token = token.trim_ascii_start();
    let unpadded = token.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
    let is_token = unpadded > 0 && token.get(..unpadded)?.iter().all(fits);
    is_token.then_some(token)
}

const SCHEME: &[u8] = b"Bearer ";

fn malformed() -> Refusal {
    Code::Credentials.refusal("send one Authorization header with a bearer token, or none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_bearer_token_counts() {
        let long = "x".repeat(4096);
        for (value, token) in [
            ("Bearer abc", "abc"),
            ("bearer abc.-_~+/==", "abc.-_~+/=="),
            ("BEARER  a", "a"),
            (&format!("Bearer {long}"), &long),
        ] {
            assert_eq!(bearer(value.as_bytes()), Some(token.as_bytes()), "{value}");
        }
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer =",
            "Bearer a b",
            "Bearer a,b",
            "Basic abc",
            "Bearerabc",
            "Bearer a=b",
            "Bearer \u{e4}",
        ] {
            assert_eq!(bearer(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn the_hash_is_that_of_sha256sum() {
        // printf %s secret | sha256sum
        assert_eq!(hash(b"secret").to_string(), "2bb80d53");
    }
}
