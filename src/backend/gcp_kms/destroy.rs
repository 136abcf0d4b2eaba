//! Ending a key: disabled at once, destroyed when its time is over.

use google_cloud_kms_v1::model::CryptoKeyVersion;
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState as State;

use super::{CALL, GcpKms};
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::{BackendError, Destroyed};
use crate::ids::Handle;
use crate::lifecycle::time::Timestamp;

impl GcpKms {
    /// Each step may be repeated, and a crash between two of them leaves a key that signs less than before.
    pub(super) async fn end(&self, handle: &Handle) -> Result<Destroyed, BackendError> {
        let name = handle.as_str();
        if !self.names.is_version(name) {
            return Err(BackendError::Refused(format!(
                "{name:?} is no key of this backend; it lives on, wherever it is"
            )));
        }
        let Some(version) = self.gate.repeat(&self.reads, CALL, || self.client.version(name)).await? else {
            return self.gone().await;
        };
        match &version.state {
            State::Enabled => {
                // Before it is destroyed, since some organisations demand that, and since it can be taken back at once.
                self.gate.repeat(&self.ends, CALL, || self.client.disable(name)).await.map_err(not_yet)?;
                self.schedule(name).await
            }
            State::Disabled => self.schedule(name).await,
            State::DestroyScheduled => scheduled(&version),
            State::Destroyed | State::GenerationFailed => Ok(Destroyed::Done),
            State::PendingGeneration => {
                Err(BackendError::Unavailable(format!("{name} is still being generated, and can't be destroyed yet")))
            }
            other => {
                let state = other.name().unwrap_or("unknown");
                Err(BackendError::Refused(format!("{name} is in state {state}, in which nothing can destroy it")))
            }
        }
    }

    async fn schedule(&self, name: &str) -> Result<Destroyed, BackendError> {
        let ended = self.gate.repeat(&self.ends, CALL, || self.client.destroy(name)).await;
        match ended {
            Ok(version) => scheduled(&version),
            // An answer was lost, and the call repeated; or somebody else destroyed it meanwhile.
            Err(fault) if fault.class == Class::KeyOff => {
                match self.gate.repeat(&self.reads, CALL, || self.client.version(name)).await? {
                    Some(version) if version.state == State::DestroyScheduled => scheduled(&version),
                    Some(version) if version.state == State::Destroyed => Ok(Destroyed::Done),
                    _ => Err(not_yet(fault)),
                }
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// No such version: deleted, unless it is the key ring that is not there.
    async fn gone(&self) -> Result<Destroyed, BackendError> {
        let ring = self.names.key_ring();
        match self.gate.repeat(&self.reads, CALL, || self.client.key_ring(ring)).await {
            Ok(()) => Ok(Destroyed::Done),
            Err(fault) if fault.class == Class::KeyGone => Err(BackendError::Refused(self.no_key_ring())),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// The state has changed under our hands, or is not yet seen everywhere: the next try looks at it again.
fn not_yet(fault: Fault) -> BackendError {
    if fault.class == Class::KeyOff { BackendError::Unavailable(fault.text) } else { fault.into() }
}

fn scheduled(version: &CryptoKeyVersion) -> Result<Destroyed, BackendError> {
    let at = version.destroy_time.as_ref().map(|time| Timestamp::from_second(time.seconds()));
    let untold = || BackendError::Unavailable(format!("{} does not say when it is destroyed", version.name));
    at.map(Destroyed::ScheduledFor).ok_or_else(untold)
}
