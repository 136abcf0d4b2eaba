//! A public key under its name, for one algorithm: one entry of a JWK Set.

mod error;
mod public_key;
#[cfg(test)]
mod tests;

use super::alg::{Algorithm, Curve};
use super::base64url;
use super::json::{self, JsonError, JsonFault, Limits, Object};
use crate::ids::Kid;
pub use error::JwkError;
use public_key::Parts;
pub use public_key::PublicKey;

/// A published public key: what verifies the tokens that carry its kid.
///
/// It serves one algorithm, and only signatures. It can't hold a private or symmetric key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwk {
    kid: Kid,
    alg: Algorithm,
    key: PublicKey,
}

impl Jwk {
    /// Joins a name, an algorithm and a key.
    ///
    /// # Errors
    /// [`JwkError::AlgorithmMismatch`] if the key is not one of that algorithm.
    pub fn new(kid: Kid, alg: Algorithm, key: PublicKey) -> Result<Self, JwkError> {
        if key.fits(alg) {
            Ok(Self { kid, alg, key })
        } else {
            Err(JwkError::AlgorithmMismatch { alg, key: key.describe() })
        }
    }

    /// Joins an algorithm and a key, named by the key's thumbprint.
    ///
    /// # Errors
    /// [`JwkError::AlgorithmMismatch`] if the key is not one of that algorithm.
    pub fn with_thumbprint(alg: Algorithm, key: PublicKey) -> Result<Self, JwkError> {
        Self::new(key.thumbprint(), alg, key)
    }

    /// The name that tokens refer to.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The one algorithm that the key is for.
    #[must_use]
    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The JWK as JSON: `kty`, `kid`, `use`, `alg`, then the members of the key, without blanks.
    ///
    /// The same JWK always gives the same bytes. There is no `key_ops`: with `use` it would say the
    /// same thing twice.
    /// # Source
    /// RFC 7517, section 4; RFC 7518, sections 6.2.1 and 6.3.1; RFC 8037, section 2.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    /// Appends what [`Self::to_json`] returns.
    pub(super) fn write_json(&self, text: &mut String) {
        let member = |text: &mut String, name: &str, value: &str| {
            for part in [",\"", name, "\":\"", value, "\""] {
                text.push_str(part);
            }
        };
        let binary = |text: &mut String, name: &str, value: &[u8]| {
            text.push_str(",\"");
            text.push_str(name);
            text.push_str("\":\"");
            base64url::append(value, text);
            text.push('"');
        };
        let parts = self.key.parts();
        text.push_str("{\"kty\":\"");
        text.push_str(parts.kty());
        text.push('"');
        member(text, "kid", self.kid.as_str());
        member(text, "use", "sig");
        member(text, "alg", self.alg.name());
        match parts {
            Parts::Ec { curve, x, y } => {
                member(text, "crv", curve.name());
                binary(text, "x", x);
                binary(text, "y", y);
            }
            Parts::Rsa { n, e } => {
                binary(text, "n", n);
                binary(text, "e", e);
            }
            Parts::Ed25519 { x } => {
                member(text, "crv", Curve::Ed25519.name());
                binary(text, "x", x);
            }
        }
        text.push('}');
    }

    /// Reads a JWK: one that we rendered, or a stranger's that is to be published beside ours.
    ///
    /// `kty`, `kid` and `alg` are required; `use` is absent or `sig`; `key_ops` is absent or
    /// `["verify"]`; members that we do not know are ignored.
    /// # Errors
    /// [`JwkError`], above all [`JwkError::PrivateMember`] if anything but a public key was given.
    /// No error ever repeats a value of a key member.
    /// # Source
    /// RFC 7517, section 4.
    pub fn parse(json: &str) -> Result<Self, JwkError> {
        let object = Object::parse(json, &Limits::DEFAULT)?;
        let (kid, key) = named_key(&object)?;
        let alg = text(&object, "alg")?.parse().map_err(JwkError::Algorithm)?;
        Self::new(kid, alg, key)
    }

