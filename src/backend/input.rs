//! What a backend is asked to sign.

use super::BackendError;
use crate::jose::alg::KeySpec;
use crate::jose::hash::MessageDigest;
use crate::jose::verify::{BadSignature, Verifier};

/// What is to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// The ASCII bytes `<header>.<payload>`, which the backend hashes as the key's algorithm says.
    Message(&'a [u8]),
    /// The hash of a message that nobody here has seen.
    Digest(MessageDigest),
}

/// An [`Input`] that can go to another thread.
#[derive(Debug)]
pub enum OwnedInput {
    /// As [`Input::Message`].
    Message(Vec<u8>),
    /// As [`Input::Digest`].
    Digest(MessageDigest),
}

impl From<Input<'_>> for OwnedInput {
    fn from(input: Input<'_>) -> Self {
        match input {
            Input::Message(message) => Self::Message(message.to_vec()),
            Input::Digest(digest) => Self::Digest(digest),
        }
    }
}

impl OwnedInput {
    /// It as it was.
    #[must_use]
    pub fn borrow(&self) -> Input<'_> {
        match self {
            Self::Message(message) => Input::Message(message),
            Self::Digest(digest) => Input::Digest(*digest),
        }
    }
}

/// An input for a backend that takes digests wherever an algorithm has them.
#[derive(Debug, PartialEq, Eq)]
pub enum Hashed<'a> {
    /// The digest to sign.
    Digest(MessageDigest),
    /// The message itself, for Ed25519.
    Message(&'a [u8]),
}

impl<'a> Input<'a> {
    /// Refuses a digest that keys for `spec` don't sign.
    ///
    /// # Errors
    /// [`BackendError::Refused`] for a digest that is not by the algorithm's hash function.
    pub fn check(self, spec: KeySpec) -> Result<(), BackendError> {
        match self {
            Self::Digest(digest) if spec.algorithm().hash() != Some(digest.hash()) => {
                Err(BackendError::Refused(format!("{spec} keys do not sign digests by {}", digest.hash().name())))
            }
            Self::Digest(_) | Self::Message(_) => Ok(()),
        }
    }

    /// Hashes a message here, if the algorithm has a hash function.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn hashed(self, spec: KeySpec) -> Result<Hashed<'a>, BackendError> {
        self.check(spec)?;
        Ok(match (self, spec.algorithm().hash()) {
            (Self::Message(message), Some(hash)) => Hashed::Digest(MessageDigest::of(hash, message)),
            (Self::Message(message), None) => Hashed::Message(message),
            (Self::Digest(digest), _) => Hashed::Digest(digest),
        })
    }

    /// Whether `verifier` takes `signature` for one over this.
    ///
    /// # Errors
    /// [`BadSignature`] if it does not.
    pub fn verify(self, verifier: &Verifier, signature: &[u8]) -> Result<(), BadSignature> {
        match self {
            Self::Message(message) => verifier.verify(message, signature),
            Self::Digest(digest) => verifier.verify_digest(&digest, signature),
        }
    }
}
