//! Where a JWK Set is put so that verifiers can fetch it, besides the daemon's own listener.

pub mod directory;

use std::fmt::Debug;

use bytes::Bytes;
use thiserror::Error;

use crate::backend::BoxFuture;
use crate::ids::JwkSetVersion;

/// One version of a JWK Set.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The path of the issuer's URL: empty, or like `/tenant-a`.
    pub path: String,
    /// Which version.
    pub version: JwkSetVersion,
    /// The document.
    pub jwk_set: Bytes,
    /// The discovery document, if it is wanted.
    pub openid_configuration: Option<Bytes>,
}

/// A place that verifiers fetch from.
pub trait Publisher: Debug + Send + Sync {
    /// Puts the set there. On return verifiers can fetch it; a lower version never replaces a higher
    /// one; repeating is harmless.
    fn publish<'a>(&'a self, publication: &'a Publication) -> BoxFuture<'a, Result<(), PublishError>>;
}

/// Why a set is not published there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// It can't be written now: try again later.
    #[error("publisher unavailable: {0}")]
    Unavailable(String),
    /// A newer set is there: this replica is behind, or another installation publishes to the same place.
    #[error(
        "version {found} is published there, which is newer than {ours}; is another daemon publishing to it, or was a rollback accepted?"
    )]
    Newer {
        /// What is there.
        found: JwkSetVersion,
        /// What was to be published.
        ours: JwkSetVersion,
    },
}
