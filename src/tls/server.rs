//! TLS of a listener: built from files, and built again when they change.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use tokio::sync::watch;

use super::names::inspect;
use super::pem::{self, TlsError};
use crate::lifecycle::time::Timestamp;

/// What a listener's TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// The oldest version of the protocol that is spoken.
    pub min_version: MinVersion,
    /// Whose certificates clients may show; nobody's, if absent.
    pub clients: Option<Clients>,
}

/// The oldest version of TLS that a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    #[default]
    Tls13,
}

/// How clients are recognised by certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// The bundle of authorities.
    pub ca: PathBuf,
    /// Whether a client must have one.
    pub auth: ClientAuth,
    /// Revocation lists. If there are any, every authority of a client's chain needs a current one.
    pub crls: Vec<PathBuf>,
}

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Without one there is no connection.
    #[default]
    Required,
    /// It may; a grant can still demand it.
    Optional,
}

/// What one reading of the files came to.
#[derive(Debug)]
pub struct Generation {
    /// What handshakes use.
    pub config: Arc<ServerConfig>,
    /// When the first certificate of the chain ends.
    pub not_after: Timestamp,
    /// Closed when whom we take for a client has changed, so that whoever was let in before is asked again.
    pub superseded: watch::Receiver<()>,
    superseding: Arc<watch::Sender<()>>,
    clients: [u8; 32],
}

/// What a look at the files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Nothing has changed since the last look.
    Unchanged,
    /// The new files hold from the next handshake on.
    Loaded,
}

/// The TLS of one listener.
#[derive(Debug)]
pub struct Endpoint {
    files: Files,
    current: ArcSwap<Generation>,
    /// The hash of what was read last, good or bad: a broken file is reported once.
    seen: Mutex<[u8; 32]>,
}

impl Endpoint {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file that is no good.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let read = Read::of(&files)?;
        let generation = read.generation(&files, None)?;
        Ok(Self { current: ArcSwap::from_pointee(generation), seen: Mutex::new(read.hash()), files })
    }

    /// What the next handshake uses.
    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Reads the files again; if they are no good, what was loaded before stays.
    ///
    /// # Errors
    /// [`TlsError`], once for each state of the files that is no good, and each time that one can't be read.
    pub fn reload(&self) -> Result<Reload, TlsError> {
        let read = Read::of(&self.files)?;
        let hash = read.hash();
        if std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), hash) == hash {
            return Ok(Reload::Unchanged);
        }
        let generation = read.generation(&self.files, Some(&self.current.load()))?;
        self.current.store(Arc::new(generation));
        Ok(Reload::Loaded)
    }
}

/// The bytes of every file, read once so that what is hashed is what is used.
struct Read {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
    crls: Vec<Vec<u8>>,
}

impl Read {
    fn of(files: &Files) -> Result<Self, TlsError> {
        let Files { cert, key, min_version: _, clients } = files;
        let (ca, crls) = match clients {
            None => (Vec::new(), Vec::new()),
            Some(Clients { ca, auth: _, crls }) => {
                (pem::read(ca)?, crls.iter().map(|path| pem::read(path)).collect::<Result<_, _>>()?)
            }
        };
        Ok(Self { cert: pem::read(cert)?, key: pem::read(key)?, ca, crls })
    }

    fn hash(&self) -> [u8; 32] {
        hash([&self.cert, &self.key].into_iter().chain([&self.ca]).chain(&self.crls))
    }

    fn generation(&self, files: &Files, before: Option<&Generation>) -> Result<Generation, TlsError> {
        let chain = pem::certificates(&files.cert, &self.cert)?;
        let leaf = chain.first().and_then(inspect);
        let leaf = leaf.ok_or_else(|| TlsError::Pem { path: files.cert.clone(), what: "certificate", source: None })?;
        let secret = pem::key(&files.key, &self.key)?;
        let provider = Arc::new(default_provider());
        let versions = match files.min_version {
            MinVersion::Tls13 => vec![&TLS13],
            MinVersion::Tls12 => vec![&TLS13, &TLS12],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&versions).map_err(TlsError::Protocol)?;
        let builder = match &files.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(pem::authorities(&clients.ca, &self.ca)?);
                let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                if clients.auth == ClientAuth::Optional {
                    verifier = verifier.allow_unauthenticated();
                }
                if !clients.crls.is_empty() {
                    verifier = verifier.enforce_revocation_expiration();
                }
                for (path, text) in clients.crls.iter().zip(&self.crls) {
                    verifier = verifier.with_crls(pem::revocation_lists(path, text)?);
                }
                let verifier = verifier.build();
                let path = || clients.ca.clone();
                builder
                    .with_client_cert_verifier(verifier.map_err(|source| TlsError::Verifier { path: path(), source })?)
            }
        };
        let pair = |source| TlsError::Pair { cert: files.cert.clone(), key: files.key.clone(), source };
        let mut config = builder.with_single_cert(chain, secret).map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if files.clients.is_some() {
            // A resumed session is not verified again, and its certificate may have been revoked since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let clients = hash([&self.ca].into_iter().chain(&self.crls));
        let (superseding, superseded) = match before {
            Some(before) if before.clients == clients => (Arc::clone(&before.superseding), before.superseded.clone()),
            _ => {
                let (sender, receiver) = watch::channel(());
                (Arc::new(sender), receiver)
            }
        };
        Ok(Generation { config: Arc::new(config), not_after: leaf.not_after, superseded, superseding, clients })
    }
}

/// Each part with its length, so that no two lists have the same hash.
fn hash<'a>(parts: impl Iterator<Item = &'a Vec<u8>>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
