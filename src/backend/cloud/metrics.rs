//! What is counted about calls to a cloud.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::fault::Class;
use crate::backend::metrics::{BackendLabels, Each};
use crate::ids::BackendId;

/// The metrics of all clouds; its clones are the same metrics.
#[derive(Debug, Clone, Default)]
pub struct CloudMetrics {
    faults: Family<FaultLabels, Counter>,
    repeated: Family<BackendLabels, Counter>,
    shed: Family<BackendLabels, Counter>,
    left_alone: Family<BackendLabels, Gauge>,
}

impl CloudMetrics {
    /// Makes the metrics and adds them, under their full names, to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "jwksd_cloud_faults",
            "Calls to a cloud that did not go well, by class: throttled, transient, unknown (the outcome), corrupt (a \
             checksum), key_off (disabled), key_gone, quota, permission, bad",
            metrics.faults.clone(),
        );
        registry.register(
            "jwksd_cloud_calls_repeated",
            "Calls to a cloud that were made again after a fault",
            metrics.repeated.clone(),
        );
        registry.register(
            "jwksd_cloud_calls_shed",
            "Calls that were not made, because they would have been beyond the quota",
            metrics.shed.clone(),
        );
        registry.register(
            "jwksd_cloud_left_alone",
            "1 while a cloud that failed again and again is asked only now and then",
            metrics.left_alone.clone(),
        );
        metrics
    }

    pub(super) fn of(&self, backend: &BackendId) -> Counters {
        let backend = backend.to_string();
        let labels = BackendLabels { backend: backend.clone() };
        Counters {
            faults: Each::of(Class::ALL, |class| {
                let labels = FaultLabels { backend: backend.clone(), class: class.name() };
                self.faults.get_or_create_owned(&labels)
            }),
            repeated: self.repeated.get_or_create_owned(&labels),
            shed: self.shed.get_or_create_owned(&labels),
            left_alone: self.left_alone.get_or_create_owned(&labels),
        }
    }
}

/// The metrics of one backend.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) faults: Each<Class, { Class::ALL.len() }>,
    pub(super) repeated: Counter,
    pub(super) shed: Counter,
    pub(super) left_alone: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    backend: String,
    class: &'static str,
}
