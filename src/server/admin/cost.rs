//! What the keys of the present state cost, by the price lists of their backends.

use std::collections::BTreeMap;

use super::Shared;
use crate::backend::usage::{Money, Quota, Usage};
use crate::ids::BackendId;
use crate::jose::alg::KeySpec;
use crate::lifecycle::adopt::every_private_half;
use crate::lifecycle::time::Timestamp;
use crate::server::api::{self, Moment};
use crate::snapshot::Snapshot;

/// What the keys of `states` cost in each backend that costs money, and how much of its quotas is used.
pub fn costs(shared: &Shared, states: &[&Snapshot], now: Timestamp) -> Vec<api::Cost> {
    let usages = shared.parts.rotator.usages();
    let mut keys: BTreeMap<&BackendId, Keys> = usages.iter().map(|(id, _)| (id, Keys::default())).collect();
    for state in states {
        let issuer = state.issuer();
        for ring in issuer.state().rings.values() {
            for half in every_private_half(ring) {
                // A backend without prices, or one that the configuration does not name any more, costs nothing here.
                let Some(keys) = keys.get_mut(half.backend) else { continue };
                let spec = ring.state().spec;
                match half.gone_at {
                    // Not known to exist yet.
                    None if half.handle.is_none() => {}
                    None => keys.live.push(spec),
                    Some(gone_at) if gone_at > now => keys.pending.push((
                        spec,
                        api::PendingDeletion {
                            gone_at: Moment(gone_at),
                            issuer: issuer.id().to_string(),
                            ring: ring.state().name.to_string(),
                            version: half.version.get(),
                        },
                    )),
                    Some(_) => {}
                }
            }
        }
    }
    usages.iter().filter_map(|(id, usage)| Some(keys.remove(id)?.cost(id, usage))).collect()
}

/// The keys in one backend.
#[derive(Default)]
struct Keys {
    live: Vec<KeySpec>,
    pending: Vec<(KeySpec, api::PendingDeletion)>,
}

impl Keys {
    fn cost(self, id: &BackendId, usage: &Usage) -> api::Cost {
        let Usage { prices, quotas } = usage;
        let month = |spec: &KeySpec| (prices.price)(*spec).key_month;
        let live: Money = self.live.iter().map(month).sum();
        let pending: Money = self.pending.iter().map(|(spec, _)| month(spec)).sum();
        let billed = if prices.bills_pending_deletion { [live, pending].into_iter().sum() } else { live };
        let mut pending_deletion: Vec<_> = self.pending.into_iter().map(|(_, key)| key).collect();
        pending_deletion.sort();
        api::Cost {
            backend: id.to_string(),
            service: prices.of.to_owned(),
            prices_as_of: prices.as_of.to_owned(),
            prices_from: prices.source.to_owned(),
            keys: self.live.len() as u64,
            pending_deletion,
            keys_month_cents: billed.to_cents(),
            quotas: quotas.iter().map(quota).collect(),
        }
    }
}

fn quota(quota: &Quota) -> api::QuotaUse {
    let Quota { of, per_second, last_minute, ten_thousand: _ } = *quota;
    api::QuotaUse { of: of.to_owned(), per_second, last_minute, month_cents: quota.month().to_cents() }
}
