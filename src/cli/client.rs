//! The admin API's client: one connection, one request, one answer, each within its time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::args::Daemon;
use super::exit::Exit;
use super::output;
use super::paint::{DOUBTFUL, paint};
use super::target::Target;
use crate::server::api::Problem;
use crate::tls::{ClientFiles, TlsError, client_config};

/// One daemon, asked by one operator.
#[derive(Debug)]
pub struct Client {
    target: Target,
    token: Option<HeaderValue>,
    tls: Option<Arc<ClientConfig>>,
    runtime: Runtime,
}

/// What the daemon answered to a request that it fulfilled.
#[derive(Debug)]
pub struct Answer {
    body: Bytes,
}

/// Why there is no answer, named by what has happened on the other side.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The token can't be read.
    #[error("token file {}", path.display())]
    Token {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The token can't be sent.
    #[error("token file {} holds no bearer token: one line of printable characters is expected", .0.display())]
    TokenForm(PathBuf),
    /// The certificates for TLS can't be used.
    #[error("TLS")]
    Tls(#[source] Box<TlsError>),
    /// Nothing was asked of any daemon.
    #[error("no daemon answers at {target}")]
    Unreachable {
        /// Where it was sought.
        target: Target,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A question was sent, and no answer came. It has changed nothing.
    #[error("the daemon at {target} did not answer")]
    Silent {
        /// Where it is.
        target: Target,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A change was asked for, and no answer came.
    #[error("the daemon at {target} did not answer; the change may or may not have been made")]
    Unknown {
        /// Where it is.
        target: Target,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("{target} answers with HTTP status {status}, but not as the admin listener of jwksd")]
    Foreign {
        /// Who was asked.
        target: Target,
        /// What it said.
        status: StatusCode,
    },
    /// The daemon did it, but this program does not understand the answer.
    #[error("the daemon did as asked, but its answer is not readable here")]
    Unreadable(#[source] serde_json::Error),
    /// The daemon said no, and why.
    #[error("{} ({}, request {})", .0.detail, .0.code, .0.request_id)]
    Refused(Box<Problem>),
}

impl ClientError {
    /// What the exit code is to say.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Token { .. } | Self::TokenForm(_) | Self::Tls(_) => Exit::Usage,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Foreign { .. } => Exit::Unreachable,
            Self::Unknown { .. } => Exit::Unknown,
            Self::Refused(problem) if problem.code == OUTCOME_UNKNOWN => Exit::Unknown,
            Self::Refused(problem) if problem.status == 404 => Exit::NotFound,
            Self::Refused(_) | Self::Unreadable(_) => Exit::Refused,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("the socket is for its owner and group; join the group, or run this as that user (sudo -u)")
            }
            Self::Unreachable { .. } => Some(
                "if it runs elsewhere, say where with --admin HOST:PORT, --admin unix:PATH or JWKSD_ADMIN \
                 (jwksd dev: 127.0.0.1:8082)",
            ),
            Self::Silent { .. } => Some("the daemon's log says what it is busy with"),
            Self::Unknown { .. } => Some(LOOK_FIRST),
            Self::Foreign { .. } => Some("is this the admin listener, and not the one for verifiers or signing?"),
            Self::Unreadable(_) => Some("daemon and client differ in version; --json prints the answer as it is"),
            Self::Refused(problem) if problem.code == OUTCOME_UNKNOWN => Some(LOOK_FIRST),
            Self::Refused(problem) if problem.status == 401 => {
                Some("show a token with --token-file, or run this as a user that a grant names")
            }
            Self::Refused(problem) if problem.status == 403 => Some("`jwksd whoami` says what you may do"),
            Self::Refused(problem) if problem.status >= 500 => Some("the daemon's log tells more under that request"),
            Self::Refused(_) | Self::Token { .. } | Self::TokenForm(_) | Self::Tls(_) => None,
        }
    }
}

impl Client {
    /// Gets ready to ask; nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Token`] or [`ClientError::TokenForm`] if there should be a token and is none,
    /// [`ClientError::Tls`] if the certificates can't be used,
    /// [`ClientError::Unreachable`] if the operating system has no means to connect at all.
    pub fn new(daemon: &Daemon) -> Result<Self, ClientError> {
        let target = daemon.admin.clone();
        let token = daemon.token_file.as_deref().map(read_token).transpose()?;
        if token.is_some() && !target.is_private() {
            let warning = format!("the token goes to {target} unencrypted; prefer its socket, https:// or a tunnel");
            output::say(&format!("{} {warning}", paint(DOUBTFUL, "warning:")));
        }
        let tls = match &target {
            Target::Tls { .. } => {
                let identity = daemon.cert.clone().zip(daemon.key.clone());
                let files = ClientFiles { ca: daemon.ca.clone(), identity };
                Some(client_config(&files).map_err(|error| ClientError::Tls(Box::new(error)))?)
            }
            Target::Tcp { .. } | Target::Unix(_) => None,
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| ClientError::Unreachable { target: target.clone(), source })?;
        Ok(Self { target, token, tls, runtime })
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`ClientError`]; nothing has changed.
    pub fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.ask(Method::GET, path, Bytes::new())
    }

    /// Asks for a change, once.
    ///
    /// # Errors
    /// [`ClientError`]; only [`ClientError::Unknown`] and [`ClientError::Unreadable`] leave room for a change.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(body).map_err(ClientError::Unreadable)?;
        self.ask(Method::POST, path, body.into())
    }

    /// Asks for something to be taken away, once.
    ///
    /// # Errors
    /// As for [`Client::post`].
    pub fn delete(&self, path: &str) -> Result<Answer, ClientError> {
        self.ask(Method::DELETE, path, Bytes::new())
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, ClientError> {
        let changes = method != Method::GET;
        let request = self.request(method, path, body);
        let answer = self.runtime.block_on(async {
            match &self.target {
                Target::Tcp { host, port } => {
                    let stream = self.connect(TcpStream::connect((host.as_str(), *port))).await?;
                    Ok(timeout(ANSWER_WITHIN, exchange(stream, request)).await)
                }
                Target::Tls { host, port } => {
                    let stream = self.connect(self.secured(host, *port)).await?;
                    Ok(timeout(ANSWER_WITHIN, exchange(stream, request)).await)
                }
                Target::Unix(path) => {
                    let stream = self.connect(UnixStream::connect(path)).await?;
                    Ok(timeout(ANSWER_WITHIN, exchange(stream, request)).await)
                }
            }
        })?;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let target = self.target.clone();
        let (status, body) = answer.map_err(|source| match changes {
            true => ClientError::Unknown { target: target.clone(), source },
            false => ClientError::Silent { target: target.clone(), source },
        })?;
        if status.is_success() {
            return Ok(Answer { body });
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(ClientError::Foreign { target, status }),
        }
    }

    async fn connect<S>(&self, connecting: impl Future<Output = io::Result<S>>) -> Result<S, ClientError> {
        let connected = timeout(CONNECT_WITHIN, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        connected.map_err(|source| ClientError::Unreachable { target: self.target.clone(), source })
    }

    async fn secured(&self, host: &str, port: u16) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        let config = self.tls.clone().ok_or(io::ErrorKind::Unsupported)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((host, port)).await?;
        TlsConnector::from(config).connect(name, stream).await
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let has_body = !body.is_empty();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("invariant: paths are made of names, numbers and escaped kids");
        let host = match &self.target {
            Target::Tcp { .. } | Target::Tls { .. } => {
                let target = self.target.to_string();
                HeaderValue::from_str(target.trim_start_matches("https://")).ok()
            }
            Target::Unix(_) => None,
        };
        let headers = request.headers_mut();
        headers.insert(HOST, host.unwrap_or_else(|| HeaderValue::from_static("localhost")));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("jwksd/", env!("CARGO_PKG_VERSION"))));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        request
    }
}

