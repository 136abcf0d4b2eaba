//! Checkpoints: signed words about one record, by which a log can be held to account from outside of it.
//!
//! The chain binds every record to the ones before it, but whoever can write the files can make a new chain. A
//! checkpoint names a record's number and hash and is signed by a key that the log's writer only borrows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::digest::Digest;
use super::fields::as_text;
use crate::ids::{InstallationId, Kid};
use crate::jose::alg::Algorithm;
use crate::jose::base64url;
use crate::jose::json::Limits;
use crate::jose::jwk::Jwk;
use crate::jose::jws::{Compact, JwsError, Typ, encode_header};
use crate::jose::verify::Verifier;
use crate::lifecycle::time::Timestamp;

/// The file beside the segments that holds the newest checkpoint, as one line.
pub const CHECKPOINT_FILE: &str = "checkpoint.jws";

/// The file beside the segments that holds the public keys of all checkpoints, as a JWK Set.
pub const KEY_FILE: &str = "checkpoint-key.json";

/// The `typ` of a checkpoint: no verifier of tokens takes it for one.
const TYP: &str = "jwksd-checkpoint";

/// What a checkpoint says: at this moment the log held this record, and by its hash all records before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Whose log.
    #[serde(with = "as_text")]
    pub installation: InstallationId,
    /// The record's number.
    pub seq: u64,
    /// The hash of its line.
    #[serde(with = "as_text")]
    pub hash: Digest,
    /// When it was the last one.
    #[serde(with = "as_text")]
    pub at: Timestamp,
}

/// Why a text is not a checkpoint to believe.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// It is no JWS.
    #[error("it is not a compact JWS")]
    Form(#[source] JwsError),
    /// It is a JWS of something else, such as a token.
    #[error("it is not a checkpoint: its typ is not jwksd-checkpoint")]
    Typ,
    /// Its payload is not that of a checkpoint.
    #[error("its payload is not that of a checkpoint: {0}")]
    Payload(String),
    /// None of the keys at hand is the one that it names.
    #[error("it is signed by key {0}, which is not among the keys to check it with")]
    UnknownKey(Kid),
    /// It names no key.
    #[error("it names no key")]
    NoKey,
    /// The signature is not one of that key.
    #[error("its signature is not one of key {0}")]
    Signature(Kid),
    /// It speaks of another installation.
    #[error("it is a checkpoint of installation {found}, the others are of {expected}")]
    Installation {
        /// Of the others.
        expected: InstallationId,
        /// Its own.
        found: InstallationId,
    },
    /// It vouches for a record that does not stand before it.
    #[error("it vouches for record {0}, which is not among the records before it")]
    Elsewhere(u64),
}

impl Checkpoint {
    /// Header and payload, to be signed as they are.
    ///
    /// # Errors
    /// None that a checkpoint can cause; serde_json's signature has one.
    pub fn signing_input(&self, alg: Algorithm, kid: &Kid) -> Result<String, serde_json::Error> {
        let typ: Typ = TYP.parse().expect("invariant: the name of our own type is one");
        let mut input = encode_header(alg, kid, Some(&typ));
        input.push('.');
        base64url::append(&serde_json::to_vec(self)?, &mut input);
        Ok(input)
    }
}

/// The keys that checkpoints may be signed with. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct CheckpointKeys(Arc<Vec<(Kid, Verifier)>>);

impl CheckpointKeys {
    /// These, and no others.
    #[must_use]
    pub fn new(keys: &[Jwk]) -> Self {
        Self(Arc::new(keys.iter().map(|key| (key.kid().clone(), Verifier::new(key))).collect()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a checkpoint, if one of these keys has signed it, and says which.
    ///
    /// # Errors
    /// [`CheckpointError`]: nothing that it says is to be believed.
    pub fn verify(&self, jws: &str) -> Result<(Checkpoint, Kid), CheckpointError> {
        let compact = Compact::parse(jws, &Limits::DEFAULT).map_err(CheckpointError::Form)?;
        if compact.typ().is_none_or(|typ| typ.as_str() != TYP) {
            return Err(CheckpointError::Typ);
        }
        let kid = compact.kid().ok_or(CheckpointError::NoKey)?;
        let found = self.0.iter().find(|(known, _)| known == kid);
        let (kid, verifier) = found.ok_or_else(|| CheckpointError::UnknownKey(kid.clone()))?;
        let bad = || CheckpointError::Signature(kid.clone());
        if verifier.alg() != compact.alg() {
            return Err(bad());
        }
        verifier.verify(compact.signing_input().as_bytes(), compact.signature()).map_err(|_| bad())?;
        let payload = serde_json::from_str(compact.payload());
        Ok((payload.map_err(|error| CheckpointError::Payload(error.to_string()))?, kid.clone()))
    }
}
