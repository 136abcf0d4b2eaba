//! What is asked of the signer, and what it answers.

use crate::access::caller::Caller;
use crate::ids::{IssuerId, Kid, RingName};
use crate::jose::alg::Algorithm;
use crate::jose::json::Object;
use crate::jose::jws::Typ;
use crate::lifecycle::time::{Span, Timestamp};

/// The ring that is to sign.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its issuer.
    pub issuer: &'a IssuerId,
    /// Its name.
    pub ring: &'a RingName,
}

/// Who asks, for the audit trail.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The caller.
    pub caller: Caller,
    /// The request's name, the same in logs, answers and the audit trail.
    pub request_id: String,
}

/// A token to be made.
#[derive(Debug, Clone, Copy)]
pub struct JwtRequest<'a> {
    /// The caller's claims.
    pub claims: &'a Object<'a>,
    /// Its `typ`, if not the ring's own.
    pub typ: Option<&'a Typ>,
    /// Its lifetime; the ring's longest, if absent.
    pub ttl: Option<Span>,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedJwt {
    /// The compact serialisation.
    pub token: String,
    /// The key that signed it.
    pub kid: Kid,
    /// Its unique name.
    pub jti: String,
    /// Its `exp`.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for SignedJwt {
    /// Everything but the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { token: _, kid, jti, expires_at } = self;
        f.debug_struct("SignedJwt").field("kid", kid).field("jti", jti).field("expires_at", expires_at).finish()
    }
}

/// A digest to be signed.
#[derive(Debug, Clone, Copy)]
pub struct DigestRequest<'a> {
    /// The key that is to sign.
    pub kid: &'a Kid,
    /// Its algorithm.
    pub alg: Algorithm,
    /// The digest.
    pub digest: &'a [u8],
}

/// A signature over a caller's own signing input, or over a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// Base64url, as it goes behind the second dot.
    pub signature: String,
    /// The key that signed.
    pub kid: Kid,
}

/// The version that signs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentSigner {
    /// Its name in tokens.
    pub kid: Kid,
    /// Its algorithm.
    pub alg: Algorithm,
    /// When it is due to be replaced: ask again then at the latest.
    pub not_after: Timestamp,
}
