//! The signing listener: claims in, tokens out.
//!
//! Written on hyper alone: a request is one match on its path, one look at the grants, one strict read of
//! its body, and the signer. What may be signed is the signer's to decide; who may ask is decided here.

pub mod admission;
mod batch;
pub(super) mod endpoints;
mod refusal;
mod route;
mod wanted;

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, Request};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::time::timeout;

use super::caller::{Access, identify};
use super::http::{Answer, BodyLimits, check_json, discard, read_body, succeeded};
use super::problem::{Code, Refusal};
use super::whoami::Sites;
use super::{RequestIds, openapi};
use crate::access::caller::Caller;
use crate::clock::Clock;
use crate::ids::{IssuerId, RingName};
use crate::signer::{Asker, Signer, Target};
use crate::snapshot::Places;
use crate::telemetry::{Metrics, SignMetrics};

use admission::{Admission, Limits};
use endpoints::Call;
use route::{Endpoint, Route};

/// How much the signing listener takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most bytes of a request that asks for one signature.
    pub body: usize,
    /// The most bytes of a batch.
    pub batch_body: usize,
    /// The most requests in a batch.
    pub batch: usize,
    /// How many requests of one batch are worked on at once; well below what a backend admits.
    pub batch_at_once: usize,
    /// How many requests are worked on at once.
    pub in_flight: usize,
    /// How much of that one caller and one ring may have.
    pub limits: Limits,
    /// How long a body may take to arrive; shorter than `within`, so that a slow caller is told that it is slow.
    pub body_within: Duration,
    /// How long a request may take, its body included.
    pub within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body: 128 * 1_024,
            batch_body: 4 * 1_024 * 1_024,
            batch: 1_000,
            batch_at_once: 32,
            in_flight: 1_024,
            limits: Limits::default(),
            body_within: Duration::from_secs(10),
            within: Duration::from_secs(30),
        }
    }
}

/// Everything that the signing listener needs. Clones share it.
#[derive(Debug, Clone)]
pub struct Signing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    signer: Arc<Signer>,
    access: Access,
    clock: Arc<dyn Clock>,
    settings: Settings,
    metrics: Arc<Metrics>,
    rings: HashMap<IssuerId, HashMap<RingName, SignMetrics>>,
    admission: Admission,
    /// The rings of every issuer, for `whoami`.
    sites: Sites,
    ids: RequestIds,
    openapi: Bytes,
}

impl Signing {
    /// A signing listener for the issuers of `places`, which are the signer's.
    #[must_use]
    pub fn new(
        signer: Arc<Signer>,
        places: &Places,
        access: Access,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        settings: Settings,
    ) -> Self {
        let of_ring = |issuer: &IssuerId, ring: &RingName| {
            let handles = SignMetrics::for_ring(&metrics, issuer, ring);
            (ring.clone(), handles)
        };
        let rings = places.iter().map(|(issuer, place)| {
            let rings = place.settings.rings.keys().map(|ring| of_ring(issuer, ring)).collect();
            (issuer.clone(), rings)
        });
        let rings = rings.collect();
        let admission = Admission::new(settings.in_flight, settings.limits, Arc::clone(&clock));
        let sites = Sites::of(places);
        let openapi = Bytes::from(openapi::signing());
        let ids = RequestIds::default();
        Self(Arc::new(Inner { signer, access, clock, settings, metrics, rings, admission, sites, ids, openapi }))
    }

    /// What answers the requests of one connection.
    #[must_use]
    pub fn connection(&self, caller: Caller) -> Connection {
        Connection { signing: self.clone(), caller: Arc::new(caller) }
    }
}

/// One connection to the signing listener.
#[derive(Debug, Clone)]
pub struct Connection {
    signing: Signing,
    caller: Arc<Caller>,
}

impl Service<Request<Incoming>> for Connection {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (signing, caller) = (Arc::clone(&self.signing.0), Arc::clone(&self.caller));
        Box::pin(async move { Ok(signing.answer(&caller, request).await) })
    }
}

