//! Whether a configuration fits what lives, and what has to be recorded before it takes effect.
//!
//! Keys that live now were made, and promised, under an older configuration. One that would forget or
//! change them is refused; one that adds a ring or changes durations becomes facts.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::ids::{BackendId, Handle, RingName, VersionId};
use crate::jose::alg::KeySpec;

use super::event::Fact;
use super::issuer::Issuer;
use super::key_ring::{KeyRing, RingState};
use super::policy::IssuerPolicy;
use super::state::{Key, Next, Private};
use super::time::Timestamp;

/// Why a configuration does not fit an issuer that lives.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Misfit {
    /// A ring with live versions is gone from the configuration.
    #[error("ring {ring} is not in the configuration, but versions of it live ({versions}); put it back")]
    RingMissing {
        /// Which ring.
        ring: RingName,
        /// How many of its versions are published or hold a private key.
        versions: usize,
    },
    /// A ring is for another kind of key than before.
    #[error(
        "ring {ring} holds {stored} keys, the configuration says {wanted}; set it back and add a ring of another name for {wanted}"
    )]
    SpecChanged {
        /// Which ring.
        ring: RingName,
        /// What it holds.
        stored: String,
        /// What the configuration says.
        wanted: String,
    },
    /// A backend that holds a live private key is gone from the configuration.
    #[error("ring {ring} {version} lives in backend {backend}, which is not in the configuration; put it back")]
    BackendMissing {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
        /// Where its private half is.
        backend: BackendId,
    },
}

/// Every way in which the configuration does not fit `issuer`.
#[must_use]
pub fn misfits(
    issuer: &Issuer,
    specs: &BTreeMap<RingName, KeySpec>,
    has_backend: impl Fn(&BackendId) -> bool,
) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for (name, ring) in &issuer.state().rings {
        let held = private_halves(ring);
        match specs.get(name) {
            None => {
                let versions = held.len().max(ring.listed_keys().count());
                if versions > 0 {
                    misfits.push(Misfit::RingMissing { ring: name.clone(), versions });
                }
            }
            Some(spec) if *spec != ring.state().spec => {
                let (stored, wanted) = (ring.state().spec.to_string(), spec.to_string());
                misfits.push(Misfit::SpecChanged { ring: name.clone(), stored, wanted });
            }
            Some(_) => {}
        }
        for PrivateHalf { version, backend, .. } in held {
            if !has_backend(backend) {
                let backend = backend.clone();
                misfits.push(Misfit::BackendMissing { ring: name.clone(), version, backend });
            }
        }
    }
    misfits
}

/// The facts that bring `issuer` in line with a configuration that fits it.
#[must_use]
pub fn adoptions(issuer: &Issuer, policy: &IssuerPolicy, specs: &BTreeMap<RingName, KeySpec>) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (name, terms) in &policy.rings {
        match (issuer.ring(name), specs.get(name)) {
            (None, Some(spec)) => facts.push(Fact::RingAdded { ring: name.clone(), spec: *spec }),
            (Some(ring), _) if ring.terms_differ(&terms.policy) => {
                facts.push(Fact::TermsChanged { ring: name.clone() })
            }
            _ => {}
        }
    }
    facts
}

/// The versions that exist and whose private half a backend has to hold.
#[must_use]
pub fn private_keys(ring: &KeyRing) -> Vec<(VersionId, BackendId)> {
    let exist = private_halves(ring).into_iter().filter(|half| half.handle.is_some());
    exist.map(|half| (half.version, half.backend.clone())).collect()
}

/// Where the private half of a version is, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateHalf<'a> {
    /// Whose it is.
    pub version: VersionId,
    /// The backend that holds it, or will, or did.
    pub backend: &'a BackendId,
    /// Where the backend keeps it; absent before it is known to exist, and once the version's life is over.
    pub handle: Option<&'a Handle>,
    /// When nothing is left of it; absent before its end.
    pub gone_at: Option<Timestamp>,
}

impl<'a> PrivateHalf<'a> {
    fn of(version: VersionId, key: &'a Key, private: Private) -> Self {
        let gone_at = match private {
            Private::Held => None,
            Private::Destroyed { at: _, gone_at } => Some(gone_at),
        };
        Self { version, backend: &key.backend, handle: Some(&key.handle), gone_at }
    }
}

/// The private halves that some backend holds, or may hold.
#[must_use]
pub fn private_halves(ring: &KeyRing) -> Vec<PrivateHalf<'_>> {
    every_private_half(ring).filter(|half| half.gone_at.is_none()).collect()
}

/// The private half of every version, also of those that have ended.
pub fn every_private_half(ring: &KeyRing) -> impl Iterator<Item = PrivateHalf<'_>> {
    let RingState { next, signer, retained, compromised, destroyed, .. } = ring.state();
    let next = next.iter().map(|next| match next {
        Next::Reserved(v) => PrivateHalf { version: v.id, backend: &v.backend, handle: None, gone_at: None },
        Next::PreActive(v) => PrivateHalf::of(v.id, &v.key, Private::Held),
    });
    let signer = signer.iter().map(|v| PrivateHalf::of(v.id, &v.key, Private::Held));
    let retained = retained.iter().map(|v| PrivateHalf::of(v.id, &v.key, v.private));
    let compromised = compromised.iter().map(|v| PrivateHalf::of(v.id, &v.key, v.private));
    let destroyed = destroyed.iter().map(|v| {
        let (version, backend, gone_at) = (v.id, &v.backend, Some(v.gone_at));
        PrivateHalf { version, backend, handle: None, gone_at }
    });
    next.chain(signer).chain(retained).chain(compromised).chain(destroyed)
}
