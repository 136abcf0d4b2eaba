//! The endpoints of the signing listener.

use std::fmt::Write;

use bytes::Bytes;
use serde::Serialize;
use tracing::debug;

use super::admission::Pass;
use super::wanted::WantedDigest;
use super::{Settings, batch, wanted};
use crate::access::grant::Permit;
use crate::clock::Clock;
use crate::server::api::{self, Moment};
use crate::server::problem::{Code, Refusal};
use crate::signer::{Asker, Assembled, DigestRequest, JwtRequest, SignError, SignedJwt, Signer, Target};
use crate::telemetry::{Metrics, SignMetrics};

/// What every endpoint is given.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub signer: &'a Signer,
    pub clock: &'a dyn Clock,
    pub settings: &'a Settings,
    /// Of the ring, if it exists.
    pub metrics: Option<&'a SignMetrics>,
    pub asker: &'a Asker,
    /// What is counted of all calls.
    pub counts: &'a Metrics,
    /// What lets it in.
    pub pass: &'a Pass<'a>,
    /// By which it asks.
    pub permit: &'a Permit<'a>,
    pub target: Target<'a>,
}

/// Signs claims. The daemon writes `iss`, `iat`, `exp`, `jti` and the header.
#[utoipa::path(
    post,
    path = "/v1/issuers/{issuer}/rings/{ring}/jwt",
    tag = "signing",
    params(("issuer" = String, Path, description = "The issuer's name"), ("ring" = String, Path, description = "The ring's name")),
    request_body = api::JwtRequest,
    responses(
        (status = 200, description = "The token", body = api::Token),
        (status = "4XX", description = "It may not be signed, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 429, description = "The backend wants fewer calls; see `Retry-After`", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "It can't be signed now; see `Retry-After`", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn jwt(call: &Call<'_>, text: &str) -> Result<Bytes, Refusal> {
    call.signed(text).await.map(|signed| token_json(&signed))
}

/// Signs many sets of claims at once, each answered on its own, in order.
#[utoipa::path(
    post,
    path = "/v1/issuers/{issuer}/rings/{ring}/jwt/batch",
    tag = "signing",
    params(("issuer" = String, Path, description = "The issuer's name"), ("ring" = String, Path, description = "The ring's name")),
    request_body = api::BatchRequest,
    responses(
        (status = 200, description = "One answer for each request, in the same order", body = api::BatchResponse),
        (status = "4XX", description = "The batch as a whole was refused", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests are under way; see `Retry-After`", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn jwt_batch(call: &Call<'_>, text: &str) -> Result<Bytes, Refusal> {
    let requests = wanted::batch(text, call.settings.batch)?;
    call.pass.charge(requests.len() - 1);
    json(&batch::answer(call, &requests).await)
}

/// Who the daemon takes the caller for, and what that caller may do. Everybody may ask this.
#[utoipa::path(get, path = "/v1/whoami", tag = "signing", responses(
    (status = 200, description = "The caller", body = api::WhoAmI),
    (status = "4XX", description = "The credentials are no good", body = api::Problem, content_type = "application/problem+json"),
))]
#[expect(dead_code, reason = "describes what the listener answers by itself")]
pub fn whoami() {}

