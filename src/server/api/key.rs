//! The keys of an issuer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;

/// Every key that an issuer remembers: by ring, the newest version first; then the imported ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// The issuer's name.
    pub issuer: String,
    /// The newest version of its JWK Set.
    pub jwk_set_version: u64,
    /// The keys.
    pub keys: Vec<Key>,
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Decided, not yet known to exist.
    Reserved,
    /// Published, or about to be; not yet signing.
    PreActive,
    /// It signs.
    Active,
    /// It no longer signs; tokens that it signed may be out.
    Deactivated,
    /// It must not be trusted any more.
    Compromised,
    /// Its life is over.
    Destroyed,
    /// A foreign public key, which never signs here.
    Imported,
}

impl KeyState {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::PreActive => "pre_active",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
            Self::Imported => "imported",
        }
    }
}

/// Where the private half of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrivateHalf {
    /// The backend may hold it: generation is under way.
    Perhaps,
    /// The backend holds it.
    Held,
    /// It can't sign any more; `gone_at` says when nothing is left of it.
    Destroyed,
    /// Somebody else has it: the key was imported.
    Foreign,
}

/// One key. Members that do not apply to its state are absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its ring; absent for an imported key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ring: Option<String>,
    /// Its number in the ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<u64>,
    /// Its name in tokens; absent while it is only reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kid: Option<String>,
    /// Its algorithm.
    pub alg: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// Whether the newest JWK Set lists it.
    pub listed: bool,
    /// Where its private half is.
    pub private_half: PrivateHalf,
    /// The backend that holds, or held, the private half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub backend: Option<String>,
    /// The backend's locator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub handle: Option<String>,
    /// The first version of the JWK Set that lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub listed_from: Option<u64>,
    /// The first version of the JWK Set without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub listed_until: Option<u64>,
    /// When its number was chosen, while it is only reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reserved_at: Option<Moment>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub generated_at: Option<Moment>,
    /// Since when a rotation is asked for, if it signs: then it does not wait for `rotate_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub requested_at: Option<Moment>,
    /// When it was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub imported_at: Option<Moment>,
    /// When its publication was observed, while it is pre-active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub seen_at: Option<Moment>,
    /// When every declared verifier can have fetched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub may_sign_at: Option<Moment>,
    /// When it began to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub activated_at: Option<Moment>,
    /// When it is due to be replaced as the signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rotate_at: Option<Moment>,
    /// When it ceased to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub deactivated_at: Option<Moment>,
    /// The end of its drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub destroy_private_at: Option<Moment>,
    /// When nothing is, or will be, left of the private half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gone_at: Option<Moment>,
    /// The end of its retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub withdraw_at: Option<Moment>,
    /// When it left the JWK Set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub withdrawn_at: Option<Moment>,
    /// What the operator said when it was declared compromised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub compromised: Option<String>,
}
