//! Puts the parts together: the only place that names concrete backends, stores and publishers.
//!
//! `build` opens everything and fails early; `run` serves until it is told to stop; then it drains.

#[cfg(feature = "aws")]
mod aws;
mod dev;
mod error;
#[cfg(feature = "gcp")]
mod gcp;
mod init;
mod listen;
mod open;
mod recover;
mod rollback;
mod serve;
mod service;
mod settings;
mod start;
mod test_backend;
#[cfg(feature = "pkcs11")]
mod token;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::audit::{Audit, Event, Signatures};
use crate::backend::Backend;
use crate::backend::metrics::BackendMetrics;
use crate::chance;
use crate::checkpoint::{self, Checkpointer};
use crate::clock::{Clock, SteadyClock, SystemClock};
use crate::config::{AuditSignatures, Config};
use crate::ids::{BackendId, BootId, IssuerId};
use crate::lifecycle::adopt::adoptions;
use crate::publish::Publisher;
use crate::publish::directory::Directory;
use crate::rotator::{self, Cause, Committer, Effector, Rotator, TickError};
use crate::server::caller::Access;
use crate::server::health::Health;
use crate::server::listen::{CertificateMetrics, ConnectionMetrics};
use crate::signer::Signer;
use crate::snapshot::{Place, Places};
use crate::store::Store;
use crate::telemetry::{Metrics, chain};
use crate::trust::TokenMetrics;

#[cfg(feature = "pkcs11")]
pub use crate::backend::pkcs11::{WORKER, worker::run as work};
pub use dev::{Announcement, DevOptions};
pub use error::AppError;
pub use init::InitReport;
pub use listen::Listeners;
pub use start::{accept_rollback, dev, init, run, test_backend, unlock_backend};
pub use test_backend::TestReport;

/// Everything, opened and fitted together, listening to nobody yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    audit: Audit,
    clock: Arc<dyn Clock>,
    connections: ConnectionMetrics,
    certificates: CertificateMetrics,
    access: Access,
    rotator: Arc<Rotator>,
    signer: Arc<Signer>,
    health: Arc<Health>,
    checkpointer: Option<Arc<Checkpointer>>,
}

impl App {
    /// Opens audit log, store and backends, and brings them together.
    ///
    /// # Errors
    /// [`AppError`] names the first thing that is in the way, and what to do.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (audit, opened) = open::audit(&config, Arc::clone(&clock))?;
        let store = open::store(&config)?;
        let found = recover::recover(&config, &store, &audit, opened).await?;
        let mut registry = Registry::default();
        let backends = open::backends(&config, &BackendMetrics::register(&mut registry), &clock)?;
        recover::look_for_keys(&config, &found.issuers, &backends).await;
        let connections = ConnectionMetrics::register(&mut registry);
        let certificates = CertificateMetrics::register(&mut registry);
        let trusted = settings::trusted(&config, &clock, TokenMetrics::register(&mut registry))?;
        let access = Access { grants: Arc::new(settings::grants(&config)), trusted };
        let metrics = Arc::new(Metrics::new(registry));
        audit.append(started(&config)).await.map_err(|source| broken_log(&config, source))?;

