//! Compact JWS: headers, signing inputs, whole tokens.
//!
//! A header holds `alg`, `kid` and `typ`, and nothing else. No header of ours or of a caller can
//! bring a key along (`jwk`, `jku`, `x5c`, `x5u`), change what is signed (`b64`, `crit`, `zip`), or
//! say something that two readers understand differently.

mod error;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::alg::Algorithm;
use super::base64url;
use super::json::{Limits, Object, shown};
use crate::ids::Kid;
pub use error::JwsError;

/// The kind of a token: 1 to 64 characters of `A-Z a-z 0-9 . + / _ -`, such as `JWT` or `at+jwt`.
///
/// # Source
/// RFC 7515, section 4.1.9; RFC 8725, section 3.11.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Typ(Box<str>);

/// A text that is not a [`Typ`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a typ has 1 to 64 characters out of A-Z, a-z, 0-9 and . + / _ -")]
pub struct TypError;

impl Typ {
    /// The kind as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// That of any JWT: RFC 7519, section 5.1.
impl Default for Typ {
    fn default() -> Self {
        Self("JWT".into())
    }
}

impl FromStr for Typ {
    type Err = TypError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b".+/_-".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
            return Err(TypError);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Typ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first segment of a token: base64url of `{"alg":…,"kid":…,"typ":…}`, without blanks.
///
/// # Source
/// RFC 7515, section 3.1.
#[must_use]
pub fn encode_header(alg: Algorithm, kid: &Kid, typ: Option<&Typ>) -> String {
    // Neither names of algorithms nor kids nor typs hold a character that JSON escapes.
    let json = match typ {
        Some(typ) => format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#),
        None => format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#),
    };
    base64url::encode(json.as_bytes())
}

/// Completes a signing input to a token: appends a dot and the signature in base64url.
pub fn append_signature(signing_input: &mut String, signature: &[u8]) {
    signing_input.push('.');
    base64url::append(signature, signing_input);
}

/// What a caller wants signed: `<header>.<payload>`, checked in every respect that a verifier may
/// depend on.
///
/// `Debug` leaves the payload out.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningInput<'a> {
    text: &'a str,
    alg: Algorithm,
    kid: Kid,
    typ: Option<Typ>,
    payload: String,
}

impl<'a> SigningInput<'a> {
    /// Reads a signing input. `limits` bound the decoded payload.
    ///
    /// # Errors
    /// [`JwsError`] if the text is not two segments of unpadded base64url with zero spare bits; if the
    /// header is not strict JSON with `alg`, `kid` and at will `typ`, each a string and nothing
    /// beside them; if `alg` is none of [`Algorithm::ALL`]; if the payload is not a strict JSON object.
    /// # Source
    /// RFC 7515, section 5.1; RFC 8725, sections 2 and 3.
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, JwsError> {
        let (header, payload) = text.split_once('.').ok_or(JwsError::Segments { expected: 2 })?;
        if payload.contains('.') {
            return Err(JwsError::Segments { expected: 2 });
        }
        let Header { alg, kid, typ } = Header::parse(header)?;
        let kid = kid.ok_or(JwsError::HeaderMemberMissing("kid"))?;
        let payload = parse_payload(payload, limits)?;
        Ok(Self { text, alg, kid, typ, payload })
    }

    /// The algorithm that the header names.
    #[must_use]
    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// The kid that the header names.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The kind of token that the header names.
    #[must_use]
    pub fn typ(&self) -> Option<&Typ> {
        self.typ.as_ref()
    }

    /// The payload, decoded: the text of a strict JSON object.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// The very text that was read and is to be signed.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }
}

impl fmt::Debug for SigningInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text: _, alg, kid, typ, payload: _ } = self;
        let mut shown = f.debug_struct("SigningInput");
        shown.field("alg", alg).field("kid", kid).field("typ", typ).finish_non_exhaustive()
    }
}

