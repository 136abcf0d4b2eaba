//! What is counted about worker processes.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::backend::metrics::{BackendLabels, Each};
use crate::ids::BackendId;

/// The metrics of all worker processes; its clones are the same metrics.
#[derive(Debug, Clone, Default)]
pub struct WorkerMetrics {
    ready: Family<BackendLabels, Gauge>,
    waiting: Family<BackendLabels, Gauge>,
    handed_on: Family<BackendLabels, Counter>,
    lost: Family<LossLabels, Counter>,
}

impl WorkerMetrics {
    /// Makes the metrics and adds them, under their full names, to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("jwksd_backend_workers_ready", "Worker processes that can sign now", metrics.ready.clone());
        registry.register(
            "jwksd_backend_signatures_waiting",
            "Signatures that wait for room in a worker process",
            metrics.waiting.clone(),
        );
        registry.register(
            "jwksd_backend_signatures_handed_on",
            "Signatures that were given to another worker process, because theirs was lost",
            metrics.handed_on.clone(),
        );
        registry.register(
            "jwksd_backend_workers_lost",
            "Worker processes that ended, by cause: broken (the module answered something that can't be coped with), \
             hung (a call did not return), silent (stopped), died, stale (it does not see a new key), \
             pin (the PIN was refused), start",
            metrics.lost.clone(),
        );
        metrics
    }

    pub(super) fn of(&self, backend: &BackendId) -> Counters {
        let backend = backend.to_string();
        let labels = BackendLabels { backend: backend.clone() };
        Counters {
            ready: self.ready.get_or_create_owned(&labels),
            waiting: self.waiting.get_or_create_owned(&labels),
            handed_on: self.handed_on.get_or_create_owned(&labels),
            lost: Each::of(Cause::ALL, |cause| {
                let labels = LossLabels { backend: backend.clone(), cause: cause.name() };
                self.lost.get_or_create_owned(&labels)
            }),
        }
    }
}

/// The metrics of one backend.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) ready: Gauge,
    pub(super) waiting: Gauge,
    pub(super) handed_on: Counter,
    pub(super) lost: Each<Cause, { Cause::ALL.len() }>,
}

/// What ended a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The module answered something that is not clearly the caller's fault.
    Broken,
    /// A call into the module did not return.
    Hung,
    /// It was not heard of any more.
    Silent,
    /// It ended without a word.
    Died,
    /// It does not see a key that is newer than it.
    Stale,
    /// The PIN was refused.
    Pin,
    /// It did not get ready.
    Start,
}

impl Cause {
    const ALL: [Self; 7] = [Self::Broken, Self::Hung, Self::Silent, Self::Died, Self::Stale, Self::Pin, Self::Start];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Hung => "hung",
            Self::Silent => "silent",
            Self::Died => "died",
            Self::Stale => "stale",
            Self::Pin => "pin",
            Self::Start => "start",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LossLabels {
    backend: String,
    cause: &'static str,
}
