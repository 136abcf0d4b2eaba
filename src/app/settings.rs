//! The configuration's words, turned into what each room takes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::access::grant::Grants;
use crate::clock::Clock;
use crate::config::{self as tree, Config};
use crate::ids::{IssuerId, RingName};
use crate::jose::alg::KeySpec;
use crate::lifecycle::policy::{IssuerPolicy, MAX_BYTES, RingPolicy, SKEW};
use crate::lifecycle::verifiers::Profile;
use crate::snapshot::{IssuerSettings, RingSettings, SelfVerify};
use crate::tls::{ClientFiles, client_config};
use crate::trust::{Expected, Pace, Source, TokenMetrics, TrustedIssuer, TrustedIssuers};

use super::AppError;

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
        typ: Some(ring.typ.clone()),
        self_verify: match ring.self_verify {
            tree::SelfVerify::Always => SelfVerify::Always,
            tree::SelfVerify::Load => SelfVerify::Load,
        },
        raw_signatures: ring.raw_signatures,
        digests: ring.digests,
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

/// Whose tokens callers may show; nothing is fetched yet.
pub(super) fn trusted(
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: TokenMetrics,
) -> Result<TrustedIssuers, AppError> {
    let issuers = config.trusted_issuers.iter().map(|(name, tree)| trusted_issuer(name, tree));
    Ok(TrustedIssuers::new(issuers.collect::<Result<_, _>>()?, Arc::clone(clock), metrics))
}

fn trusted_issuer(name: &str, issuer: &tree::TrustedIssuer) -> Result<TrustedIssuer, AppError> {
    let tree::TrustedIssuer { url, jwks, audiences, algorithms, refresh, stale_for } = issuer;
    let failed = |source| AppError::TrustedIssuer { name: name.to_owned(), source: Box::new(source) };
    let source = match jwks {
        tree::JwksSource::File(path) => Source::File(path.clone()),
        tree::JwksSource::Url { url, ca } => {
            let tls = match url.starts_with("https:") {
                true => Some(client_config(&ClientFiles { ca: ca.clone(), identity: None }).map_err(failed)?),
                false => None,
            };
            Source::Url(url.parse().expect("invariant: the configuration takes what parses as a URL"), tls)
        }
    };
    let expected =
        Expected { iss: url.clone(), audiences: audiences.clone(), algorithms: algorithms.clone(), skew: SKEW };
    let (refresh, stale_for) = (refresh.as_duration(), stale_for.as_duration());
    let pace = Pace { refresh, cool_down: Pace::COOL_DOWN, stale_for };
    Ok(TrustedIssuer::new(name.to_owned(), expected, source, pace))
}

/// The declared verifiers of each issuer.
pub(super) fn verifiers(config: &Config) -> HashMap<IssuerId, Vec<Profile>> {
    config.issuers.iter().map(|(id, issuer)| (id.clone(), issuer.verifiers.clone())).collect()
}
