//! Why no signature was released.

use thiserror::Error;

use crate::access::claims::ClaimsError;
use crate::audit::AuditError;
use crate::backend::BackendError;
use crate::ids::{BackendId, Kid};
use crate::jose::alg::Algorithm;
use crate::jose::hash::DigestLen;
use crate::jose::json::JsonError;
use crate::jose::jws::JwsError;
use crate::lifecycle::time::Timestamp;
use crate::snapshot::SigningKey;

/// Why no signature was released.
#[derive(Debug, Error)]
pub enum SignError {
    /// No such issuer.
    #[error("there is no such issuer")]
    UnknownIssuer,
    /// No such ring.
    #[error("the issuer has no such ring")]
    UnknownRing,
    /// Nothing signs at present: the ring is new, or its signer was compromised without a standby.
    #[error("the ring has no signer yet")]
    NoSigner {
        /// When it will have one, as far as that is known.
        may_sign_at: Option<Timestamp>,
    },
    /// The claims may not be signed.
    #[error("the claims may not be signed")]
    Claims(#[from] ClaimsError),
    /// The signing input may not be signed.
    #[error("the signing input may not be signed")]
    Input(#[from] JwsError),
    /// The payload of the signing input is not strict JSON.
    #[error("the payload is not strict JSON")]
    Payload(#[source] JsonError),
    /// The ring signs only claims.
    #[error("this ring signs claims only, not assembled signing inputs")]
    RawSignaturesOff,
    /// The ring signs only tokens.
    #[error("this ring signs tokens, not digests")]
    DigestsOff,
    /// The ring signs only digests.
    #[error("this ring signs digests, and nothing else")]
    DigestsOnly,
    /// The digest can't be one by the algorithm's hash function.
    #[error("the digest can't be signed")]
    Digest(#[from] DigestLen),
    /// The request names another key than the one that signs.
    #[error("kid and alg are not the signer's: use kid {kid} with alg {alg}")]
    WrongSigner {
        /// The signer's kid.
        kid: Kid,
        /// The signer's algorithm.
        alg: Algorithm,
    },
    /// The key was compromised while it signed.
    #[error("the key was withdrawn while it signed; ask again")]
    Revoked,
    /// A decision has been pending for too long: whether the key may still sign is not known.
    #[error("the state has not been confirmed for too long")]
    Stale,
    /// The backend did not sign.
    #[error("the backend did not sign")]
    Backend(#[from] BackendError),
    /// The configuration lacks the backend that holds the key.
    #[error("backend {0} is not configured")]
    NoBackend(BackendId),
    /// The record of the signature could not be written.
    #[error("the audit record could not be written, so the signature was not released")]
    Audit(#[from] AuditError),
    /// The system has no randomness.
    #[error("the system's random number generator failed")]
    NoRandomness,
}

impl SignError {
    pub(super) fn wrong_signer(key: &SigningKey) -> Self {
        Self::WrongSigner { kid: key.kid().clone(), alg: key.jwk.alg() }
    }

    /// The stable code for answers and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownRing => "unknown_ring",
            Self::NoSigner { .. } => "no_signer",
            Self::Claims(error) => error.code(),
            Self::Input(error) => error.code(),
            Self::Payload(_) => "payload_not_strict",
            Self::RawSignaturesOff => "raw_signatures_off",
            Self::DigestsOff => "digests_off",
            Self::DigestsOnly => "digests_only",
            Self::Digest(_) => "digest_length",
            Self::WrongSigner { .. } => "wrong_signer",
            Self::Revoked => "key_withdrawn",
            Self::Stale => "state_unconfirmed",
            Self::Backend(BackendError::Throttled { .. }) => "backend_throttled",
            Self::Backend(BackendError::Unavailable(_)) => "backend_unavailable",
            Self::Backend(_) | Self::NoBackend(_) => "backend_failed",
            Self::Audit(_) => "audit_unavailable",
            Self::NoRandomness => "no_randomness",
        }
    }
}
