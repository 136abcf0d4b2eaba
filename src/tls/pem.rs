//! Certificates, keys and revocation lists out of PEM files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use thiserror::Error;

/// Why files do not make a TLS configuration.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("reading {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any certificate bundle.
    #[error("{} is larger than {FILE_MAX} bytes; is it the right file?", .0.display())]
    TooLarge(PathBuf),
    /// A file is not what it should be.
    #[error("{} holds no usable {what} in PEM form", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// What the reader said.
        #[source]
        source: Option<pem::Error>,
    },
    /// Certificate and key are not a pair, or one of them is of a kind that TLS can't use.
    #[error("{} and {} do not go together", cert.display(), key.display())]
    Pair {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A certificate authority can't be used.
    #[error("{} holds a certificate that can't be an authority", path.display())]
    Authority {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authorities and revocation lists for client certificates do not fit together.
    #[error("client certificates can't be verified by {}", path.display())]
    Verifier {
        /// The bundle of authorities.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    /// The system trusts no certificate authority.
    #[error("the system has no trusted certificate authorities; install ca-certificates, or name a bundle")]
    NoRoots,
    /// rustls refused.
    #[error("no TLS configuration")]
    Protocol(#[source] rustls::Error),
}

/// Larger than any bundle of authorities and most revocation lists.
const FILE_MAX: u64 = 16 * 1_024 * 1_024;

/// The bytes of a file of bounded size.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX {
        return Err(TlsError::TooLarge(path.to_owned()));
    }
    fs::read(path).map_err(unreadable)
}

/// Every certificate of a text, in order; at least one.
pub(super) fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    all(path, text, "certificate")
}

/// Every revocation list of a text; at least one.
pub(super) fn revocation_lists(
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    all(path, text, "certificate revocation list")
}

/// The private key of a text.
pub(super) fn key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|source| not_pem(path, "private key", Some(source)))
}

/// The certificate authorities of a bundle.
pub(super) fn authorities(path: &Path, text: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, text)? {
        roots.add(certificate).map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn all<T: PemObject>(path: &Path, text: &[u8], what: &'static str) -> Result<Vec<T>, TlsError> {
    let found = T::pem_slice_iter(text).collect::<Result<Vec<T>, _>>();
    let found = found.map_err(|source| not_pem(path, what, Some(source)))?;
    if found.is_empty() { Err(not_pem(path, what, None)) } else { Ok(found) }
}

fn not_pem(path: &Path, what: &'static str, source: Option<pem::Error>) -> TlsError {
    TlsError::Pem { path: path.to_owned(), what, source }
}
