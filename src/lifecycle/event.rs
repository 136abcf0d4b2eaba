//! Facts: what has happened, when, and why. A state is what its events made of it.

use std::fmt;

use thiserror::Error;

use crate::ids::{BackendId, Handle, JwkSetVersion, Kid, RingName, VersionId};
use crate::jose::alg::KeySpec;
use crate::jose::jwk::Jwk;

use super::time::{ClockSetting, Timestamp};

/// Why something happens to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The ring had no version.
    Bootstrap,
    /// Its time has come.
    Scheduled,
    /// An operator asked.
    Requested,
    /// A key leaked.
    Compromise,
}

impl Reason {
    /// The word used in records, logs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Scheduled => "scheduled",
            Self::Requested => "requested",
            Self::Compromise => "compromise",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to signing if a signer is compromised and no standby is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Succession {
    /// Nothing signs until the next version's propagation is over: no verifier meets an unknown key.
    WhenPropagated,
    /// The next version signs as soon as it is published: verifiers that don't refetch reject its tokens until their cache ends.
    WhenPublished,
}

/// Something that has happened to an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When: UTC, whole seconds.
    pub at: Timestamp,
    /// What.
    pub fact: Fact,
}

/// What has happened. Replaying an outside fact (`Generated`, `Published`, `PrivateDestroyed`) changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A ring was added to the configuration.
    RingAdded {
        /// Its name.
        ring: RingName,
        /// The kind of key that it holds, for ever.
        spec: KeySpec,
    },
    /// The ring's durations in the configuration differ from those that its tokens and caches were promised.
    TermsChanged {
        /// Which ring.
        ring: RingName,
    },
    /// A number and a backend were chosen for the next version.
    Reserved {
        /// Which ring.
        ring: RingName,
        /// Its number.
        version: VersionId,
        /// Where it is to be made.
        backend: BackendId,
        /// Why.
        reason: Reason,
    },
    /// The backend has made the key, or found it.
    Generated {
        /// Which ring.
        ring: RingName,
        /// Its number.
        version: VersionId,
        /// The backend's locator.
        handle: Handle,
        /// The public half as it will be published.
        jwk: Jwk,
    },
    /// Verifiers can fetch this version of the JWK Set from every publisher.
    Published {
        /// Which set.
        version: JwkSetVersion,
    },
    /// The next version became the signer, and the signer, if there was one, was deactivated.
    Activated {
        /// Which ring.
        ring: RingName,
        /// The new signer.
        version: VersionId,
        /// Why.
        reason: Reason,
    },
    /// The backend has destroyed a private half, or will at `gone_at` and never signs with it again.
    PrivateDestroyed {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
        /// When nothing is left of it.
        gone_at: Timestamp,
    },
    /// A version left the JWK Set at the end of its retention.
    Withdrawn {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
    },
    /// A key leaked. It leaves the JWK Set; if it signed, a ready standby signs from now on.
    Compromised {
        /// The key.
        kid: Kid,
        /// What the operator said.
        reason: String,
        /// What happens if no standby is ready.
        succession: Succession,
    },
    /// An operator asked for a rotation.
    Requested {
        /// Which ring.
        ring: RingName,
    },
    /// A foreign public key is to be published.
    Imported {
        /// The key, under its former kid.
        jwk: Jwk,
        /// Until when.
        withdraw_at: Option<Timestamp>,
    },
    /// An imported key left the JWK Set.
    ImportWithdrawn {
        /// Which key.
        kid: Kid,
    },
    /// The machine's clock was set, or the machine was started: from here on moments are told by this setting.
    ClockSet {
        /// The setting.
        setting: ClockSetting,
    },
}

impl Fact {
    /// The word used in the audit log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RingAdded { .. } => "ring_added",
            Self::TermsChanged { .. } => "terms_changed",
            Self::Reserved { .. } => "reserved",
            Self::Generated { .. } => "generated",
            Self::Published { .. } => "published",
            Self::Activated { .. } => "activated",
            Self::PrivateDestroyed { .. } => "private_destroyed",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Compromised { .. } => "compromised",
            Self::Requested { .. } => "requested",
            Self::Imported { .. } => "imported",
            Self::ImportWithdrawn { .. } => "import_withdrawn",
            Self::ClockSet { .. } => "clock_set",
        }
    }
}

