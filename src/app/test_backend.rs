//! `jwksd backend test`: makes, uses and destroys a throw-away key, step by step.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;

use crate::backend::metrics::BackendMetrics;
use crate::backend::{Backend, BackendError, Input, KeyRef, Probe};
use crate::chance;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::ids::{BackendId, IssuerId, Label, RingName, VersionId};
use crate::jose::alg::{Algorithm, KeySpec};
use crate::jose::jwk::Jwk;
use crate::jose::verify::Verifier;

use super::{AppError, open};

/// What a backend said of itself, and which algorithms it signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// What it is.
    pub probe: Probe,
    /// Each algorithm that the configured rings use there, or ES256 if none does.
    pub signed: Vec<KeySpec>,
}

/// Tries the backend `id` with a throw-away key of each kind that is configured for it.
///
/// The keys carry our label, under the issuer `backend-test`, so that remains of a failed test are
/// found as strays.
///
/// # Errors
/// [`AppError::BackendTest`] names the step that failed.
pub async fn test_backend(config: &Config, id: &BackendId) -> Result<TestReport, AppError> {
    let settings = config.backends.get(id).ok_or_else(|| AppError::UnknownBackend(id.clone()))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = BackendMetrics::register(&mut Registry::default());
    let backend = open::backend(config, id, settings, &metrics, &clock)?;
    let failed = |step| move |source| AppError::BackendTest { step, source };
    let probe = backend.probe().await.map_err(failed("probing the backend"))?;
    let rings = config.issuers.values().flat_map(|issuer| issuer.rings.values());
    let here = rings.filter(|ring| ring.backend == *id || ring.standby_backend.as_ref() == Some(id));
    let mut specs: Vec<KeySpec> = here.map(|ring| ring.key).collect();
    specs.sort_unstable();
    specs.dedup();
    if specs.is_empty() {
        specs.extend(KeySpec::new(Algorithm::Es256, None));
    }
    for spec in &specs {
        try_key(config, &backend, *spec).await?;
    }
    Ok(TestReport { probe, signed: specs })
}

async fn try_key(config: &Config, backend: &Arc<dyn Backend>, spec: KeySpec) -> Result<(), AppError> {
    let failed = |step| move |source| AppError::BackendTest { step, source };
    let number = chance::bytes::<6>().iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let name =
        |text: &str| AppError::BackendTest { step: "naming a key", source: BackendError::Refused(text.to_owned()) };
    let label = Label {
        installation: config.installation.clone(),
        issuer: IssuerId::new("backend-test").map_err(|error| name(&error.to_string()))?,
        ring: RingName::new("throw-away").map_err(|error| name(&error.to_string()))?,
        version: VersionId::new(number),
    };
    let made = backend.generate(&label, spec).await.map_err(failed("making a key"))?;
    let result = sign_and_verify(backend, spec, &made).await;
    let destroyed = backend.destroy(&made.handle).await.map_err(failed("destroying the key"));
    result.and(destroyed.map(|_| ()))
}

async fn sign_and_verify(
    backend: &Arc<dyn Backend>,
    spec: KeySpec,
    made: &crate::backend::Generated,
) -> Result<(), AppError> {
    const INPUT: &[u8] = b"eyJhbGciOiJub25lIn0.dGVzdA";
    let failed = |step| move |source| AppError::BackendTest { step, source };
    let key = KeyRef { handle: &made.handle, spec };
    let signature =
        backend.sign(key, Input::Message(INPUT), Duration::from_secs(30)).await.map_err(failed("signing"))?;
    let mismatch =
        |text: String| AppError::BackendTest { step: "verifying the signature", source: BackendError::Mismatch(text) };
    let jwk =
        Jwk::with_thumbprint(spec.algorithm(), made.public.clone()).map_err(|error| mismatch(error.to_string()))?;
    let verified = Verifier::new(&jwk).verify(INPUT, &signature.0);
    verified.map_err(|_| {
        mismatch(format!("the {spec} signature does not verify with the public key that the backend returned"))
    })
}
