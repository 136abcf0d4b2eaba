//! What the signing and serving paths count with.
//!
//! Families are looked up under a lock, so these plain handles are taken from them once, when an issuer or
//! ring is set up.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::histogram::Histogram;
use super::labels::{IssuerLabels, RingLabels, SignLabels, StatusLabels};
use super::metrics::Metrics;
use crate::ids::{IssuerId, JwkSetVersion, RingName};

/// The handles of one ring's signing path.
#[derive(Debug, Clone)]
pub struct SignMetrics {
    ok: Counter,
    seconds: Histogram,
    requests: Family<SignLabels, Counter>,
    ring: RingLabels,
}

impl SignMetrics {
    /// Looks the handles up.
    #[must_use]
    pub fn for_ring(metrics: &Metrics, issuer: &IssuerId, ring: &RingName) -> Self {
        let ring = RingLabels::new(issuer, ring);
        Self {
            ok: metrics.sign_requests.get_or_create_owned(&ring.with("ok")),
            seconds: metrics.sign_seconds.get_or_create_owned(&ring),
            requests: metrics.sign_requests.clone(),
            ring,
        }
    }

    /// Counts a signature that was released after `elapsed`. Takes no lock.
    pub fn released(&self, elapsed: Duration) {
        self.ok.inc();
        self.seconds.observe(elapsed);
    }

    /// Counts a request that ended with `code` instead.
    pub fn failed(&self, code: &'static str) {
        self.requests.get_or_create(&self.ring.with(code)).inc();
    }
}

/// The handles of one issuer's public endpoint.
#[derive(Debug, Clone)]
pub struct JwksMetrics {
    ok: Counter,
    not_modified: Counter,
    requests: Family<StatusLabels, Counter>,
    issuer: String,
}

impl JwksMetrics {
    /// Looks the handles up.
    #[must_use]
    pub fn for_issuer(metrics: &Metrics, issuer: &IssuerId) -> Self {
        let issuer = issuer.to_string();
        let with = |status| metrics.jwks_requests.get_or_create_owned(&StatusLabels { issuer: issuer.clone(), status });
        Self { ok: with(200), not_modified: with(304), requests: metrics.jwks_requests.clone(), issuer }
    }

    /// Counts an answer with this HTTP status. Takes no lock for 200 and 304.
    pub fn answered(&self, status: u16) {
        match status {
            200 => drop(self.ok.inc()),
            304 => drop(self.not_modified.inc()),
            _ => drop(self.requests.get_or_create(&StatusLabels { issuer: self.issuer.clone(), status }).inc()),
        }
    }
}

/// The handles of one issuer's state.
#[derive(Debug, Clone)]
pub struct IssuerMetrics {
    jwk_set_version: Gauge,
}

impl IssuerMetrics {
    /// Looks the handles up.
    #[must_use]
    pub fn for_issuer(metrics: &Metrics, issuer: &IssuerId) -> Self {
        let labels = IssuerLabels { issuer: issuer.to_string() };
        Self { jwk_set_version: metrics.jwk_set_version.get_or_create_owned(&labels) }
    }

    /// Notes the version of the JWK Set that is served from now on.
    pub fn serves(&self, version: JwkSetVersion) {
        self.jwk_set_version.set(i64::try_from(version.get()).unwrap_or(i64::MAX));
    }
}

/// The handles of one ring's state.
///
/// Moments rather than lengths of time: those would stand still with the very rotator that they are to watch.
#[derive(Debug, Clone)]
pub struct RingMetrics {
    /// When the next rotation is due, in seconds since 1970; 0 if none is.
    pub next_rotation: Gauge,
    /// 1 if a standby could take over now, else 0.
    pub standby_ready: Gauge,
    /// When the signer became the signer, in seconds since 1970; 0 if there is none.
    pub signer_activated: Gauge,
}

impl RingMetrics {
    /// Looks the handles up.
    #[must_use]
    pub fn for_ring(metrics: &Metrics, issuer: &IssuerId, ring: &RingName) -> Self {
        let ring = RingLabels::new(issuer, ring);
        Self {
            next_rotation: metrics.rings.next_rotation.get_or_create_owned(&ring),
            standby_ready: metrics.rings.standby_ready.get_or_create_owned(&ring),
            signer_activated: metrics.rings.signer_activated.get_or_create_owned(&ring),
        }
    }
}
