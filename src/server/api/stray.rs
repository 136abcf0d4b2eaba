//! Keys without a version.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the backends hold besides the keys of living versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Strays {
    /// The keys, by backend and label.
    pub strays: Vec<Stray>,
    /// Backends that could not be looked at.
    pub unseen: Vec<Unseen>,
}

/// A key that carries a label of this installation and belongs to no living version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stray {
    /// The backend that holds it.
    pub backend: String,
    /// Its label there. It may be that of a living version, which has another key.
    #[schema(example = "prod-eu/main.es256.v7")]
    pub label: String,
    /// The backend's own name for it.
    pub handle: String,
    /// Why it belongs to no version.
    pub why: String,
}

/// A backend that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unseen {
    /// Its name.
    pub backend: String,
    /// What was in the way.
    pub error: String,
}

/// A stray that is to be destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestroyStray {
    /// The backend that holds it.
    pub backend: String,
    /// The backend's own name for it, as the list of strays shows it.
    pub handle: String,
    /// Why, for the audit log.
    pub reason: String,
}
