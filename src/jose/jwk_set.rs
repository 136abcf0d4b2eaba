//! JWK Sets: several keys in one document.

use std::collections::BTreeSet;

use super::alg::Algorithm;
use super::json::{self, Limits, Object};
use super::jwk::{Jwk, JwkError};
use crate::ids::Kid;

/// Renders a JWK Set: `{"keys":[…]}` without blanks, the keys in the order given.
///
/// The same keys in the same order always give the same bytes, so a strong `ETag` may be computed
/// from them.
/// # Source
/// RFC 7517, section 5.
pub fn render<'a>(keys: impl IntoIterator<Item = &'a Jwk>) -> String {
    let mut text = String::from("{\"keys\":[");
    for (index, key) in keys.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        key.write_json(&mut text);
    }
    text.push_str("]}");
    text
}

/// Reads a JWK Set that is to be imported: every key must be one that [`Jwk::parse`] takes.
///
/// A verifier would skip keys that it does not understand; an operator who imports a set wants to
/// know. Members beside `keys` are ignored.
/// # Errors
/// [`JwkError::InSet`] names the first key that is not taken, by index and kid;
/// [`JwkError::DuplicateKid`]; [`JwkError::NoKeys`]; [`JwkError::Json`].
/// # Source
/// RFC 7517, sections 4.5 and 5.
pub fn parse(json: &str) -> Result<Vec<Jwk>, JwkError> {
    let object = Object::parse(json, &Limits::DEFAULT)?;
    let elements = object.get("keys").and_then(json::elements).ok_or(JwkError::NoKeys)?;
    let mut seen = BTreeSet::new();
    let mut keys = Vec::with_capacity(elements.len());
    for (index, raw) in elements.into_iter().enumerate() {
        let key =
            Jwk::parse(raw).map_err(|source| JwkError::InSet { index, kid: kid(raw), source: Box::new(source) })?;
        if !seen.insert(key.kid().clone()) {
            return Err(JwkError::DuplicateKid(key.kid().clone()));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Reads a stranger's JWK Set for verifying with `algorithms`: keys that can't be used so are skipped, as RFC 7517
/// asks of readers. A kid that stands twice is a set that two readers could understand differently.
///
/// # Errors
/// [`JwkError::NoKeys`] if it is not a set at all; [`JwkError::DuplicateKid`]; [`JwkError::Json`].
/// # Source
/// RFC 7517, section 5.
pub fn parse_for(json: &str, algorithms: &[Algorithm]) -> Result<Vec<Jwk>, JwkError> {
    let object = Object::parse(json, &Limits { bytes: 4 * Limits::DEFAULT.bytes, ..Limits::DEFAULT })?;
    let elements = object.get("keys").and_then(json::elements).ok_or(JwkError::NoKeys)?;
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for found in elements.into_iter().filter_map(|raw| Jwk::parse_for(raw, algorithms).ok()) {
        if let Some(first) = found.first()
            && !seen.insert(first.kid().clone())
        {
            return Err(JwkError::DuplicateKid(first.kid().clone()));
        }
        keys.extend(found);
    }
    Ok(keys)
}

/// The kid of a key that was not taken, if it has one.
fn kid(raw: &str) -> Option<Kid> {
    let object = Object::parse(raw, &Limits::DEFAULT).ok()?;
    Kid::new(&object.get_str("kid").ok()??).ok()
}
