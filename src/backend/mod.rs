//! The secure backends that hold private keys, and their contract.
//!
//! A backend makes keys, signs with them and destroys them; it never gives one out. One conformance
//! suite (`tests/it/backends.rs`) runs over every implementation, and is the contract's exact form.

#[cfg(feature = "aws")]
pub mod aws_kms;
#[cfg(any(feature = "aws", feature = "gcp"))]
pub mod cloud;
#[cfg(feature = "gcp")]
pub mod gcp_kms;
pub mod guarded;
mod input;
pub mod metrics;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub mod software;
pub mod usage;

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use thiserror::Error;

pub use self::input::{Hashed, Input, OwnedInput};

use self::usage::Usage;
use crate::ids::{Handle, Label};
use crate::jose::alg::KeySpec;
use crate::jose::jwk::PublicKey;
use crate::lifecycle::time::Timestamp;

/// What an object-safe asynchronous method returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A place that makes and holds private keys.
///
/// Every method may be called from many tasks at once. None retries by itself: the caller does, and an
/// error says whether that helps. None outlives its future: dropping the future abandons the wait, not
/// necessarily the effect.
pub trait Backend: Debug + Send + Sync {
    /// Makes the key that `label` names, or finds it if it is there already.
    ///
    /// On return the key can sign, is durable, and its attributes have been read back: sensitive, never
    /// extractable, sign only. Calling again with the same label and `spec` returns the same key, also
    /// after a crash at any point of an earlier call; half-made remains of such a call are cleared.
    ///
    /// # Errors
    /// [`BackendError::Mismatch`] if the label names a key of another kind or with weaker attributes.
    fn generate<'a>(&'a self, label: &'a Label, spec: KeySpec) -> BoxFuture<'a, Result<Generated, BackendError>>;

    /// Signs `input` within `within`.
    ///
    /// The signature is in JWS form: r‖s of fixed width for ECDSA, salt as long as the hash for PSS. Of a digest it is
    /// the same as of the message that was hashed.
    ///
    /// # Errors
    /// [`BackendError::NotFound`] if the handle names no key (any more); [`BackendError::Refused`] for a digest that is
    /// not of the hash function of `key.spec`.
    fn sign<'a>(
        &'a self,
        key: KeyRef<'a>,
        input: Input<'a>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Signature, BackendError>>;

    /// Destroys the private key. Destroying a key that is gone is [`Destroyed::Done`].
    ///
    /// # Errors
    /// [`BackendError::Refused`] if the handle is none that this backend gives out: the key, wherever it is,
    /// lives on, and must not be taken for destroyed.
    fn destroy<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<Destroyed, BackendError>>;

    /// The keys in the backend that carry a label of this installation; never anybody else's.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, BackendError>>;

    /// Whether two handles are of one key, or of two that [`Self::destroy`] would not tell apart: destroying the key of
    /// the one would harm that of the other. Answers from memory.
    fn same_key(&self, one: &Handle, other: &Handle) -> bool;

    /// Asks whether the backend could sign now, and what it is.
    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>>;

    /// What its keys and signatures cost and how much of its quotas is used, if it has such. Answers from memory.
    fn usage(&self) -> Option<Usage> {
        None
    }
}

/// A key that a backend has made or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Where the backend keeps it.
    pub handle: Handle,
    /// Its public half, as read back from the backend.
    pub public: PublicKey,
}

/// Which key to sign with, and what it is.
#[derive(Debug, Clone, Copy)]
pub struct KeyRef<'a> {
    /// The backend's locator.
    pub handle: &'a Handle,
    /// The algorithm that the key was made for; it signs with no other.
    pub spec: KeySpec,
}

/// A signature in JWS form. Its `Debug` shows the length alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(pub Vec<u8>);

impl Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} bytes)", self.0.len())
    }
}

/// How a destruction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    /// The private key is gone.
    Done,
    /// The key can't sign any more, and the backend deletes it at this moment.
    ScheduledFor(Timestamp),
}

/// A key of this installation that a backend holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The label that it carries.
    pub label: Label,
    /// Where the backend keeps it.
    pub handle: Handle,
}

/// What a backend says of itself, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// One line: product, firmware, token.
    pub summary: String,
    /// Further facts, as name and value.
    pub facts: Vec<(String, String)>,
}

/// Why a backend did not do what it was asked, named by the reader's next move.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BackendError {
    /// It can't be reached, or did not answer in time: try again later. The effect may have happened.
    #[error("backend unavailable: {0}")]
    Unavailable(String),
    /// It wants fewer calls: slow down.
    #[error("backend throttled, retry after {} ms", retry_after.as_millis())]
    Throttled {
        /// How long to leave it alone.
        retry_after: Duration,
    },
    /// No such key.
    #[error("key not found: {0}")]
    NotFound(String),
    /// The key is there but is not what was asked for: an operator must look.
    #[error("key mismatch: {0}")]
    Mismatch(String),
    /// The backend understood and said no: an operator must act.
    #[error("backend refused: {0}")]
    Refused(String),
}

impl BackendError {
    /// A signature that did not come within its time.
    #[must_use]
    pub fn late(handle: &Handle, within: Duration) -> Self {
        Self::Unavailable(format!("{handle} did not sign within {} ms", within.as_millis()))
    }
}
