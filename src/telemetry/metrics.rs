//! Everything that is counted. Names begin with `jwksd_` and end in their unit.

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::gate::Gate;
use super::histogram::Histogram;
use super::labels::{
    ActionLabels, BuildLabels, CodeLabels, IssuerLabels, OutcomeLabels, RingLabels, SignLabels, StatusLabels,
};

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    /// Of the rotator.
    pub rotator: RotatorMetrics,
    /// Of the store.
    pub store: StoreMetrics,
    /// Of the checkpoints of the audit log.
    pub checkpoints: CheckpointMetrics,
    /// 1 while the daemon is ready for requests, else 0.
    pub ready: Gauge,
    /// Which refusals are told in the log.
    pub told: Gate,
    refused: Family<CodeLabels, Counter>,
    pub(super) sign_requests: Family<SignLabels, Counter>,
    pub(super) sign_seconds: Family<RingLabels, Histogram>,
    pub(super) jwks_requests: Family<StatusLabels, Counter>,
    pub(super) jwk_set_version: Family<IssuerLabels, Gauge>,
    pub(super) rings: RingFamilies,
    registry: Registry,
}

impl Metrics {
    /// Adds all metrics to `registry`, which may hold those of other rooms already.
    #[must_use]
    pub fn new(mut registry: Registry) -> Self {
        let build = Info::new(BuildLabels { version: env!("CARGO_PKG_VERSION") });
        registry.register("jwksd_build", "The version that runs", build);
        let r = &mut registry;
        Self {
            rotator: RotatorMetrics {
                ticks: added(r, "jwksd_rotator_ticks", "Looks at an issuer"),
                clock_jump: timed(
                    r,
                    "jwksd_clock_jump",
                    "How far the wall clock has jumped since the start; transitions do not follow it",
                ),
                actions: added(r, "jwksd_rotator_actions", "Actions that were done"),
                failures: added(
                    r,
                    "jwksd_rotator_failures",
                    "Actions that failed, and ticks that failed before any; each is tried again",
                ),
            },
            store: StoreMetrics { commits: added(r, "jwksd_store_commits", "Commits to the store, by outcome") },
            checkpoints: CheckpointMetrics {
                vouched: timed(
                    r,
                    "jwksd_audit_checkpoint_timestamp",
                    "When a checkpoint last vouched for the whole audit log, in seconds since 1970; 0 if none did",
                ),
                failures: added(
                    r,
                    "jwksd_audit_checkpoint_failures",
                    "Checkpoints of the audit log that could not be made; each is tried again",
                ),
            },
            ready: added(r, "jwksd_ready", "1 while the daemon is ready for requests, else 0"),
            told: Gate::default(),
            refused: added(
                r,
                "jwksd_calls_refused",
                "Calls to the signing and admin listeners that were refused, by the code in the answer",
            ),
            sign_requests: added(r, "jwksd_sign_requests", "Requests for signatures: `ok`, or the code in the answer"),
            sign_seconds: timed(
                r,
                "jwksd_sign_duration",
                "Time for a signature that was released, its audit record included",
            ),
            jwks_requests: added(r, "jwksd_jwks_requests", "Requests for a JWK Set, by HTTP status"),
            jwk_set_version: added(r, "jwksd_jwk_set_version", "The version of the JWK Set that is served"),
            rings: RingFamilies {
                next_rotation: timed(
                    r,
                    "jwksd_ring_next_rotation_timestamp",
                    "When the next rotation is due, in seconds since 1970; 0 if none is",
                ),
                standby_ready: added(r, "jwksd_ring_standby_ready", "1 if a standby could take over now, else 0"),
                signer_activated: timed(
                    r,
                    "jwksd_ring_signer_activated_timestamp",
                    "When the signer became the signer, in seconds since 1970; 0 if there is none",
                ),
            },
            registry,
        }
    }

    /// Counts a call that was refused with `code`.
    pub fn refused(&self, code: &'static str) {
        self.refused.get_or_create(&CodeLabels { code }).inc();
    }

    /// All metrics, in the text format of OpenMetrics 1.0 (`application/openmetrics-text; version=1.0.0`).
    ///
    /// # Errors
    /// None in practice: writing to a `String` does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Registry::default())
    }
}

/// What the rotator counts.
#[derive(Debug, Default)]
pub struct RotatorMetrics {
    /// Looks at an issuer.
    pub ticks: Counter,
    /// How far the wall clock has jumped since the start, in seconds.
    pub clock_jump: Gauge,
    actions: Family<ActionLabels, Counter>,
    failures: Family<ActionLabels, Counter>,
}

