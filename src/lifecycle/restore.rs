//! Going on from a restored state, when newer ones are lost.

use std::collections::BTreeMap;

use crate::ids::JwkSetVersion;

use super::issuer::{Issuer, IssuerState};
use super::key_ring::{KeyRing, RingState};

impl Issuer {
    /// This state as one to go on from although newer ones were lost, whose JWK Sets had numbers up to `seen`.
    ///
    /// Those numbers are passed over, since verifiers, caches and publishers hold sets under them; what stood
    /// in them is not remembered. Before the first set there is nothing to pass over, but no later one is the
    /// first.
    ///
    /// # Errors
    /// Says in words which invariant the outcome would break.
    pub fn restored(&self, seen: JwkSetVersion) -> Result<Self, String> {
        let state = self.state();
        let newest = state.jwk_set_version;
        let jwk_set_version = if newest == JwkSetVersion::new(0) { newest } else { newest.max(seen).next() };
        let restored = |ring: &KeyRing| {
            let history_from = ring.state().history_from.max(jwk_set_version);
            KeyRing::from_state(RingState { history_from, ..ring.state().clone() })
        };
        let rings = state.rings.iter().map(|(name, ring)| Ok((name.clone(), restored(ring)?)));
        let rings = rings.collect::<Result<BTreeMap<_, _>, String>>()?;
        Self::from_state(IssuerState { jwk_set_version, known_to_verifiers: true, rings, ..state.clone() })
    }
}