        let places = config.issuers.iter().filter_map(|(id, tree)| {
            let committed = found.issuers.get(id)?.clone();
            Some((id.clone(), Place::new(settings::issuer(tree), committed)))
        });
        let places = Arc::new(Places::new(places));
        let store: Arc<dyn Store> = Arc::new(store);
        let rotator = Rotator::new(
            Arc::clone(&places),
            Committer { store, audit: audit.clone() },
            Effector { installation: config.installation.clone(), backends: backends.clone(), audit: audit.clone() },
            publishers(&config),
            SteadyClock::new(Arc::clone(&clock), boot()),
            metrics,
        );
        let checkpointer = checkpointer(&config, &audit, &backends, &clock, &rotator.metrics);
        let signature_log = (config.audit.signatures != AuditSignatures::Off).then(|| audit.clone());
        let signer = Signer::new(Arc::clone(&places), backends, signature_log, Arc::clone(&clock));
        let (rotator, signer) = (Arc::new(rotator), Arc::new(signer));
        let metrics = Arc::clone(&rotator.metrics);
        let health = Arc::new(Health::new(Arc::clone(&rotator), audit.clone(), metrics));
        let app =
            Self { config, audit, clock, connections, certificates, access, rotator, signer, health, checkpointer };
        app.adopt().await?;
        app.resume_publication();
        Ok(app)
    }

    /// Records what the configuration adds to, or changes in, what lives.
    async fn adopt(&self) -> Result<(), AppError> {
        for (id, tree) in &self.config.issuers {
            let Some(place) = self.rotator.places.get(id.as_str()) else { continue };
            let facts = adoptions(place.state().issuer(), &place.settings.policy, &settings::specs(tree));
            for fact in facts {
                match self.rotator.record(id, fact, &Cause::default()).await {
                    Ok(_) => {}
                    // It is recorded; the rotator tries on to publish.
                    Err(error @ TickError::Publish { .. }) => {
                        warn!(issuer = %id, error = %chain(&error), "configuration adopted, but the JWK Set is not published everywhere");
                    }
                    Err(error) => return Err(AppError::Adopt(error)),
                }
            }
        }
        Ok(())
    }

    /// Serves at once what was out when the last run ended.
    fn resume_publication(&self) {
        for (_, place) in self.rotator.places.iter() {
            if place.state().issuer().state().published.is_some() {
                place.serve();
            }
        }
    }

    /// Serves until `stop` completes, then finishes what is under way.
    ///
    /// # Errors
    /// [`AppError::PartEnded`] if a part ended by itself.
    pub async fn run(self, listeners: Listeners, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let hangups = service::hangups()?;
        let (stopping, stopped) = watch::channel(());
        let mut parts = JoinSet::new();
        let rotating = rotator::run(Arc::clone(&self.rotator), ended(stopped.clone()));
        parts.spawn(named("rotator", rotating));
        if let Some(checkpointer) = &self.checkpointer {
            let making = Arc::clone(checkpointer).run(ended(stopped.clone()));
            parts.spawn(named("maker of checkpoints", making));
        }
        serve::spawn(&mut parts, &self, listeners, &stopped);
        info!(version = env!("CARGO_PKG_VERSION"), "daemon started");
        service::ready();
        let (living, hanging_up) = (tokio::spawn(service::live()), tokio::spawn(service::hang_ups(hangups)));
        let outcome = tokio::select! {
            () = stop => Ok(()),
            Some(part) = parts.join_next() => Err(AppError::PartEnded(part.unwrap_or("background task"))),
        };
        info!("daemon stopping");
        service::stopping();
        self.health.drain();
        drop(stopped);
        drop(stopping);
        while parts.join_next().await.is_some() {}
        living.abort();
        hanging_up.abort();
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.finish().await;
        }
        let Self { config, audit, .. } = self;
        if let Ok(Err(source)) = tokio::task::spawn_blocking(move || audit.close()).await {
            return Err(broken_log(&config, source));
        }
        info!("daemon stopped");
        outcome
    }
}

/// A part of the daemon, which says its name when it ends.
async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// Completes when the sender is dropped.
async fn ended(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

fn broken_log(config: &Config, source: crate::audit::AuditError) -> AppError {
    AppError::Audit { dir: config.audit.dir.clone(), source }
}

/// What makes checkpoints of the audit log, if they are wanted.
fn checkpointer(
    config: &Config,
    audit: &Audit,
    backends: &HashMap<BackendId, Arc<dyn Backend>>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Option<Arc<Checkpointer>> {
    let wanted = config.audit.checkpoints.as_ref()?;
    let backend = Arc::clone(backends.get(&wanted.backend)?);
    let settings = checkpoint::Settings {
        installation: config.installation.clone(),
        backend: wanted.backend.clone(),
        spec: wanted.key,
        every: wanted.every,
        directory: config.audit.dir.clone(),
    };
    let (audit, clock, metrics) = (audit.clone(), Arc::clone(clock), metrics.checkpoints.clone());
    Some(Arc::new(Checkpointer::new(settings, audit, backend, clock, metrics)))
}

fn started(config: &Config) -> Event {
    let signatures = match config.audit.signatures {
        AuditSignatures::Durable | AuditSignatures::Off => Signatures::Durable,
        AuditSignatures::Async => Signatures::Async,
    };
    Event::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        installation: config.installation.clone(),
        signatures,
    }
}

/// The run of the machine; where the kernel does not name it, this run of the daemon alone.
fn boot() -> BootId {
    SystemClock.boot().unwrap_or_else(|| BootId::new(chance::bytes()))
}

fn publishers(config: &Config) -> HashMap<IssuerId, Vec<Arc<dyn Publisher>>> {
    // One for each root, so that a file system that hangs holds one thread, not one for each issuer.
    let mut roots: HashMap<&PathBuf, Arc<dyn Publisher>> = HashMap::new();
    let mut directory = |root| {
        let publisher = roots.entry(root).or_insert_with(|| Arc::new(Directory::new(root.clone())));
        Arc::clone(publisher)
    };
    let issuers = config.issuers.iter();
    issuers.map(|(id, tree)| (id.clone(), tree.directories.iter().map(&mut directory).collect())).collect()
}
