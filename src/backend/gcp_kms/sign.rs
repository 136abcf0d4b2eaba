//! Signing: one call, and what its refusal means.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState as State;
use tokio::sync::Mutex;

use super::client::Message;
use super::{CALL, GcpKms, algorithm};
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::cloud::signature;
use crate::backend::{BackendError, Input, KeyRef, Signature};
use crate::clock::Clock;
use crate::jose::alg::KeySpec;

impl GcpKms {
    pub(super) async fn signature(
        &self,
        key: KeyRef<'_>,
        input: Input<'_>,
        within: Duration,
    ) -> Result<Signature, BackendError> {
        let (name, spec) = (key.handle.as_str(), key.spec);
        if !self.names.is_version(name) {
            return Err(BackendError::NotFound(format!("{name:?} is no key of this backend")));
        }
        if algorithm::of(spec).is_none() {
            return Err(BackendError::Mismatch(format!("{name}: {}", algorithm::none(spec))));
        }
        let message = Message::new(&input.hashed(spec)?);
        if let Message::Data(data, _) = &message
            && !(1..=DATA_MAX).contains(&data.len())
        {
            let text = format!("{spec} keys of Cloud KMS sign 1 to {DATA_MAX} bytes, not {}", data.len());
            return Err(BackendError::Refused(text));
        }
        let call = || async {
            match self.client.sign(name, &message).await {
                Ok(signed) => signature::from_cloud(spec, &signed),
                Err(fault) if fault.class == Class::KeyOff => Err(self.refusal(name, fault, within).await),
                Err(fault) => Err(fault),
            }
        };
        match self.gate.repeat(&self.signatures, within, call).await {
            Ok(signature) => Ok(signature),
            // Again and again the same question was called wrong: perhaps it is put to the wrong key.
            Err(fault) if fault.class == Class::Corrupt => Err(self.of_another_kind(name, spec, fault).await),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Why the key refused: its state tells, which is read once for many refusals.
    async fn refusal(&self, name: &str, refused: Fault, within: Duration) -> Fault {
        let mut known = self.refusals.known.lock().await;
        let now = self.refusals.clock.monotonic();
        known.retain(|_, (_, until)| *until > now);
        if let Some((fault, _)) = known.get(name) {
            return fault.clone();
        }
        let fault = match self.gate.repeat(&self.reads, within, || self.client.version(name)).await {
            Ok(Some(version)) => meaning(name, &version.state, &refused),
            Ok(None) => Fault::new(Class::KeyGone, format!("{name} is gone")),
            // It can't be told; what is known is that this key did not sign.
            Err(_) => return refused,
        };
        known.insert(name.to_owned(), (fault.clone(), now + REMEMBERED));
        fault
    }

    async fn of_another_kind(&self, name: &str, spec: KeySpec, fault: Fault) -> BackendError {
        match self.gate.repeat(&self.reads, CALL, || self.client.version(name)).await {
            Ok(Some(version)) if Some(&version.algorithm) != algorithm::of(spec).as_ref() => {
                let algorithm = version.algorithm.name().unwrap_or("unknown").to_owned();
                BackendError::Mismatch(format!("{name} is a key for {algorithm}, not for {spec}"))
            }
            _ => fault.into(),
        }
    }
}

/// What a key in this state means for who wanted a signature.
fn meaning(name: &str, state: &State, refused: &Fault) -> Fault {
    match state {
        State::Disabled => Fault::new(
            Class::KeyOff,
            format!("{name} is disabled; enable it (gcloud kms keys versions enable), or declare it compromised"),
        ),
        State::DestroyScheduled | State::Destroyed => {
            let state = state.name().unwrap_or_default();
            Fault::new(Class::KeyGone, format!("{name} is in state {state}"))
        }
        State::Enabled | State::PendingGeneration => {
            let text = format!("{name} was not ready to sign: {}", refused.text);
            Fault::new(Class::Transient, text)
        }
        other => Fault::new(Class::KeyOff, format!("{name} is in state {}", other.name().unwrap_or("unknown"))),
    }
}

/// Keys that refused lately, and why.
pub(super) struct Refusals {
    clock: Arc<dyn Clock>,
    /// Locked while a state is read, so that a burst of refusals reads it once.
    known: Mutex<HashMap<String, (Fault, Duration)>>,
}

impl Refusals {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusals")
    }
}

/// What AsymmetricSign takes where it takes no digest.
const DATA_MAX: usize = 64 * 1024;
/// For how long the state of a key that refused is not read again.
const REMEMBERED: Duration = Duration::from_secs(2);
