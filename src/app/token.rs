//! PKCS#11 backends: from what the configuration says to a token that signs.

use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::metrics::BackendMetrics;
use crate::backend::pkcs11::router::{ADMIN_LIMIT, PinSource, Plan, Router};
use crate::backend::pkcs11::{Fault, InProcess, Latch, Pin, Settings, TokenChoice};
use crate::config::secret::Secret;
use crate::config::{self as tree, BackendKind, Config};
use crate::ids::BackendId;
use crate::telemetry::chain;

use super::AppError;

/// The directory of lock files and latches in the data directory.
const LOCKS: &str = "pkcs11";

/// A configured token.
pub(super) fn backend(
    config: &Config,
    id: &BackendId,
    token: &tree::Pkcs11,
    metrics: &BackendMetrics,
) -> Result<Arc<dyn Backend>, AppError> {
    let failed = |source| AppError::Token { backend: id.clone(), source };
    let dir = locks(config, id);
    match token.isolation {
        tree::Isolation::None => {
            let pin = pin(&token.pin).map_err(|text| failed(Fault::Broken(text)))?;
            Ok(Arc::new(InProcess::open(&settings(config, token), &pin, &dir).map_err(failed)?))
        }
        tree::Isolation::Process => {
            let secret = token.pin.clone();
            let plan = Plan {
                // Also after an upgrade has put another program in its place.
                program: "/proc/self/exe".into(),
                settings: settings(config, token),
                pin: PinSource(Arc::new(move || pin(&secret))),
                gate: dir,
                hang_limit: token.hang_limit.as_duration(),
                admin_limit: ADMIN_LIMIT,
            };
            let router = Router::start(id.clone(), plan, &metrics.workers);
            let router = router.map_err(|source| AppError::System { doing: "starting worker processes", source })?;
            Ok(Arc::new(router))
        }
    }
}

/// Forgets that a token has refused its PIN. Whether it had.
pub(super) fn unlock(config: &Config, id: &BackendId) -> Result<bool, AppError> {
    let backend = config.backends.get(id).ok_or_else(|| AppError::UnknownBackend(id.clone()))?;
    let BackendKind::Pkcs11(_) = backend.kind else { return Err(AppError::NoPin(id.clone())) };
    let latch = Latch::new(&locks(config, id));
    latch.clear().map_err(|source| AppError::System { doing: "forgetting a refused PIN", source })
}

fn locks(config: &Config, id: &BackendId) -> PathBuf {
    config.data_dir.join(LOCKS).join(id.as_str())
}

fn settings(config: &Config, token: &tree::Pkcs11) -> Settings {
    Settings {
        module: token.module.clone(),
        module_args: token.module_args.clone(),
        token: match &token.token {
            tree::TokenChoice::Label(label) => TokenChoice::Label(label.clone()),
            tree::TokenChoice::Serial(serial) => TokenChoice::Serial(serial.clone()),
            tree::TokenChoice::Slot(slot) => TokenChoice::Slot(*slot),
        },
        installation: config.installation.to_string(),
        workers: token.workers,
        threads: token.threads,
    }
}

/// Reads the PIN, with the version of its source as it was just before.
fn pin(secret: &Secret) -> Result<Pin, String> {
    let version = secret.version().map_err(|error| format!("PIN: {}", chain(&error)))?;
    let bytes = secret.read().map_err(|error| format!("PIN: {}", chain(&error)))?;
    Pin::new(bytes.expose(), &version).ok_or_else(|| format!("the PIN in {secret} is not text"))
}
