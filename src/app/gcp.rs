//! Backends in Google Cloud: from what the configuration says to a client.

use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::gcp_kms::{Credentials, GcpKms, Protection, Quotas, Settings};
use crate::backend::metrics::BackendMetrics;
use crate::clock::Clock;
use crate::config::{self as tree, Config};
use crate::ids::BackendId;

/// A configured key ring in Google Cloud. Whether it can be reached is found out when it is used.
pub(super) fn backend(
    config: &Config,
    id: &BackendId,
    key_ring: &tree::GcpKms,
    metrics: &BackendMetrics,
    clock: &Arc<dyn Clock>,
) -> Arc<dyn Backend> {
    let settings = Settings {
        key_ring: key_ring.key_ring.to_string(),
        create_key_ring: key_ring.create_key_ring,
        protection: match key_ring.protection {
            tree::Protection::Hsm => Protection::Hsm,
            tree::Protection::Software => Protection::Software,
        },
        deletion_window: key_ring.deletion_window,
        endpoint: key_ring.endpoint.clone(),
        credentials: match key_ring.credentials {
            tree::GcpCredentials::Default => Credentials::Default,
            tree::GcpCredentials::Anonymous => Credentials::Anonymous,
        },
        quotas: Quotas { signatures: key_ring.sign_rate, writes: key_ring.write_rate, reads: READS },
    };
    Arc::new(GcpKms::new(id, settings, &config.installation, &metrics.clouds, Arc::clone(clock)))
}

/// Calls per second that read: 600 a minute are what every project has.
///
/// # Source
/// cloud.google.com/kms/quotas, as of 2026-02.
const READS: u32 = 10;
