//! Whether a configuration fits what lives, and what has to be recorded before it takes effect.
//!
//! Keys that live now were made, and promised, under an older configuration. One that would forget or
//! change them is refused; one that adds a ring or changes durations becomes facts.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::ids::{BackendId, RingName, VersionId};
use crate::jose::alg::KeySpec;

use super::event::Fact;
use super::issuer::Issuer;
use super::key_ring::KeyRing;
use super::policy::IssuerPolicy;
use super::state::{Next, Private};

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
        for (version, backend) in held {
            if !has_backend(&backend) {
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
    let mut held = private_halves(ring);
    if let Some(Next::Reserved(reserved)) = &ring.state().next {
        held.retain(|(version, _)| *version != reserved.id);
    }
    held
}

/// The versions whose private half some backend holds, or may hold.
#[must_use]
pub fn private_halves(ring: &KeyRing) -> Vec<(VersionId, BackendId)> {
    let state = ring.state();
    let next = state.next.iter().map(|next: &Next| (next.id(), next.backend().clone()));
    let signer = state.signer.iter().map(|v| (v.id, v.key.backend.clone()));
    let retained = state.retained.iter().filter(|v| v.private == Private::Held);
    let compromised = state.compromised.iter().filter(|v| v.private == Private::Held);
    next.chain(signer)
        .chain(retained.map(|v| (v.id, v.key.backend.clone())))
        .chain(compromised.map(|v| (v.id, v.key.backend.clone())))
        .collect()
}
