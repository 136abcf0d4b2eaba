//! Why the daemon does not start, or ended.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::audit::AuditError;
use crate::backend::BackendError;
use crate::backend::software::{OpenError, SealingKeyError};
use crate::config::secret::SecretError;
use crate::ids::{BackendId, IssuerId, Revision};
use crate::lifecycle::adopt::Misfit;
use crate::rotator::TickError;
use crate::server::listen::{Address, BindError, PassedError};
use crate::store::StoreError;
use crate::telemetry::LoggingError;
use crate::tls::TlsError;

/// Why the daemon does not start, or ended. Each says what to do.
#[derive(Debug, Error)]
pub enum AppError {
    /// The data directory can't be made.
    #[error("data directory {}", dir.display())]
    DataDir {
        /// Where.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store can't be used.
    #[error("store {}", path.display())]
    Store {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The audit log can't be used.
    #[error("audit log {}", dir.display())]
    Audit {
        /// Where.
        dir: PathBuf,
        /// Why.
        #[source]
        source: AuditError,
    },
    /// A secret can't be read.
    #[error("backend {backend}")]
    Secret {
        /// Whose.
        backend: BackendId,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// A secret is not a sealing key.
    #[error("backend {backend}: sealing key")]
    SealingKey {
        /// Whose.
        backend: BackendId,
        /// Why.
        #[source]
        source: SealingKeyError,
    },
    /// The directory of software keys can't be used.
    #[error("backend {backend}: software keys")]
    Software {
        /// Which.
        backend: BackendId,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// A token can't be used.
    #[cfg(feature = "pkcs11")]
    #[error("backend {backend}")]
    Token {
        /// Which.
        backend: BackendId,
        /// Why.
        #[source]
        source: crate::backend::pkcs11::Fault,
    },
    /// This program does not know that kind of backend.
    #[error("backend {backend}: this program was built without the feature {feature}")]
    NotBuilt {
        /// Which.
        backend: BackendId,
        /// What it lacks.
        feature: &'static str,
    },
    /// The policy of new keys can't be used.
    #[error("backend {backend}: key policy {}: {problem}", path.display())]
    KeyPolicy {
        /// Which.
        backend: BackendId,
        /// Where.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A backend without a PIN was to be unlocked.
    #[error("backend {0} has no PIN: only PKCS#11 backends have one")]
    NoPin(BackendId),
    /// `jwksd dev` was to be reached from other machines.
    #[error("--public {0}: jwksd dev is for this machine alone; give an address of it such as 127.0.0.1:8080")]
    NotLoopback(SocketAddr),
    /// The sealing key of `jwksd dev` can't be made.
    #[error("making {}", path.display())]
    DevSealingKey {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An issuer was to be created although it has lived.
    #[error(
        "issuer {issuer} is not in the store, but the audit log has seen revision {known} of it committed, so it is \
         lost and not new: restore the store and the keys from a backup; nothing was created"
    )]
    Lost {
        /// Which.
        issuer: IssuerId,
        /// What was committed.
        known: Revision,
    },
    /// The configuration names an issuer that was never created, or whose record is lost.
    #[error(
        "issuer {0} is in the configuration but not in the store; if it is new, run `jwksd init` with the same \
         configuration; if it is not, the store has lost it: restore a backup"
    )]
    MissingIssuer(IssuerId),
    /// The configuration does not fit what lives.
    #[error("issuer {issuer}")]
    Misfit {
        /// Which.
        issuer: IssuerId,
        /// Why; the first of them.
        #[source]
        source: Misfit,
    },
    /// The store is older than the audit log says.
    #[error(
        "issuer {issuer}: the store holds revision {found}, the audit log has seen {known} committed; the store was \
         rolled back: restore a newer backup, or, if this loss is understood, run \
         `jwksd accept-rollback --config FILE {issuer} --reason TEXT`"
    )]
    RolledBack {
        /// Which.
        issuer: IssuerId,
        /// What the store holds.
        found: Revision,
        /// What was committed.
        known: Revision,
    },
    /// The store holds another record than the one that was committed under its number.
    #[error(
        "issuer {issuer}: revision {revision} in the store is not the one that the audit log has seen committed; \
         restore store and audit log of the same moment, or, if this loss is understood, run \
         `jwksd accept-rollback --config FILE {issuer} --reason TEXT`"
    )]
    Forked {
        /// Which.
        issuer: IssuerId,
        /// Which revision.
        revision: Revision,
    },
    /// A change at the start was not committed.
    #[error("could not adopt the configuration")]
    Adopt(#[source] TickError),
    /// A listener can't be bound.
    #[error("{listener} listener")]
    Listen {
        /// Which.
        listener: &'static str,
        /// Why.
        #[source]
        source: BindError,
    },
    /// What the service manager passed on can't be used.
    #[error(transparent)]
    Passed(PassedError),
    /// A listener's certificates can't be used.
    #[error("{listener} listener: tls")]
    Tls {
        /// Which.
        listener: &'static str,
        /// Why.
        #[source]
        source: Box<TlsError>,
    },
    /// The certificate authorities for a trusted issuer can't be used.
    #[error("trusted issuer {name}")]
    TrustedIssuer {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: Box<TlsError>,
    },
    /// The audit log knows nothing of an issuer that the store holds.
    #[error(
        "issuer {0} is in the store but the audit log has no record of it; restore the audit log, or, if its loss is \
         understood, run `jwksd accept-rollback --config FILE {0} --reason TEXT`"
    )]
    Unwitnessed(IssuerId),
    /// An issuer's first state can't be made.
    #[error("issuer {issuer}: first state")]
    FirstState {
        /// Which.
        issuer: IssuerId,
        /// Why.
        #[source]
        source: crate::lifecycle::event::IllegalTransition,
    },
    /// No such backend in the configuration.
    #[error("backend {0} is not in the configuration")]
    UnknownBackend(BackendId),
    /// No such issuer in the configuration.
    #[error("issuer {0} is not in the configuration")]
    UnknownIssuer(IssuerId),
    /// There is nothing to accept.
    #[error("issuer {0} was not rolled back: its revision is the newest that the audit log knows")]
    NotRolledBack(IssuerId),
    /// A backend failed its test.
    #[error("{step}")]
    BackendTest {
        /// What was tried.
        step: &'static str,
        /// Why.
        #[source]
        source: BackendError,
    },
    /// Logging can't begin.
    #[error("logging")]
    Logging(#[source] LoggingError),
    /// The operating system failed us.
    #[error("{doing}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A part of the daemon ended that must not: the daemon stops rather than go on without it.
    #[error("the {0} ended unexpectedly; see the log")]
    PartEnded(&'static str),
}

impl AppError {
    /// What to do where the error alone seldom says it.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        let (address, source) = match self {
            Self::Listen { source: BindError::Io { address, source }, .. } => (address, source),
            Self::Store { source: StoreError::Damaged(_), .. } => {
                return Some("restore store, audit log and keys from one backup; keep what is there for the inquiry");
            }
            Self::Audit { source: AuditError::Damaged(_), .. } => {
                return Some(
                    "`jwksd audit verify` names the first fault; keep the log for the inquiry, restore a backup",
                );
            }
            _ => return None,
        };
        match (source.kind(), address) {
            (io::ErrorKind::AddrInUse, _) => {
                Some("another process listens there: `ss -ltnp` shows which; stop it, or choose another address")
            }
            (io::ErrorKind::AddrNotAvailable, _) => {
                Some("no interface of this machine has that address: `ip addr` shows those that there are")
            }
            (io::ErrorKind::NotFound, Address::Unix { .. }) => {
                Some("the socket's directory does not exist; make it, or let systemd do so (RuntimeDirectory=)")
            }
            (io::ErrorKind::PermissionDenied, Address::Unix { .. }) => {
                Some("the user that jwksd runs as must be allowed to write to the socket's directory")
            }
            (io::ErrorKind::PermissionDenied, Address::Tcp(_)) => {
                Some("ports below 1024 need the capability CAP_NET_BIND_SERVICE; or choose a higher one")
            }
            _ => None,
        }
    }
}
