//! What keys cost, and how much of a quota is used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;

/// What the keys of some issuers cost in one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// The backend's name in the configuration.
    pub backend: String,
    /// The service behind it.
    pub service: String,
    /// The day of the price list, as `2026-11-21`.
    pub prices_as_of: String,
    /// Where the price list is.
    pub prices_from: String,
    /// Keys that the state knows and that are not to be deleted.
    pub keys: u64,
    /// Keys that can't sign any more and that the service deletes at a moment to come, soonest first.
    pub pending_deletion: Vec<PendingDeletion>,
    /// What the keys cost in a month, in US cents; those pending deletion included, if they are billed.
    pub keys_month_cents: u64,
    /// The quotas of the backend, whoever uses them.
    pub quotas: Vec<QuotaUse>,
}

/// A key that is going to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct PendingDeletion {
    /// When nothing is left of it.
    pub gone_at: Moment,
    /// Its issuer.
    pub issuer: String,
    /// Its ring.
    pub ring: String,
    /// Its number.
    pub version: u64,
}

/// How much of a quota is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaUse {
    /// Of what.
    pub of: String,
    /// What the backend keeps to, in calls per second.
    pub per_second: u32,
    /// Calls of the last minute.
    pub last_minute: u64,
    /// What a month of 30 days at that rate costs, in US cents, at the highest price that such a call can have.
    pub month_cents: u64,
}
