//! Every key of an issuer, at its stage of life.

use axum::Extension;
use axum::extract::{Path, State};

use super::Shared;
use super::strict::Reply;
use crate::access::grant::Operation;
use crate::jose::jwk::Jwk;
use crate::lifecycle::key_ring::KeyRing;
use crate::lifecycle::state::{Imported, Key, Next, Private, Withdrawn};
use crate::lifecycle::time::Timestamp;
use crate::server::api::{self, KeyState, Moment, PrivateHalf};
use crate::server::problem::Refusal;
use crate::signer::Asker;

/// Every key that the issuer remembers.
#[utoipa::path(get, path = "/v1/issuers/{issuer}/keys", tag = "read",
    params(("issuer" = String, Path, description = "The issuer's name")),
    responses(
        (status = 200, description = "The keys", body = api::Keys),
        (status = "4XX", description = "There is no such issuer, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn keys(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
) -> Result<Reply<api::Keys>, Refusal> {
    let (id, place) = shared.issuer(&asker, Operation::Read, &name, None)?;
    let snapshot = place.state();
    let state = snapshot.issuer().state();
    let mut keys: Vec<api::Key> = state.rings.values().flat_map(of_ring).collect();
    keys.extend(state.imported.iter().map(imported));
    Ok(Reply::ok(api::Keys { issuer: id.to_string(), jwk_set_version: state.jwk_set_version.get(), keys }))
}

/// The versions of a ring, the newest first.
fn of_ring(ring: &KeyRing) -> Vec<api::Key> {
    let state = ring.state();
    let blank = |version: crate::ids::VersionId, stage| api::Key {
        ring: Some(state.name.to_string()),
        version: Some(version.get()),
        ..blank(state.spec.algorithm().name(), stage)
    };
    let mut keys = Vec::new();
    match &state.next {
        Some(Next::Reserved(v)) => keys.push(api::Key {
            private_half: PrivateHalf::Perhaps,
            backend: Some(v.backend.to_string()),
            reserved_at: Some(Moment(v.reserved_at)),
            ..blank(v.id, KeyState::Reserved)
        }),
        Some(Next::PreActive(v)) => keys.push(api::Key {
            seen_at: v.seen.map(|seen| Moment(seen.at)),
            may_sign_at: ring.next_may_sign_at().map(Moment),
            ..with_key(blank(v.id, KeyState::PreActive), &v.key, None)
        }),
        None => {}
    }
    keys.extend(state.signer.iter().map(|v| api::Key {
        activated_at: Some(Moment(v.activated_at)),
        rotate_at: Some(Moment(v.rotate_at)),
        requested_at: state.requested_at.map(Moment),
        ..with_key(blank(v.id, KeyState::Active), &v.key, None)
    }));
    keys.extend(state.retained.iter().map(|v| api::Key {
        activated_at: Some(Moment(v.activated_at)),
        deactivated_at: Some(Moment(v.deactivated_at)),
        destroy_private_at: Some(Moment(v.destroy_private_at)),
        withdraw_at: Some(Moment(v.withdraw_at)),
        ..with_private(with_key(blank(v.id, KeyState::Deactivated), &v.key, v.withdrawn), v.private)
    }));
    keys.extend(state.compromised.iter().map(|v| api::Key {
        compromised: Some(v.reason.clone()),
        ..with_private(with_key(blank(v.id, KeyState::Compromised), &v.key, Some(v.withdrawn)), v.private)
    }));
    keys.extend(state.destroyed.iter().map(|v| api::Key {
        listed_from: Some(v.listed_from.get()),
        private_half: PrivateHalf::Destroyed,
        gone_at: Some(Moment(v.gone_at)),
        compromised: v.compromised.clone(),
        ..with_jwk(blank(v.id, KeyState::Destroyed), &v.jwk, Some(v.withdrawn))
    }));
    keys.sort_by_key(|key| std::cmp::Reverse(key.version));
    keys
}

fn imported(key: &Imported) -> api::Key {
    let stage = if key.compromised.is_some() { KeyState::Compromised } else { KeyState::Imported };
    api::Key {
        private_half: PrivateHalf::Foreign,
        listed_from: Some(key.listed_from.get()),
        imported_at: Some(Moment(key.imported_at)),
        withdraw_at: key.withdraw_at.map(Moment),
        compromised: key.compromised.clone(),
        ..with_jwk(blank(key.jwk.alg().name(), stage), &key.jwk, key.withdrawn)
    }
}

fn with_key(shown: api::Key, key: &Key, withdrawn: Option<Withdrawn>) -> api::Key {
    api::Key {
        private_half: PrivateHalf::Held,
        backend: Some(key.backend.to_string()),
        handle: Some(key.handle.to_string()),
        listed_from: Some(key.listed_from.get()),
        generated_at: Some(Moment(key.generated_at)),
        ..with_jwk(shown, &key.jwk, withdrawn)
    }
}

fn with_jwk(shown: api::Key, jwk: &Jwk, withdrawn: Option<Withdrawn>) -> api::Key {
    api::Key {
        kid: Some(jwk.kid().to_string()),
        listed: withdrawn.is_none(),
        listed_until: withdrawn.map(|gone| gone.listed_until.get()),
        withdrawn_at: withdrawn.map(|gone| Moment(gone.at)),
        ..shown
    }
}

fn with_private(shown: api::Key, private: Private) -> api::Key {
    let (private_half, gone_at) = private_shown(private);
    api::Key { private_half, gone_at: gone_at.map(Moment), ..shown }
}

/// Where a private half is, and when nothing is left of it.
pub fn private_shown(private: Private) -> (PrivateHalf, Option<Timestamp>) {
    match private {
        Private::Held => (PrivateHalf::Held, None),
        Private::Destroyed { at: _, gone_at } => (PrivateHalf::Destroyed, Some(gone_at)),
    }
}

fn blank(alg: &str, state: KeyState) -> api::Key {
    api::Key {
        ring: None,
        version: None,
        kid: None,
        alg: alg.to_owned(),
        state,
        listed: false,
        private_half: PrivateHalf::Held,
        backend: None,
        handle: None,
        listed_from: None,
        listed_until: None,
        reserved_at: None,
        generated_at: None,
        requested_at: None,
        imported_at: None,
        seen_at: None,
        may_sign_at: None,
        activated_at: None,
        rotate_at: None,
        deactivated_at: None,
        destroy_private_at: None,
        gone_at: None,
        withdraw_at: None,
        withdrawn_at: None,
        compromised: None,
    }
}