impl Inner {
    async fn answer(&self, connected: &Caller, mut request: Request<Incoming>) -> Answer {
        let request_id = self.ids.name(request.headers());
        let caller = match identify(&self.access.trusted, connected, request.headers()).await {
            Ok(caller) => caller,
            Err(refusal) => return self.refused(&refusal, connected, &request_id),
        };
        let asker = Asker { caller, request_id };
        let worked = timeout(self.settings.within, self.work(&asker, &mut request)).await;
        match worked.unwrap_or_else(|_| Err(Code::TimedOut.refusal("the request took too long").retry_after(1))) {
            Ok(body) => succeeded(body, &asker.request_id),
            Err(refusal) => {
                let version = request.version();
                discard(request.body_mut(), version).await;
                let mut answer = self.refused(&refusal, &asker.caller, &asker.request_id);
                if let Some(methods) = allowed_methods(request.uri().path(), &refusal) {
                    answer.headers_mut().insert(ALLOW, methods);
                }
                answer
            }
        }
    }

    async fn work(&self, asker: &Asker, request: &mut Request<Incoming>) -> Result<Bytes, Refusal> {
        let Route { issuer, ring, endpoint } = match route::find(request.uri().path()) {
            Some(route) => route,
            None if request.uri().path() == OPENAPI => return self.openapi(request.method()),
            None if request.uri().path() == WHOAMI => return self.whoami(request.method(), &asker.caller),
            None => return Err(Code::NotFound.refusal("there is nothing here")),
        };
        if !endpoint.takes(request.method()) {
            return Err(Code::MethodNotAllowed.refusal("see the header Allow"));
        }
        if request.uri().query().is_some() {
            return Err(Code::QueryNotAllowed.refusal("leave the query out"));
        }
        // Before anything is looked up: who is not granted something can't tell whether it exists.
        let permit = endpoint
            .operations()
            .iter()
            .find_map(|operation| self.access.grants.permit(&asker.caller, *operation, &issuer, &ring));
        let permit = permit.ok_or_else(|| Code::NotGranted.refusal("no grant lets you do this here"))?;
        // Before the body is read: whoever is turned away sends it in vain, and takes no memory.
        let pass = self.admission.enter(asker.caller.account(), (issuer.clone(), ring.clone())).await?;
        let text = if endpoint == Endpoint::Signer {
            Bytes::new()
        } else {
            check_json(request.headers())?;
            let bytes = if endpoint == Endpoint::Batch { self.settings.batch_body } else { self.settings.body };
            read_body(request.body_mut(), BodyLimits { bytes, within: self.settings.body_within }).await?
        };
        let text = str::from_utf8(&text).map_err(|_| Code::BodyNotUtf8.refusal("the body is not UTF-8"))?;
        let target = Target { issuer: &issuer, ring: &ring };
        let metrics = self.rings.get(&issuer).and_then(|rings| rings.get(&ring));
        let call = Call {
            signer: &self.signer,
            clock: &*self.clock,
            settings: &self.settings,
            metrics,
            counts: &self.metrics,
            asker,
            permit: &permit,
            pass: &pass,
            target,
        };
        match endpoint {
            Endpoint::Jwt => endpoints::jwt(&call, text).await,
            Endpoint::Batch => endpoints::jwt_batch(&call, text).await,
            Endpoint::Signer => endpoints::signer(&call),
            Endpoint::Signature => endpoints::signature(&call, text).await,
            Endpoint::Digest => endpoints::digest_signature(&call, text).await,
        }
    }

    fn whoami(&self, method: &Method, caller: &Caller) -> Result<Bytes, Refusal> {
        let is_read = *method == Method::GET || *method == Method::HEAD;
        let who = is_read.then(|| self.sites.who_is(&self.access.grants, caller));
        endpoints::json(&who.ok_or_else(|| Code::MethodNotAllowed.refusal("see the header Allow"))?)
    }

    fn openapi(&self, method: &Method) -> Result<Bytes, Refusal> {
        let is_read = *method == Method::GET || *method == Method::HEAD;
        is_read.then(|| self.openapi.clone()).ok_or_else(|| Code::MethodNotAllowed.refusal("see the header Allow"))
    }

    fn refused(&self, refusal: &Refusal, caller: &Caller, request_id: &str) -> Answer {
        self.metrics.refused(refusal.code);
        refusal.log(&self.metrics, caller, request_id);
        refusal.answer(request_id)
    }
}

const OPENAPI: &str = "/openapi.json";
const WHOAMI: &str = "/v1/whoami";

fn allowed_methods(path: &str, refusal: &Refusal) -> Option<HeaderValue> {
    if refusal.code != Code::MethodNotAllowed.as_str() {
        return None;
    }
    let takes_post = route::find(path).is_some_and(|route| route.endpoint != Endpoint::Signer);
    Some(HeaderValue::from_static(if takes_post { "POST" } else { "GET, HEAD" }))
}
