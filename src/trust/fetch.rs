//! Fetches a JWK Set: one request, no redirects, within ten seconds and 256 KiB.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Why there is no JWK Set.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The URL has no host.
    #[error("the URL names no host")]
    Url,
    /// It took too long.
    #[error("no answer within {} seconds", WITHIN.as_secs())]
    Slow,
    /// The connection failed.
    #[error("no connection")]
    Connection(#[source] io::Error),
    /// The exchange failed.
    #[error("no answer")]
    Exchange(#[source] hyper::Error),
    /// Something else was answered; a redirect is not followed.
    #[error("answered with HTTP status {0}")]
    Status(StatusCode),
    /// The body did not arrive, or is too long.
    #[error("no body of at most {SIZE_MAX} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file can't be read.
    #[error("reading {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The reading broke off.
    #[error("reading broke off")]
    BrokeOff(#[source] JoinError),
    /// It is not text.
    #[error("the answer is not UTF-8")]
    NotText,
}

const WITHIN: Duration = Duration::from_secs(10);
const SIZE_MAX: usize = 256 * 1_024;

/// The text at `url`, over TLS if there is a configuration for it.
pub(super) async fn url(url: &Uri, tls: Option<&Arc<ClientConfig>>) -> Result<String, FetchError> {
    timeout(WITHIN, get(url, tls)).await.unwrap_or(Err(FetchError::Slow))
}

/// The text of a file.
pub(super) async fn file(path: &std::path::Path) -> Result<String, FetchError> {
    let wanted = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let length = std::fs::metadata(&wanted)?.len();
        if length > SIZE_MAX as u64 {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            std::fs::read_to_string(&wanted)
        }
    });
    let read = read.await.map_err(FetchError::BrokeOff)?;
    read.map_err(|source| FetchError::File { path: path.to_owned(), source })
}

async fn get(url: &Uri, tls: Option<&Arc<ClientConfig>>) -> Result<String, FetchError> {
    let host = url.host().ok_or(FetchError::Url)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let stream = TcpStream::connect((bare, port)).await.map_err(FetchError::Connection)?;
    match tls {
        None => exchange(stream, url).await,
        Some(config) => {
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| FetchError::Url)?;
            let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
            exchange(stream.map_err(FetchError::Connection)?, url).await
        }
    }
}

async fn exchange<S>(stream: S, url: &Uri) -> Result<String, FetchError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(FetchError::Exchange)?;
    // It ends with the sender; what goes wrong on it, the sender is told.
    tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = url.path_and_query().and_then(|path| path.as_str().parse().ok()).ok_or(FetchError::Url)?;
    let headers = request.headers_mut();
    let authority = url.authority().ok_or(FetchError::Url)?.as_str();
    headers.insert(HOST, HeaderValue::from_str(authority).map_err(|_| FetchError::Url)?);
    headers.insert(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("jwksd/", env!("CARGO_PKG_VERSION"))));
    let response = sender.send_request(request).await.map_err(FetchError::Exchange)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), SIZE_MAX).collect().await.map_err(FetchError::Body)?;
    String::from_utf8(body.to_bytes().to_vec()).map_err(|_| FetchError::NotText)
}
