//! The listener, and the ways in which an answer does not come.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::routes::{self, Answer};
use super::{Fault, Moment, Project};

/// It runs on threads of its own, so that blocking tests can have one.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    pub(super) fn start(project: &Arc<Mutex<Project>>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, Arc::clone(project)));
        Self { address, runtime: Some(runtime) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not awaited: tests drop it inside and outside of other runtimes.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

async fn serve(listener: std::net::TcpListener, project: Arc<Mutex<Project>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let project = Arc::clone(&project);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &project));
            // How a connection ends is the client's affair, and often what a test is about.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Answers, or fails so that the connection ends.
async fn answer(request: Request<Incoming>, project: &Mutex<Project>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let query = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query: BTreeMap<_, _> = query.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = head.uri.path();
    let Some(asked) = routes::Request::new(head.method.as_str(), path, query, body) else {
        let text = format!("There is no {} {path}.", head.method);
        return Ok(whole(routes::error(404, "NOT_FOUND", text)));
    };
    let gone = || Err(io::ErrorKind::ConnectionAborted.into());
    let (fault, trap) = project.lock().unwrap().enter(asked.method);
    match fault {
        Some(Fault::Status(status, code)) => return Ok(whole(routes::error(status, code, "Told to fail.".to_owned()))),
        Some(Fault::Reset) => return gone(),
        Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    let (before, after) = match trap {
        Some(trap) if trap.moment == Moment::Before => (Some(trap.act), None),
        trap => (None, trap.map(|trap| trap.act)),
    };
    if let Some(act) = before {
        act();
        return gone();
    }
    let answer = asked.act(&mut project.lock().unwrap(), fault);
    if let Some(act) = after {
        act();
        return gone();
    }
    match fault {
        Some(Fault::Lost) => gone(),
        Some(Fault::Cut) => Ok(cut(answer)),
        _ => Ok(whole(answer)),
    }
}

fn whole((status, body): Answer) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never: Infallible| match never {});
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(body.boxed_unsync()).unwrap()
}

/// The first half of an answer, and then nothing more.
fn cut((status, body): Answer) -> Response<Body> {
    let text = body.to_string();
    let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    let pieces = [Ok(Frame::data(half)), Err(io::ErrorKind::ConnectionAborted.into())];
    let body = StreamBody::new(futures_util::stream::iter(pieces));
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.header(CONTENT_LENGTH, text.len()).body(BodyExt::boxed_unsync(body)).unwrap()
}

/// Without its percent signs and pluses.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(&String::from_utf8(digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}
