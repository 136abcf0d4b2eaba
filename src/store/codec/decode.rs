//! From a record's body to the core's types, which then say whether such a state can be.

use std::collections::BTreeMap;

use super::body;
use super::text::Text;
use crate::ids::{Handle, IssuerId, JwkSetVersion, VersionId};
use crate::jose::alg::{KeySpec, RsaBits};
use crate::lifecycle::event::{Reason, Succession};
use crate::lifecycle::issuer::{Issuer, IssuerState, Published};
use crate::lifecycle::key_ring::{KeyRing, RingState};
use crate::lifecycle::promise::Promise;
use crate::lifecycle::state::{
    Active, Compromised, Deactivated, Destroyed, Imported, Key, Next, PreActive, Private, Reserved, Seen, Withdrawn,
};
use crate::lifecycle::time::{ClockSetting, Span, Timestamp};

fn moment(Text(moment): Text<Timestamp>) -> Timestamp {
    moment
}

impl body::Body {
    /// The issuer `id` as the record describes it.
    ///
    /// # Errors
    /// Says in words what can't be.
    pub fn into_issuer(self, id: IssuerId) -> Result<Issuer, String> {
        let Self { jwk_set_version, known_to_verifiers, rings, imported, published, history_from, clock } = self;
        let mut by_name = BTreeMap::new();
        for ring in rings {
            let ring = ring.into_ring()?;
            let name = ring.state().name.clone();
            if by_name.insert(name.clone(), ring).is_some() {
                return Err(format!("ring {name} stands twice"));
            }
        }
        Issuer::from_state(IssuerState {
            id,
            jwk_set_version: JwkSetVersion::new(jwk_set_version),
            published: published.map(Into::into),
            known_to_verifiers,
            rings: by_name,
            imported: imported.into_iter().map(Into::into).collect(),
            history_from: JwkSetVersion::new(history_from),
            clock: clock.map(|clock| ClockSetting { boot: clock.boot.0, booted_at: moment(clock.booted_at) }),
        })
    }
}

impl From<body::Observed> for Published {
    fn from(body::Observed { version, at }: body::Observed) -> Self {
        Self { version: JwkSetVersion::new(version), at: moment(at) }
    }
}

impl body::Ring {
    fn into_ring(self) -> Result<KeyRing, String> {
        let Self {
            name: Text(name),
            spec,
            next_number,
            promise,
            succession,
            retained,
            compromised,
            destroyed,
            history_from,
            requested_at,
            next,
            signer,
        } = self;
        let spec = spec.into_spec().map_err(|what| format!("ring {name}: {what}"))?;
        KeyRing::from_state(RingState {
            name,
            spec,
            next_number: VersionId::new(next_number),
            promise: promise.into(),
            requested_at: requested_at.map(moment),
            succession: match succession {
                body::Succession::WhenPropagated => Succession::WhenPropagated,
                body::Succession::WhenPublished => Succession::WhenPublished,
            },
            next: next.map(Into::into),
            signer: signer.map(Into::into),
            retained: retained.into_iter().map(Into::into).collect(),
            compromised: compromised.into_iter().map(Into::into).collect(),
            destroyed: destroyed.into_iter().map(Into::into).collect(),
            history_from: JwkSetVersion::new(history_from),
        })
    }
}

impl body::Spec {
    fn into_spec(self) -> Result<KeySpec, String> {
        let Self { alg: Text(alg), rsa_bits } = self;
        let bits = match rsa_bits {
            Some(bits) => Some(RsaBits::from_bits(bits).ok_or_else(|| format!("a modulus can't have {bits} bits"))?),
            None if alg.is_rsa() => return Err(format!("{alg} keys need rsa_bits")),
            None => None,
        };
        KeySpec::new(alg, bits).map_err(|error| error.to_string())
    }
}

impl From<body::Promise> for Promise {
    fn from(promise: body::Promise) -> Self {
        let body::Promise { token_lifetime_s, cache_bound_s, tokens_until, caches_until } = promise;
        Self {
            token_lifetime: Span::from_secs(token_lifetime_s),
            cache_bound: Span::from_secs(cache_bound_s),
            tokens_until: tokens_until.map(moment),
            caches_until: caches_until.map(moment),
        }
    }
}

