//! Going on from a restored state, when newer ones are lost.

use std::collections::BTreeMap;

use crate::ids::{JwkSetVersion, VersionId};

use super::issuer::{Issuer, IssuerState};
use super::key_ring::{KeyRing, RingState};
use super::state::Next;

impl Issuer {
    /// This state as one to go on from although `lost` newer ones were lost, whose JWK Sets had numbers up to `seen`.
    ///
    /// Those numbers are passed over, since verifiers, caches and publishers hold sets under them; what stood
    /// in them is not remembered. Before the first set there is nothing to pass over, but no later one is the
    /// first. Versions get numbers that no lost state can have given, since a key found under a lost number may have
    /// been declared compromised.
    ///
    /// # Errors
    /// Says in words which invariant the outcome would break.
    pub fn restored(&self, seen: JwkSetVersion, lost: u64) -> Result<Self, String> {
        let state = self.state();
        let newest = state.jwk_set_version;
        let jwk_set_version = if newest == JwkSetVersion::new(0) { newest } else { newest.max(seen).next() };
        let restored = |ring: &KeyRing| {
            let ring = ring.state().clone();
            KeyRing::from_state(RingState {
                history_from: ring.history_from.max(jwk_set_version),
                // A state reserves one number at most.
                next_number: VersionId::new(ring.next_number.get().saturating_add(lost)),
                next: ring.next.filter(|next| matches!(next, Next::PreActive(_))),
                ..ring
            })
        };
        let rings = state.rings.iter().map(|(name, ring)| Ok((name.clone(), restored(ring)?)));
        let rings = rings.collect::<Result<BTreeMap<_, _>, String>>()?;
        let history_from = state.history_from.max(jwk_set_version);
        Self::from_state(IssuerState {
            jwk_set_version,
            known_to_verifiers: true,
            rings,
            history_from,
            ..state.clone()
        })
    }
}
