//! Checkpoints of the audit log.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use serde_json::value::RawValue;

use super::strict::{Reply, Strict};
use super::{Inner, Shared, not_granted};
use crate::access::grant::Operation;
use crate::checkpoint::{Checkpointer, Made};
use crate::server::api::{self, Moment};
use crate::server::problem::{Code, Refusal};
use crate::signer::Asker;

/// The newest checkpoint of this run of the daemon, and the key that signed it.
#[utoipa::path(get, path = "/v1/audit/checkpoint", tag = "read", responses(
    (status = 200, description = "The checkpoint", body = api::Checkpoint),
    (status = "4XX", description = "There is none, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
))]
pub async fn newest_checkpoint(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
) -> Result<Reply<api::Checkpoint>, Refusal> {
    let newest = shared.checkpointer(&asker)?.newest().await;
    let made = newest.ok_or_else(|| Code::NoCheckpoint.refusal("none was made since the start; the log says why"))?;
    shown(made)
}

/// Has a checkpoint made now.
#[utoipa::path(post, path = "/v1/audit/checkpoint", tag = "command",
    request_body = Option<api::CheckpointRequest>,
    responses(
        (status = 200, description = "It was made, and is in the log", body = api::Checkpoint),
        (status = "4XX", description = "None are made, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "None could be made now", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn make_checkpoint(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Strict(api::CheckpointRequest {}): Strict<api::CheckpointRequest>,
) -> Result<Reply<api::Checkpoint>, Refusal> {
    let checkpointer = Arc::clone(shared.checkpointer(&asker)?);
    let made = tokio::spawn(async move { checkpointer.make().await }).await;
    let made = made.map_err(|error| Code::Internal.refusal("the command broke off").because(&error).for_operator())?;
    let failed = "the backend or the audit log did not do its part; see the log";
    shown(made.map_err(|error| Code::CheckpointFailed.refusal(failed).because(&error).retry_after(5))?)
}

impl Inner {
    fn checkpointer(&self, asker: &Asker) -> Result<&Arc<Checkpointer>, Refusal> {
        if !self.parts.access.grants.allow(&asker.caller, Operation::Audit, None, None) {
            return Err(not_granted());
        }
        let absent = "the configuration has no table [audit.checkpoints]";
        self.parts.checkpointer.as_ref().ok_or_else(|| Code::NoCheckpoint.refusal(absent))
    }
}

fn shown(made: Made) -> Result<Reply<api::Checkpoint>, Refusal> {
    let Made { checkpoint, jws, key } = made;
    let key = RawValue::from_string(key.to_json());
    let key = key.map_err(|error| Code::Internal.refusal("the key can't be written").because(&error))?;
    let (hash, at) = (checkpoint.hash.to_string(), Moment(checkpoint.at));
    Ok(Reply::ok(api::Checkpoint { record: checkpoint.seq, hash, at, jws, key }))
}
