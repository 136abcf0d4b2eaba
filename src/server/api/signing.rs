//! The signing API.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Length, Moment, Problem};

/// A token to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtRequest {
    /// The caller's claims. `iss`, `iat`, `exp` and `jti` are the daemon's to write, and refused here.
    #[schema(value_type = Object, example = json!({"sub": "alice", "aud": "https://api.example.com"}))]
    pub claims: Box<RawValue>,
    /// The `typ` of the header, if not the ring's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "at+jwt", nullable = false)]
    pub typ: Option<String>,
    /// The lifetime; the longest that the ring allows, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ttl: Option<Length>,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// The compact serialisation.
    pub token: String,
    /// The key that signed it.
    pub kid: String,
    /// Its unique name.
    pub jti: String,
    /// Its `exp`.
    pub expires_at: Moment,
}

impl std::fmt::Debug for Token {
    /// Everything but the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { token: _, kid, jti, expires_at } = self;
        f.debug_struct("Token").field("kid", kid).field("jti", jti).field("expires_at", expires_at).finish()
    }
}

/// Many tokens to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// Each is answered on its own.
    #[schema(min_items = 1)]
    pub requests: Vec<JwtRequest>,
}

/// One answer for each request of a batch, in the same order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchResponse {
    /// The answers.
    pub results: Vec<BatchResult>,
}

/// The answer to one request of a batch: a token, or why there is none.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum BatchResult {
    /// It was made.
    Token(Token),
    /// It was not made.
    Refused {
        /// Why not.
        problem: Problem,
    },
}

/// The version that signs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Signer {
    /// Its name in tokens.
    pub kid: String,
    /// Its algorithm.
    #[schema(example = "ES256")]
    pub alg: String,
    /// When it is due to be replaced: ask again then at the latest.
    pub not_after: Moment,
}

/// A signing input that the caller assembled.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureRequest {
    /// `<header>.<payload>`, each in unpadded base64url. The header holds `alg`, `kid` and at will `typ`, nothing else.
    pub signing_input: String,
}

/// A digest to be signed, by a ring that signs digests.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DigestRequest {
    /// The key that is to sign: the `kid` of `GET …/signer`.
    pub kid: String,
    /// Its algorithm.
    #[schema(example = "ES256")]
    pub alg: String,
    /// The digest by the hash function of `alg`, in unpadded base64url: 32, 48 or 64 bytes.
    #[schema(example = "LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564")]
    pub digest: String,
}

/// A signature over a caller's own signing input, or over a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignatureResponse {
    /// Base64url, as it goes behind the second dot.
    pub signature: String,
    /// The key that signed.
    pub kid: String,
}