/// Names the version that signs now, for callers that assemble their own tokens.
#[utoipa::path(
    get,
    path = "/v1/issuers/{issuer}/rings/{ring}/signer",
    tag = "signing",
    params(("issuer" = String, Path, description = "The issuer's name"), ("ring" = String, Path, description = "The ring's name")),
    responses(
        (status = 200, description = "The signer", body = api::Signer),
        (status = "4XX", description = "There is none, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nothing signs now; `retry_at` says when, if that is known", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub fn signer(call: &Call<'_>) -> Result<Bytes, Refusal> {
    let now = call.clock.now();
    let current = call.signer.current(call.target).map_err(|error| Refusal::of_signer(&error, now))?;
    json(&api::Signer {
        kid: current.kid.to_string(),
        alg: current.alg.name().to_owned(),
        not_after: Moment(current.not_after),
    })
}

/// Signs a header and payload that the caller assembled. The header's `kid` and `alg` must be the signer's,
/// or those of a version within its drain; else `wrong_signer` names the right ones.
#[utoipa::path(
    post,
    path = "/v1/issuers/{issuer}/rings/{ring}/signature",
    tag = "signing",
    params(("issuer" = String, Path, description = "The issuer's name"), ("ring" = String, Path, description = "The ring's name")),
    request_body = api::SignatureRequest,
    responses(
        (status = 200, description = "The signature", body = api::SignatureResponse),
        (status = 409, description = "The header names another key than the signer: `kid` and `alg` name the right one", body = api::Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "It may not be signed, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 429, description = "The backend wants fewer calls; see `Retry-After`", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "It can't be signed now; see `Retry-After`", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn signature(call: &Call<'_>, text: &str) -> Result<Bytes, Refusal> {
    let signed = async {
        let input = wanted::signing_input(text)?;
        call.told(call.signer.assembled(call.permit, call.target, &input, call.asker).await)
    };
    call.signature(signed).await
}

/// Signs a digest, in a ring that signs nothing else. Nobody here sees what was hashed. `kid` and `alg` must be the
/// signer's, or those of a version that stays published for as long as the ring's tokens live.
#[utoipa::path(
    post,
    path = "/v1/issuers/{issuer}/rings/{ring}/signature/digest",
    tag = "signing",
    params(("issuer" = String, Path, description = "The issuer's name"), ("ring" = String, Path, description = "The ring's name")),
    request_body = api::DigestRequest,
    responses(
        (status = 200, description = "The signature", body = api::SignatureResponse),
        (status = 409, description = "Another key signs: `kid` and `alg` name the right one", body = api::Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "It may not be signed, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 429, description = "The backend wants fewer calls; see `Retry-After`", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "It can't be signed now; see `Retry-After`", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn digest_signature(call: &Call<'_>, text: &str) -> Result<Bytes, Refusal> {
    let signed = async {
        let WantedDigest { kid, alg, digest } = WantedDigest::parse(text)?;
        let request = DigestRequest { kid: &kid, alg, digest: &digest };
        call.told(call.signer.digest(call.permit, call.target, request, call.asker).await)
    };
    call.signature(signed).await
}

impl Call<'_> {
    /// One token for one request.
    pub async fn token(&self, text: &str) -> Result<api::Token, Refusal> {
        let SignedJwt { token, kid, jti, expires_at } = self.signed(text).await?;
        Ok(api::Token { token, kid: kid.to_string(), jti, expires_at: Moment(expires_at) })
    }

    async fn signed(&self, text: &str) -> Result<SignedJwt, Refusal> {
        let signed = self.counted(async {
            let wanted = wanted::Wanted::parse(text)?;
            let request = JwtRequest { claims: &wanted.claims, typ: wanted.typ.as_ref(), ttl: wanted.ttl };
            self.told(self.signer.jwt(self.permit, self.target, request, self.asker).await)
        });
        signed.await
    }

    /// A signature without its token, as the API gives it.
    async fn signature(&self, signed: impl Future<Output = Result<Assembled, Refusal>>) -> Result<Bytes, Refusal> {
        let Assembled { signature, kid } = self.counted(signed).await?;
        json(&api::SignatureResponse { signature, kid: kid.to_string() })
    }

    /// What the signer says, as the caller is told it.
    fn told<T>(&self, signed: Result<T, SignError>) -> Result<T, Refusal> {
        signed.map_err(|error| Refusal::of_signer(&error, self.clock.now()))
    }

    async fn counted<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let start = self.clock.monotonic();
        let outcome = work.await;
        let elapsed = self.clock.monotonic().saturating_sub(start);
        match (&outcome, self.metrics) {
            (Ok(_), Some(metrics)) => metrics.released(elapsed),
            (Err(refusal), Some(metrics)) => metrics.failed(refusal.code),
            (_, None) => {}
        }
        if outcome.is_ok() {
            let Target { issuer, ring } = self.target;
            debug!(
                issuer = %issuer, ring = %ring, caller = %self.asker.caller, request_id = self.asker.request_id,
                elapsed_ms = elapsed.as_secs_f64() * 1_000.0, "signature released"
            );
        }
        outcome
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Bytes, Refusal> {
    let failed = |error: serde_json::Error| Code::Internal.refusal("the answer can't be written").because(&error);
    serde_json::to_vec(value).map(Bytes::from).map_err(failed)
}

/// An [`api::Token`] as JSON. None of its texts needs escaping, so none is searched for what does.
fn token_json(SignedJwt { token, kid, jti, expires_at }: &SignedJwt) -> Bytes {
    let kid = kid.as_str();
    let mut text = String::with_capacity(token.len() + kid.len() + jti.len() + 80);
    for part in ["{\"token\":\"", token, "\",\"kid\":\"", kid, "\",\"jti\":\"", jti, "\",\"expires_at\":\""] {
        text.push_str(part);
    }
    // Writing to a String can't fail.
    let _ = write!(text, "{expires_at}\"}}");
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::time::Timestamp;

    #[test]
    fn a_token_is_written_as_the_api_says() {
        let kid: crate::ids::Kid = crate::ids::Kid::new("a.~-_/+:b").unwrap();
        let signed = SignedJwt {
            token: "aa.bb.c-_".to_owned(),
            kid: kid.clone(),
            jti: "j_-".to_owned(),
            expires_at: Timestamp::from_second(1_800_000_000),
        };
        let SignedJwt { token, kid: _, jti, expires_at } = signed.clone();
        let token = api::Token { token, kid: kid.to_string(), jti, expires_at: Moment(expires_at) };
        assert_eq!(token_json(&signed), serde_json::to_vec(&token).unwrap());
    }
}
