//! TLS for connections that we open.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};

use super::pem::{self, TlsError};

/// Whom we trust, and who we are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientFiles {
    /// The certificate authorities; those of the system, if absent.
    pub ca: Option<PathBuf>,
    /// Our own certificate chain and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A configuration for HTTP/1.1 over TLS 1.2 or 1.3.
///
/// # Errors
/// [`TlsError`] names the file.
pub fn client_config(files: &ClientFiles) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match &files.ca {
        Some(path) => pem::authorities(path, &pem::read(path)?)?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Protocol)?;
    let builder = builder.with_root_certificates(roots);
    let mut config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = pem::certificates(cert, &pem::read(cert)?)?;
            let secret = pem::key(key, &pem::read(key)?)?;
            let pair = |source| TlsError::Pair { cert: cert.clone(), key: key.clone(), source };
            builder.with_client_auth_cert(chain, secret).map_err(pair)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Systems list authorities that no parser takes; one that we need and lack shows at the handshake.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}
