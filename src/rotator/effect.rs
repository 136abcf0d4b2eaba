//! The two actions that leave the process: making a key, and destroying one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::{error, info};

use super::{Cause, Rotator};
use crate::audit::{Act, Audit, AuditError, Event as Record, Outcome};
use crate::backend::usage::Usage;
use crate::backend::{Backend, BackendError, Destroyed, Found, Input, KeyRef};
use crate::failpoint::failpoint;
use crate::ids::{BackendId, InstallationId, IssuerId, Label, RingName, VersionId};
use crate::jose::hash::MessageDigest;
use crate::jose::jwk::{Jwk, JwkError};
use crate::jose::verify::Verifier;
use crate::lifecycle::event::Fact;
use crate::lifecycle::issuer::Issuer;
use crate::lifecycle::key_ring::KeyRing;
use crate::lifecycle::state::{Key, Next};
use crate::lifecycle::time::Timestamp;

/// Why an effect did not come about.
#[derive(Debug, Error)]
pub enum EffectError {
    /// The act could not be recorded beforehand, so it was not tried.
    #[error("the audit log can't take the act, so it was not tried")]
    Audit(#[source] AuditError),
    /// The backend did not do it.
    #[error("backend {backend}")]
    Backend {
        /// Which.
        backend: BackendId,
        /// Why.
        #[source]
        source: BackendError,
    },
    /// The backend made something that is not what the ring holds.
    #[error("backend {backend} returned an unusable key")]
    Key {
        /// Which.
        backend: BackendId,
        /// Why.
        #[source]
        source: JwkError,
    },
    /// The configuration lacks the backend.
    #[error("backend {0} is not configured")]
    NoBackend(BackendId),
    /// The plan and the state disagree: planning again will help.
    #[error("the version is no longer there to act on")]
    Gone,
}

/// What effects go through.
#[derive(Debug)]
pub struct Effector {
    /// Part of every label.
    pub installation: InstallationId,
    /// Where keys are made and destroyed.
    pub backends: HashMap<BackendId, Arc<dyn Backend>>,
    /// Where acts are announced.
    pub audit: Audit,
}

impl Rotator {
    /// The backends that cost money, by name, with their prices and quotas.
    #[must_use]
    pub fn usages(&self) -> Vec<(BackendId, Usage)> {
        let backends: BTreeMap<_, _> = self.effector.backends.iter().collect();
        backends.into_iter().filter_map(|(id, backend)| Some((id.clone(), backend.usage()?))).collect()
    }
}

impl Effector {
    /// Makes the reserved key, or finds what an earlier try made.
    ///
    /// A crash after the backend answered leaves a key under its label; the reservation is committed, so
    /// the next try finds it. It proves itself by what its ring signs, `digests` or messages.
    pub(super) async fn generate(
        &self,
        issuer: &Issuer,
        ring: &RingName,
        version: VersionId,
        digests: bool,
    ) -> Result<Fact, EffectError> {
        let state = issuer.ring(ring).map(KeyRing::state).ok_or(EffectError::Gone)?;
        let Some(Next::Reserved(reserved)) = state.next.as_ref().filter(|next| next.id() == version) else {
            return Err(EffectError::Gone);
        };
        let (backend_id, backend) = self.backend(&reserved.backend)?;
        let label = self.label(issuer.id(), ring, version);
        self.announce(Act::Generate, &label, backend_id, &Cause::default()).await?;
        failpoint("generate.announced");
        let made = backend.generate(&label, state.spec).await;
        failpoint("generate.made");
        self.report(Act::Generate, &label, backend_id, made.as_ref().err()).await;
        let made = made.map_err(|source| EffectError::Backend { backend: backend_id.clone(), source })?;
        let jwk = Jwk::with_thumbprint(state.spec.algorithm(), made.public)
            .map_err(|source| EffectError::Key { backend: backend_id.clone(), source })?;
        try_to_sign(backend_id, backend, KeyRef { handle: &made.handle, spec: state.spec }, &jwk, digests).await?;
        info!(issuer = %issuer.id(), ring = %ring, version = version.get(), kid = %jwk.kid(), backend = %backend_id, "key generated");
        Ok(Fact::Generated { ring: ring.clone(), version, handle: made.handle, jwk })
    }

    /// Has the next version sign before it becomes the signer: a key that was lost behind our back must not
    /// take over from one that works.
    pub(super) async fn prove(
        &self,
        issuer: &Issuer,
        ring: &RingName,
        version: VersionId,
        digests: bool,
    ) -> Result<(), EffectError> {
        let state = issuer.ring(ring).map(KeyRing::state).ok_or(EffectError::Gone)?;
        let Some(Next::PreActive(next)) = state.next.as_ref().filter(|next| next.id() == version) else {
            return Err(EffectError::Gone);
        };
        let (backend_id, backend) = self.backend(&next.key.backend)?;
        try_to_sign(backend_id, backend, KeyRef { handle: &next.key.handle, spec: state.spec }, &next.key.jwk, digests)
            .await
    }

