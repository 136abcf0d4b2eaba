//! Why there is no new checkpoint.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::audit::AuditError;
use crate::backend::BackendError;
use crate::ids::Kid;
use crate::jose::jwk::JwkError;

/// Why there is no new checkpoint. Every one is tried again; what is signed meanwhile has its records all the same.
#[derive(Debug, Error)]
pub enum MakeError {
    /// The backend has not made or found the key. A key of another algorithm under its label is a mismatch: the
    /// algorithm can't be changed as long as that key is there.
    #[error("the key that signs checkpoints is not available")]
    Key(#[source] BackendError),
    /// The key that it returned is not one of the algorithm.
    #[error("the key that signs checkpoints can't be used")]
    Jwk(#[from] JwkError),
    /// The backend has not signed.
    #[error("the backend did not sign the checkpoint")]
    Sign(#[source] BackendError),
    /// What it returned does not verify.
    #[error("the backend's signature does not verify with key {0}, so it was thrown away")]
    Forged(Kid),
    /// It took so long that the checkpoint would be of no use.
    #[error("the backend took too long to sign the checkpoint")]
    Late,
    /// The log has not said where it ends, or has not taken the checkpoint.
    #[error("the audit log did not take the checkpoint")]
    Audit(#[from] AuditError),
    /// A file beside the log can't be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file of public keys holds something else.
    #[error("{} is not a JWK Set; keep it for the inquiry, and move it away", path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: JwkError,
    },
    /// The checkpoint can't be written as JSON.
    #[error("encoding the checkpoint")]
    Encoding(#[source] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::chain;

    #[test]
    fn every_error_says_what_is_missing() {
        let refused = || BackendError::Refused("locked".to_owned());
        let path = || PathBuf::from("/data/audit/checkpoint.jws");
        let errors = [
            MakeError::Key(refused()),
            MakeError::Jwk(JwkError::NoKeys),
            MakeError::Sign(refused()),
            MakeError::Forged(Kid::new("k").unwrap()),
            MakeError::Late,
            MakeError::Audit(AuditError::Busy),
            MakeError::File { path: path(), source: io::ErrorKind::StorageFull.into() },
            MakeError::KeyFile { path: path(), source: JwkError::NoKeys },
        ];
        let texts: Vec<String> = errors.iter().map(|error| chain(error)).collect();
        assert_eq!(texts.join("\n"), TEXTS.trim());
    }

    const TEXTS: &str = "
the key that signs checkpoints is not available: backend refused: locked
the key that signs checkpoints can't be used: a JWK Set has no array of keys
the backend did not sign the checkpoint: backend refused: locked
the backend's signature does not verify with key k, so it was thrown away
the backend took too long to sign the checkpoint
the audit log did not take the checkpoint: audit log busy
/data/audit/checkpoint.jws: no storage space
/data/audit/checkpoint.jws is not a JWK Set; keep it for the inquiry, and move it away: a JWK Set has no array of keys
";
}
