//! Checkpoints of the audit log.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Moment;

/// A request for a checkpoint; an empty body stands for `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointRequest {}

/// A checkpoint of the audit log: keep it outside of this machine. A later log must still hold that record.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// The number of the record that it vouches for.
    pub record: u64,
    /// The hash of that record, in hexadecimal.
    pub hash: String,
    /// When that record was the last one.
    pub at: Moment,
    /// The checkpoint: a compact JWS over these facts and the installation's name.
    pub jws: String,
    /// The key that signed it, as a JWK: pin it where the log is verified.
    #[schema(value_type = Object)]
    pub key: Box<RawValue>,
}
