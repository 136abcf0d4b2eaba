//! Who asks: the connection's peer, and the bearer token that came with the request.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::problem::{Code, Refusal};
use crate::access::caller::{Caller, Token, TokenHash};
use crate::access::grant::Grants;
use crate::trust::{TrustedIssuers, Verdict};

/// Who may do what, and by whose word callers are known. Clones share it.
#[derive(Debug, Clone)]
pub struct Access {
    /// Who may do what.
    pub grants: Arc<Grants>,
    /// By whose tokens callers are known.
    pub trusted: TrustedIssuers,
}

/// The caller of a request with these headers over a connection of `connected`.
///
/// A token of a trusted issuer is verified here, any other is hashed, and neither goes further.
/// # Errors
/// `credentials_malformed` if there is an `Authorization` that is not exactly one bearer token: a caller who
/// tried to present credentials must not be taken for one who has none. `token_refused` if it has the form of a
/// token of an issuer and is not believed; `token_issuer_unavailable` if that can't be decided.
/// # Source
/// RFC 6750, section 2.1.
pub async fn identify(trusted: &TrustedIssuers, connected: &Caller, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let token = match (all.next(), all.next()) {
        (None, _) => return Ok(connected.clone()),
        (Some(one), None) => bearer(one.as_bytes()).ok_or_else(malformed)?,
        _ => return Err(malformed()),
    };
    let shown = match trusted.judge(str::from_utf8(token).map_err(|_| malformed())?).await {
        Verdict::NotAJwt => Token::Secret(hash(token)),
        Verdict::Subject(subject) => Token::Jwt(subject),
        Verdict::Refused(fault) => return Err(Code::TokenRefused.refusal(REFUSED).because(&fault)),
        Verdict::Unavailable => {
            let detail = "the keys of the token's issuer can't be had at present";
            return Err(Code::TokenIssuerUnavailable.refusal(detail).retry_after(5));
        }
    };
    Ok(Caller { token: Some(shown), ..connected.clone() })
}

/// Why, the log says.
const REFUSED: &str = "the bearer token is not accepted; the daemon's log says why";

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
