//! What dashboards are told of each issuer's state.

use std::collections::HashMap;

use crate::ids::{IssuerId, RingName};
use crate::lifecycle::time::Timestamp;
use crate::snapshot::{Place, Places};
use crate::telemetry::{IssuerMetrics, Metrics, RingMetrics};

/// The gauges of every issuer, looked up once.
#[derive(Debug)]
pub(super) struct Gauges(HashMap<IssuerId, (IssuerMetrics, Vec<(RingName, RingMetrics)>)>);

impl Gauges {
    pub(super) fn new(places: &Places, metrics: &Metrics) -> Self {
        let of = |(id, place): (&IssuerId, &std::sync::Arc<Place>)| {
            let rings = place.settings.policy.rings.keys();
            let rings = rings.map(|ring| (ring.clone(), RingMetrics::for_ring(metrics, id, ring))).collect();
            (id.clone(), (IssuerMetrics::for_issuer(metrics, id), rings))
        };
        Self(places.iter().map(of).collect())
    }

    /// Shows what `place` holds at `now`.
    pub(super) fn show(&self, issuer: &IssuerId, place: &Place, now: Timestamp) {
        let Some((gauges, rings)) = self.0.get(issuer) else { return };
        if let Some(served) = place.served().as_ref() {
            gauges.serves(served.version);
        }
        let state = place.state();
        for (name, gauges) in rings {
            let Some(ring) = state.issuer().ring(name) else { continue };
            let signer = ring.state().signer.as_ref();
            gauges.next_rotation.set(signer.map_or(0, |signer| signer.rotate_at.as_second()));
            gauges.signer_activated.set(signer.map_or(0, |signer| signer.activated_at.as_second()));
            gauges.standby_ready.set(i64::from(ring.standby_ready(now)));
        }
    }
}
