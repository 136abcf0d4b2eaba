//! What is in the key ring, and whether it can be reached at all.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState as State;

use super::{CALL, GcpKms, name};
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::{BackendError, Found, Probe};
use crate::ids::{Handle, Label};

impl GcpKms {
    /// Keys that are destroyed, or going to be, are none any more. The state of each has to be asked for by itself.
    pub(super) async fn found(&self) -> Result<Vec<Found>, BackendError> {
        let mut ours = Vec::new();
        let mut page = String::new();
        loop {
            let (ring, filter) = (self.names.key_ring(), self.names.filter());
            let (keys, next) = self.gate.repeat(&self.reads, CALL, || self.client.keys(ring, &filter, &page)).await?;
            let labelled =
                keys.into_iter().filter_map(|key| Some((self.names.label(&key.name, &key.labels)?, key.name)));
            ours.extend(labelled);
            if next.is_empty() {
                break;
            }
            page = next;
        }
        let looks = stream::iter(ours).map(|(label, key)| self.alive(label, name::first_version(&key)));
        let found: Vec<Option<Found>> = looks.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn alive(&self, label: Label, version: String) -> Result<Option<Found>, Fault> {
        let found = self.gate.repeat(&self.reads, CALL, || self.client.version(&version)).await?;
        let lives = found.is_some_and(|version| {
            !matches!(version.state, State::DestroyScheduled | State::Destroyed | State::GenerationFailed)
        });
        Ok(lives.then(|| Found { label, handle: Handle::new(&version) }))
    }

    pub(super) async fn look(&self) -> Result<Probe, BackendError> {
        let ring = self.names.key_ring();
        match self.gate.repeat(&self.reads, CALL, || self.client.key_ring(ring)).await {
            Ok(()) => {}
            Err(fault) if fault.class == Class::KeyGone => self.make_key_ring().await?,
            Err(fault) => return Err(fault.into()),
        }
        let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut facts = vec![
            fact("key ring", ring),
            fact("protection level of new keys", self.settings.protection.name()),
            fact("restorable for", &self.settings.deletion_window.to_string()),
        ];
        facts.extend(self.settings.endpoint.as_deref().map(|endpoint| fact("endpoint", endpoint)));
        Ok(Probe { summary: "Google Cloud KMS".to_owned(), facts })
    }
}

/// States that are asked for at once.
const AT_ONCE: usize = 8;
