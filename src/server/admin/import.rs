//! Foreign, verify-only keys: published beside ours while another issuer's tokens are still about.

use axum::Extension;
use axum::extract::{Path, State};

use super::Shared;
use super::command::{Recorded, cause, illegal_shown};
use super::compromise::parse_kid;
use super::strict::{Reply, Strict};
use crate::access::grant::Operation;
use crate::jose::jwk::Jwk;
use crate::jose::jwk_set;
use crate::lifecycle::event::{Event, Fact};
use crate::lifecycle::issuer::Issuer;
use crate::lifecycle::time::Timestamp;
use crate::server::api;
use crate::server::problem::{Code, Refusal};
use crate::signer::Asker;
use crate::snapshot::Place;
use crate::telemetry::chain;

/// Publishes foreign public keys. Either all are taken up, or, if one can't be, none is tried.
#[utoipa::path(post, path = "/v1/issuers/{issuer}/import", tag = "command",
    params(("issuer" = String, Path, description = "The issuer's name")),
    request_body = api::ImportRequest,
    responses(
        (status = 200, description = "The keys are published", body = api::ImportReport),
        (status = 202, description = "It was recorded; the set with the keys is not published everywhere yet", body = api::ImportReport),
        (status = "4XX", description = "A key can't be published, or not by this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "It could not be recorded now; some of the keys may have been", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn import(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
    Strict(request): Strict<api::ImportRequest>,
) -> Result<Reply<api::ImportReport>, Refusal> {
    let (id, place) = shared.issuer(&asker, Operation::Import, &name, None)?;
    let now = shared.now();
    let jwks = keys_of(&request)?;
    let until = request.until.map(|until| until.0);
    if until.is_some_and(|until| until <= now) {
        return Err(Code::MemberValue.refusal("until: not in the future"));
    }
    let facts: Vec<Fact> = jwks.iter().map(|jwk| Fact::Imported { jwk: jwk.clone(), withdraw_at: until }).collect();
    rehearse(place, &facts, now)?;
    let cause = cause(&asker, request.reason)?;
    let mut recorded = Recorded::Published;
    for fact in facts {
        // Each set holds what the ones before it did: the last one counts.
        recorded = shared.record(&id, fact, cause.clone()).await?;
    }
    let state = place.state();
    Ok(Reply(
        recorded.status(),
        api::ImportReport {
            published: recorded == Recorded::Published,
            issuer: id.to_string(),
            revision: state.revision().get(),
            jwk_set_version: state.jwk_set_version().get(),
            kids: jwks.iter().map(|jwk| jwk.kid().to_string()).collect(),
            until: request.until,
        },
    ))
}

/// Withdraws an imported key at once: tokens that it signed are rejected from then on.
#[utoipa::path(delete, path = "/v1/issuers/{issuer}/imported/{kid}", tag = "command",
    params(("issuer" = String, Path, description = "The issuer's name"), ("kid" = String, Path, description = "The imported key, percent-encoded")),
    responses(
        (status = 200, description = "The set without it is published", body = api::WithdrawReport),
        (status = 202, description = "It was recorded; the set without it is not published everywhere yet", body = api::WithdrawReport),
        (status = "4XX", description = "There is no such key, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "It could not be recorded now", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn withdraw(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path((name, kid)): Path<(String, String)>,
) -> Result<Reply<api::WithdrawReport>, Refusal> {
    let kid = parse_kid(&kid)?;
    let (id, place) = shared.issuer(&asker, Operation::Import, &name, None)?;
    let own =
        place.state().issuer().state().rings.iter().find(|(_, r)| r.kids().any(|k| *k == kid)).map(|(n, _)| n.clone());
    if let Some(ring) = own {
        let detail = format!(
            "{kid} was not imported: it is a key of ring {ring}, which withdraws it in its time; to have it replaced, \
             rotate the ring; if it has leaked, declare it compromised"
        );
        return Err(Code::Illegal.refusal(detail));
    }
    let recorded = shared.record(&id, Fact::ImportWithdrawn { kid: kid.clone() }, cause(&asker, None)?).await?;
    let state = place.state();
    Ok(Reply(
        recorded.status(),
        api::WithdrawReport {
            published: recorded == Recorded::Published,
            issuer: id.to_string(),
            revision: state.revision().get(),
            jwk_set_version: state.jwk_set_version().get(),
            kid: kid.to_string(),
        },
    ))
}

fn keys_of(request: &api::ImportRequest) -> Result<Vec<Jwk>, Refusal> {
    let parsed = match (&request.jwk, &request.jwks) {
        (Some(jwk), None) => Jwk::parse(jwk.get()).map(|jwk| vec![jwk]),
        (None, Some(jwks)) => jwk_set::parse(jwks.get()),
        _ => return Err(Code::MemberMissing.refusal("give one of jwk and jwks")),
    };
    // No error of a JWK repeats a value of a key member.
    let jwks = parsed.map_err(|error| Code::Key.refusal(chain(&error)))?;
    if jwks.is_empty() { Err(Code::MemberValue.refusal("jwks: no key in it")) } else { Ok(jwks) }
}

/// Lets all facts happen to a copy, so that a key that can't be taken up is found before the first is.
fn rehearse(place: &Place, facts: &[Fact], now: Timestamp) -> Result<(), Refusal> {
    let policy = &place.settings.policy;
    let mut copy: Issuer = place.state().issuer().clone();
    for fact in facts {
        let event = Event { at: now, fact: fact.clone() };
        copy.apply(policy, &event).map_err(|illegal| illegal_shown(&illegal))?;
    }
    let size = jwk_set::render(copy.jwk_set()).len();
    if size > policy.max_bytes {
        let detail = format!("the JWK Set would have {size} bytes, at most {} are published", policy.max_bytes);
        return Err(Code::JwkSetFull.refusal(detail));
    }
    Ok(())
}
