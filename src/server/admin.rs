//! The admin listener: what operators read and order.
//!
//! A command that has begun is finished, whoever hangs up meanwhile. Everything that changes something goes
//! through the rotator, and by it into the audit log with caller, request and reason.

mod audit;
mod checkpoint;
mod command;
mod compromise;
mod context;
mod cost;
mod import;
mod issuer;
mod keys;
mod plan;
mod strays;
mod strict;
mod whoami;

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

use super::RequestIds;
use super::caller::Access;
use super::health::Health;
use super::http::BodyLimits;
use super::problem::{Code, Refusal};
use crate::access::caller::Caller;
use crate::access::grant::Operation;
use crate::checkpoint::Checkpointer;
use crate::ids::{InstallationId, IssuerId, RingName};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::verifiers::Profile;
use crate::rotator::Rotator;
use crate::signer::Asker;
use crate::snapshot::Place;
use crate::telemetry::Metrics;

pub(super) mod paths {
    //! The endpoints, for the OpenAPI document.
    pub use super::audit::*;
    pub use super::checkpoint::*;
    pub use super::command::*;
    pub use super::compromise::*;
    pub use super::import::*;
    pub use super::issuer::*;
    pub use super::keys::*;
    pub use super::plan::*;
    pub use super::strays::*;
    pub use super::whoami::*;
}

/// What the admin listener is made of.
#[derive(Debug)]
pub struct Parts {
    /// The installation's name.
    pub installation: InstallationId,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// By which everything is changed.
    pub rotator: Arc<Rotator>,
    /// Who may do what.
    pub access: Access,
    /// How the daemon is.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The verifiers that the configuration declares for each issuer.
    pub verifiers: HashMap<IssuerId, Vec<Profile>>,
    /// Where the audit log is.
    pub audit_dir: PathBuf,
    /// Makes checkpoints of it, if the configuration wants any.
    pub checkpointer: Option<Arc<Checkpointer>>,
    /// How large requests may be, and how long they may take.
    pub settings: Settings,
}

/// How much the admin listener takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most bytes of a request's body.
    pub body: usize,
    /// How many requests are worked on at once; one more is answered with 503 at once.
    pub in_flight: usize,
    /// How long a body may take to arrive; shorter than `within`.
    pub body_within: Duration,
    /// How long a request may take. A command that takes longer is finished all the same.
    pub within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { body: 256 * 1_024, in_flight: 16, body_within: Duration::from_secs(10), within: Duration::from_secs(30) }
    }
}

/// The admin listener. Clones share everything.
#[derive(Debug, Clone)]
pub struct Admin(Router);

#[derive(Debug)]
pub(super) struct Inner {
    parts: Parts,
    ids: RequestIds,
    room: Semaphore,
}

pub(super) type Shared = Arc<Inner>;

impl Admin {
    /// Puts the endpoints together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let room = Semaphore::new(parts.settings.in_flight);
        let shared: Shared = Arc::new(Inner { parts, ids: RequestIds::default(), room });
        let router = Router::new()
            .route("/v1/status", get(issuer::status))
            .route("/v1/issuers", get(issuer::issuers))
            .route("/v1/issuers/{issuer}", get(issuer::issuer))
            .route("/v1/issuers/{issuer}/keys", get(keys::keys))
            .route("/v1/issuers/{issuer}/plan", get(plan::plan))
            .route("/v1/plan", get(plan::plans))
            .route("/v1/issuers/{issuer}/rings/{ring}/rotate", post(command::rotate))
            .route("/v1/issuers/{issuer}/compromise", post(compromise::compromise))
            .route("/v1/issuers/{issuer}/compromised/{kid}", get(compromise::compromised))
            .route("/v1/issuers/{issuer}/import", post(import::import))
            .route("/v1/issuers/{issuer}/imported/{kid}", delete(import::withdraw))
            .route("/v1/strays", get(strays::strays))
            .route("/v1/strays/destroy", post(strays::destroy_stray))
            .route("/v1/audit", get(audit::audit))
            .route("/v1/audit/checkpoint", get(checkpoint::newest_checkpoint).post(checkpoint::make_checkpoint))
            .route("/v1/whoami", get(whoami::whoami))
            .route("/openapi.json", get(context::openapi))
            .fallback(context::nothing)
            .method_not_allowed_fallback(context::wrong_method)
            .layer(from_fn_with_state(Arc::clone(&shared), context::around))
            .with_state(shared);
        Self(router)
    }

    /// What answers the requests of one connection.
    #[must_use]
    pub fn connection(&self, caller: Caller) -> Connection {
        Connection { service: TowerToHyperService::new(self.0.clone()), caller }
    }
}

/// One connection to the admin listener.
#[derive(Debug, Clone)]
pub struct Connection {
    service: TowerToHyperService<Router>,
    caller: Caller,
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.caller.clone());
        Box::pin(self.service.call(request))
    }
}

impl Inner {
    fn body_limits(&self) -> BodyLimits {
        BodyLimits { bytes: self.parts.settings.body, within: self.parts.settings.body_within }
    }

    fn now(&self) -> Timestamp {
        self.parts.rotator.clock.now()
    }

    /// Whether the caller may do `operation` at a whole issuer, or in one of its rings.
    fn is_granted(&self, asker: &Asker, operation: Operation, issuer: &IssuerId, ring: Option<&RingName>) -> bool {
        self.parts.access.grants.allow(&asker.caller, operation, Some(issuer), ring)
    }

    /// The issuer of that name, for a caller who is granted `operation` there.
    ///
    /// Who is not, can't tell whether there is such an issuer.
    fn issuer(
        &self,
        asker: &Asker,
        operation: Operation,
        name: &str,
        ring: Option<&RingName>,
    ) -> Result<(IssuerId, &Arc<Place>), Refusal> {
        let id: IssuerId = name.parse().map_err(|_| not_granted())?;
        if !self.is_granted(asker, operation, &id, ring) {
            return Err(not_granted());
        }
        let place = self.parts.rotator.places.get(id.as_str());
        let place = place.ok_or_else(|| Code::UnknownIssuer.refusal(format!("there is no issuer {id}")))?;
        Ok((id, place))
    }

    /// The issuers that the caller may read, in alphabetical order.
    fn readable(&self, asker: &Asker) -> Result<Vec<(&IssuerId, &Arc<Place>)>, Refusal> {
        let all = self.parts.rotator.places.iter();
        let mut readable: Vec<_> = all.filter(|(id, _)| self.is_granted(asker, Operation::Read, id, None)).collect();
        readable.sort_by_key(|(id, _)| *id);
        if readable.is_empty() && !self.parts.access.grants.allow(&asker.caller, Operation::Read, None, None) {
            return Err(not_granted());
        }
        Ok(readable)
    }

    fn verifiers(&self, issuer: &IssuerId) -> &[Profile] {
        self.parts.verifiers.get(issuer).map_or(&[], Vec::as_slice)
    }
}

fn not_granted() -> Refusal {
    Code::NotGranted.refusal("no grant lets you do this here")
}
