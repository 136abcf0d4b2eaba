//! How large an issuer's set can become, and what its verifiers take.

use std::collections::BTreeMap;

use super::faults::Faults;
use crate::config::document::Place;
use crate::config::scalar::{ByteSize, bytes};
use crate::config::tree::{Ring, SET_BYTES_MAX, SetLimits};
use crate::config::value::Field;
use crate::ids::RingName;
use crate::lifecycle::policy::{Rotation, Standby, Terms};
use crate::lifecycle::time::Timestamp;

/// The bound above which a set is worth a warning; it can't lie beyond what any verifier takes.
pub(super) fn max_bytes(field: Field<ByteSize>, faults: &mut Faults<'_>) -> Option<u64> {
    let field = field?;
    let size = field.get_ref().0.0;
    if size > SET_BYTES_MAX {
        let (size, most) = (bytes(size), bytes(SET_BYTES_MAX));
        faults.at(&field.span(), format!("{size} is more than common verifiers read; set it to at most {most}"));
        return None;
    }
    Some(size)
}

/// Compares the largest set that the rings can come to, short of requests and imports, with the limits.
pub(super) fn check(rings: &BTreeMap<RingName, Ring>, limits: SetLimits, place: &Place, faults: &mut Faults<'_>) {
    let keys: u64 = rings.values().map(|ring| published(ring.policy.terms())).sum();
    let jwks: u64 = rings.values().map(|ring| published(ring.policy.terms()) * len(ring)).sum();
    let total = jwks + keys.saturating_sub(1) + r#"{"keys":[]}"#.len() as u64;
    let remedy = "remove a ring, rotate less often, shorten retention, or set standby = \"just-in-time\"";
    if total > SET_BYTES_MAX {
        let most = bytes(SET_BYTES_MAX);
        let problem = format!(
            "the JWK Set can grow to {keys} keys and about {total} bytes, and common verifiers read no more \
             than {most}; {remedy}"
        );
        faults.at(place, problem);
        return;
    }
    if keys > limits.max_keys as u64 {
        let most = limits.max_keys;
        faults.warn(
            place,
            format!(
                "the JWK Set can grow to {keys} keys, above max_keys {most}; raise max_keys if every \
                     verifier takes that, or {remedy}"
            ),
        );
    }
    if total > limits.max_bytes {
        let most = bytes(limits.max_bytes);
        faults.warn(
            place,
            format!(
                "the JWK Set can grow to about {total} bytes, above max_bytes {most}; raise max_bytes if \
                     every verifier takes that, or {remedy}"
            ),
        );
    }
}

fn len(ring: &Ring) -> u64 {
    ring.key.jwk_len_estimate() as u64
}

/// How many keys of a ring can be published at once: the signer, the next, and those retained.
fn published(terms: &Terms) -> u64 {
    let period = match &terms.rotation {
        Rotation::Every(period) => *period,
        Rotation::Schedule(schedule) => schedule.shortest_gap(Timestamp::from_second(0)),
    };
    let period = period.as_secs().max(1);
    let retained = terms.retention.as_secs().div_ceil(period);
    let early = match terms.standby {
        // From one rotation to the next there is one.
        Standby::Always => 1,
        // Only while it propagates; the oldest retained key is often gone by then.
        Standby::JustInTime => {
            let overlap = (terms.retention + terms.propagation).as_secs();
            u64::from(overlap > retained.saturating_mul(period))
        }
    };
    1 + retained + early
}
