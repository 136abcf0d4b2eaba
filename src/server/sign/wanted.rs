//! The bodies of requests, read strictly: closed lists of members, nothing twice, nothing left over.

use crate::ids::Kid;
use crate::jose::alg::{Algorithm, UnknownAlgorithm};
use crate::jose::base64url;
use crate::jose::json::{JsonError, Limits, Object};
use crate::jose::jws::Typ;
use crate::lifecycle::time::Span;
use crate::server::problem::{Code, Refusal};

/// A token that is asked for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The caller's claims.
    pub claims: Object<'a>,
    /// Its `typ`.
    pub typ: Option<Typ>,
    /// Its lifetime.
    pub ttl: Option<Span>,
}

impl<'a> Wanted<'a> {
    /// Reads `{"claims":{…},"typ":"…","ttl":"…"}`, of which only `claims` must be there.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        let object = object(text, &DOCUMENT, &["claims", "typ", "ttl"])?;
        let claims = required(&object, "claims")?;
        let claims = Object::parse(claims, &Limits::DEFAULT).map_err(|error| unreadable(&error.within("claims")))?;
        let typ = string(&object, "typ")?;
        let typ = typ.map(|typ| typ.parse().map_err(|error| unusable("typ", &error))).transpose()?;
        let ttl = string(&object, "ttl")?;
        let ttl = ttl.map(|ttl| ttl.parse().map_err(|error| unusable("ttl", &error))).transpose()?;
        Ok(Self { claims, typ, ttl })
    }
}

/// Reads `{"signing_input":"…"}`.
pub fn signing_input(text: &str) -> Result<String, Refusal> {
    required_string(&object(text, &DOCUMENT, &["signing_input"])?, "signing_input")
}

/// A digest that is to be signed.
#[derive(Debug)]
pub struct WantedDigest {
    /// The key.
    pub kid: Kid,
    /// Its algorithm.
    pub alg: Algorithm,
    /// The digest, of any length yet.
    pub digest: Vec<u8>,
}

impl WantedDigest {
    /// Reads `{"kid":"…","alg":"…","digest":"…"}`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let object = object(text, &DOCUMENT, &["kid", "alg", "digest"])?;
        let member = |name| required_string(&object, name);
        let kid = Kid::new(&member("kid")?).map_err(|error| unusable("kid", &error))?;
        let alg = member("alg")?.parse().map_err(|error: UnknownAlgorithm| unusable("alg", &error))?;
        let digest = base64url::decode(&member("digest")?);
        let digest = digest.ok_or_else(|| Code::MemberValue.refusal("digest: not unpadded base64url"))?;
        Ok(Self { kid, alg, digest })
    }
}

/// Reads `{"requests":[…]}` and returns the text of each element, still to be read.
pub fn batch(text: &str, limit: usize) -> Result<Vec<&str>, Refusal> {
    // Each element is read again, within the limits of a single request.
    let limits = Limits { bytes: text.len(), depth: DOCUMENT.depth + 2, members: text.len() };
    let object = object(text, &limits, &["requests"])?;
    let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(required(&object, "requests")?)
        .map_err(|_| Code::MemberValue.refusal("requests: not an array"))?;
    if elements.is_empty() || elements.len() > limit {
        let detail = format!("requests: {} elements, 1 to {limit} are taken", elements.len());
        return Err(Code::BatchSize.refusal(detail));
    }
    Ok(elements.into_iter().map(|element| element.get()).collect())
}

/// A request around a document of [`Limits::DEFAULT`], which may be a third longer in base64url.
const DOCUMENT: Limits =
    Limits { bytes: 2 * Limits::DEFAULT.bytes, depth: Limits::DEFAULT.depth + 1, members: Limits::DEFAULT.members + 3 };

/// Reads an object with no other members than `known`.
fn object<'a>(text: &'a str, limits: &Limits, known: &[&str]) -> Result<Object<'a>, Refusal> {
    let object = Object::parse(text, limits).map_err(|error| unreadable(&error))?;
    if let Some((name, _)) = object.iter().find(|(name, _)| !known.contains(name)) {
        let name: String = name.chars().take(64).collect();
        return Err(Code::MemberUnknown.refusal(format!("member {name:?} is unknown; known are {}", known.join(", "))));
    }
    Ok(object)
}

fn required<'a>(object: &Object<'a>, name: &'static str) -> Result<&'a str, Refusal> {
    object.get(name).ok_or_else(|| Code::MemberMissing.refusal(format!("member {name} is missing")))
}

fn string(object: &Object<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    object.get_str(name).map_err(|error| unreadable(&error))
}

fn required_string(object: &Object<'_>, name: &'static str) -> Result<String, Refusal> {
    required(object, name)?;
    string(object, name).map(Option::unwrap_or_default)
}

fn unusable(name: &str, error: &dyn std::error::Error) -> Refusal {
    Code::MemberValue.refusal(format!("{name}: {error}"))
}

/// Names of members and positions are all that such an error tells; never a value.
fn unreadable(error: &JsonError) -> Refusal {
    Refusal::new(http::StatusCode::BAD_REQUEST, error.code(), "The body is not strict JSON", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_once_and_strictly() {
        let good = Wanted::parse(r#"{"claims":{"sub":"a"},"typ":"at+jwt","ttl":"5m"}"#).unwrap();
        assert_eq!((good.claims.len(), good.ttl), (1, Some(Span::from_mins(5))));
        let cases = [
            ("", "json_syntax"),
            ("[]", "json_not_object"),
            ("{}", "member_missing"),
            (r#"{"claims":{}} x"#, "json_trailing_text"),
            (r#"{"claims":{},"claims":{}}"#, "json_duplicate_member"),
            (r#"{"claims":{},"Claims":{}}"#, "json_case_variant_member"),
            (r#"{"Claims":{}}"#, "member_unknown"),
            (r#"{"claims":{},"alg":"none"}"#, "member_unknown"),
            (r#"{"claims":{"a":1,"a":2}}"#, "json_duplicate_member"),
            (r#"{"claims":{"a":{"b":1,"B":2}}}"#, "json_case_variant_member"),
            (r#"{"claims":[]}"#, "json_not_object"),
            (r#"{"claims":null}"#, "json_not_object"),
            (r#"{"claims":{},"typ":1}"#, "json_wrong_type"),
            (r#"{"claims":{},"typ":"a b"}"#, "member_value"),
            (r#"{"claims":{},"ttl":300}"#, "json_wrong_type"),
            (r#"{"claims":{},"ttl":"-5m"}"#, "member_value"),
            (r#"{"claims":{"a":"\ud800"}}"#, "json_lone_surrogate"),
        ];
        for (text, code) in cases {
            assert_eq!(Wanted::parse(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn a_batch_has_a_bounded_number_of_requests() {
        assert_eq!(batch(r#"{"requests":[{"claims":{}}, 1]}"#, 2).unwrap(), [r#"{"claims":{}}"#, "1"]);
        for (text, code) in [
            (r#"{"requests":[]}"#, "batch_size"),
            (r#"{"requests":[1,2,3]}"#, "batch_size"),
            (r#"{"requests":{}}"#, "member_value"),
            (r#"{"requests":[],"x":1}"#, "member_unknown"),
            (r#"[]"#, "json_not_object"),
        ] {
            assert_eq!(batch(text, 2).unwrap_err().code, code, "{text}");
        }
    }
}
