//! Commands: a fact from an operator, recorded by the rotator.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use http::StatusCode;
use tracing::warn;

use super::strict::{Reply, Strict};
use super::{Inner, Shared, issuer};
use crate::access::grant::Operation;
use crate::ids::{IssuerId, RingName};
use crate::lifecycle::event::{Fact, IllegalTransition};
use crate::rotator::{Cause, CommitError, TickError};
use crate::server::api::{self, Moment};
use crate::server::problem::{Code, Refusal};
use crate::signer::Asker;
use crate::telemetry::chain;

/// Asks for a rotation. It happens once every declared verifier can know the next version: at once, if a
/// standby is ready. Asking twice is asking once.
#[utoipa::path(post, path = "/v1/issuers/{issuer}/rings/{ring}/rotate", tag = "command",
    params(("issuer" = String, Path, description = "The issuer's name"), ("ring" = String, Path, description = "The ring's name")),
    request_body = Option<api::RotateRequest>,
    responses(
        (status = 200, description = "It was recorded", body = api::RotateReport),
        (status = "4XX", description = "There is no such ring, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "It could not be recorded now", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn rotate(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path((name, ring)): Path<(String, String)>,
    Strict(request): Strict<api::RotateRequest>,
) -> Result<Reply<api::RotateReport>, Refusal> {
    let ring: RingName = ring.parse().map_err(|_| super::not_granted())?;
    let (id, place) = shared.issuer(&asker, Operation::Rotate, &name, Some(&ring))?;
    let cause = cause(&asker, request.reason)?;
    shared.record(&id, Fact::Requested { ring: ring.clone() }, cause).await?;
    let state = place.state();
    let unknown = || Code::UnknownRing.refusal("the issuer has no such ring");
    let held = state.issuer().ring(&ring).ok_or_else(unknown)?;
    let policy = place.settings.policy.rings.get(&ring);
    Ok(Reply::ok(api::RotateReport {
        issuer: id.to_string(),
        revision: state.revision().get(),
        ring: issuer::ring_shown(held, policy, shared.now()),
        may_sign_at: held.next_may_sign_at().map(Moment),
    }))
}

/// Who asked, in which request, and why.
pub(super) fn cause(asker: &Asker, reason: Option<String>) -> Result<Cause, Refusal> {
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON_MAX) {
        return Err(Code::MemberValue.refusal(format!("reason: longer than {REASON_MAX} bytes")));
    }
    Ok(Cause { caller: Some(asker.caller.to_string()), request_id: Some(asker.request_id.clone()), reason })
}

const REASON_MAX: usize = 1_024;

/// Whether what was recorded is out where verifiers fetch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    Published,
    /// It is committed; the rotator tries on to publish it.
    NotYetPublished,
}

impl Recorded {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Published => StatusCode::OK,
            Self::NotYetPublished => StatusCode::ACCEPTED,
        }
    }
}

impl Inner {
    /// Has the rotator record a fact, and waits for it. Whoever asked may hang up: it is finished all the same.
    pub(super) async fn record(&self, issuer: &IssuerId, fact: Fact, cause: Cause) -> Result<Recorded, Refusal> {
        let rotator = Arc::clone(&self.parts.rotator);
        let (id, name) = (issuer.clone(), fact.name());
        let done = tokio::spawn(async move { rotator.record(&id, fact, &cause).await.map(|_| ()) }).await;
        let done =
            done.map_err(|error| Code::Internal.refusal("the command broke off").because(&error).for_operator())?;
        match done {
            Ok(()) => Ok(Recorded::Published),
            Err(TickError::UnknownIssuer(id)) => Err(Code::UnknownIssuer.refusal(format!("there is no issuer {id}"))),
            Err(TickError::Commit { event, source, .. }) if event == name => Err(not_committed(&source)),
            // The fact itself is committed: publishing it, or recording that, is what failed.
            Err(error @ (TickError::Publish { .. } | TickError::Commit { .. })) => {
                warn!(issuer = %issuer, action = name, error = %chain(&error), "recorded, but not yet published");
                Ok(Recorded::NotYetPublished)
            }
        }
    }
}

/// What an operator is told when a fact was not committed.
pub(super) fn not_committed(error: &CommitError) -> Refusal {
    let refusal = match error {
        CommitError::Illegal(illegal) => return illegal_shown(illegal),
        CommitError::Audit(_) => Code::AuditUnavailable.refusal("the intent can't be recorded, so nothing was changed"),
        CommitError::Store(_) if error.is_temporary() => {
            Code::StoreUnavailable.refusal("the store does not answer; nothing was changed")
        }
        CommitError::Store(_) | CommitError::WentBack { .. } | CommitError::Lost => {
            let detail = "the store can't be trusted; nothing was changed. See the log";
            return Code::StoreDamaged.refusal(detail).because(error).for_operator();
        }
        CommitError::Unreadable(_) => {
            let detail = "the new state can't be written; nothing was changed. See the log";
            return Code::Internal.refusal(detail).because(error).for_operator();
        }
        CommitError::Unknown(_) => Code::OutcomeUnknown
            .refusal("it is not known whether the store took the change; ask again, which is harmless"),
        CommitError::Contended(_) => Code::StoreUnavailable.refusal("other replicas were faster; ask again"),
    };
    refusal.because(error).retry_after(1)
}

/// What an operator is told when the state does not allow something.
pub(super) fn illegal_shown(illegal: &IllegalTransition) -> Refusal {
    let code = match illegal {
        IllegalTransition::UnknownRing(_) => Code::UnknownRing,
        IllegalTransition::UnknownKid(_) => Code::UnknownKid,
        IllegalTransition::DuplicateKid(_) => Code::DuplicateKid,
        _ => Code::Illegal,
    };
    code.refusal(illegal.to_string())
}
