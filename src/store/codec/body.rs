//! The members of a record's body: the core's types, field by field, as format 1 has them.
//!
//! Moments are RFC 3339 texts, lengths of time are whole seconds. An absent value is null.

use serde::{Deserialize, Serialize};

use super::text::{Published as Jwk, Text};
use crate::ids::{BackendId, BootId, RingName};
use crate::jose::alg::Algorithm;
use crate::lifecycle::time::Timestamp;

type Moment = Text<Timestamp>;

/// An issuer; its name is in the envelope.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    pub jwk_set_version: u64,
    pub published: Option<Observed>,
    pub known_to_verifiers: bool,
    pub rings: Vec<Ring>,
    pub imported: Vec<Imported>,
    pub history_from: u64,
    pub clock: Option<ClockSetting>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSetting {
    pub boot: Text<BootId>,
    pub booted_at: Moment,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    pub version: u64,
    pub at: Moment,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    pub name: Text<RingName>,
    pub spec: Spec,
    pub next_number: u64,
    pub promise: Promise,
    pub requested_at: Option<Moment>,
    pub succession: Succession,
    pub next: Option<Next>,
    pub signer: Option<Active>,
    pub retained: Vec<Deactivated>,
    pub compromised: Vec<Compromised>,
    pub destroyed: Vec<Destroyed>,
    pub history_from: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    pub alg: Text<Algorithm>,
    pub rsa_bits: Option<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    pub token_lifetime_s: u64,
    pub cache_bound_s: u64,
    pub tokens_until: Option<Moment>,
    pub caches_until: Option<Moment>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub backend: Text<BackendId>,
    pub handle: String,
    pub jwk: Jwk,
    pub listed_from: u64,
    pub generated_at: Moment,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserved {
    pub id: u64,
    pub backend: Text<BackendId>,
    pub reserved_at: Moment,
    pub reason: Reason,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreActive {
    pub id: u64,
    pub key: Key,
    pub reason: Reason,
    pub seen: Option<Seen>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    pub at: Moment,
    pub may_sign_at: Moment,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    pub id: u64,
    pub key: Key,
    pub activated_at: Moment,
    pub rotate_at: Moment,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deactivated {
    pub id: u64,
    pub key: Key,
    pub activated_at: Moment,
    pub deactivated_at: Moment,
    pub destroy_private_at: Moment,
    pub withdraw_at: Moment,
    pub private_destroyed: Option<PrivateDestroyed>,
    pub withdrawn: Option<Withdrawn>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compromised {
    pub id: u64,
    pub key: Key,
    pub withdrawn: Withdrawn,
    pub withdrawal_seen_at: Option<Moment>,
    pub private_destroyed: Option<PrivateDestroyed>,
    pub reason: String,
}

/// Absent while the backend holds the private half.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateDestroyed {
    pub at: Moment,
    pub gone_at: Moment,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawn {
    pub at: Moment,
    pub listed_until: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destroyed {
    pub id: u64,
    pub jwk: Jwk,
    pub backend: Text<BackendId>,
    pub listed_from: u64,
    pub withdrawn: Withdrawn,
    pub withdrawal_seen_at: Option<Moment>,
    pub gone_at: Moment,
    pub compromised: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    pub jwk: Jwk,
    pub imported_at: Moment,
    pub withdraw_at: Option<Moment>,
    pub listed_from: u64,
    pub withdrawn: Option<Withdrawn>,
    pub withdrawal_seen_at: Option<Moment>,
    pub compromised: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    Reserved(Reserved),
    PreActive(PreActive),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Bootstrap,
    Scheduled,
    Requested,
    Compromise,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Succession {
    WhenPropagated,
    WhenPublished,
}
