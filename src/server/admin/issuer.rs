//! Status and issuers.

use axum::Extension;
use axum::extract::{Path, State};

use super::Shared;
use super::strict::Reply;
use crate::access::grant::Operation;
use crate::ids::IssuerId;
use crate::lifecycle::key_ring::KeyRing;
use crate::lifecycle::policy::RingPolicy;
use crate::lifecycle::state::{Active, Next};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::verifiers::Profile;
use crate::server::api::{self, Length, Moment};
use crate::server::problem::Refusal;
use crate::signer::Asker;
use crate::snapshot::Place;

/// How the daemon is.
#[utoipa::path(get, path = "/v1/status", tag = "read", responses(
    (status = 200, description = "Ready or not", body = api::Status),
    (status = "4XX", description = "Not for this caller", body = api::Problem, content_type = "application/problem+json"),
))]
pub async fn status(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
) -> Result<Reply<api::Status>, Refusal> {
    shared.readable(&asker)?;
    let readiness = shared.parts.health.readiness(|id| shared.is_granted(&asker, Operation::Read, id, None));
    Ok(Reply::ok(api::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        installation: shared.parts.installation.to_string(),
        now: Moment(shared.now()),
        started_at: Moment(shared.parts.started_at),
        clock_jump_seconds: shared.parts.rotator.clock.jump(),
        readiness,
    }))
}

/// Every issuer that the caller may read.
#[utoipa::path(get, path = "/v1/issuers", tag = "read", responses(
    (status = 200, description = "The issuers", body = api::Issuers),
    (status = "4XX", description = "Not for this caller", body = api::Problem, content_type = "application/problem+json"),
))]
pub async fn issuers(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
) -> Result<Reply<api::Issuers>, Refusal> {
    let now = shared.now();
    let readable = shared.readable(&asker)?;
    let issuers = readable.into_iter().map(|(id, place)| shown(id, place, shared.verifiers(id), now)).collect();
    Ok(Reply::ok(api::Issuers { issuers }))
}

/// One issuer.
#[utoipa::path(get, path = "/v1/issuers/{issuer}", tag = "read",
    params(("issuer" = String, Path, description = "The issuer's name")),
    responses(
        (status = 200, description = "The issuer", body = api::Issuer),
        (status = "4XX", description = "There is none, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn issuer(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
) -> Result<Reply<api::Issuer>, Refusal> {
    let (id, place) = shared.issuer(&asker, Operation::Read, &name, None)?;
    Ok(Reply::ok(shown(&id, place, shared.verifiers(&id), shared.now())))
}

fn shown(id: &IssuerId, place: &Place, verifiers: &[Profile], now: Timestamp) -> api::Issuer {
    let settings = &place.settings;
    let snapshot = place.state();
    let state = snapshot.issuer().state();
    let rings = state.rings.values().map(|ring| {
        let policy = settings.policy.rings.get(&ring.state().name);
        ring_shown(ring, policy, now)
    });
    let verifiers = verifiers.iter().map(|profile| api::Verifier {
        name: profile.name.clone(),
        holds: Length(profile.holds(settings.jwks_max_age)),
        forgets_within: profile.forgets_within(settings.jwks_max_age).map(Length),
        source: profile.source.clone(),
    });
    api::Issuer {
        issuer: id.to_string(),
        url: settings.url.clone(),
        jwks_uri: format!("{}/.well-known/jwks.json", settings.url),
        revision: snapshot.revision().get(),
        jwk_set_version: state.jwk_set_version.get(),
        published: state.published.map(|out| api::Published { version: out.version.get(), at: Moment(out.at) }),
        keys: snapshot.issuer().jwk_set().len(),
        jwks_max_age: Length(settings.jwks_max_age),
        verifiers: verifiers.collect(),
        rings: rings.collect(),
        imported: state.imported.iter().filter(|key| key.withdrawn.is_none()).count(),
    }
}

/// A ring; without a policy it is not in the configuration any more.
pub fn ring_shown(ring: &KeyRing, policy: Option<&RingPolicy>, now: Timestamp) -> api::Ring {
    let state = ring.state();
    let terms = policy.map(|policy| policy.policy.terms());
    api::Ring {
        ring: state.name.to_string(),
        key: state.spec.to_string(),
        backend: policy.map(|policy| policy.backend.to_string()),
        signer: state.signer.as_ref().map(signer_shown),
        next: state.next.as_ref().map(|next| api::NextKey {
            version: next.id().get(),
            kid: match next {
                Next::Reserved(_) => None,
                Next::PreActive(next) => Some(next.key.jwk.kid().to_string()),
            },
            may_sign_at: ring.next_may_sign_at().map(Moment),
        }),
        standby_ready: ring.standby_ready(now),
        requested_at: state.requested_at.map(Moment),
        token_lifetime_max: terms.map(|terms| Length(terms.token_lifetime_max)),
        propagation: terms.map(|terms| Length(terms.propagation)),
        drain: terms.map(|terms| Length(terms.drain)),
        retention: terms.map(|terms| Length(terms.retention)),
    }
}

/// The version that signs.
pub fn signer_shown(signer: &Active) -> api::SignerKey {
    api::SignerKey {
        version: signer.id.get(),
        kid: signer.key.jwk.kid().to_string(),
        activated_at: Moment(signer.activated_at),
        rotate_at: Moment(signer.rotate_at),
    }
}
