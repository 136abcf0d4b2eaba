//! What a caller may do, at every issuer and in every ring.

use super::api;
use crate::access::caller::Caller;
use crate::access::grant::{Grants, Operation};
use crate::ids::{IssuerId, RingName};
use crate::snapshot::Places;

/// Every issuer with its rings, in alphabetical order.
#[derive(Debug)]
pub struct Sites(Vec<(IssuerId, Vec<RingName>)>);

impl Sites {
    /// Those of `places`.
    #[must_use]
    pub fn of(places: &Places) -> Self {
        let sorted = |rings: Vec<RingName>| {
            let mut rings = rings;
            rings.sort();
            rings
        };
        let sites =
            places.iter().map(|(id, place)| (id.clone(), sorted(place.settings.rings.keys().cloned().collect())));
        let mut sites: Vec<_> = sites.collect();
        sites.sort();
        Self(sites)
    }

    /// Who `caller` is, and what `grants` let it do.
    #[must_use]
    pub fn who_is(&self, grants: &Grants, caller: &Caller) -> api::WhoAmI {
        let operations = |issuer: Option<&IssuerId>, ring: Option<&RingName>| -> Vec<Operation> {
            let granted = |operation: &Operation| grants.allow(caller, *operation, issuer, ring);
            Operation::ALL.into_iter().filter(granted).collect()
        };
        let mut allowed = Vec::new();
        let whole = operations(None, None);
        add(&mut allowed, None, None, &whole);
        for (id, rings) in &self.0 {
            let here = operations(Some(id), None);
            if here != whole {
                add(&mut allowed, Some(id), None, &here);
            }
            for ring in rings {
                let in_ring = operations(Some(id), Some(ring));
                if in_ring != here {
                    add(&mut allowed, Some(id), Some(ring), &in_ring);
                }
            }
        }
        api::WhoAmI { caller: caller.to_string(), proofs: caller.proofs(), allowed }
    }
}

fn add(allowed: &mut Vec<api::Allowed>, issuer: Option<&IssuerId>, ring: Option<&RingName>, operations: &[Operation]) {
    if !operations.is_empty() {
        let operations = operations.iter().map(ToString::to_string).collect();
        let (issuer, ring) = (issuer.map(ToString::to_string), ring.map(ToString::to_string));
        allowed.push(api::Allowed { issuer, ring, operations });
    }
}
