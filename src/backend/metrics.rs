//! What is counted about calls to backends.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::BackendError;
#[cfg(any(feature = "aws", feature = "gcp"))]
use super::cloud::metrics::CloudMetrics;
#[cfg(feature = "pkcs11")]
use super::pkcs11::router::WorkerMetrics;
use crate::ids::BackendId;

/// The metrics of all backends: calls by outcome, how long they took, how many are under way.
///
/// One for the process; its clones are the same metrics.
#[derive(Debug, Clone)]
pub struct BackendMetrics {
    calls: Family<OutcomeLabels, Counter>,
    seconds: Family<OutcomeLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<OperationLabels, Gauge>,
    /// Those of worker processes.
    #[cfg(feature = "pkcs11")]
    pub workers: WorkerMetrics,
    /// Those of clouds.
    #[cfg(any(feature = "aws", feature = "gcp"))]
    pub clouds: CloudMetrics,
}

impl BackendMetrics {
    /// Makes the metrics and adds them, under their full names, to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::default(),
            // 50 µs to 26 s: from a software key to an HSM that makes an RSA key.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(50e-6, 3.0, 13))),
            in_flight: Family::default(),
            #[cfg(feature = "pkcs11")]
            workers: WorkerMetrics::register(registry),
            #[cfg(any(feature = "aws", feature = "gcp"))]
            clouds: CloudMetrics::register(registry),
        };
        registry.register(
            "jwksd_backend_calls",
            "Calls to a backend, by how they ended; `shed` calls never reached it",
            metrics.calls.clone(),
        );
        registry.register_with_unit(
            "jwksd_backend_call",
            "Time from the call to its end, waiting for admission included; without shed calls",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register(
            "jwksd_backend_calls_in_flight",
            "Calls that the backend is working on now",
            metrics.in_flight.clone(),
        );
        metrics
    }

    /// The metrics of one operation of one backend, looked up once so that calls need not.
    pub(super) fn of(&self, backend: &BackendId, operation: Operation) -> OperationMetrics {
        let labels = |outcome| OutcomeLabels { backend: backend.to_string(), operation, outcome };
        OperationMetrics {
            calls: Each::of(Outcome::ALL, |outcome| self.calls.get_or_create_owned(&labels(outcome))),
            seconds_ok: self.seconds.get_or_create_owned(&labels(Outcome::Ok)),
            in_flight: self.in_flight.get_or_create_owned(&OperationLabels { backend: backend.to_string(), operation }),
            family: self.clone(),
            backend: backend.clone(),
            operation,
        }
    }
}

/// The metrics of one operation of one backend.
#[derive(Debug)]
pub(super) struct OperationMetrics {
    calls: Each<Outcome, { Outcome::ALL.len() }>,
    seconds_ok: Histogram,
    pub(super) in_flight: Gauge,
    family: BackendMetrics,
    backend: BackendId,
    operation: Operation,
}

impl OperationMetrics {
    /// Counts a call that ended so, after `elapsed`. No allocation for a call that went well.
    pub(super) fn record(&self, outcome: Outcome, elapsed: Duration) {
        self.calls.count(outcome);
        match outcome {
            Outcome::Ok => self.seconds_ok.observe(elapsed.as_secs_f64()),
            // It took no time, and would make an overloaded backend look fast.
            Outcome::Shed => {}
            _ => {
                let labels = OutcomeLabels { backend: self.backend.to_string(), operation: self.operation, outcome };
                self.family.seconds.get_or_create(&labels).observe(elapsed.as_secs_f64());
            }
        }
    }

    /// The operation's name, for messages.
    pub(super) fn operation(&self) -> &'static str {
        self.operation.name()
    }
}

/// A counter for each of a few kinds of event. All are made at once: one that appears with its first event hides that
/// event from `rate()`.
#[derive(Debug)]
pub(super) struct Each<K, const N: usize>([(K, Counter); N]);

impl<K: Copy + PartialEq, const N: usize> Each<K, N> {
    pub(super) fn of(all: [K; N], counter: impl Fn(K) -> Counter) -> Self {
        Self(all.map(|kind| (kind, counter(kind))))
    }

    pub(super) fn count(&self, kind: K) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == kind) {
            counter.inc();
        }
    }
}

/// A method of [`super::Backend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Generate,
    Sign,
    Destroy,
    List,
    Probe,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Sign => "sign",
            Self::Destroy => "destroy",
            Self::List => "list",
            Self::Probe => "probe",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Ok,
    /// As the backend's answer.
    Unavailable,
    /// As the backend's answer.
    Throttled,
    NotFound,
    Mismatch,
    Refused,
    /// No answer in time.
    Deadline,
    /// Turned away by us: too many calls were waiting.
    Shed,
    /// The caller stopped waiting.
    Abandoned,
}

impl Outcome {
    /// Every outcome.
    const ALL: [Self; 9] = [
        Self::Ok,
        Self::Unavailable,
        Self::Throttled,
        Self::NotFound,
        Self::Mismatch,
        Self::Refused,
        Self::Deadline,
        Self::Shed,
        Self::Abandoned,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::NotFound => "not_found",
            Self::Mismatch => "mismatch",
            Self::Refused => "refused",
            Self::Deadline => "deadline",
            Self::Shed => "shed",
            Self::Abandoned => "abandoned",
        }
    }

    /// The outcome of a call that the backend answered.
    pub(super) fn of<T>(answer: &Result<T, BackendError>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(BackendError::Unavailable(_)) => Self::Unavailable,
            Err(BackendError::Throttled { .. }) => Self::Throttled,
            Err(BackendError::NotFound(_)) => Self::NotFound,
            Err(BackendError::Mismatch(_)) => Self::Mismatch,
            Err(BackendError::Refused(_)) => Self::Refused,
        }
    }
}

macro_rules! label_value {
    ($name:ident) => {
        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                EncodeLabelValue::encode(&self.name(), encoder)
            }
        }
    };
}

label_value!(Operation);
label_value!(Outcome);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    backend: String,
    operation: Operation,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    backend: String,
    operation: Operation,
}

/// For what is counted of a backend as a whole.
#[cfg(any(feature = "aws", feature = "gcp", feature = "pkcs11"))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BackendLabels {
    pub(super) backend: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_by_itself() {
        let each = Each::of(Outcome::ALL, |_| Counter::<u64>::default());
        Outcome::ALL.into_iter().for_each(|outcome| each.count(outcome));
        assert!(each.0.iter().all(|(_, counter)| counter.get() == 1), "{each:?}");
    }
}