impl Fact {
    /// The ring that it is about, if it is about one and says so.
    #[must_use]
    pub const fn ring(&self) -> Option<&RingName> {
        match self {
            Self::RingAdded { ring, .. }
            | Self::TermsChanged { ring }
            | Self::Requested { ring }
            | Self::Reserved { ring, .. }
            | Self::Generated { ring, .. }
            | Self::Activated { ring, .. }
            | Self::PrivateDestroyed { ring, .. }
            | Self::Withdrawn { ring, .. } => Some(ring),
            Self::Published { .. }
            | Self::Compromised { .. }
            | Self::Imported { .. }
            | Self::ImportWithdrawn { .. }
            | Self::ClockSet { .. } => None,
        }
    }

    /// The version of that ring.
    #[must_use]
    pub const fn version(&self) -> Option<VersionId> {
        match self {
            Self::Reserved { version, .. }
            | Self::Generated { version, .. }
            | Self::Activated { version, .. }
            | Self::PrivateDestroyed { version, .. }
            | Self::Withdrawn { version, .. } => Some(*version),
            _ => None,
        }
    }

    /// The key that it is about, if it names one.
    #[must_use]
    pub fn kid(&self) -> Option<&Kid> {
        match self {
            Self::Generated { jwk, .. } | Self::Imported { jwk, .. } => Some(jwk.kid()),
            Self::Compromised { kid, .. } | Self::ImportWithdrawn { kid } => Some(kid),
            _ => None,
        }
    }
}

/// Why an event can't have happened to this state: the state stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IllegalTransition {
    /// No such ring in the issuer.
    #[error("there is no ring {0}")]
    UnknownRing(RingName),
    /// A ring of that name is there already.
    #[error("ring {0} exists already")]
    RingExists(RingName),
    /// The ring's policy is not known: it is missing in the configuration.
    #[error("ring {0} has no policy")]
    NoPolicy(RingName),
    /// The version is not in the state that the event needs.
    #[error("ring {ring} {version} can't be {event}: it is {state}")]
    WrongState {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
        /// What was to happen.
        event: &'static str,
        /// What it is.
        state: &'static str,
    },
    /// A verifier may not have seen the key.
    #[error("ring {ring} {version} may not sign before {due}")]
    TooEarly {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
        /// When it may.
        due: Timestamp,
    },
    /// A token or a caller may still need the key.
    #[error("ring {ring} {version} may not be {event} before {due}")]
    StillNeeded {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
        /// What was to happen.
        event: &'static str,
        /// When it may.
        due: Timestamp,
    },
    /// The number is not the ring's next one.
    #[error("ring {ring}: {version} is not the next number, {expected} is")]
    WrongNumber {
        /// Which ring.
        ring: RingName,
        /// What was given.
        version: VersionId,
        /// What would be right.
        expected: VersionId,
    },
    /// The issuer has, or had, a key of that kid.
    #[error("kid {0} is known to this issuer already")]
    DuplicateKid(Kid),
    /// The issuer has no key of that kid that the event could happen to.
    #[error("no key with kid {0} is published here")]
    UnknownKid(Kid),
    /// The set was never made.
    #[error("JWK Set version {version} can't be published: the newest is {newest}")]
    UnknownJwkSet {
        /// What was given.
        version: JwkSetVersion,
        /// The newest there is.
        newest: JwkSetVersion,
    },
    /// The key is of another kind than the ring's.
    #[error("ring {ring} {version}: the key is not what the ring holds")]
    WrongKey {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
    },
    /// The JWK Set would become larger than verifiers take.
    #[error("the JWK Set would have {bytes} bytes, at most {max_bytes} are allowed")]
    NoRoom {
        /// What it would have.
        bytes: usize,
        /// What is allowed.
        max_bytes: usize,
    },
}
