//! What a token must say to be believed: a function of the token, the keys and the time.

use thiserror::Error;

use crate::jose::alg::Algorithm;
use crate::jose::json::{Limits, Object};
use crate::jose::jws::Compact;
use crate::jose::verify::Verifier;
use crate::lifecycle::time::{Span, Timestamp};

/// What is demanded of the tokens of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The value of `iss`.
    pub iss: String,
    /// One of these must be in `aud`.
    pub audiences: Vec<String>,
    /// What they may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// The largest difference between its clock and ours.
    pub skew: Span,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// Not a compact JWS with a strict header and a payload that is a strict JSON object.
    #[error("not a compact JWS whose header holds alg, kid and typ alone")]
    Malformed,
    /// No trusted issuer has this `iss`.
    #[error("its iss is not that of a trusted issuer")]
    Issuer,
    /// Its algorithm is not one that the issuer may use.
    #[error("its algorithm is not allowed for this issuer")]
    Algorithm,
    /// It is something else than an access or identity token.
    #[error("its typ is neither absent nor JWT nor at+jwt")]
    Type,
    /// The issuer's JWK Set has no such key for this algorithm.
    #[error("the issuer's JWK Set has no key of this kid and algorithm")]
    Key,
    /// It was not signed by that key.
    #[error("its signature is not by that key")]
    Signature,
    /// It is over, or has no end.
    #[error("it has expired, or has no exp")]
    Expired,
    /// It does not hold yet.
    #[error("its nbf or iat is in the future")]
    Early,
    /// It is for others.
    #[error("its aud is somebody else's")]
    Audience,
    /// It does not say whose it is.
    #[error("its sub is missing, longer than 1024 bytes, or holds control characters")]
    Subject,
}

impl Fault {
    /// A word for metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Issuer => "issuer",
            Self::Algorithm => "algorithm",
            Self::Type => "typ",
            Self::Key => "key_unknown",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Early => "not_yet_valid",
            Self::Audience => "audience",
            Self::Subject => "subject",
        }
    }
}

/// Longer tokens are not read.
const PAYLOAD: Limits = Limits { bytes: 16 * 1_024, ..Limits::DEFAULT };

/// Reads a token without believing it.
pub(super) fn read(token: &str) -> Result<Compact<'_>, Fault> {
    Compact::parse(token, &PAYLOAD).map_err(|_| Fault::Malformed)
}

/// The issuer that a token names, believed or not.
pub(super) fn named_issuer(token: &Compact<'_>) -> Option<String> {
    Object::parse(token.payload(), &PAYLOAD).ok()?.get_str("iss").ok()?
}

/// Whether the header may be looked at further.
pub(super) fn check_header(token: &Compact<'_>, expected: &Expected) -> Result<(), Fault> {
    if !expected.algorithms.contains(&token.alg()) {
        return Err(Fault::Algorithm);
    }
    let is_usual =
        |typ: &str| ["jwt", "at+jwt", "application/at+jwt"].iter().any(|usual| typ.eq_ignore_ascii_case(usual));
    if token.typ().is_none_or(|typ| is_usual(typ.as_str())) { Ok(()) } else { Err(Fault::Type) }
}

/// The subject of a token, if `key` has signed it and it says what is expected.
///
/// # Source
/// RFC 7519, sections 4.1 and 7.2; RFC 8725, sections 3.8 to 3.12.
pub(super) fn subject(
    token: &Compact<'_>,
    key: &Verifier,
    expected: &Expected,
    now: Timestamp,
) -> Result<String, Fault> {
    // Nothing of the payload is looked at before: who forges learns no more than that.
    key.verify(token.signing_input().as_bytes(), token.signature()).map_err(|_| Fault::Signature)?;
    let claims = Object::parse(token.payload(), &PAYLOAD).map_err(|_| Fault::Malformed)?;
    let time = |name, fault| Ok(claims.get_i64(name).map_err(|_| fault)?.map(Timestamp::from_second));
    if claims.get_str("iss").ok().flatten().as_deref() != Some(expected.iss.as_str()) {
        return Err(Fault::Issuer);
    }
    if time("exp", Fault::Expired)?.is_none_or(|exp| exp + expected.skew <= now) {
        return Err(Fault::Expired);
    }
    for name in ["nbf", "iat"] {
        if time(name, Fault::Early)?.is_some_and(|from| from > now + expected.skew) {
            return Err(Fault::Early);
        }
    }
    let raw = claims.get("aud").ok_or(Fault::Audience)?;
    let one = serde_json::from_str::<String>(raw).map(|one| vec![one]);
    let audiences = one.or_else(|_| serde_json::from_str::<Vec<String>>(raw)).map_err(|_| Fault::Audience)?;
    if !audiences.iter().any(|audience| expected.audiences.contains(audience)) {
        return Err(Fault::Audience);
    }
    let sub = claims.get_str("sub").ok().flatten().ok_or(Fault::Subject)?;
    let is_plain = !sub.is_empty() && sub.len() <= 1_024 && !sub.contains(char::is_control);
    if is_plain { Ok(sub) } else { Err(Fault::Subject) }
}
