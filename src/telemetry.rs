//! Tracing and metrics, and the list of field names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Of the rotator.
    pub rotator: RotatorMetrics,
    /// Of the store.
    pub store: StoreMetrics,
}

/// What the rotator counts.
#[derive(Debug, Default)]
pub struct RotatorMetrics {
    /// Looks at an issuer.
    pub ticks: Counter,
    /// How far the wall clock has jumped since the start, in seconds.
    pub clock_jump: Gauge,
}

impl RotatorMetrics {
    /// Actions done.
    #[must_use]
    pub fn action(&self, _action: &'static str) -> Counter {
        Counter::default()
    }

    /// Actions that failed.
    #[must_use]
    pub fn failure(&self, _action: &'static str) -> Counter {
        Counter::default()
    }
}

/// What the store counts.
#[derive(Debug, Default)]
pub struct StoreMetrics {}

impl StoreMetrics {
    /// Commits by outcome.
    #[must_use]
    pub fn commit(&self, _ok: bool) -> Counter {
        Counter::default()
    }
}
