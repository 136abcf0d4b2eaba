//! Accepts connections and serves HTTP on each, until it is told to stop: HTTP/1.1, and over TLS HTTP/2 too.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::counters::Counters;
use super::paced::{Pace, Paced, Progress};
use super::secure::{self, Secure};
use super::{Listener, Socket, Units, unit};
use crate::access::caller::{Caller, Peer};

/// Serves every connection of `listener` with what `service` makes for its caller, until `stop` completes.
///
/// Then no connection is accepted, idle ones are closed, and requests that are under way are finished within
/// [`Limits::grace`](super::Limits::grace); the file of a Unix socket is gone before that. How long an
/// answer may take is for the service to bound.
///
/// Pipelined requests are answered one after the other, as HTTP/1.1 demands, without batching their answers.
pub async fn serve<F, S, B>(listener: Listener, counters: Counters, service: F, stop: impl Future<Output = ()>)
where
    F: Fn(Caller) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + Unpin + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Listener { socket, name, address: _, limits, tls, units } = listener;
    let mut stop = std::pin::pin!(stop);
    let mut http = http1::Builder::new();
    // The pace is kept below hyper, without a timer for each request.
    http.header_read_timeout(None).max_buf_size(limits.head_bytes.max(SMALLEST_BUFFER)).max_headers(HEADERS_MAX);
    let room = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let (draining, drained) = watch::channel(());
    let service = Arc::new(service);
    let mut connections = JoinSet::new();
    let mut is_full = false;
    info!(listener = name, "listening");
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = socket.accept(units) => accepted,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                reaped(name, ended);
                continue;
            }
        };
        while let Some(ended) = connections.try_join_next() {
            reaped(name, ended);
        }
        let (stream, caller) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_the_peer(&error) => continue,
            Err(error) => {
                // Out of descriptors or memory: a moment's rest lets connections end.
                error!(listener = name, error = %error, "connection could not be accepted");
                sleep(REST).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            counters.turned_away.inc();
            if !std::mem::replace(&mut is_full, true) {
                warn!(listener = name, "connection limit reached");
            }
            continue;
        };
        is_full = false;
        counters.accepted.inc();
        let open = Open::new(&counters.open);
        let stream: Box<dyn Stream> = match (stream, &tls) {
            (Accepted::Tcp(stream), Some(endpoint)) => {
                let secure = Secure {
                    name,
                    generation: endpoint.current(),
                    http: http.clone(),
                    limits,
                    counters: counters.clone(),
                    drained: drained.clone(),
                };
                let service = Arc::clone(&service);
                connections.spawn(async move {
                    secure::serve(secure, stream, caller, service).await;
                    drop((open, permit));
                });
                continue;
            }
            (Accepted::Tcp(stream), None) => Box::new(stream),
            (Accepted::Unix(stream), _) => Box::new(stream),
        };
        let progress = Progress::default();
        let io = TokioIo::new(Paced::new(stream, Pace::OneByOne, progress.clone(), limits.head, limits.idle));
        let watched = Watched { service: service(caller), progress };
        let connection = graceful.watch(http.serve_connection(io, watched));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                debug!(error = %error, "connection ended early");
            }
            drop((open, permit));
        });
    }
    drop(socket);
    drop(draining);
    info!(listener = name, "listener drains");
    let all = async {
        graceful.shutdown().await;
        while let Some(ended) = connections.join_next().await {
            reaped(name, ended);
        }
    };
    if timeout(limits.grace, all).await.is_err() {
        warn!(listener = name, "requests were cut off at the end of the grace period");
    }
    connections.shutdown().await;
}

/// A connection is over. One that panicked has taken down nobody but itself, but is a defect.
fn reaped(listener: &'static str, ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(listener, error = %error, "connection panicked");
    }
}

/// hyper refuses less.
const SMALLEST_BUFFER: usize = 8 * 1_024;

/// Nobody needs more headers.
const HEADERS_MAX: usize = 64;

const REST: Duration = Duration::from_millis(100);

/// Whether only this one connection has failed.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

impl Socket {
    async fn accept(&self, units: Units) -> io::Result<(Accepted, Caller)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // An answer is one write; waiting for more would only delay it.
                stream.set_nodelay(true)?;
                Ok((Accepted::Tcp(stream), Caller::at(Peer::Tcp(address))))
            }
            Self::Unix(listener, _file) => {
                let (stream, _) = listener.accept().await?;
                let credentials = stream.peer_cred()?;
                let peer = Peer::Unix { uid: credentials.uid(), gid: credentials.gid() };
                let unit = match (units, credentials.pid()) {
                    (Units::Asked, Some(pid)) => unit::of(pid, credentials.uid()),
                    (Units::Asked, None) | (Units::Ignored, _) => None,
                };
                Ok((Accepted::Unix(stream), Caller { unit, ..Caller::at(peer) }))
            }
        }
    }
}

/// A connection before anything was said on it.
enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Counts one connection while it lives.
struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Tells the pace when requests begin and end.
pub(super) struct Watched<S> {
    pub(super) service: S,
    pub(super) progress: Progress,
}

impl<S> Service<Request<Incoming>> for Watched<S>
where
    S: Service<Request<Incoming>>,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.progress.begin();
        Answering { answer: self.service.call(request), progress: self.progress.clone() }
    }
}

pub(super) struct Answering<F> {
    answer: F,
    progress: Progress,
}

impl<F: Future + Unpin> Future for Answering<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.answer).poll(cx);
        if answer.is_ready() {
            self.progress.end();
        }
        answer
    }
}
