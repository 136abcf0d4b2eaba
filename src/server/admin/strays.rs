//! Keys without a version: listing them, and destroying one.

use axum::Extension;
use axum::extract::State;

use super::command::cause;
use super::strict::{Reply, Strict};
use super::{Shared, not_granted};
use crate::access::grant::Operation;
use crate::ids::{BackendId, Handle};
use crate::rotator::{Stray, StrayError, Why};
use crate::server::api;
use crate::server::problem::{Code, Refusal};
use crate::signer::Asker;
use crate::telemetry::chain;

/// Keys that carry a label of this installation and belong to no living version.
#[utoipa::path(get, path = "/v1/strays", tag = "read", responses(
    (status = 200, description = "The strays of every backend", body = api::Strays),
    (status = "4XX", description = "Not for this caller", body = api::Problem, content_type = "application/problem+json"),
    (status = 503, description = "The store can't say which keys are known", body = api::Problem, content_type = "application/problem+json"),
))]
pub async fn strays(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
) -> Result<Reply<api::Strays>, Refusal> {
    if !shared.parts.access.grants.allow(&asker.caller, Operation::Read, None, None) {
        return Err(not_granted());
    }
    let found = shared.parts.rotator.strays().await;
    let found =
        found.map_err(|error| Code::StoreUnavailable.refusal("the store could not be asked").because(&error))?;
    let unseen = found.unseen.iter();
    let unseen = unseen.map(|(id, error)| api::Unseen { backend: id.to_string(), error: error.to_string() });
    Ok(Reply::ok(api::Strays { strays: found.strays.iter().map(shown).collect(), unseen: unseen.collect() }))
}

/// Destroys one of them.
#[utoipa::path(post, path = "/v1/strays/destroy", tag = "command",
    request_body = api::DestroyStray,
    responses(
        (status = 200, description = "It is destroyed", body = api::Stray),
        (status = "4XX", description = "It is no stray, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "It could not be destroyed now", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn destroy_stray(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Strict(request): Strict<api::DestroyStray>,
) -> Result<Reply<api::Stray>, Refusal> {
    if !shared.parts.access.grants.allow(&asker.caller, Operation::Compromise, None, None) {
        return Err(not_granted());
    }
    let backend: BackendId =
        request.backend.parse().map_err(|_| Code::MemberValue.refusal("backend: not the name of a backend"))?;
    let cause = cause(&asker, Some(request.reason))?;
    // A command that has begun is finished, whoever hangs up meanwhile.
    let (rotator, handle) = (std::sync::Arc::clone(&shared.parts.rotator), Handle::new(&request.handle));
    let destroyed = tokio::spawn(async move { rotator.destroy_stray(&backend, &handle, &cause).await }).await;
    let destroyed = destroyed.map_err(|error| Code::OutcomeUnknown.refusal("it was interrupted").because(&error))?;
    destroyed.map(|stray| Reply::ok(shown(&stray))).map_err(|error| refusal(&error))
}

fn refusal(error: &StrayError) -> Refusal {
    let code = match error {
        StrayError::NoBackend(_) | StrayError::NoKey(_) => Code::UnknownKid,
        StrayError::Living(_) => Code::Illegal,
        StrayError::Store(_) => Code::StoreUnavailable,
        StrayError::Unseen(..) | StrayError::Effect(_) => Code::BackendUnavailable,
    };
    code.refusal(chain(error)).because(error)
}

fn shown(stray: &Stray) -> api::Stray {
    let Stray { backend, found, why } = stray;
    api::Stray {
        backend: backend.to_string(),
        label: found.label.to_string(),
        handle: found.handle.to_string(),
        why: match why {
            Why::NoIssuer => "there is no such issuer",
            Why::NoRing => "the issuer has no such ring",
            Why::Ahead => "the ring has not come to that version yet",
            Why::Ended => "the version's private key was destroyed or given up",
            Why::Elsewhere => "the version has its key in another backend",
            Why::Twin => "the version has another key in this backend",
        }
        .to_owned(),
    }
}
