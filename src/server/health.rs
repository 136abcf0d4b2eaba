//! Whether the daemon lives, whether it does its work, and what it counts: for balancers and dashboards.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::Service;

use super::RequestIds;
use super::api::{IssuerReadiness, Readiness};
use super::http::{Answer, JSON, NO_STORE};
use super::problem::{Code, Refusal};
use crate::audit::Audit;
use crate::ids::{IssuerId, RingName};
use crate::rotator::Rotator;
use crate::snapshot::Place;
use crate::telemetry::Metrics;

/// What is known of the daemon's health. It is looked up when it is asked for, from memory.
#[derive(Debug)]
pub struct Health {
    rotator: Arc<Rotator>,
    audit: Audit,
    metrics: Arc<Metrics>,
    /// Whether an issuer was published in an earlier run.
    is_established: bool,
    is_draining: AtomicBool,
}

impl Health {
    /// The health of the daemon around `rotator` and `audit`.
    #[must_use]
    pub fn new(rotator: Arc<Rotator>, audit: Audit, metrics: Arc<Metrics>) -> Self {
        let is_established = rotator.places.iter().any(|(_, place)| was_published(place));
        Self { rotator, audit, metrics, is_established, is_draining: AtomicBool::new(false) }
    }

    /// From now on the daemon is not ready, so that balancers turn away. Call this some time before the
    /// listeners stop.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Whether everything works, with the issuers that `is_shown` lets through.
    ///
    /// `ready` counts the other issuers too, but not rings that only wait until every verifier can know their
    /// next version: while the daemon is turned away from, no verifier learns of it. Nor does an issuer count that was
    /// added to others and was never published: nobody needs it yet, and those must not be turned away from for it.
    #[must_use]
    pub fn readiness(&self, is_shown: impl Fn(&IssuerId) -> bool) -> Readiness {
        let reasons = self.reasons();
        let mut all_ready = reasons.is_empty();
        let mut issuers = Vec::new();
        for (id, place) in self.rotator.places.iter() {
            let issuer = self.issuer(id, place);
            let is_new = self.is_established && !was_published(place);
            all_ready &= is_new || issuer.ready || self.waits_for_verifiers(place);
            if is_shown(id) {
                issuers.push(issuer);
            }
        }
        issuers.sort_by(|a, b| a.issuer.cmp(&b.issuer));
        self.metrics.ready.set(all_ready.into());
        Readiness { ready: all_ready, reasons, issuers }
    }

    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.is_draining.load(Ordering::Acquire) {
            reasons.push("the daemon is about to stop".to_owned());
        }
        if self.audit.is_impaired() {
            reasons.push("the last write to the audit log failed".to_owned());
        }
        reasons
    }

    /// Whether the set is served, and each ring either signs or is to sign at a moment that is still ahead.
    fn waits_for_verifiers(&self, place: &Place) -> bool {
        let pending = place.pending_for(self.rotator.clock.monotonic());
        let state = place.state();
        let now = self.rotator.now_of(&state);
        let is_well = |ring: &RingName| {
            state.ring(ring.as_str()).is_some_and(|ring| {
                let waits = ring.next_may_sign_at.is_some_and(|at| now < at);
                pending <= ring.stale_after && (ring.signer.is_some() || waits)
            })
        };
        place.served().is_some() && place.settings.rings.keys().all(is_well)
    }

    fn issuer(&self, id: &IssuerId, place: &Place) -> IssuerReadiness {
        let served = place.served().as_ref().map(|served| served.version.get());
        let pending = place.pending_for(self.rotator.clock.monotonic());
        let state = place.state();
        let signs = |ring: &&RingName| {
            let ring = state.ring(ring.as_str());
            ring.is_some_and(|ring| ring.signer.is_some() && pending <= ring.stale_after)
        };
        let rings = place.settings.rings.keys();
        let mut without_signer: Vec<String> = rings.filter(|ring| !signs(ring)).map(ToString::to_string).collect();
        without_signer.sort();
        let ready = served.is_some() && without_signer.is_empty();
        IssuerReadiness { issuer: id.to_string(), ready, served, without_signer }
    }

    /// The answer to `GET` of this path, if it is one of `/livez` and `/readyz`.
    ///
    /// `/livez` depends on nothing: to restart a daemon because its backend is down helps nobody.
    pub(super) fn answer(&self, path: &str) -> Option<Answer> {
        match path {
            "/livez" => Some(text(Bytes::from_static(b"ok\n"), "text/plain; charset=utf-8")),
            "/readyz" => {
                let readiness = self.readiness(|_| true);
                let body = serde_json::to_vec(&readiness).unwrap_or_default();
                let mut answer = Response::new(Full::new(Bytes::from(body)));
                if !readiness.ready {
                    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                answer.headers_mut().insert(CONTENT_TYPE, JSON);
                answer.headers_mut().insert(CACHE_CONTROL, NO_STORE);
                Some(answer)
            }
            _ => None,
        }
    }
}

fn was_published(place: &Place) -> bool {
    place.state().issuer().state().published.is_some()
}

/// The metrics listener: `/livez`, `/readyz` and `/metrics`, for everybody who can connect.
#[derive(Debug, Clone)]
pub struct Monitor {
    health: Arc<Health>,
    ids: Arc<RequestIds>,
}

impl Monitor {
    /// Answers for `health`.
    #[must_use]
    pub fn new(health: Arc<Health>) -> Self {
        Self { health, ids: Arc::default() }
    }

    fn answer(&self, request: &Request<Incoming>) -> Result<Answer, Refusal> {
        let path = request.uri().path();
        if !matches!(path, "/livez" | "/readyz" | "/metrics") {
            return Err(Code::NotFound.refusal("see /livez, /readyz and /metrics"));
        }
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            return Err(Code::MethodNotAllowed.refusal("see the header Allow"));
        }
        if let Some(answer) = self.health.answer(path) {
            return Ok(answer);
        }
        // What a scraper sees of the state is as new as the scrape.
        let _ = self.health.readiness(|_| false);
        self.health.rotator.show_gauges();
        let failed = |error| Code::Internal.refusal("the metrics can't be written").because(&error);
        let page = self.health.metrics.encode().map_err(failed)?;
        Ok(text(Bytes::from(page), "application/openmetrics-text; version=1.0.0; charset=utf-8"))
    }
}

impl Service<Request<Incoming>> for Monitor {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        ready(Ok(self.answer(&request).unwrap_or_else(|refusal| {
            let mut answer = refusal.answer(&self.ids.name(request.headers()));
            if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            answer
        })))
    }
}

fn text(body: Bytes, media_type: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    answer
}