impl Answer {
    /// The answer as it came: JSON.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.body
    }

    /// The answer as a value.
    ///
    /// # Errors
    /// [`ClientError::Unreadable`] if the daemon speaks of things that this program does not know.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(ClientError::Unreadable)
    }
}

/// A text as one segment of a path. Points are escaped too: a kid may consist of nothing else.
#[must_use]
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<(StatusCode, Bytes)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with the sender; what goes wrong on it, the sender is told.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await.map_err(io::Error::other)?;
    Ok((status, body.to_bytes()))
}

fn read_token(path: &Path) -> Result<HeaderValue, ClientError> {
    let text = fs::read_to_string(path).map_err(|source| ClientError::Token { path: path.to_owned(), source })?;
    let token = text.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = is_token.then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok()).flatten();
    let mut header = header.ok_or_else(|| ClientError::TokenForm(path.to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The daemon's word for a change of which it does not know whether it was made.
const OUTCOME_UNKNOWN: &str = "outcome_unknown";
const LOOK_FIRST: &str = "look with `jwksd keys` and `jwksd plan` before you repeat it";
/// A daemon that is there is there at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The daemon itself gives up after a minute, and says so.
const ANSWER_WITHIN: Duration = Duration::from_secs(75);
/// A plan of a hundred years fits.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
