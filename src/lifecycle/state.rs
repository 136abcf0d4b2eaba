//! What one version of a key ring is at each stage of its life. Plain facts with absolute times: a
//! changed setting never re-dates them.

use crate::ids::{BackendId, Handle, JwkSetVersion, Kid, VersionId};
use crate::jose::jwk::Jwk;

use super::event::Reason;
use super::time::Timestamp;

/// A key pair that exists: where its private half is, and its public half as we publish it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The backend that holds the private half.
    pub backend: BackendId,
    /// The backend's locator.
    pub handle: Handle,
    /// The published form of the public half.
    pub jwk: Jwk,
    /// The first version of the JWK Set that lists it.
    pub listed_from: JwkSetVersion,
    /// When it was made.
    pub generated_at: Timestamp,
}

/// A number and a backend have been chosen; the key may exist, under its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// Its number.
    pub id: VersionId,
    /// Where it is to be made.
    pub backend: BackendId,
    /// When this was decided.
    pub reserved_at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// Published, or about to be; not yet signing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreActive {
    /// Its number.
    pub id: VersionId,
    /// Its key.
    pub key: Key,
    /// Why it was made.
    pub reason: Reason,
    /// Set once its publication was observed.
    pub seen: Option<Seen>,
}

/// A publication that was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When it was observed.
    pub at: Timestamp,
    /// When every declared verifier can have fetched it, so that it may sign.
    pub may_sign_at: Timestamp,
}

/// The version that is to sign next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Decided, not yet known to exist.
    Reserved(Reserved),
    /// It exists.
    PreActive(PreActive),
}

impl Next {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> VersionId {
        match self {
            Self::Reserved(reserved) => reserved.id,
            Self::PreActive(pre_active) => pre_active.id,
        }
    }

    /// The backend that has, or will have, its private half.
    #[must_use]
    pub fn backend(&self) -> &BackendId {
        match self {
            Self::Reserved(reserved) => &reserved.backend,
            Self::PreActive(pre_active) => &pre_active.key.backend,
        }
    }
}

/// The version that signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Its number.
    pub id: VersionId,
    /// Its key.
    pub key: Key,
    /// When it began to sign.
    pub activated_at: Timestamp,
    /// When it is due to be replaced.
    pub rotate_at: Timestamp,
}

/// A version that no longer signs, but whose tokens may be out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deactivated {
    /// Its number.
    pub id: VersionId,
    /// Its key.
    pub key: Key,
    /// When it began to sign.
    pub activated_at: Timestamp,
    /// When it ceased to.
    pub deactivated_at: Timestamp,
    /// The end of its drain.
    pub destroy_private_at: Timestamp,
    /// The end of its retention.
    pub withdraw_at: Timestamp,
    /// What became of the private half.
    pub private: Private,
    /// The first version of the JWK Set without it, once it is withdrawn.
    pub withdrawn: Option<Withdrawn>,
}

/// A version that must not be trusted any more: never listed, never signing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compromised {
    /// Its number.
    pub id: VersionId,
    /// Its key.
    pub key: Key,
    /// When it was declared compromised, and left the JWK Set.
    pub withdrawn: Withdrawn,
    /// When a set without it was first observed as published; verifiers forget it from here on.
    pub withdrawal_seen_at: Option<Timestamp>,
    /// What became of the private half.
    pub private: Private,
    /// What the operator said.
    pub reason: String,
}

/// What became of a private half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Private {
    /// The backend holds it.
    Held,
    /// It can't sign any more, and is or will be deleted at `gone_at`.
    Destroyed {
        /// When the backend was told.
        at: Timestamp,
        /// When nothing is left of it.
        gone_at: Timestamp,
    },
}

/// A removal from the JWK Set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withdrawn {
    /// When it was decided.
    pub at: Timestamp,
    /// The first version of the JWK Set without the key.
    pub listed_until: JwkSetVersion,
}

/// A version whose life is over: kept so that old JWK Sets can still be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// Its number.
    pub id: VersionId,
    /// What was published.
    pub jwk: Jwk,
    /// Which backend had the private half, and may keep it until `gone_at`.
    pub backend: BackendId,
    /// The first version of the JWK Set that listed it.
    pub listed_from: JwkSetVersion,
    /// Its removal.
    pub withdrawn: Withdrawn,
    /// When a set without it was first observed as published, if it was compromised.
    pub withdrawal_seen_at: Option<Timestamp>,
    /// When nothing was left of the private half.
    pub gone_at: Timestamp,
    /// What the operator said, if it was compromised.
    pub compromised: Option<String>,
}

/// A foreign public key that is published, but never signs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What is published, under its former kid.
    pub jwk: Jwk,
    /// When it was imported.
    pub imported_at: Timestamp,
    /// When it is to be withdrawn, if that was said.
    pub withdraw_at: Option<Timestamp>,
    /// The first version of the JWK Set that lists it.
    pub listed_from: JwkSetVersion,
    /// Its removal.
    pub withdrawn: Option<Withdrawn>,
    /// When a set without it was first observed as published.
    pub withdrawal_seen_at: Option<Timestamp>,
    /// What the operator said, if it was compromised.
    pub compromised: Option<String>,
}

impl Imported {
    /// Its kid.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        self.jwk.kid()
    }
}
