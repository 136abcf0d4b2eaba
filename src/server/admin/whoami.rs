//! Who the daemon takes a caller for.

use axum::Extension;
use axum::extract::State;

use super::strict::Reply;
use super::{Inner, Shared};
use crate::access::grant::Operation;
use crate::ids::{IssuerId, RingName};
use crate::server::api;
use crate::signer::Asker;

/// Who the daemon takes the caller for, and what that caller may do. Everybody may ask this.
#[utoipa::path(get, path = "/v1/whoami", tag = "read", responses(
    (status = 200, description = "The caller", body = api::WhoAmI),
))]
pub async fn whoami(State(shared): State<Shared>, Extension(asker): Extension<Asker>) -> Reply<api::WhoAmI> {
    let mut allowed = Vec::new();
    let whole = shared.operations(&asker, None, None);
    let mut places: Vec<_> = shared.parts.rotator.places.iter().collect();
    places.sort_by_key(|(id, _)| *id);
    add(&mut allowed, None, None, &whole);
    for (id, place) in places {
        let here = shared.operations(&asker, Some(id), None);
        if here != whole {
            add(&mut allowed, Some(id), None, &here);
        }
        let mut rings: Vec<&RingName> = place.settings.rings.keys().collect();
        rings.sort();
        for ring in rings {
            let in_ring = shared.operations(&asker, Some(id), Some(ring));
            if in_ring != here {
                add(&mut allowed, Some(id), Some(ring), &in_ring);
            }
        }
    }
    Reply::ok(api::WhoAmI { caller: asker.caller.to_string(), allowed })
}

fn add(allowed: &mut Vec<api::Allowed>, issuer: Option<&IssuerId>, ring: Option<&RingName>, operations: &[Operation]) {
    if !operations.is_empty() {
        let operations = operations.iter().map(ToString::to_string).collect();
        let (issuer, ring) = (issuer.map(ToString::to_string), ring.map(ToString::to_string));
        allowed.push(api::Allowed { issuer, ring, operations });
    }
}

impl Inner {
    fn operations(&self, asker: &Asker, issuer: Option<&IssuerId>, ring: Option<&RingName>) -> Vec<Operation> {
        let granted = |operation: &Operation| self.parts.access.grants.allow(&asker.caller, *operation, issuer, ring);
        Operation::ALL.into_iter().filter(granted).collect()
    }
}