    /// Reads a stranger's JWK that is to verify: once for each of `algorithms` that it may be used with, which is the
    /// one that it names, or each that fits the key if it names none.
    ///
    /// # Errors
    /// [`JwkError`], as for [`Self::parse`].
    pub fn parse_for(json: &str, algorithms: &[Algorithm]) -> Result<Vec<Self>, JwkError> {
        let object = Object::parse(json, &Limits::DEFAULT)?;
        let (kid, key) = named_key(&object)?;
        let named: Option<Algorithm> =
            object.get_str("alg")?.map(|alg| alg.parse().map_err(JwkError::Algorithm)).transpose()?;
        let usable = algorithms.iter().filter(|alg| named.is_none_or(|named| named == **alg) && key.fits(**alg));
        usable.map(|alg| Self::new(kid.clone(), *alg, key.clone())).collect()
    }
}

/// The name and the key of a JWK, for whatever algorithm.
fn named_key(object: &Object<'_>) -> Result<(Kid, PublicKey), JwkError> {
    refuse_unsafe_members(object)?;
    let kty = text(object, "kty")?;
    let key = match &*kty {
        "EC" => parse_ec(object)?,
        "RSA" => PublicKey::from_rsa(&bytes(object, "n")?, &bytes(object, "e")?)?,
        "OKP" => parse_okp(object)?,
        _ => return Err(JwkError::KeyType(json::shown(&kty).into_owned())),
    };
    check_purpose(object)?;
    let kid = Kid::new(&text(object, "kid")?).map_err(JwkError::Kid)?;
    Ok((kid, key))
}

/// Members that hold a private or symmetric key (RFC 7518, sections 6.2.2, 6.3.2, 6.4.1; RFC 9964, section 3).
const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// Members that we read; no other spelling of them may stand beside or instead of them.
const READ: [&str; 10] = ["kty", "kid", "use", "alg", "key_ops", "crv", "x", "y", "n", "e"];

/// Refuses private members first, so that no lesser complaint hides them, and then case variants.
fn refuse_unsafe_members(object: &Object<'_>) -> Result<(), JwkError> {
    let listed = |list: &'static [&'static str], name: &str| {
        let folded = json::fold(name);
        let key = folded.as_deref().unwrap_or(name);
        list.iter().copied().find(|entry| *entry == key)
    };
    if let Some(member) = object.iter().find_map(|(name, _)| listed(&PRIVATE, name)) {
        return Err(JwkError::PrivateMember(member));
    }
    let variant = |(name, _): (&str, &str)| listed(&READ, name).filter(|member| *member != name);
    match object.iter().find_map(variant) {
        Some(member) => Err(JwkError::CaseVariant(member)),
        None => Ok(()),
    }
}

fn parse_ec(object: &Object<'_>) -> Result<PublicKey, JwkError> {
    let crv = text(object, "crv")?;
    let curve = [Curve::P256, Curve::P384, Curve::P521].into_iter().find(|curve| curve.name() == crv);
    let curve = curve.ok_or_else(|| JwkError::Curve(json::shown(&crv).into_owned()))?;
    PublicKey::from_ec(curve, &bytes(object, "x")?, &bytes(object, "y")?)
}

fn parse_okp(object: &Object<'_>) -> Result<PublicKey, JwkError> {
    let crv = text(object, "crv")?;
    if crv != Curve::Ed25519.name() {
        return Err(JwkError::Curve(json::shown(&crv).into_owned()));
    }
    PublicKey::from_ed25519(&bytes(object, "x")?)
}

/// Checks that the key is for signatures and nothing else.
fn check_purpose(object: &Object<'_>) -> Result<(), JwkError> {
    if object.get_str("use")?.is_some_and(|usage| usage != "sig") {
        return Err(JwkError::Use);
    }
    let Some(raw) = object.get("key_ops") else { return Ok(()) };
    match serde_json::from_str::<Vec<String>>(raw).as_deref() {
        Ok([only]) if only == "verify" => Ok(()),
        _ => Err(JwkError::KeyOps),
    }
}

fn text(object: &Object<'_>, member: &'static str) -> Result<String, JwkError> {
    object.get_str(member)?.ok_or(JwkError::Missing(member))
}

fn bytes(object: &Object<'_>, member: &'static str) -> Result<Vec<u8>, JwkError> {
    base64url::decode(&text(object, member)?).ok_or(JwkError::NotBase64url(member))
}

impl From<JsonError> for JwkError {
    /// The member path in the cause says everything that could be added.
    fn from(error: JsonError) -> Self {
        match error.fault() {
            JsonFault::Type(_) => Self::MemberType(error),
            _ => Self::Json(error),
        }
    }
}
