//! A connection over TLS: the handshake, who the client is, and HTTP/1.1 or HTTP/2 as both sides can.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulConnection;
use rustls::{CertificateError, Error as TlsFault};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info};

use super::Limits;
use super::counters::Counters;
use super::paced::{Many, Pace, Paced, Progress, UnderWay};
use super::serve::Watched;
use crate::access::caller::Caller;
use crate::tls::{Generation, inspect};

/// What a connection over TLS is served with.
pub(super) struct Secure {
    pub(super) name: &'static str,
    pub(super) generation: Arc<Generation>,
    pub(super) http: http1::Builder,
    pub(super) limits: Limits,
    pub(super) counters: Counters,
    /// Closed when the listener drains.
    pub(super) drained: watch::Receiver<()>,
}

/// Shakes hands within the time that a request's head is given, then serves until either side has had enough.
pub(super) async fn serve<F, S, B>(secure: Secure, stream: TcpStream, connected: Caller, service: Arc<F>)
where
    F: Fn(Caller) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + Unpin + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Secure { name, generation, http, limits, counters, drained } = secure;
    let superseded = generation.superseded.clone();
    let acceptor = TlsAcceptor::from(Arc::clone(&generation.config));
    // While this is held, nobody learns that it was superseded.
    drop(generation);
    let shaken = tokio::select! {
        () = closed(drained.clone()) => return,
        shaken = timeout(limits.head, acceptor.accept(stream)) => shaken,
    };
    let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = match shaken {
        Ok(stream) => stream,
        Err(error) => {
            let reason = reason(&error);
            if let Some(unsaid) = counters.handshake_failed(reason) {
                info!(listener = name, caller = %connected, reason, unsaid, error = %error, "TLS handshake failed");
            }
            return;
        }
    };
    let caller = caller(connected, &stream);
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let is_known = caller.certificate.is_some();
    let service = service(caller);
    // A client that was let in by its certificate is asked again once those who may enter have changed.
    let told = async move {
        tokio::select! {
            () = closed(drained) => {}
            () = closed(superseded), if is_known => {}
        }
    };
    let progress = Progress::default();
    let ended: Result<(), hyper::Error> = if is_h2 {
        let many = progress.clone().many();
        let io = TokioIo::new(Paced::new(stream, Pace::Many, progress, limits.head, limits.idle));
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.max_concurrent_streams(STREAMS_MAX).max_header_list_size(header_list(&limits));
        until_told(http.serve_connection(io, Multiplexed { service, many }), told).await
    } else {
        let io = TokioIo::new(Paced::new(stream, Pace::OneByOne, progress.clone(), limits.head, limits.idle));
        until_told(http.serve_connection(io, Watched { service, progress }), told).await
    };
    if let Err(error) = ended {
        debug!(listener = name, error = %error, "connection ended early");
    }
}

/// Requests at once on one connection of HTTP/2: what browsers and proxies expect, and few enough to be fair.
const STREAMS_MAX: u32 = 100;

fn header_list(limits: &Limits) -> u32 {
    u32::try_from(limits.head_bytes).unwrap_or(u32::MAX)
}

/// Completes when the sender is gone.
async fn closed(mut receiver: watch::Receiver<()>) {
    while receiver.changed().await.is_ok() {}
}

/// Serves a connection; when told, takes no further request, and finishes those that are under way.
async fn until_told<C>(connection: C, told: impl Future<Output = ()>) -> Result<(), C::Error>
where
    C: GracefulConnection,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = told => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Whoever is at the other end; the certificate was verified in the handshake.
fn caller(connected: Caller, stream: &TlsStream<TcpStream>) -> Caller {
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let names = leaf.and_then(inspect).map(|leaf| Arc::new(leaf.names));
    Caller { certificate: names, ..connected }
}

/// Why a handshake came to nothing, in a word for metrics.
fn reason(error: &io::Error) -> &'static str {
    let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsFault>()) else {
        return if error.kind() == io::ErrorKind::TimedOut { "timed_out" } else { "disconnected" };
    };
    match fault {
        TlsFault::NoCertificatesPresented => "certificate_missing",
        TlsFault::InvalidCertificate(CertificateError::Revoked) => "certificate_revoked",
        TlsFault::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "certificate_out_of_date",
        TlsFault::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "certificate_of_a_stranger"
        }
        TlsFault::InvalidCertificate(
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. },
        )
        | TlsFault::InvalidCertRevocationList(_) => "revocation_unknown",
        TlsFault::InvalidCertificate(_) => "certificate_invalid",
        TlsFault::PeerIncompatible(_) | TlsFault::NoApplicationProtocol => "nothing_in_common",
        TlsFault::AlertReceived(_) => "refused_by_the_client",
        TlsFault::InvalidMessage(_) | TlsFault::InappropriateMessage { .. } => "not_tls",
        _ => "other",
    }
}

/// Tells the pace of every request of a connection that takes many at once.
struct Multiplexed<S> {
    service: S,
    many: Many,
}

impl<S> Service<Request<Incoming>> for Multiplexed<S>
where
    S: Service<Request<Incoming>>,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Counted<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Counted { _under_way: self.many.begin(), answer: self.service.call(request) }
    }
}

struct Counted<F> {
    answer: F,
    _under_way: UnderWay,
}

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx)
    }
}
