//! Tracing and metrics, and the list of field names.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

mod gate;
mod handles;
mod histogram;
mod labels;
mod metrics;

pub use gate::Gate;
pub use handles::{IssuerMetrics, JwksMetrics, RingMetrics, SignMetrics};
pub use histogram::Histogram;
pub use metrics::{CheckpointMetrics, Metrics, RotatorMetrics, StoreMetrics};

/// The names that fields of log lines may have. Dashboards and alerts are built on them, so each is a promise.
pub mod field {
    /// What was done or failed: `reserve`, `generate`, `activate`, …
    pub const ACTION: &str = "action";
    /// The backend's name.
    pub const BACKEND: &str = "backend";
    /// Who called, as the audit log names them.
    pub const CALLER: &str = "caller";
    /// A checkpoint of the audit log, to be kept: a compact JWS.
    pub const CHECKPOINT: &str = "checkpoint";
    /// The stable code of a refused call.
    pub const CODE: &str = "code";
    /// Milliseconds from beginning to end.
    pub const ELAPSED_MS: &str = "elapsed_ms";
    /// The chain of causes, outermost first.
    pub const ERROR: &str = "error";
    /// The issuer's name.
    pub const ISSUER: &str = "issuer";
    /// The version of the published JWK Set.
    pub const KEY_SET: &str = "key_set";
    /// The kid of a version.
    pub const KID: &str = "kid";
    /// Which listener: `public`, `signing`, `admin`, `metrics`.
    pub const LISTENER: &str = "listener";
    /// Why: `bootstrap`, `scheduled`, `requested`, `compromise`, or an operator's words.
    pub const REASON: &str = "reason";
    /// The number of a record of the audit log.
    pub const RECORD: &str = "record";
    /// The id by which a caller and the audit log name a request.
    pub const REQUEST_ID: &str = "request_id";
    /// The revision of an issuer's stored state.
    pub const REVISION: &str = "revision";
    /// The ring's name.
    pub const RING: &str = "ring";
    /// How long until the next try.
    pub const RETRY_IN: &str = "retry_in";
    /// The name of a trusted issuer.
    pub const TRUSTED_ISSUER: &str = "trusted_issuer";
    /// How many like it were kept out of the log since the last that was not.
    pub const UNSAID: &str = "unsaid";
    /// When something ends.
    pub const UNTIL: &str = "until";
    /// The number of a version in its ring.
    pub const VERSION: &str = "version";

    /// All of them, in alphabetical order.
    pub const ALL: [&str; 21] = [
        ACTION,
        BACKEND,
        CALLER,
        CHECKPOINT,
        CODE,
        ELAPSED_MS,
        ERROR,
        ISSUER,
        KEY_SET,
        KID,
        LISTENER,
        REASON,
        RECORD,
        REQUEST_ID,
        RETRY_IN,
        REVISION,
        RING,
        TRUSTED_ISSUER,
        UNSAID,
        UNTIL,
        VERSION,
    ];
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object, its fields at the top.
    Json,
    /// For people; coloured on a terminal.
    Text,
}

/// Why logging could not begin.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The directives do not parse.
    #[error("log level {level:?} is neither a level nor a list of directives")]
    Level {
        /// What was given.
        level: String,
        /// What the parser said.
        #[source]
        source: ParseError,
    },
    /// Logging has begun already in this process.
    #[error("logging is set up already")]
    AlreadySetUp(#[source] TryInitError),
}

/// Begins to log to standard error.
///
/// `level`: directives of tracing's env-filter, such as `info` or `info,jwksd::rotator=debug`.
///
/// # Errors
/// [`LoggingError::Level`] if the directives do not parse, [`LoggingError::AlreadySetUp`] the second time.
pub fn init_logging(format: LogFormat, level: &str) -> Result<(), LoggingError> {
    let level_error = |source| LoggingError::Level { level: level.to_owned(), source };
    let filter = EnvFilter::builder().parse(level).map_err(level_error)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init(),
        LogFormat::Text => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init(),
    }
    .map_err(LoggingError::AlreadySetUp)
}

/// An error and its causes on one line, outermost first, each once: what people and logs are told.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let own = cause.to_string();
        // A wrapper that shows its cause as its own text would say everything twice.
        if own != last {
            text.push_str(": ");
            text.push_str(&own);
        }
        last = own;
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_names_are_listed_once_each_and_in_order() {
        assert!(field::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn directives_that_do_not_parse_are_named() {
        let error = init_logging(LogFormat::Text, "jwksd=loud").unwrap_err();
        assert_eq!(error.to_string(), "log level \"jwksd=loud\" is neither a level nor a list of directives");
    }
}
