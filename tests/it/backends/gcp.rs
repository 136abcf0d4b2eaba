//! Google Cloud KMS: the contract over our double of it, through the official client.

mod faults;
mod keys;

use std::sync::Arc;

use jwksd::backend::Backend;
use jwksd::backend::cloud::metrics::CloudMetrics;
use jwksd::backend::gcp_kms::{Credentials, GcpKms, Protection, Quotas, Settings};
use jwksd::clock::SystemClock;
use jwksd::config::gcp_has;
use jwksd::jose::alg::{Algorithm, KeySpec, RsaBits};
use jwksd::lifecycle::time::Span;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::{INSTALLATION, Manners, guarded, mannered_conformance};
use crate::support::cloud_kms::{CloudKms, KEY_RING};

/// The service, a backend on it, and what is counted.
struct House {
    cloud: CloudKms,
    backend: Arc<GcpKms>,
    registry: Registry,
}

impl House {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let cloud = CloudKms::start();
        let mut settings = settings(&cloud);
        change(&mut settings);
        let mut registry = Registry::default();
        let metrics = CloudMetrics::register(&mut registry);
        let (id, installation) = ("kms".parse().unwrap(), INSTALLATION.parse().unwrap());
        let backend = GcpKms::new(&id, settings, &installation, &metrics, Arc::new(SystemClock));
        Self { cloud, backend: Arc::new(backend), registry }
    }

    /// How many faults of this class were counted.
    fn counted(&self, class: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let line = format!("jwksd_cloud_faults_total{{backend=\"kms\",class=\"{class}\"}} ");
        let count = text.lines().find_map(|found| found.strip_prefix(&line));
        count.unwrap_or_else(|| panic!("no {line} in\n{text}")).parse().unwrap()
    }
}

/// Without limits that a test would meet.
fn settings(cloud: &CloudKms) -> Settings {
    Settings {
        key_ring: KEY_RING.to_owned(),
        create_key_ring: false,
        protection: Protection::Hsm,
        deletion_window: Span::from_days(30),
        endpoint: Some(cloud.endpoint()),
        credentials: Credentials::Anonymous,
        quotas: Quotas { signatures: 100_000, writes: 100_000, reads: 100_000 },
    }
}

/// Every kind of key that the service has.
fn specs() -> Vec<KeySpec> {
    use Algorithm::{Ed25519, EdDsa, Es256, Es384, Ps256, Ps512, Rs256, Rs512};
    use RsaBits::{B2048, B3072, B4096};
    let plain = [Es256, Es384, Ed25519, EdDsa].map(|alg| (alg, None));
    let rsa = [(Rs256, B2048), (Rs256, B3072), (Rs256, B4096), (Rs512, B4096), (Ps256, B2048), (Ps256, B3072)];
    let more = [(Ps256, B4096), (Ps512, B4096)];
    let rsa = rsa.into_iter().chain(more).map(|(alg, bits)| (alg, Some(bits)));
    plain.into_iter().chain(rsa).map(|(alg, bits)| KeySpec::new(alg, bits).unwrap()).collect()
}

#[test]
fn the_configuration_refuses_what_the_backend_can_not_make() {
    let sizes = [None, Some(RsaBits::B2048), Some(RsaBits::B3072), Some(RsaBits::B4096)];
    let all = Algorithm::ALL.into_iter().flat_map(|alg| sizes.map(|bits| KeySpec::new(alg, bits)));
    for spec in all.flatten() {
        assert_eq!(gcp_has(spec), specs().contains(&spec), "{spec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_kms_keeps_the_contract() {
    let house = House::new();
    mannered_conformance(Arc::clone(&house.backend) as Arc<dyn Backend>, &specs(), MANNERS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_kms_keeps_the_contract_behind_a_guard_and_in_software() {
    let house = House::with(|settings| settings.protection = Protection::Software);
    let guarded = guarded::guard(Arc::clone(&house.backend) as Arc<dyn Backend>);
    mannered_conformance(Arc::new(guarded), &specs()[..3], MANNERS).await;
}

const MANNERS: Manners = Manners { undigested: (1, 64 * 1024), schedules: true };