/// A whole token, read but not verified.
///
/// `Debug` leaves payload and signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct Compact<'a> {
    signing_input: &'a str,
    header: Header,
    payload: String,
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Reads a token in compact serialisation, as strictly as [`SigningInput::parse`], but without
    /// asking for a kid. `limits` bound the decoded payload.
    ///
    /// Nothing is verified: give [`Self::signing_input`] and [`Self::signature`] to the
    /// [`super::Verifier`] of the key before believing anything.
    /// # Errors
    /// [`JwsError`], as for a signing input, or if the signature is not base64url.
    /// # Source
    /// RFC 7515, sections 3.1 and 5.2.
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, JwsError> {
        let wrong = JwsError::Segments { expected: 3 };
        let (signing_input, signature) = text.rsplit_once('.').ok_or(wrong.clone())?;
        let (header, payload) = signing_input.split_once('.').ok_or(wrong.clone())?;
        if payload.contains('.') {
            return Err(wrong);
        }
        let header = Header::parse(header)?;
        let payload = parse_payload(payload, limits)?;
        // A signature of 8192 bits, the longest that we verify.
        if signature.len() > base64url::encoded_len(1024) {
            return Err(JwsError::SignatureEncoding);
        }
        let signature = base64url::decode(signature).ok_or(JwsError::SignatureEncoding)?;
        Ok(Self { signing_input, header, payload, signature })
    }

    /// The algorithm that the header names. Not a basis for choosing how to verify.
    #[must_use]
    pub fn alg(&self) -> Algorithm {
        self.header.alg
    }

    /// The kid that the header names.
    #[must_use]
    pub fn kid(&self) -> Option<&Kid> {
        self.header.kid.as_ref()
    }

    /// The kind of token that the header names.
    #[must_use]
    pub fn typ(&self) -> Option<&Typ> {
        self.header.typ.as_ref()
    }

    /// The payload, decoded: the text of a strict JSON object.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// The signature in JWS form.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// What was signed: header, dot and payload as they stand in the token.
    #[must_use]
    pub fn signing_input(&self) -> &'a str {
        self.signing_input
    }
}

impl fmt::Debug for Compact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signing_input: _, header, payload: _, signature: _ } = self;
        f.debug_struct("Compact").field("header", header).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    alg: Algorithm,
    kid: Option<Kid>,
    typ: Option<Typ>,
}

/// Room for the longest kid and for the longest typ, and for a few members to be refused by name.
const HEADER_LIMITS: Limits = Limits { bytes: 2048, depth: 8, members: 32 };

impl Header {
    fn parse(segment: &str) -> Result<Self, JwsError> {
        if segment.len() > base64url::encoded_len(HEADER_LIMITS.bytes) {
            return Err(JwsError::HeaderTooLong(HEADER_LIMITS.bytes));
        }
        let bytes = base64url::decode(segment).ok_or(JwsError::HeaderEncoding)?;
        let text = String::from_utf8(bytes).map_err(|_| JwsError::HeaderEncoding)?;
        let object = Object::parse(&text, &HEADER_LIMITS).map_err(JwsError::Header)?;
        for (name, _) in object.iter() {
            if !["alg", "kid", "typ"].contains(&name) {
                return Err(JwsError::HeaderMemberNotAllowed(shown(name).into_owned()));
            }
        }
        let string = |name| object.get_str(name).map_err(JwsError::Header);
        let alg = string("alg")?.ok_or(JwsError::HeaderMemberMissing("alg"))?;
        Ok(Self {
            alg: alg.parse().map_err(JwsError::Algorithm)?,
            kid: string("kid")?.map(|kid| Kid::new(&kid)).transpose().map_err(JwsError::Kid)?,
            typ: string("typ")?.map(|typ| typ.parse()).transpose().map_err(JwsError::Typ)?,
        })
    }
}

fn parse_payload(segment: &str, limits: &Limits) -> Result<String, JwsError> {
    if segment.len() > base64url::encoded_len(limits.bytes) {
        return Err(JwsError::PayloadTooLong(limits.bytes));
    }
    let bytes = base64url::decode(segment).ok_or(JwsError::PayloadEncoding)?;
    let text = String::from_utf8(bytes).map_err(|_| JwsError::PayloadEncoding)?;
    Object::parse(&text, limits).map_err(JwsError::Payload)?;
    Ok(text)
}
