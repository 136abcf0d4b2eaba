//! The configuration's words, turned into what each room takes.

use std::collections::{BTreeMap, HashMap};

use crate::access::grant::Grants;
use crate::config::{self as tree, Config};
use crate::ids::{IssuerId, RingName};
use crate::jose::alg::KeySpec;
use crate::jose::jws::Typ;
use crate::lifecycle::policy::MAX_BYTES;
use crate::lifecycle::policy::{IssuerPolicy, RingPolicy};
use crate::lifecycle::verifiers::Profile;
use crate::snapshot::{IssuerSettings, RingSettings, SelfVerify};

/// How an issuer is served and rotated.
pub(super) fn issuer(issuer: &tree::Issuer) -> IssuerSettings {
    let rings = issuer.rings.iter().map(|(name, ring)| (name.clone(), ring_settings(ring))).collect();
    IssuerSettings {
        url: issuer.url.as_str().to_owned(),
        path: issuer.url.path().to_owned(),
        jwks_max_age: issuer.jwks_max_age,
        skew: issuer.skew,
        openid_configuration: issuer.openid_configuration,
        policy: policy(issuer),
        rings,
    }
}

fn policy(issuer: &tree::Issuer) -> IssuerPolicy {
    let rings = issuer.rings.iter().map(|(name, ring)| {
        let policy = RingPolicy {
            policy: ring.policy.clone(),
            backend: ring.backend.clone(),
            standby_backend: ring.standby_backend.clone(),
        };
        (name.clone(), policy)
    });
    IssuerPolicy { rings: rings.collect(), max_bytes: MAX_BYTES }
}

fn ring_settings(ring: &tree::Ring) -> RingSettings {
    RingSettings {
        typ: ring.typ.parse::<Typ>().ok(),
        self_verify: match ring.self_verify {
            tree::SelfVerify::Always => SelfVerify::Always,
            tree::SelfVerify::Load => SelfVerify::Load,
        },
        raw_signatures: ring.raw_signatures,
    }
}

/// The kind of key that each ring holds.
pub(super) fn specs(issuer: &tree::Issuer) -> BTreeMap<RingName, KeySpec> {
    issuer.rings.iter().map(|(name, ring)| (name.clone(), ring.key)).collect()
}

/// Who may do what.
pub(super) fn grants(config: &Config) -> Grants {
    Grants::new(config.grants.clone())
}

/// The declared verifiers of each issuer.
pub(super) fn verifiers(config: &Config) -> HashMap<IssuerId, Vec<Profile>> {
    config.issuers.iter().map(|(id, issuer)| (id.clone(), issuer.verifiers.clone())).collect()
}
