//! The public listener: JWK Sets for verifiers, from memory, as ready bytes.
//!
//! Nothing here locks, waits, or touches store and backend. Answers may be kept by anyone; each says for
//! how long.
//!
//! `<url>/.well-known/jwks/<version>.json` shows what was published once, for audits and for tests of caches.
//! Such a set holds keys that were withdrawn since, compromised ones among them: **verify nothing with it**. Its
//! `Link` header points at the set that counts.

mod accept;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    LINK, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::Service;
use tracing::debug;

use super::RequestIds;
use super::http::{Answer, JSON, JWK_SET_VERSION, NOSNIFF};
use super::problem::Code;
use crate::clock::Clock;
use crate::ids::JwkSetVersion;
use crate::jose::jwk_set;
use crate::snapshot::{Place, Places, Served};
use crate::telemetry::{JwksMetrics, Metrics};

use accept::{Form, chosen, matches_etag};

/// Answers verifiers. Clones share everything.
#[derive(Debug, Clone)]
pub struct Jwks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    ids: RequestIds,
    /// By the whole path of a document.
    documents: HashMap<String, (Document, Arc<Site>)>,
    /// By what stands before the version in the path of an old set.
    histories: HashMap<String, Arc<Site>>,
}

#[derive(Debug, Clone, Copy)]
enum Document {
    JwkSet,
    OpenidConfiguration,
}

/// One issuer.
#[derive(Debug)]
struct Site {
    place: Arc<Place>,
    metrics: JwksMetrics,
    /// `Link` of its old sets.
    latest: HeaderValue,
}

impl Jwks {
    /// Serves the issuers of `places`, each below the path of its URL.
    #[must_use]
    pub fn new(places: &Places, clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let mut documents = HashMap::new();
        let mut histories = HashMap::new();
        for (id, place) in places.iter() {
            let path = &place.settings.path;
            let link = format!("<{path}/.well-known/jwks.json>; rel=\"latest-version\"");
            let latest = HeaderValue::from_str(&link).unwrap_or(HeaderValue::from_static(""));
            let metrics = JwksMetrics::for_issuer(metrics, id);
            let site = Arc::new(Site { place: Arc::clone(place), metrics, latest });
            documents.insert(format!("{path}/.well-known/jwks.json"), (Document::JwkSet, Arc::clone(&site)));
            if place.settings.openid_configuration {
                let discovery = format!("{path}/.well-known/openid-configuration");
                documents.insert(discovery, (Document::OpenidConfiguration, Arc::clone(&site)));
            }
            histories.insert(format!("{path}/.well-known/jwks/"), site);
        }
        Self(Arc::new(Inner { clock, ids: RequestIds::default(), documents, histories }))
    }

    /// The answer to a request with this head; verifiers send no bodies.
    #[must_use]
    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Answer {
        let answer = match self.0.documents.get(path) {
            Some((document, site)) => {
                let answer = self.document(*document, site, method, headers);
                site.metrics.answered(answer.status().as_u16());
                answer
            }
            None => self.history(path, method, headers),
        };
        debug!(listener = "public", action = path, "verifier answered");
        answer
    }

    fn document(&self, document: Document, site: &Site, method: &Method, headers: &HeaderMap) -> Answer {
        if let Some(answer) = self.other_method(method, headers) {
            return answer;
        }
        let served = site.place.served();
        let Some(served) = served.as_ref() else {
            return self.refused(headers, Code::NotPublished, "the first keys of this issuer are being made", Some(5));
        };
        match document {
            Document::JwkSet => self.jwk_set(served, headers),
            Document::OpenidConfiguration => match &served.openid_configuration {
                Some(body) => self.openid_configuration(served, body),
                None => self.refused(headers, Code::NotFound, NOTHING, None),
            },
        }
    }