    /// Has the backend destroy a private half; `now` dates a destruction that is complete at once.
    pub(super) async fn destroy(
        &self,
        issuer: &Issuer,
        ring: &RingName,
        version: VersionId,
        now: Timestamp,
    ) -> Result<Fact, EffectError> {
        let key = issuer.ring(ring).and_then(|ring| ending_key(ring, version)).ok_or(EffectError::Gone)?;
        let (backend_id, backend) = self.backend(&key.backend)?;
        let label = self.label(issuer.id(), ring, version);
        self.announce(Act::Destroy, &label, backend_id, &Cause::default()).await?;
        failpoint("destroy.announced");
        let destroyed = backend.destroy(&key.handle).await;
        failpoint("destroy.done");
        self.report(Act::Destroy, &label, backend_id, destroyed.as_ref().err()).await;
        let destroyed = destroyed.map_err(|source| EffectError::Backend { backend: backend_id.clone(), source })?;
        info!(issuer = %issuer.id(), ring = %ring, version = version.get(), kid = %key.jwk.kid(), backend = %backend_id, "private key destroyed");
        let gone_at = match destroyed {
            Destroyed::Done => now,
            Destroyed::ScheduledFor(gone_at) => gone_at,
        };
        Ok(Fact::PrivateDestroyed { ring: ring.clone(), version, gone_at })
    }

    /// Has a backend destroy a key that no version has.
    pub(super) async fn destroy_found(&self, id: &BackendId, found: &Found, cause: &Cause) -> Result<(), EffectError> {
        let (backend_id, backend) = self.backend(id)?;
        self.announce(Act::Destroy, &found.label, backend_id, cause).await?;
        let destroyed = backend.destroy(&found.handle).await;
        self.report(Act::Destroy, &found.label, backend_id, destroyed.as_ref().err()).await;
        destroyed.map_err(|source| EffectError::Backend { backend: backend_id.clone(), source })?;
        info!(issuer = %found.label.issuer, ring = %found.label.ring, version = found.label.version.get(), backend = %backend_id, "stray key destroyed");
        Ok(())
    }

    fn backend<'a>(&'a self, id: &'a BackendId) -> Result<(&'a BackendId, &'a Arc<dyn Backend>), EffectError> {
        self.backends.get(id).map(|backend| (id, backend)).ok_or_else(|| EffectError::NoBackend(id.clone()))
    }

    fn label(&self, issuer: &IssuerId, ring: &RingName, version: VersionId) -> Label {
        Label { installation: self.installation.clone(), issuer: issuer.clone(), ring: ring.clone(), version }
    }

    async fn announce(&self, what: Act, label: &Label, backend: &BackendId, cause: &Cause) -> Result<(), EffectError> {
        let Cause { caller, request_id, reason } = cause.clone();
        let act = Record::Act {
            what,
            issuer: label.issuer.clone(),
            ring: label.ring.clone(),
            version: label.version,
            backend: backend.clone(),
            label: label.clone(),
            caller,
            request_id,
            reason,
        };
        self.audit.append(act).await.map_err(EffectError::Audit).map(|_| ())
    }

    /// Records how an act ended. The act itself is on record; that this line may fail to be is only logged.
    async fn report(&self, what: Act, label: &Label, backend: &BackendId, error: Option<&BackendError>) {
        let outcome = match error {
            None => Outcome::Done,
            Some(BackendError::Unavailable(_)) => Outcome::Unknown,
            Some(_) => Outcome::Failed,
        };
        let done = Record::ActDone {
            what,
            issuer: label.issuer.clone(),
            ring: label.ring.clone(),
            version: label.version,
            backend: backend.clone(),
            label: label.clone(),
            outcome,
            detail: error.map(ToString::to_string),
        };
        if let Err(error) = self.audit.append(done).await {
            error!(issuer = %label.issuer, ring = %label.ring, version = label.version.get(), error = %error, "outcome of an act could not be recorded");
        }
    }
}

/// Signs something that is no token, or its digest, and verifies it with the key as it is, or will be, published.
async fn try_to_sign(
    id: &BackendId,
    backend: &Arc<dyn Backend>,
    key: KeyRef<'_>,
    jwk: &Jwk,
    digests: bool,
) -> Result<(), EffectError> {
    // Without a dot it can't be taken for the signing input of a JWS.
    const INPUT: &[u8] = b"jwksd proves that this key signs";
    let failed = |source| EffectError::Backend { backend: id.clone(), source };
    let input = match key.spec.algorithm().hash().filter(|_| digests) {
        Some(hash) => Input::Digest(MessageDigest::of(hash, INPUT)),
        None => Input::Message(INPUT),
    };
    let signature = backend.sign(key, input, PROOF_WITHIN).await.map_err(failed)?;
    input.verify(&Verifier::new(jwk), &signature.0).map_err(|_| {
        failed(BackendError::Mismatch(format!(
            "a signature of {} does not verify with the public key of {}",
            key.handle,
            jwk.kid()
        )))
    })
}

/// How long the proof of a key may take.
const PROOF_WITHIN: Duration = Duration::from_secs(30);

/// The key of a version that is deactivated or compromised.
fn ending_key(ring: &KeyRing, version: VersionId) -> Option<&Key> {
    let state = ring.state();
    let retained = state.retained.iter().find(|v| v.id == version).map(|v| &v.key);
    retained.or_else(|| state.compromised.iter().find(|v| v.id == version).map(|v| &v.key))
}
