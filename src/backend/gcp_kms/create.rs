//! Making a key, or finding the one that an earlier try made.

use std::time::Duration;

use google_cloud_kms_v1::model::crypto_key::CryptoKeyPurpose;
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState as State;
use google_cloud_kms_v1::model::{CryptoKey, CryptoKeyVersion};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::sleep;
use tracing::warn;

use super::client::{self, Created};
use super::{CALL, GcpKms, algorithm, name};
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::{BackendError, Generated};
use crate::ids::{Handle, Label};
use crate::jose::alg::KeySpec;
use crate::jose::jwk::PublicKey;

impl GcpKms {
    /// A crash or a lost answer anywhere in here leaves a CryptoKey under an id that the next try asks for first.
    pub(super) async fn make(&self, label: &Label, spec: KeySpec) -> Result<Generated, BackendError> {
        if !self.names.owns(label) {
            return Err(BackendError::Refused(format!("{label} belongs to another installation")));
        }
        for attempt in 0..name::TRIES {
            let key = self.names.key(&name::key_id(label, attempt));
            if !self.create_or_adopt(&key, label, spec, attempt).await? {
                continue;
            }
            let version = name::first_version(&key);
            if self.ready(&version, spec).await? {
                let public = self.public(&version, spec).await?;
                return Ok(Generated { handle: Handle::new(&version), public });
            }
            warn!(handle = %version, "key can never be used; another is made in its stead");
        }
        let text =
            format!("{} keys for {label} could not be generated, or were destroyed; see Cloud Logging", name::TRIES);
        Err(BackendError::Refused(text))
    }

    /// Makes the CryptoKey, or checks the one that is there. False if its name was deleted and can't be used again.
    async fn create_or_adopt(
        &self,
        key: &str,
        label: &Label,
        spec: KeySpec,
        attempt: u32,
    ) -> Result<bool, BackendError> {
        let wanted = client::key(spec, &self.settings, name::labels(label));
        let existing = match &wanted {
            Some(wanted) => match self.create(&name::key_id(label, attempt), wanted).await? {
                Created::Now(made) => Some(*made),
                Created::Already => self.read_key(key).await?,
            },
            // Whether it is taken by another kind of key is worth knowing; made it can't be.
            None => match self.read_key(key).await? {
                Some(existing) => Some(existing),
                None => return Err(BackendError::Refused(algorithm::none(spec))),
            },
        };
        let Some(existing) = existing else { return Ok(false) };
        let differs = differences(&existing, wanted.as_ref());
        if differs.is_empty() {
            return Ok(true);
        }
        Err(BackendError::Mismatch(format!("{key} is not what is asked for: {}", differs.join(", "))))
    }

    async fn read_key(&self, key: &str) -> Result<Option<CryptoKey>, Fault> {
        self.gate.repeat(&self.reads, CALL, || self.client.key(key)).await
    }

    async fn create(&self, id: &str, key: &CryptoKey) -> Result<Created, BackendError> {
        let ring = self.names.key_ring();
        let create = || self.gate.repeat(&self.creations, CALL, || self.client.create_key(ring, id, key.clone()));
        match create().await {
            // Of all names in the request only the key ring's can be missing.
            Err(fault) if fault.class == Class::KeyGone => {
                self.make_key_ring().await?;
                Ok(create().await?)
            }
            created => Ok(created?),
        }
    }

    pub(super) async fn make_key_ring(&self) -> Result<(), BackendError> {
        if !self.settings.create_key_ring {
            return Err(BackendError::Refused(self.no_key_ring()));
        }
        let ring = self.names.key_ring();
        Ok(self.gate.repeat(&self.creations, CALL, || self.client.create_key_ring(ring)).await?)
    }

