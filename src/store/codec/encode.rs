//! From the core's types to a record's body. Every field is named, so that a new one can't be forgotten.

use super::body;
use super::text::{Published as Json, Text};
use crate::jose::alg::RsaBits;
use crate::lifecycle::event::{Reason, Succession};
use crate::lifecycle::issuer::{IssuerState, Published};
use crate::lifecycle::key_ring::{KeyRing, RingState};
use crate::lifecycle::promise::Promise;
use crate::lifecycle::state::{
    Active, Compromised, Deactivated, Destroyed, Imported, Key, Next, PreActive, Private, Reserved, Seen, Withdrawn,
};

impl From<&IssuerState> for body::Body {
    fn from(state: &IssuerState) -> Self {
        let IssuerState {
            id: _in_the_envelope,
            jwk_set_version,
            published,
            known_to_verifiers,
            rings,
            imported,
            history_from,
            clock,
        } = state;
        Self {
            jwk_set_version: jwk_set_version.get(),
            known_to_verifiers: *known_to_verifiers,
            rings: rings.values().map(KeyRing::state).map(Into::into).collect(),
            imported: imported.iter().map(Into::into).collect(),
            history_from: history_from.get(),
            clock: clock.map(|clock| body::ClockSetting { boot: Text(clock.boot), booted_at: Text(clock.booted_at) }),
            published: published
                .map(|Published { version, at }| body::Observed { version: version.get(), at: Text(at) }),
        }
    }
}

impl From<&RingState> for body::Ring {
    fn from(state: &RingState) -> Self {
        let RingState {
            name,
            spec,
            next_number,
            promise,
            requested_at,
            succession,
            next,
            signer,
            retained,
            compromised,
            destroyed,
            history_from,
        } = state;
        Self {
            name: Text(name.clone()),
            spec: body::Spec { alg: Text(spec.algorithm()), rsa_bits: spec.rsa_bits().map(RsaBits::bits) },
            next_number: next_number.get(),
            promise: (*promise).into(),
            succession: match succession {
                Succession::WhenPropagated => body::Succession::WhenPropagated,
                Succession::WhenPublished => body::Succession::WhenPublished,
            },
            retained: retained.iter().map(Into::into).collect(),
            compromised: compromised.iter().map(Into::into).collect(),
            destroyed: destroyed.iter().map(Into::into).collect(),
            history_from: history_from.get(),
            requested_at: requested_at.map(Text),
            next: next.as_ref().map(Into::into),
            signer: signer.as_ref().map(Into::into),
        }
    }
}

impl From<Promise> for body::Promise {
    fn from(Promise { token_lifetime, cache_bound, tokens_until, caches_until }: Promise) -> Self {
        Self {
            token_lifetime_s: token_lifetime.as_secs(),
            cache_bound_s: cache_bound.as_secs(),
            tokens_until: tokens_until.map(Text),
            caches_until: caches_until.map(Text),
        }
    }
}

impl From<&Key> for body::Key {
    fn from(Key { backend, handle, jwk, listed_from, generated_at }: &Key) -> Self {
        Self {
            backend: Text(backend.clone()),
            handle: handle.as_str().to_owned(),
            jwk: Json(jwk.clone()),
            listed_from: listed_from.get(),
            generated_at: Text(*generated_at),
        }
    }
}

impl From<&Next> for body::Next {
    fn from(next: &Next) -> Self {
        match next {
            Next::Reserved(Reserved { id, backend, reserved_at, reason }) => Self::Reserved(body::Reserved {
                id: id.get(),
                backend: Text(backend.clone()),
                reserved_at: Text(*reserved_at),
                reason: (*reason).into(),
            }),
            Next::PreActive(PreActive { id, key, reason, seen }) => Self::PreActive(body::PreActive {
                id: id.get(),
                key: key.into(),
                reason: (*reason).into(),
                seen: seen.map(|Seen { at, may_sign_at }| body::Seen { at: Text(at), may_sign_at: Text(may_sign_at) }),
            }),
        }
    }
}

impl From<Reason> for body::Reason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Bootstrap => Self::Bootstrap,
            Reason::Scheduled => Self::Scheduled,
            Reason::Requested => Self::Requested,
            Reason::Compromise => Self::Compromise,
        }
    }
}

impl From<&Active> for body::Active {
    fn from(Active { id, key, activated_at, rotate_at }: &Active) -> Self {
        Self { id: id.get(), key: key.into(), activated_at: Text(*activated_at), rotate_at: Text(*rotate_at) }
    }
}

impl From<&Deactivated> for body::Deactivated {
    fn from(version: &Deactivated) -> Self {
        let Deactivated { id, key, activated_at, deactivated_at, destroy_private_at, withdraw_at, private, withdrawn } =
            version;
        Self {
            id: id.get(),
            key: key.into(),
            activated_at: Text(*activated_at),
            deactivated_at: Text(*deactivated_at),
            destroy_private_at: Text(*destroy_private_at),
            withdraw_at: Text(*withdraw_at),
            private_destroyed: private_destroyed(*private),
            withdrawn: withdrawn.map(Into::into),
        }
    }
}

impl From<&Compromised> for body::Compromised {
    fn from(version: &Compromised) -> Self {
        let Compromised { id, key, withdrawn, withdrawal_seen_at, private, reason } = version;
        Self {
            id: id.get(),
            key: key.into(),
            withdrawn: (*withdrawn).into(),
            reason: reason.clone(),
            withdrawal_seen_at: withdrawal_seen_at.map(Text),
            private_destroyed: private_destroyed(*private),
        }
    }
}

fn private_destroyed(private: Private) -> Option<body::PrivateDestroyed> {
    match private {
        Private::Held => None,
        Private::Destroyed { at, gone_at } => Some(body::PrivateDestroyed { at: Text(at), gone_at: Text(gone_at) }),
    }
}

impl From<Withdrawn> for body::Withdrawn {
    fn from(Withdrawn { at, listed_until }: Withdrawn) -> Self {
        Self { at: Text(at), listed_until: listed_until.get() }
    }
}

impl From<&Destroyed> for body::Destroyed {
    fn from(
        Destroyed { id, jwk, backend, listed_from, withdrawn, withdrawal_seen_at, gone_at, compromised }: &Destroyed,
    ) -> Self {
        Self {
            id: id.get(),
            jwk: Json(jwk.clone()),
            backend: Text(backend.clone()),
            listed_from: listed_from.get(),
            withdrawn: (*withdrawn).into(),
            gone_at: Text(*gone_at),
            withdrawal_seen_at: withdrawal_seen_at.map(Text),
            compromised: compromised.clone(),
        }
    }
}

impl From<&Imported> for body::Imported {
    fn from(key: &Imported) -> Self {
        let Imported { jwk, imported_at, withdraw_at, listed_from, withdrawn, withdrawal_seen_at, compromised } = key;
        Self {
            jwk: Json(jwk.clone()),
            imported_at: Text(*imported_at),
            listed_from: listed_from.get(),
            withdraw_at: withdraw_at.map(Text),
            withdrawn: withdrawn.map(Into::into),
            withdrawal_seen_at: withdrawal_seen_at.map(Text),
            compromised: compromised.clone(),
        }
    }
}
