//! What a caller is told when the signer says no.

use std::time::Duration;

use http::StatusCode;

use crate::backend::BackendError;
use crate::jose::jws::JwsError;
use crate::lifecycle::time::Timestamp;
use crate::server::problem::Refusal;
use crate::signer::SignError;
use crate::telemetry::chain;

impl Refusal {
    /// The refusal for `error`, told at `now`. What the caller did is told in full, what happened in here is not.
    #[must_use]
    pub fn of_signer(error: &SignError, now: Timestamp) -> Self {
        let code = error.code();
        let new = |status, title, detail: String| Self::new(status, code, title, detail);
        let ours = |status, title, detail: &'static str| Self::new(status, code, title, detail).because(error);
        match error {
            SignError::UnknownIssuer => new(StatusCode::NOT_FOUND, "There is no such issuer", error.to_string()),
            SignError::UnknownRing => new(StatusCode::NOT_FOUND, "There is no such ring", error.to_string()),
            SignError::NoSigner { may_sign_at } => {
                let wait = may_sign_at.map_or(NEXT_LOOK, |at| at.since(now).as_secs().max(1));
                let mut refusal =
                    ours(StatusCode::SERVICE_UNAVAILABLE, "Nothing signs now", "the ring has no signer yet");
                refusal.retry_at = *may_sign_at;
                refusal.retry_after(wait)
            }
            SignError::Claims(claims) if claims.rule().is_some() => {
                new(StatusCode::FORBIDDEN, "The grant does not allow it", claims.to_string())
            }
            SignError::Claims(claims) => {
                new(StatusCode::UNPROCESSABLE_ENTITY, "The claims may not be signed", claims.to_string())
            }
            SignError::Input(input) => new(StatusCode::BAD_REQUEST, "The signing input may not be signed", told(input)),
            SignError::Payload(json) => new(
                StatusCode::BAD_REQUEST,
                "The signing input may not be signed",
                format!("the payload is not strict JSON: {json}"),
            ),
            SignError::RawSignaturesOff => {
                new(StatusCode::FORBIDDEN, "Signing inputs are not signed here", error.to_string())
            }
            SignError::DigestsOff | SignError::DigestsOnly => {
                new(StatusCode::FORBIDDEN, "This ring signs something else", error.to_string())
            }
            SignError::Digest(digest) => new(StatusCode::BAD_REQUEST, "The digest can't be signed", digest.to_string()),
            SignError::WrongSigner { kid, alg } => {
                let mut refusal = new(StatusCode::CONFLICT, "Another key signs now", error.to_string());
                refusal.right_key = Some(Box::new((kid.clone(), *alg)));
                refusal
            }
            SignError::Revoked => new(StatusCode::CONFLICT, "The key was withdrawn", error.to_string()).retry_after(0),
            SignError::Stale => {
                let detail = "this daemon has not confirmed its state for too long; ask another one";
                ours(StatusCode::SERVICE_UNAVAILABLE, "The state is not confirmed", detail).retry_after(1)
            }
            SignError::Backend(BackendError::Throttled { retry_after }) => {
                let detail = "the backend that holds the key wants fewer calls";
                ours(StatusCode::TOO_MANY_REQUESTS, "Slow down", detail).retry_after(whole_seconds(*retry_after))
            }
            SignError::Backend(BackendError::Unavailable(_)) => {
                let detail = "the backend that holds the key does not answer";
                ours(StatusCode::SERVICE_UNAVAILABLE, "The backend is unavailable", detail).retry_after(1)
            }
            SignError::Backend(_) | SignError::NoBackend(_) => {
                let detail = "the backend that holds the key did not sign; its operator has to look";
                ours(StatusCode::INTERNAL_SERVER_ERROR, "The backend failed", detail).for_operator()
            }
            SignError::Audit(_) => {
                let detail = "the record of the signature can't be written, so it was not released";
                ours(StatusCode::SERVICE_UNAVAILABLE, "The audit log can't be written", detail).retry_after(1)
            }
            SignError::NoRandomness => {
                ours(StatusCode::INTERNAL_SERVER_ERROR, "Something is broken here", "no random numbers are to be had")
                    .for_operator()
            }
        }
    }
}

/// When nobody knows when: the rotator is at work.
const NEXT_LOOK: u64 = 5;

/// Rounded up: a caller that comes back early is refused again.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// With its cause, which names members and positions, never values.
fn told(error: &JwsError) -> String {
    chain(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::claims::ClaimsError;
    use crate::audit::AuditError;
    use crate::ids::{BackendId, Kid};
    use crate::jose::alg::Algorithm;
    use crate::jose::hash::{DigestLen, HashFunction};
    use crate::jose::json::{Limits, Object};
    use crate::lifecycle::time::Span;

    #[test]
    fn every_error_has_its_status_and_keeps_its_secrets() {
        let now = Timestamp::from_second(1_800_000_000);
        let secret = || "slot 3 at hsm.internal".to_owned();
        let cases = [
            (SignError::UnknownIssuer, 404, None),
            (SignError::UnknownRing, 404, None),
            (SignError::NoSigner { may_sign_at: None }, 503, Some(5)),
            (SignError::NoSigner { may_sign_at: Some(now + Span::from_secs(90)) }, 503, Some(90)),
            (SignError::Claims(ClaimsError::Issuer), 422, None),
            (SignError::Claims(ClaimsError::AudienceDenied), 403, None),
            (SignError::Input(JwsError::HeaderEncoding), 400, None),
            (SignError::Payload(Object::parse("[]", &Limits::DEFAULT).unwrap_err()), 400, None),
            (SignError::RawSignaturesOff, 403, None),
            (SignError::DigestsOff, 403, None),
            (SignError::DigestsOnly, 403, None),
            (SignError::Claims(ClaimsError::Unseen), 403, None),
            (SignError::Digest(DigestLen { hash: HashFunction::Sha256, found: 20 }), 400, None),
            (SignError::WrongSigner { kid: Kid::new("k").unwrap(), alg: Algorithm::Es256 }, 409, None),
            (SignError::Revoked, 409, Some(0)),
            (SignError::Stale, 503, Some(1)),
            (SignError::Backend(BackendError::Throttled { retry_after: Duration::from_millis(1500) }), 429, Some(2)),
            (SignError::Backend(BackendError::Unavailable(secret())), 503, Some(1)),
            (SignError::Backend(BackendError::NotFound(secret())), 500, None),
            (SignError::Backend(BackendError::Mismatch(secret())), 500, None),
            (SignError::Backend(BackendError::Refused(secret())), 500, None),
            (SignError::NoBackend(BackendId::new("hsm-internal").unwrap()), 500, None),
            (SignError::Audit(AuditError::Busy), 503, Some(1)),
            (SignError::NoRandomness, 500, None),
        ];
        for (error, status, retry_after) in cases {
            let refusal = Refusal::of_signer(&error, now);
            assert_eq!((refusal.status.as_u16(), refusal.retry_after), (status, retry_after), "{error:?}");
            let told = serde_json::to_string(&refusal.problem("r")).unwrap();
            assert!(!told.contains("internal\"") && !told.contains("hsm"), "{told}");
            let is_ours = matches!(status, 429 | 500..);
            assert_eq!(refusal.cause.is_some(), is_ours, "{error:?}");
        }
    }
}