    /// Waits until the version can sign. False if it never will.
    async fn ready(&self, version: &str, spec: KeySpec) -> Result<bool, BackendError> {
        let mut pause = FIRST_LOOK;
        let mut waited = Duration::ZERO;
        loop {
            let found = self.gate.repeat(&self.reads, CALL, || self.client.version(version)).await?;
            // Its CryptoKey is there, and it comes with it: it was deleted.
            let Some(found) = found else { return Ok(false) };
            match &found.state {
                State::Enabled => return self.is_as_asked(&found, spec).map(|()| true),
                State::PendingGeneration if waited < PATIENCE => {}
                State::PendingGeneration => {
                    let text = format!("{version} is still being generated; it is looked for again");
                    return Err(BackendError::Unavailable(text));
                }
                State::GenerationFailed | State::Destroyed | State::DestroyScheduled => return Ok(false),
                State::Disabled => {
                    return Err(BackendError::Refused(format!(
                        "{version} is disabled; somebody disabled it, or restored it after it had been destroyed: enable \
                         it (gcloud kms keys versions enable), or destroy it, and another is made"
                    )));
                }
                other => {
                    let state = other.name().unwrap_or("unknown");
                    return Err(BackendError::Mismatch(format!(
                        "{version} is in state {state}, which no key of ours has"
                    )));
                }
            }
            sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Whether the version itself is what its CryptoKey promises: made there, with our algorithm, at our level.
    fn is_as_asked(&self, version: &CryptoKeyVersion, spec: KeySpec) -> Result<(), BackendError> {
        let mut differs = Vec::new();
        if Some(&version.algorithm) != algorithm::of(spec).as_ref() {
            differs.push(format!("its algorithm is {}", version.algorithm.name().unwrap_or("unknown")));
        }
        if version.protection_level != algorithm::level(self.settings.protection) {
            differs.push(format!("its protection level is {}", version.protection_level.name().unwrap_or("unknown")));
        }
        if version.import_time.is_some() || !version.import_job.is_empty() {
            differs.push("its key material was imported, so others may have it".to_owned());
        }
        if differs.is_empty() {
            return Ok(());
        }
        Err(BackendError::Mismatch(format!("{} is not what is asked for: {}", version.name, differs.join(", "))))
    }

    async fn public(&self, version: &str, spec: KeySpec) -> Result<PublicKey, BackendError> {
        let key = self.gate.repeat(&self.signatures, CALL, || self.client.public_key(version)).await?;
        let mismatch = |text: &str| BackendError::Mismatch(format!("the public key of {version} {text}"));
        let der = SubjectPublicKeyInfoDer::from_pem_slice(key.pem.as_bytes()).map_err(|_| mismatch("is not in PEM"))?;
        let public = PublicKey::from_spki(der.as_ref()).map_err(|error| mismatch(&format!("is unusable: {error}")))?;
        if public.matches(spec) { Ok(public) } else { Err(mismatch(&format!("is none for {spec}"))) }
    }
}

/// In what a CryptoKey differs from the one that was asked for; `wanted` is nothing if there can't be such a key.
fn differences(found: &CryptoKey, wanted: Option<&CryptoKey>) -> Vec<String> {
    let mut differs = Vec::new();
    if found.purpose != CryptoKeyPurpose::AsymmetricSign {
        differs.push(format!("its purpose is {}", found.purpose.name().unwrap_or("unknown")));
    }
    if found.import_only {
        differs.push("it is for imported key material only".to_owned());
    }
    let template = |key: &CryptoKey| {
        let template = key.version_template.clone().unwrap_or_default();
        let algorithm = template.algorithm.name().unwrap_or("an unknown algorithm").to_owned();
        format!("{algorithm} at level {}", template.protection_level.name().unwrap_or("unknown"))
    };
    if wanted.map(template).as_ref() != Some(&template(found)) {
        differs.push(format!("it is for {}", template(found)));
    }
    if wanted.is_some_and(|wanted| wanted.labels != found.labels) {
        differs.push("its labels were changed".to_owned());
    }
    differs
}

/// How long until a new version is looked at again: software keys take a moment, keys in HSMs a few seconds.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_secs(2);
/// How long a new version is waited for in one go.
const PATIENCE: Duration = Duration::from_secs(60);
