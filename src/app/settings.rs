//! The configuration's words, turned into what each room takes.

use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::access::caller::TokenHash;
use crate::access::grant::{Grant, Grants, Operation, Pattern};
use crate::config::{self as tree, Config, GrantCaller};
use crate::ids::{IssuerId, RingName};
use crate::jose::alg::KeySpec;
use crate::jose::jws::Typ;
use crate::lifecycle::policy::MAX_BYTES;
use crate::lifecycle::policy::{IssuerPolicy, RingPolicy};
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

/// Every issuer's settings.
pub(super) fn issuers(config: &Config) -> HashMap<IssuerId, IssuerSettings> {
    config.issuers.iter().map(|(id, tree)| (id.clone(), issuer(tree))).collect()
}

/// Who may do what.
pub(super) fn grants(config: &Config) -> Grants {
    Grants::new(config.grants.iter().map(grant).collect())
}

fn grant(grant: &tree::Grant) -> Grant {
    Grant {
        caller: match &grant.caller {
            GrantCaller::Uid(uid) => Pattern::Uid(*uid),
            GrantCaller::Gid(gid) => Pattern::Gid(*gid),
            GrantCaller::TokenSha256(hash) => Pattern::Token(TokenHash(*hash)),
            GrantCaller::Loopback => Pattern::Loopback,
        },
        allow: grant.allow.iter().copied().map(operation).collect(),
        issuer: grant.issuer.clone(),
        ring: grant.ring.clone(),
    }
}

fn operation(operation: tree::Operation) -> Operation {
    match operation {
        tree::Operation::Sign => Operation::Sign,
        tree::Operation::SignRaw => Operation::SignRaw,
        tree::Operation::Read => Operation::Read,
        tree::Operation::Rotate => Operation::Rotate,
        tree::Operation::Compromise => Operation::Compromise,
        tree::Operation::Import => Operation::Import,
        tree::Operation::Audit => Operation::Audit,
    }
}
