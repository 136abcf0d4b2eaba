//! From a configuration to a daemon that runs until it is told to stop.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::config::{Config, LogFormat};
use crate::ids::{BackendId, IssuerId, Revision};
use crate::server::listen::Passed;
use crate::telemetry::{self, init_logging};

use super::dev::{self, Announcement, DevOptions};
use super::init::{self, InitReport};
use super::listen::tcp;
use super::rollback;
use super::service;
use super::test_backend::{self, TestReport};
use super::{App, AppError, Listeners};

/// Runs the daemon until SIGTERM or SIGINT, then drains it.
///
/// # Errors
/// [`AppError`] says why it did not start, or ended.
pub fn run(config: Config) -> Result<(), AppError> {
    let passed = Passed::receive().map_err(AppError::Passed)?;
    start_logging(&config)?;
    config.warnings.iter().for_each(|warning| warn!(reason = %warning, "configuration is doubtful"));
    runtime(&config)?.block_on(async {
        service::harden();
        let listeners = Listeners::bind(&config.listen, passed).await?;
        let stop = stop_signal()?;
        App::build(config).await?.run(listeners, stop).await
    })
}

/// Runs a daemon of its own in `options.data`, which is made if need be; `announce` is called once it can be used.
///
/// # Errors
/// As for [`run`].
pub fn dev(options: &DevOptions, announce: impl FnOnce(&Announcement)) -> Result<(), AppError> {
    // Bound first: with port 0 the issuer's URL is known only now.
    let mut config = dev::config(options, options.public)?;
    start_logging(&config)?;
    runtime(&config)?.block_on(async {
        let listeners = Listeners::bind(&config.listen, Passed::default()).await?;
        let public = tcp(&listeners.public).unwrap_or(options.public);
        if public != options.public {
            config = dev::config(options, public)?;
        }
        let stop = stop_signal()?;
        init::init(&config).await?;
        let app = App::build(config).await?;
        announce(&dev::announcement(options, &listeners)?);
        app.run(listeners, stop).await
    })
}

/// Makes the store if there is none, and every configured issuer that it lacks; running it again changes nothing.
///
/// # Errors
/// [`AppError`]; in particular if a daemon runs on the same data.
pub fn init(config: &Config) -> Result<InitReport, AppError> {
    runtime(config)?.block_on(init::init(config))
}

/// Takes the store's present record of `issuer` as the truth, although the audit log has seen another.
///
/// # Errors
/// [`AppError::NotRolledBack`] if nothing is wrong, or what is in the way.
pub fn accept_rollback(config: &Config, issuer: &IssuerId, reason: &str) -> Result<Revision, AppError> {
    runtime(config)?.block_on(rollback::accept_rollback(config, issuer, reason))
}

/// Tries a backend with a throw-away key of each kind that is configured for it.
///
/// # Errors
/// [`AppError::BackendTest`] names the step that failed.
pub fn test_backend(config: &Config, id: &BackendId) -> Result<TestReport, AppError> {
    runtime(config)?.block_on(test_backend::test_backend(config, id))
}

/// Lets the PIN of a token be tried again that the token has refused. Whether it had.
///
/// # Errors
/// [`AppError::NoPin`] for a backend of another kind.
pub fn unlock_backend(config: &Config, id: &BackendId) -> Result<bool, AppError> {
    #[cfg(feature = "pkcs11")]
    return super::token::unlock(config, id);
    #[cfg(not(feature = "pkcs11"))]
    Err(match config.backends.get(id) {
        Some(_) => AppError::NotBuilt { backend: id.clone(), feature: "pkcs11" },
        None => AppError::UnknownBackend(id.clone()),
    })
}

fn runtime(config: &Config) -> Result<Runtime, AppError> {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        builder.worker_threads(workers.get());
    }
    builder.enable_all().thread_name("jwksd").build().map_err(|source| system("starting the worker threads", source))
}

fn start_logging(config: &Config) -> Result<(), AppError> {
    let format = match config.log.format {
        LogFormat::Json => telemetry::LogFormat::Json,
        LogFormat::Text => telemetry::LogFormat::Text,
    };
    init_logging(format, &config.log.level).map_err(AppError::Logging)
}

/// Completes at the first SIGTERM or SIGINT. Caught from here on, so that a signal during the start is not lost.
fn stop_signal() -> Result<impl Future<Output = ()>, AppError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|source| system("catching SIGTERM", source))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|source| system("catching SIGINT", source))?;
    Ok(async move {
        let reason = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(reason, "signal received");
    })
}

pub(super) fn system(doing: &'static str, source: io::Error) -> AppError {
    AppError::System { doing, source }
}
