//! Opens what is on disk: audit log, store, backends. The only place that names concrete ones.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::audit::{self, Audit, Opened, Signatures};
use crate::backend::Backend;
use crate::backend::guarded::{Guarded, Limits};
use crate::backend::metrics::BackendMetrics;
use crate::backend::software::{SealingKey, Software};
use crate::clock::Clock;
use crate::config::{self as tree, AuditSignatures, BackendKind, Config, Sealing};
use crate::ids::BackendId;
use crate::rotator::IntentError;
use crate::store::embedded::Embedded;

use super::AppError;

/// The file of the embedded store in the data directory.
pub(super) const STORE: &str = "state.redb";

/// The directory of software keys in the data directory.
const KEYS: &str = "keys";

/// Opens the audit log and writes nothing yet.
pub(super) fn audit(config: &Config, clock: Arc<dyn Clock>) -> Result<(Audit, Opened), AppError> {
    let signatures = match config.audit.signatures {
        AuditSignatures::Durable | AuditSignatures::Off => Signatures::Durable,
        AuditSignatures::Async => Signatures::Async,
    };
    let tree::Audit { segment_size, segment_age, .. } = config.audit;
    let segment_age = Some(segment_age);
    let options = audit::Options { signatures, segment_bytes: segment_size, segment_age, ..audit::Options::default() };
    let dir = config.audit.dir.clone();
    Audit::open(&dir, options, clock).map_err(|source| AppError::Audit { dir, source })
}

/// Opens the store that `init` made.
pub(super) fn store(config: &Config) -> Result<Embedded, AppError> {
    let path = config.data_dir.join(STORE);
    Embedded::open(&path).map_err(|source| AppError::Store { path, source })
}

/// Makes the store.
pub(super) fn create_store(path: &Path) -> Result<Embedded, AppError> {
    Embedded::create(path).map_err(|source| AppError::Store { path: path.to_owned(), source })
}

/// What it means for the operator that a commit could not be announced.
pub(super) fn unannounced(config: &Config) -> impl Fn(IntentError) -> AppError {
    |error| match error {
        IntentError::Unreadable(source) => AppError::Store { path: config.data_dir.join(STORE), source },
        IntentError::Audit(source) => AppError::Audit { dir: config.audit.dir.clone(), source },
    }
}

/// Makes the data directory, for this user alone, if it is not there.
pub(super) fn data_dir(dir: &Path) -> Result<(), AppError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| AppError::DataDir { dir: dir.to_owned(), source })
}

/// Every configured backend behind its limits.
pub(super) fn backends(
    config: &Config,
    metrics: &BackendMetrics,
    clock: &Arc<dyn Clock>,
) -> Result<HashMap<BackendId, Arc<dyn Backend>>, AppError> {
    let mut backends: HashMap<BackendId, Arc<dyn Backend>> = HashMap::new();
    for (id, settings) in &config.backends {
        let inner = backend(config, id, settings, metrics, clock)?;
        let mut limits = Limits::default();
        limits.sign.deadline = settings.sign_deadline.as_duration();
        limits.sign.in_flight = settings.max_in_flight;
        let guarded = Guarded::new(id, inner, limits, metrics, Arc::clone(clock));
        backends.insert(id.clone(), Arc::new(guarded));
    }
    Ok(backends)
}

/// One configured backend, bare.
#[cfg_attr(
    not(any(feature = "aws", feature = "gcp")),
    expect(unused_variables, reason = "not every kind needs a clock")
)]
pub(super) fn backend(
    config: &Config,
    id: &BackendId,
    settings: &tree::Backend,
    metrics: &BackendMetrics,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Backend>, AppError> {
    match &settings.kind {
        BackendKind::Software(sealing) => {
            let sealing = sealing_key(id, sealing)?;
            // Each software backend has its own directory: two may be sealed with different keys.
            let dir = config.data_dir.join(KEYS).join(id.as_str());
            let opened = Software::open(&dir, sealing, config.installation.clone());
            let opened = opened.map_err(|source| AppError::Software { backend: id.clone(), source })?;
            Ok(Arc::new(opened))
        }
        #[cfg(feature = "aws")]
        BackendKind::AwsKms(aws) => super::aws::backend(config, id, settings, aws, metrics, clock),
        #[cfg(not(feature = "aws"))]
        BackendKind::AwsKms(_) => Err(AppError::NotBuilt { backend: id.clone(), feature: "aws" }),
        #[cfg(feature = "pkcs11")]
        BackendKind::Pkcs11(token) => super::token::backend(config, id, token, metrics),
        #[cfg(not(feature = "pkcs11"))]
        BackendKind::Pkcs11(_) => Err(AppError::NotBuilt { backend: id.clone(), feature: "pkcs11" }),
        #[cfg(feature = "gcp")]
        BackendKind::GcpKms(key_ring) => Ok(super::gcp::backend(config, id, key_ring, metrics, clock)),
        #[cfg(not(feature = "gcp"))]
        BackendKind::GcpKms(_) => Err(AppError::NotBuilt { backend: id.clone(), feature: "gcp" }),
    }
}

fn sealing_key(id: &BackendId, sealing: &Sealing) -> Result<SealingKey, AppError> {
    let (Sealing::Key(secret) | Sealing::Passphrase(secret)) = sealing;
    let bytes = secret.read().map_err(|source| AppError::Secret { backend: id.clone(), source })?;
    let key = match sealing {
        Sealing::Key(_) => SealingKey::from_bytes(bytes.expose()),
        Sealing::Passphrase(_) => SealingKey::from_passphrase(&String::from_utf8_lossy(bytes.expose())),
    };
    key.map_err(|source| AppError::SealingKey { backend: id.clone(), source })
}
