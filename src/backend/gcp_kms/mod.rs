//! Keys in Google Cloud KMS: every version of a ring is the first version of a CryptoKey of its own.
//!
//! The id of that CryptoKey is made from the label, so making it twice is making it once, and what an earlier try
//! made is found by its name. Nothing is asked before a signature but for it; what a refusal means is found out after
//! it.

mod algorithm;
mod client;
mod create;
mod destroy;
mod fault;
mod list;
mod name;
mod settings;
mod sign;

use std::sync::Arc;
use std::time::Duration;

pub use settings::{Credentials, Protection, Quotas, Settings};

use client::Client;
use name::Names;

use super::cloud::gate::{Gate, Lane};
use super::cloud::metrics::CloudMetrics;
use super::cloud::prices;
use super::usage::{Money, PriceList, Usage};
use super::{Backend, BackendError, BoxFuture, Destroyed, Found, Generated, Input, KeyRef, Probe, Signature};
use crate::clock::Clock;
use crate::ids::{BackendId, Handle, InstallationId, Label};
use crate::jose::alg::{Algorithm, KeySpec};

/// The keys of one installation in one key ring of Google Cloud.
#[derive(Debug)]
pub struct GcpKms {
    settings: Settings,
    names: Names,
    client: Client,
    gate: Gate,
    signatures: Lane,
    creations: Lane,
    /// Of their own, so that a hundred keys to be made don't hold up the end of one that has leaked.
    ends: Lane,
    reads: Lane,
    refusals: sign::Refusals,
}

impl GcpKms {
    /// The backend `id`. Nothing is asked of anybody yet.
    #[must_use]
    pub fn new(
        id: &BackendId,
        settings: Settings,
        installation: &InstallationId,
        metrics: &CloudMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let Quotas { signatures, writes, reads } = settings.quotas;
        Self {
            names: Names::new(&settings.key_ring, installation),
            client: Client::new(&settings, Arc::clone(&clock)),
            signatures: Lane::new(signatures, SIGNER_WAITS),
            creations: Lane::new(writes, OTHERS_WAIT),
            ends: Lane::new(writes, OTHERS_WAIT),
            reads: Lane::new(reads, OTHERS_WAIT),
            refusals: sign::Refusals::new(Arc::clone(&clock)),
            gate: Gate::new(id, metrics, clock),
            settings,
        }
    }

    /// What helps against a key ring that is not there.
    fn no_key_ring(&self) -> String {
        let name = self.names.key_ring();
        let part = |place: usize| name.split('/').nth(place).unwrap_or_default();
        format!(
            "there is no key ring {name}; make it (gcloud kms keyrings create {} --location {} --project {}), or set \
             create_key_ring = true",
            part(5),
            part(3),
            part(1)
        )
    }
}

impl Backend for GcpKms {
    fn generate<'a>(&'a self, label: &'a Label, spec: KeySpec) -> BoxFuture<'a, Result<Generated, BackendError>> {
        Box::pin(self.make(label, spec))
    }

    fn sign<'a>(
        &'a self,
        key: KeyRef<'a>,
        input: Input<'a>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Signature, BackendError>> {
        Box::pin(self.signature(key, input, within))
    }

    fn destroy<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<Destroyed, BackendError>> {
        Box::pin(self.end(handle))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, BackendError>> {
        Box::pin(self.found())
    }

    fn same_key(&self, one: &Handle, other: &Handle) -> bool {
        one == other
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        Box::pin(self.look())
    }

    fn usage(&self) -> Option<Usage> {
        let prices = match self.settings.protection {
            Protection::Software => &prices::GCP_SOFTWARE,
            Protection::Hsm => &prices::GCP_HSM,
        };
        let quota = self.gate.quota(&self.signatures, "cryptographic operations", dearest(prices));
        Some(Usage { prices, quotas: vec![quota] })
    }
}

/// What ten thousand signatures cost at most: which keys they are made with is not counted.
fn dearest(prices: &PriceList) -> Money {
    let kinds = Algorithm::ALL.into_iter().filter_map(|algorithm| KeySpec::new(algorithm, None).ok());
    kinds.map(|kind| (prices.price)(kind).ten_thousand_signatures).max().unwrap_or_default()
}

/// How long a signature may wait for the quota: longer would be late rather than throttled.
const SIGNER_WAITS: Duration = Duration::from_millis(100);
/// The same for what nobody waits for.
const OTHERS_WAIT: Duration = Duration::from_secs(60);
/// How long one call may take that nobody waits for, with its repetitions.
const CALL: Duration = Duration::from_secs(20);