    fn jwk_set(&self, served: &Served, headers: &HeaderMap) -> Answer {
        let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| matches_etag(known, &served.etag));
        let mut answer = Response::new(if is_known { Full::default() } else { Full::new(served.body.clone()) });
        *answer.headers_mut() = served.head.get_or_init(|| head_of(served)).clone();
        if is_known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer.headers_mut().remove(CONTENT_TYPE);
        } else if chosen(headers.get_all(ACCEPT)) == Form::Json {
            answer.headers_mut().insert(CONTENT_TYPE, JSON);
        }
        if let Some(shorter) = served.shorter_cache_control(self.0.clock.now()) {
            answer.headers_mut().insert(CACHE_CONTROL, shorter);
        }
        answer
    }

    fn openid_configuration(&self, served: &Served, body: &Bytes) -> Answer {
        let mut answer = document(body.clone(), JSON);
        let head = answer.headers_mut();
        let shorter = served.shorter_cache_control(self.0.clock.now());
        head.insert(CACHE_CONTROL, shorter.unwrap_or_else(|| served.cache_control.clone()));
        open_to_all(head);
        answer
    }

    /// An old set, or nothing.
    fn history(&self, path: &str, method: &Method, headers: &HeaderMap) -> Answer {
        let found = path.rsplit_once('/').and_then(|(before, name)| {
            let site = self.0.histories.get(path.get(..before.len() + 1)?)?;
            Some((site, version(name.strip_suffix(".json")?)?))
        });
        let Some((site, version)) = found else {
            return self.refused(headers, Code::NotFound, NOTHING, None);
        };
        let answer = self.other_method(method, headers).unwrap_or_else(|| self.old_set(site, version, headers));
        site.metrics.answered(answer.status().as_u16());
        answer
    }

    fn old_set(&self, site: &Site, version: JwkSetVersion, headers: &HeaderMap) -> Answer {
        let served = site.place.served().as_ref().map(|served| served.version);
        if version.get() == 0 || served.is_none_or(|served| version > served) {
            return self.refused(headers, Code::NotFound, "this version was not published", None);
        }
        let state = site.place.state();
        let Some(keys) = state.issuer().jwk_set_at(version) else {
            return self.refused(headers, Code::Gone, "this version is not remembered any more", None);
        };
        let body = Bytes::from(jwk_set::render(keys));
        let mut answer = document(body, media_type(headers));
        let head = answer.headers_mut();
        head.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        head.insert(JWK_SET_VERSION, version.get().into());
        head.insert(LINK, site.latest.clone());
        head.insert(VARY, HeaderValue::from_static("accept"));
        open_to_all(head);
        answer
    }

    /// The answer to anything but GET and HEAD, for which the body of an answer is left out below us.
    fn other_method(&self, method: &Method, headers: &HeaderMap) -> Option<Answer> {
        if *method == Method::GET || *method == Method::HEAD {
            return None;
        }
        if *method == Method::OPTIONS {
            return Some(preflight());
        }
        let detail = "a JWK Set can only be read";
        let mut answer = self.refused(headers, Code::MethodNotAllowed, detail, None);
        answer.headers_mut().insert(ALLOW, METHODS);
        Some(answer)
    }

    fn refused(&self, headers: &HeaderMap, code: Code, detail: &'static str, retry_after: Option<u64>) -> Answer {
        let mut refusal = code.refusal(detail);
        refusal.retry_after = retry_after;
        let mut answer = refusal.answer(&self.0.ids.name(headers));
        answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
        answer
    }
}

impl Service<Request<Incoming>> for Jwks {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path(), request.headers())))
    }
}

const NOTHING: &str = "no document has this path";

/// Room for every header of an answer, and for those that hyper adds.
const HEADERS: usize = 16;

const JWK_SET_JSON: HeaderValue = HeaderValue::from_static("application/jwk-set+json");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const ANYONE: HeaderValue = HeaderValue::from_static("*");

fn document(body: Bytes, media_type: HeaderValue) -> Answer {
    let mut answer = Response::new(Full::new(body));
    let head = answer.headers_mut();
    *head = HeaderMap::with_capacity(HEADERS);
    head.insert(CONTENT_TYPE, media_type);
    answer
}

/// The usual head of an answer with the newest set.
fn head_of(served: &Served) -> HeaderMap {
    let mut head = HeaderMap::with_capacity(HEADERS);
    head.insert(CONTENT_TYPE, JWK_SET_JSON);
    head.insert(ETAG, served.etag.clone());
    head.insert(CACHE_CONTROL, served.cache_control.clone());
    head.insert(JWK_SET_VERSION, served.version_header.clone());
    head.insert(VARY, HeaderValue::from_static("accept"));
    open_to_all(&mut head);
    head
}

fn media_type(headers: &HeaderMap) -> HeaderValue {
    match chosen(headers.get_all(ACCEPT)) {
        Form::JwkSet => JWK_SET_JSON,
        Form::Json => JSON,
    }
}

/// Public keys are for everybody, scripts of other origins included.
fn open_to_all(head: &mut HeaderMap) {
    head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
    head.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag, jwk-set-version"));
    head.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}

/// The answer to a browser that asks before it fetches.
fn preflight() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let head = answer.headers_mut();
    head.insert(ALLOW, METHODS);
    head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
    head.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    head.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("if-none-match, cache-control, x-request-id"));
    head.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    answer
}

/// A version in its one spelling: an immutable document has one address.
fn version(text: &str) -> Option<JwkSetVersion> {
    let number: u64 = text.parse().ok()?;
    let is_canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_canonical.then(|| JwkSetVersion::new(number))
}
