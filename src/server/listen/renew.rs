//! Certificates that change while the daemon runs.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::telemetry::chain;
use crate::tls::{Endpoint, Reload, TlsError};

/// The metrics of certificates.
#[derive(Debug, Clone, Default)]
pub struct CertificateMetrics {
    not_after: Family<Labels, Gauge>,
    reloads: Family<OutcomeLabels, Counter>,
    failing: Family<Labels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    listener: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    listener: &'static str,
    outcome: &'static str,
}

impl CertificateMetrics {
    /// Makes the metrics and adds them, under their full names, to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_with_unit(
            "jwksd_tls_certificate_not_after_timestamp",
            "When the listener's certificate ends, in seconds since 1970",
            Unit::Seconds,
            metrics.not_after.clone(),
        );
        registry.register("jwksd_tls_reloads", "Changed certificates, by what came of them", metrics.reloads.clone());
        registry.register(
            "jwksd_tls_reload_failing",
            "1 while the files are no good and the certificate loaded before is used, else 0",
            metrics.failing.clone(),
        );
        metrics
    }

    fn loaded(&self, listener: &'static str, endpoint: &Endpoint) {
        let labels = Labels { listener };
        self.not_after.get_or_create(&labels).set(endpoint.current().not_after.as_second());
        self.failing.get_or_create(&labels).set(0);
    }

    fn counted(&self, listener: &'static str, outcome: &'static str) {
        self.reloads.get_or_create(&OutcomeLabels { listener, outcome }).inc();
    }
}

/// Looks at the files of every listener each ten seconds, and at once on SIGHUP, until `stop` completes.
///
/// Connections that stand stay. Those of clients who came in by a certificate are closed, after what is under way,
/// once the authorities or revocation lists have changed.
pub async fn renew(
    endpoints: Vec<(&'static str, Arc<Endpoint>)>,
    metrics: CertificateMetrics,
    stop: impl Future<Output = ()>,
) {
    for (listener, endpoint) in &endpoints {
        metrics.loaded(listener, endpoint);
    }
    let mut stop = std::pin::pin!(stop);
    // Without TLS there is nothing to reload, and SIGHUP keeps the meaning that the system gives it.
    if endpoints.is_empty() {
        return stop.await;
    }
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            warn!(error = %error, "SIGHUP can't be heard; changed certificates are found all the same");
            None
        }
    };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said: Vec<Option<String>> = vec![None; endpoints.len()];
    loop {
        let heard = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut stop => return,
            _ = heard => {}
            _ = ticks.tick() => {}
        }
        for ((listener, endpoint), said) in endpoints.iter().zip(&mut said) {
            let reading = Arc::clone(endpoint);
            match spawn_blocking(move || reading.reload()).await {
                Ok(outcome) => reloaded(listener, endpoint, outcome, &metrics, said),
                Err(error) => error!(listener, error = %error, "reading certificates broke off"),
            }
        }
    }
}

/// How soon a changed file is found.
const EVERY: Duration = Duration::from_secs(10);

/// Says what came of a look, the same complaint once.
fn reloaded(
    listener: &'static str,
    endpoint: &Endpoint,
    outcome: Result<Reload, TlsError>,
    metrics: &CertificateMetrics,
    said: &mut Option<String>,
) {
    match outcome {
        Ok(Reload::Unchanged) => {}
        Ok(Reload::Loaded) => {
            metrics.loaded(listener, endpoint);
            metrics.counted(listener, "ok");
            *said = None;
            info!(listener, until = %endpoint.current().not_after, "certificate reloaded");
        }
        Err(error) => {
            let text = chain(&error);
            metrics.failing.get_or_create(&Labels { listener }).set(1);
            if said.as_ref() != Some(&text) {
                metrics.counted(listener, "failed");
                error!(listener, error = text, "new certificate is no good; the one loaded before is used on");
                *said = Some(text);
            }
        }
    }
}