impl From<body::Key> for Key {
    fn from(body::Key { backend, handle, jwk, listed_from, generated_at }: body::Key) -> Self {
        Self {
            backend: backend.0,
            handle: Handle::new(&handle),
            jwk: jwk.0,
            listed_from: JwkSetVersion::new(listed_from),
            generated_at: moment(generated_at),
        }
    }
}

impl From<body::Next> for Next {
    fn from(next: body::Next) -> Self {
        match next {
            body::Next::Reserved(body::Reserved { id, backend, reserved_at, reason }) => Self::Reserved(Reserved {
                id: VersionId::new(id),
                backend: backend.0,
                reserved_at: moment(reserved_at),
                reason: reason.into(),
            }),
            body::Next::PreActive(body::PreActive { id, key, reason, seen }) => Self::PreActive(PreActive {
                id: VersionId::new(id),
                key: key.into(),
                reason: reason.into(),
                seen: seen
                    .map(|body::Seen { at, may_sign_at }| Seen { at: moment(at), may_sign_at: moment(may_sign_at) }),
            }),
        }
    }
}

impl From<body::Reason> for Reason {
    fn from(reason: body::Reason) -> Self {
        match reason {
            body::Reason::Bootstrap => Self::Bootstrap,
            body::Reason::Scheduled => Self::Scheduled,
            body::Reason::Requested => Self::Requested,
            body::Reason::Compromise => Self::Compromise,
        }
    }
}

impl From<body::Active> for Active {
    fn from(body::Active { id, key, activated_at, rotate_at }: body::Active) -> Self {
        Self {
            id: VersionId::new(id),
            key: key.into(),
            activated_at: moment(activated_at),
            rotate_at: moment(rotate_at),
        }
    }
}

impl From<body::Deactivated> for Deactivated {
    fn from(version: body::Deactivated) -> Self {
        let body::Deactivated {
            id,
            key,
            activated_at,
            deactivated_at,
            destroy_private_at,
            withdraw_at,
            private_destroyed,
            withdrawn,
        } = version;
        Self {
            id: VersionId::new(id),
            key: key.into(),
            activated_at: moment(activated_at),
            deactivated_at: moment(deactivated_at),
            destroy_private_at: moment(destroy_private_at),
            withdraw_at: moment(withdraw_at),
            private: private(private_destroyed),
            withdrawn: withdrawn.map(Into::into),
        }
    }
}

impl From<body::Compromised> for Compromised {
    fn from(version: body::Compromised) -> Self {
        let body::Compromised { id, key, withdrawn, reason, withdrawal_seen_at, private_destroyed } = version;
        Self {
            id: VersionId::new(id),
            key: key.into(),
            withdrawn: withdrawn.into(),
            withdrawal_seen_at: withdrawal_seen_at.map(moment),
            private: private(private_destroyed),
            reason,
        }
    }
}

fn private(destroyed: Option<body::PrivateDestroyed>) -> Private {
    match destroyed {
        None => Private::Held,
        Some(body::PrivateDestroyed { at, gone_at }) => Private::Destroyed { at: moment(at), gone_at: moment(gone_at) },
    }
}

impl From<body::Withdrawn> for Withdrawn {
    fn from(body::Withdrawn { at, listed_until }: body::Withdrawn) -> Self {
        Self { at: moment(at), listed_until: JwkSetVersion::new(listed_until) }
    }
}

impl From<body::Destroyed> for Destroyed {
    fn from(version: body::Destroyed) -> Self {
        let body::Destroyed { id, jwk, backend, listed_from, withdrawn, withdrawal_seen_at, gone_at, compromised } =
            version;
        Self {
            id: VersionId::new(id),
            jwk: jwk.0,
            backend: backend.0,
            listed_from: JwkSetVersion::new(listed_from),
            withdrawn: withdrawn.into(),
            gone_at: moment(gone_at),
            withdrawal_seen_at: withdrawal_seen_at.map(moment),
            compromised,
        }
    }
}

impl From<body::Imported> for Imported {
    fn from(key: body::Imported) -> Self {
        let body::Imported { jwk, imported_at, listed_from, withdraw_at, withdrawn, withdrawal_seen_at, compromised } =
            key;
        Self {
            jwk: jwk.0,
            imported_at: moment(imported_at),
            withdraw_at: withdraw_at.map(moment),
            listed_from: JwkSetVersion::new(listed_from),
            withdrawn: withdrawn.map(Into::into),
            withdrawal_seen_at: withdrawal_seen_at.map(moment),
            compromised,
        }
    }
}
