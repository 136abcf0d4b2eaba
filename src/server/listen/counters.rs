//! What is counted about connections.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::Gate;

/// The metrics of all listeners.
#[derive(Debug, Clone, Default)]
pub struct ConnectionMetrics {
    accepted: Family<Labels, Counter>,
    turned_away: Family<Labels, Counter>,
    open: Family<Labels, Gauge>,
    handshakes: Family<ReasonLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    listener: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    listener: &'static str,
}

impl ConnectionMetrics {
    /// Makes the metrics and adds them, under their full names, to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("jwksd_connections_accepted", "Connections that were served", metrics.accepted.clone());
        registry.register(
            "jwksd_connections_turned_away",
            "Connections that were closed at once because there were too many",
            metrics.turned_away.clone(),
        );
        registry.register("jwksd_connections_open", "Connections at this moment", metrics.open.clone());
        registry.register(
            "jwksd_handshakes_failed",
            "TLS handshakes that came to nothing, by reason",
            metrics.handshakes.clone(),
        );
        metrics
    }

    /// The metrics of one listener, looked up once.
    #[must_use]
    pub fn of(&self, listener: &'static str) -> Counters {
        let labels = Labels { listener };
        Counters {
            accepted: self.accepted.get_or_create_owned(&labels),
            turned_away: self.turned_away.get_or_create_owned(&labels),
            open: self.open.get_or_create_owned(&labels),
            listener,
            handshakes: self.handshakes.clone(),
            gate: Gate::default(),
        }
    }
}

/// What one listener counts.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Connections that were served.
    pub accepted: Counter,
    /// Connections that were turned away because there were too many.
    pub turned_away: Counter,
    /// Connections at this moment.
    pub open: Gauge,
    listener: &'static str,
    handshakes: Family<ReasonLabels, Counter>,
    gate: Gate,
}

impl Counters {
    /// Counts a handshake that came to nothing. If it is worth a line in the log, how many before it were not.
    pub(super) fn handshake_failed(&self, reason: &'static str) -> Option<u64> {
        self.handshakes.get_or_create(&ReasonLabels { listener: self.listener, reason }).inc();
        self.gate.admit(reason)
    }
}