impl RotatorMetrics {
    /// Actions of this name that were done.
    #[must_use]
    pub fn action(&self, action: &'static str) -> Counter {
        self.actions.get_or_create_owned(&ActionLabels { action })
    }

    /// Actions of this name that failed.
    #[must_use]
    pub fn failure(&self, action: &'static str) -> Counter {
        self.failures.get_or_create_owned(&ActionLabels { action })
    }
}

/// What is known of checkpoints of the audit log. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CheckpointMetrics {
    /// When a checkpoint last vouched for the whole log, in seconds since 1970.
    pub vouched: Gauge,
    /// Those that could not be made.
    pub failures: Counter,
}

/// What the store counts.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    commits: Family<OutcomeLabels, Counter>,
}

impl StoreMetrics {
    /// Commits that succeeded, or those that did not.
    #[must_use]
    pub fn commit(&self, ok: bool) -> Counter {
        let outcome = if ok { "ok" } else { "failed" };
        self.commits.get_or_create_owned(&OutcomeLabels { outcome })
    }
}

#[derive(Debug)]
pub(super) struct RingFamilies {
    pub(super) next_rotation: Family<RingLabels, Gauge>,
    pub(super) standby_ready: Family<RingLabels, Gauge>,
    pub(super) signer_activated: Family<RingLabels, Gauge>,
}

fn added<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// Like [`added`], for a metric in seconds.
fn timed<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::JwkSetVersion;
    use crate::telemetry::{IssuerMetrics, JwksMetrics, RingMetrics, SignMetrics};

    #[test]
    fn every_handle_counts_where_the_page_shows_it() {
        let metrics = Metrics::default();
        let (issuer, ring) = ("main".parse().unwrap(), "es256".parse().unwrap());
        let sign = SignMetrics::for_ring(&metrics, &issuer, &ring);
        sign.released(Duration::from_millis(3));
        sign.failed("no_signer");
        let jwks = JwksMetrics::for_issuer(&metrics, &issuer);
        [200, 304, 304, 404].into_iter().for_each(|status| jwks.answered(status));
        IssuerMetrics::for_issuer(&metrics, &issuer).serves(JwkSetVersion::new(42));
        let state = RingMetrics::for_ring(&metrics, &issuer, &ring);
        state.next_rotation.set(1_800_000_000);
        state.standby_ready.set(1);
        metrics.rotator.ticks.inc();
        metrics.rotator.action("generate").inc();
        metrics.rotator.failure("activate").inc();
        metrics.rotator.clock_jump.set(-5);
        metrics.store.commit(true).inc();
        metrics.refused("denied");
        metrics.ready.set(1);
        metrics.checkpoints.vouched.set(1_800_000_000);
        metrics.checkpoints.failures.inc();
        let page = metrics.encode().unwrap();
        for line in [
            "jwksd_sign_requests_total{issuer=\"main\",ring=\"es256\",outcome=\"ok\"} 1",
            "jwksd_sign_requests_total{issuer=\"main\",ring=\"es256\",outcome=\"no_signer\"} 1",
            "jwksd_sign_duration_seconds_bucket{le=\"0.005\",issuer=\"main\",ring=\"es256\"} 1",
            "jwksd_jwks_requests_total{issuer=\"main\",status=\"304\"} 2",
            "jwksd_jwks_requests_total{issuer=\"main\",status=\"404\"} 1",
            "jwksd_jwk_set_version{issuer=\"main\"} 42",
            "jwksd_ring_next_rotation_timestamp_seconds{issuer=\"main\",ring=\"es256\"} 1800000000",
            "jwksd_ring_standby_ready{issuer=\"main\",ring=\"es256\"} 1",
            "jwksd_rotator_ticks_total 1",
            "jwksd_rotator_actions_total{action=\"generate\"} 1",
            "jwksd_rotator_failures_total{action=\"activate\"} 1",
            "jwksd_clock_jump_seconds -5",
            "jwksd_store_commits_total{outcome=\"ok\"} 1",
            "jwksd_calls_refused_total{code=\"denied\"} 1",
            "jwksd_ready 1",
            "jwksd_audit_checkpoint_timestamp_seconds 1800000000",
            "jwksd_audit_checkpoint_failures_total 1",
            concat!("jwksd_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(page.lines().any(|got| got == line), "{line} in\n{page}");
        }
        let named = page.lines().filter_map(|line| line.strip_prefix("# HELP ")).all(|help| help.starts_with("jwksd_"));
        assert!(named && page.ends_with("# EOF\n"), "{page}");
    }
}
