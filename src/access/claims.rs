//! What may be signed: the claims that the daemon writes itself, and the bounds on everybody else's.

use std::fmt::Write;

use thiserror::Error;

use crate::jose::json::{Object, reads_as};
use crate::lifecycle::time::{Span, Timestamp};

/// The claims that the daemon writes; a caller of `jwt` may send none of them.
pub(super) const OURS: [&str; 4] = ["iss", "iat", "exp", "jti"];

/// The registered claims of RFC 7519, section 4.1.
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Why claims are not signed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClaimsError {
    /// A claim that the daemon writes itself.
    #[error("claim {0} is written by the daemon; leave it out")]
    Reserved(&'static str),
    /// A registered claim of the wrong type.
    #[error("claim {name} is not {expected}")]
    Type {
        /// Which claim.
        name: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A claim that must be there.
    #[error("claim {0} is missing")]
    Missing(&'static str),
    /// Another issuer's name.
    #[error("claim iss is not this issuer's URL")]
    Issuer,
    /// The token would expire before it exists.
    #[error("claim exp is not in the future")]
    Expired,
    /// The token would outlive what verifiers are promised.
    #[error("the token would live for {asked}, longer than the {allowed} allowed here")]
    Lifetime {
        /// From now, or from `iat`, to `exp`.
        asked: Span,
        /// The most that is allowed.
        allowed: Span,
    },
    /// A time that can't be.
    #[error("claim {0} is later than it can be")]
    Future(&'static str),
    /// A registered claim under a name that some readers take for it and others don't.
    #[error("a claim's name differs from {0} only in case; write it so")]
    Variant(&'static str),
    /// The grant's rule on `aud`.
    #[error("claim aud is missing, or names an audience that the grant does not allow")]
    AudienceDenied,
    /// The grant's rule on `sub`.
    #[error("claim sub is missing, or is none that the grant allows")]
    SubjectDenied,
    /// The grant's rule on `typ`.
    #[error("the token's typ is none that the grant allows")]
    TypDenied,
    /// A claim that the grant requires.
    #[error("claim {0} is missing, which the grant requires")]
    Required(String),
    /// A claim that the grant forbids.
    #[error("claim {0} is there, which the grant forbids")]
    Forbidden(String),
    /// A claim whose value the grant fixes.
    #[error("claim {0} has not the value that the grant demands")]
    Value(String),
    /// The grant's rule on size.
    #[error("the payload has {size} bytes, more than the {allowed} that the grant allows")]
    Size {
        /// How many it has.
        size: usize,
        /// How many are allowed.
        allowed: usize,
    },
    /// A rule on claims, and a digest in which no claims are to be seen.
    #[error("the grant has rules on claims, and what was hashed can't be seen")]
    Unseen,
    /// The lifetime asked for is nothing.
    #[error("ttl is 0s; ask for at least 1s")]
    NoLifetime,
}

impl ClaimsError {
    /// The stable code for answers and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Reserved(_) => "claim_reserved",
            Self::Type { .. } => "claim_type",
            Self::Missing(_) => "claim_missing",
            Self::Issuer => "claim_issuer",
            Self::Expired => "claim_expired",
            Self::Lifetime { .. } => "lifetime_exceeded",
            Self::Future(_) => "claim_future",
            Self::NoLifetime => "lifetime_zero",
            Self::Variant(_) => "claim_case_variant",
            Self::AudienceDenied => "denied_aud",
            Self::SubjectDenied => "denied_sub",
            Self::TypDenied => "denied_typ",
            Self::Required(_) => "denied_without_claim",
            Self::Forbidden(_) => "denied_claim",
            Self::Value(_) => "denied_value",
            Self::Size { .. } => "denied_size",
            Self::Unseen => "denied_digest",
        }
    }

    /// The key of the grant that forbids it, if it is the grant that does.
    #[must_use]
    pub const fn rule(&self) -> Option<&'static str> {
        match self {
            Self::AudienceDenied => Some("claims.aud"),
            Self::SubjectDenied => Some("claims.sub"),
            Self::TypDenied => Some("claims.typ"),
            Self::Required(_) => Some("claims.require"),
            Self::Forbidden(_) => Some("claims.forbid"),
            Self::Value(_) => Some("claims.values"),
            Self::Size { .. } => Some("claims.max_size"),
            Self::Unseen => Some("claims"),
            Self::Reserved(_)
            | Self::Type { .. }
            | Self::Missing(_)
            | Self::Issuer
            | Self::Expired
            | Self::Lifetime { .. }
            | Self::Future(_)
            | Self::Variant(_)
            | Self::NoLifetime => None,
        }
    }
}

/// The claims that the daemon writes into one token.
#[derive(Debug, Clone, Copy)]
pub struct OurClaims<'a> {
    /// The issuer's URL as JSON text, quotes included.
    pub iss_json: &'a str,
    /// When the token is made.
    pub iat: Timestamp,
    /// When it ends.
    pub exp: Timestamp,
    /// Its unique name: characters that need no escaping.
    pub jti: &'a str,
}

/// Writes the payload: our claims, then the caller's, each with its exact text.
///
/// # Errors
/// [`ClaimsError`] if the caller sent a claim of ours, in any case, or a registered claim of the wrong type.
/// # Source
/// RFC 7519, section 4.1.
pub fn compose(ours: OurClaims<'_>, callers: &Object<'_>) -> Result<String, ClaimsError> {
    for (name, _) in callers.iter() {
        if let Some(reserved) = OURS.into_iter().find(|ours| reads_as(name, ours)) {
            return Err(ClaimsError::Reserved(reserved));
        }
    }
    check_registered(callers, ours.exp)?;
    let size: usize = callers.iter().map(|(name, raw)| name.len() + raw.len() + 4).sum();
    let mut payload = String::with_capacity(size + ours.iss_json.len() + ours.jti.len() + 64);
    payload.push_str("{\"iss\":");
    payload.push_str(ours.iss_json);
    // Writing to a String can't fail.
    let _ = write!(payload, ",\"iat\":{},\"exp\":{}", ours.iat.as_second(), ours.exp.as_second());
    payload.push_str(",\"jti\":\"");
    payload.push_str(ours.jti);
    payload.push('"');
    for (name, raw) in callers.iter() {
        payload.push(',');
        push_json_string(&mut payload, name);
        payload.push(':');
        payload.push_str(raw);
    }
    payload.push('}');
    Ok(payload)
}

/// Appends `text` as a JSON string.
fn push_json_string(out: &mut String, text: &str) {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// The bounds on a payload that the caller assembled.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// The issuer's URL.
    pub iss: &'a str,
    /// Now.
    pub now: Timestamp,
    /// The longest lifetime allowed.
    pub lifetime: Span,
    /// The clocks' allowance.
    pub skew: Span,
}

/// Checks an assembled payload and returns its `exp`.
///
/// # Errors
/// [`ClaimsError`] if `iss` is not the issuer's, `exp` is absent, past or too far ahead, `iat` lies
/// ahead, or a registered claim has the wrong type.
pub fn check_assembled(bounds: Bounds<'_>, payload: &Object<'_>) -> Result<Timestamp, ClaimsError> {
    let iss = payload.get_str("iss").map_err(|_| ClaimsError::Type { name: "iss", expected: "a string" })?;
    if iss.ok_or(ClaimsError::Missing("iss"))? != bounds.iss {
        return Err(ClaimsError::Issuer);
    }
    let exp = seconds(payload, "exp")?.ok_or(ClaimsError::Missing("exp"))?;
    if exp <= bounds.now {
        return Err(ClaimsError::Expired);
    }
    let mut asked = exp.since(bounds.now);
    if let Some(iat) = seconds(payload, "iat")? {
        if iat > bounds.now + bounds.skew {
            return Err(ClaimsError::Future("iat"));
        }
        // A caller whose clock is behind asks for an exp that is nearer, not for a longer life.
        asked = asked.max(exp.since(iat));
    }
    if asked > bounds.lifetime {
        return Err(ClaimsError::Lifetime { asked, allowed: bounds.lifetime });
    }
    check_registered(payload, exp)?;
    Ok(exp)
}

/// Checks the registered claims that belong to the caller.
fn check_registered(claims: &Object<'_>, exp: Timestamp) -> Result<(), ClaimsError> {
    for (name, _) in claims.iter() {
        let registered = REGISTERED.into_iter().find(|registered| reads_as(name, registered));
        if let Some(registered) = registered.filter(|registered| *registered != name) {
            return Err(ClaimsError::Variant(registered));
        }
    }
    let sub = claims.get_str("sub");
    sub.map_err(|_| ClaimsError::Type { name: "sub", expected: "a string" })?;
    if let Some(raw) = claims.get("aud") {
        let is_string = raw.starts_with('"');
        if !is_string && serde_json::from_str::<Vec<String>>(raw).is_err() {
            return Err(ClaimsError::Type { name: "aud", expected: "a string or an array of strings" });
        }
    }
    match seconds(claims, "nbf")? {
        Some(nbf) if nbf > exp => Err(ClaimsError::Future("nbf")),
        _ => Ok(()),
    }
}

fn seconds(claims: &Object<'_>, name: &'static str) -> Result<Option<Timestamp>, ClaimsError> {
    let wrong = |_| ClaimsError::Type { name, expected: "a whole number of seconds" };
    Ok(claims.get_i64(name).map_err(wrong)?.map(Timestamp::from_second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::json::Limits;

    const NOW: i64 = 1_700_000_000;

    fn composed(claims: &str) -> Result<String, ClaimsError> {
        let now = Timestamp::from_second(NOW);
        let ours = OurClaims { iss_json: "\"https://i\"", iat: now, exp: now + Span::from_secs(60), jti: "j" };
        compose(ours, &Object::parse(claims, &Limits::DEFAULT).unwrap())
    }

    #[test]
    fn the_callers_claims_keep_their_exact_text() {
        assert_eq!(
            composed(r#"{"sub":"a","n":1.0,"big":123456789012345678901234567890,"x":{"iss":"inner"},"ä\n":[ ]}"#)
                .unwrap(),
            "{\"iss\":\"https://i\",\"iat\":1700000000,\"exp\":1700000060,\"jti\":\"j\",\"sub\":\"a\",\"n\":1.0,\
             \"big\":123456789012345678901234567890,\"x\":{\"iss\":\"inner\"},\"ä\\n\":[ ]}"
        );
        assert_eq!(composed("{}").unwrap().matches(',').count(), 3);
    }

    #[test]
    fn a_caller_may_not_write_our_claims_in_any_case() {
        // Go's decoder takes the long s for an s.
        for name in ["iss", "ISS", "i\u{17f}s", "I\u{17f}\u{17f}", "exp", "Exp", "iat", "jti", "JTI"] {
            let refused = composed(&format!("{{\"{name}\":1}}")).unwrap_err();
            assert_eq!(refused.code(), "claim_reserved", "{name}");
        }
    }

    #[test]
    fn registered_claims_have_their_types() {
        for bad in [r#"{"sub":1}"#, r#"{"aud":1}"#, r#"{"aud":["a",1]}"#, r#"{"nbf":"1"}"#, r#"{"nbf":1.5}"#] {
            assert_eq!(composed(bad).unwrap_err().code(), "claim_type", "{bad}");
        }
        for bad in [r#"{"Sub":"a"}"#, r#"{"\u017fub":"a"}"#, r#"{"AUD":"a"}"#] {
            assert_eq!(composed(bad).unwrap_err().code(), "claim_case_variant", "{bad}");
        }
        assert!(composed(r#"{"aud":["a","b"],"sub":"s","nbf":1}"#).is_ok());
        assert_eq!(composed(r#"{"nbf":1700000061}"#).unwrap_err().code(), "claim_future");
    }

    fn assembled(payload: &str) -> Result<Timestamp, &'static str> {
        let now = Timestamp::from_second(NOW);
        let bounds = Bounds { iss: "https://i", now, lifetime: Span::from_secs(600), skew: Span::from_secs(60) };
        check_assembled(bounds, &Object::parse(payload, &Limits::DEFAULT).unwrap()).map_err(|error| error.code())
    }

    #[test]
    fn an_assembled_payload_stays_within_its_bounds() {
        let cases = [
            (r#"{"iss":"https://i","exp":1700000600}"#, Ok(Timestamp::from_second(NOW + 600))),
            (r#"{"iss":"https://i","exp":1700000601}"#, Err("lifetime_exceeded")),
            (r#"{"iss":"https://i","exp":1700000000}"#, Err("claim_expired")),
            (r#"{"iss":"https://i"}"#, Err("claim_missing")),
            (r#"{"exp":1700000600}"#, Err("claim_missing")),
            (r#"{"iss":"https://other","exp":1700000600}"#, Err("claim_issuer")),
            (r#"{"iss":["https://i"],"exp":1700000600}"#, Err("claim_type")),
            (r#"{"iss":"https://i","exp":1.7e9}"#, Err("claim_type")),
            (r#"{"iss":"https://i","exp":1700000600,"iat":1700000061}"#, Err("claim_future")),
            (r#"{"iss":"https://i","exp":1700000540,"iat":1699999940}"#, Ok(Timestamp::from_second(NOW + 540))),
            (r#"{"iss":"https://i","exp":1700000600,"iat":1699999999}"#, Err("lifetime_exceeded")),
            (r#"{"iss":"https://i","exp":1700000600,"Iat":1}"#, Err("claim_case_variant")),
            (r#"{"iss":"https://i","exp":1700000600,"NBF":1}"#, Err("claim_case_variant")),
            (r#"{"iss":"https://i","exp":1700000600,"iat":1699999000}"#, Err("lifetime_exceeded")),
            (r#"{"iss":"https://i","exp":99999999999999999999}"#, Err("claim_type")),
        ];
        for (payload, expected) in cases {
            assert_eq!(assembled(payload), expected, "{payload}");
        }
    }
}
