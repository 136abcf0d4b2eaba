//! What is counted about tokens of others and about the keys behind them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The metrics of trusted issuers.
#[derive(Debug, Clone, Default)]
pub struct TokenMetrics {
    refused: Family<ReasonLabels, Counter>,
    fetches: Family<OutcomeLabels, Counter>,
    fetched: Family<IssuerLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    trusted_issuer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    trusted_issuer: String,
    outcome: &'static str,
}

impl TokenMetrics {
    /// Makes the metrics and adds them, under their full names, to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "jwksd_bearer_tokens_refused",
            "Bearer tokens not believed, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "jwksd_trusted_issuer_fetches",
            "Fetches of JWK Sets of trusted issuers, by outcome",
            metrics.fetches.clone(),
        );
        registry.register_with_unit(
            "jwksd_trusted_issuer_fetched_timestamp",
            "When the JWK Set of a trusted issuer was fetched last, in seconds since 1970",
            Unit::Seconds,
            metrics.fetched.clone(),
        );
        metrics
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(super) fn failed(&self, issuer: &str) {
        self.fetches.get_or_create(&OutcomeLabels { trusted_issuer: issuer.to_owned(), outcome: "failed" }).inc();
    }

    pub(super) fn fetched(&self, issuer: &str, at: i64) {
        self.fetches.get_or_create(&OutcomeLabels { trusted_issuer: issuer.to_owned(), outcome: "ok" }).inc();
        self.fetched.get_or_create(&IssuerLabels { trusted_issuer: issuer.to_owned() }).set(at);
    }
}
