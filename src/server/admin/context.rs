//! What happens around every request: who asks, under which name, and how refusals go out.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method};
use tokio::time::timeout;
use tracing::debug;

use super::Shared;
use crate::access::caller::{Caller, Peer};
use crate::server::caller::identify;
use crate::server::http::{REQUEST_ID, discard};
use crate::server::openapi;
use crate::server::problem::{Code, Refusal};
use crate::signer::Asker;

/// Identifies the caller, names the request, bounds its time, and turns refusals into problems.
pub async fn around(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let request_id = shared.ids.name(request.headers());
    let connected = request.extensions().get::<Caller>().cloned();
    // The connection has put its caller there; without one nobody is granted anything.
    let connected = connected.unwrap_or_else(|| Caller::at(Peer::Tcp(([0, 0, 0, 0], 0).into())));
    let (caller, outcome) = match identify(&shared.parts.access.trusted, &connected, request.headers()).await {
        Ok(caller) => (caller.clone(), inside(&shared, caller, &request_id, request, next).await),
        Err(refusal) => {
            let version = request.version();
            discard(request.body_mut(), version).await;
            (connected, Err(refusal))
        }
    };
    let mut response = match outcome {
        Ok(mut response) => match response.extensions_mut().remove::<Refusal>() {
            None => return named(response, &request_id),
            Some(refusal) => answered(&shared, &refusal, &caller, &request_id, Some(&response)),
        },
        Err(refusal) => answered(&shared, &refusal, &caller, &request_id, None),
    };
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn inside(
    shared: &Shared,
    caller: Caller,
    request_id: &str,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let is_read = *request.method() == Method::GET || *request.method() == Method::HEAD;
    let path = request.uri().path();
    debug!(caller = %caller, request_id, action = path, "admin request");
    if let Some(answer) = shared.parts.health.answer(path).filter(|_| is_read) {
        return Ok(answer.map(Body::new));
    }
    let busy = |_| Code::Busy.refusal("too many requests are under way").retry_after(1);
    let _room = match check_path(path).and_then(|()| shared.room.try_acquire().map_err(busy)) {
        Ok(room) => room,
        Err(refusal) => {
            let version = request.version();
            discard(request.body_mut(), version).await;
            return Err(refusal);
        }
    };
    request.extensions_mut().insert(Asker { caller, request_id: request_id.to_owned() });
    timeout(shared.parts.settings.within, next.run(request)).await.map_err(|_| {
        if is_read {
            Code::TimedOut.refusal("the answer took too long").retry_after(5)
        } else {
            Code::OutcomeUnknown.refusal("it takes longer than expected and goes on; look at the state").retry_after(5)
        }
    })
}

/// A path has one spelling, so that whatever filters paths in front of us sees what we see. Only a kid may need
/// escapes: imported ones may hold any sign.
fn check_path(path: &str) -> Result<(), Refusal> {
    let kid_at = ["/imported/", "/compromised/"].iter().find_map(|part| Some(path.find(part)? + part.len()));
    let (fixed, kid) = path.split_at_checked(kid_at.unwrap_or(path.len())).unwrap_or((path, ""));
    let is_plain = !fixed.contains('%') && !fixed.contains("//") && !kid.contains('/');
    let is_straight = path.split('/').all(|segment| segment != "." && segment != "..");
    if is_plain && is_straight { Ok(()) } else { Err(Code::Path.refusal("write the path without escapes and detours")) }
}

fn answered(
    shared: &Shared,
    refusal: &Refusal,
    caller: &Caller,
    request_id: &str,
    inner: Option<&Response>,
) -> Response {
    shared.parts.metrics.refused(refusal.code);
    refusal.log(&shared.parts.metrics, caller, request_id);
    let mut response = refusal.answer(request_id).map(Body::new);
    if let Some(allow) = inner.and_then(|inner| inner.headers().get(http::header::ALLOW)) {
        response.headers_mut().insert(http::header::ALLOW, allow.clone());
    }
    response
}

fn named(mut response: Response, request_id: &str) -> Response {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

impl IntoResponse for Refusal {
    /// Carries the refusal out to `around`, which knows the request's name.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

/// No endpoint has this path.
pub async fn nothing(mut request: Request) -> Refusal {
    let version = request.version();
    discard(request.body_mut(), version).await;
    Code::NotFound.refusal("there is nothing here")
}

/// The path is right, the method is not.
pub async fn wrong_method(mut request: Request) -> Refusal {
    let version = request.version();
    discard(request.body_mut(), version).await;
    Code::MethodNotAllowed.refusal("see the header Allow")
}

/// The OpenAPI document of this listener.
pub async fn openapi() -> Response {
    let json = [(http::header::CONTENT_TYPE, "application/json")];
    (json, openapi::admin()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_takes_no_escapes_outside_of_a_kid() {
        for good in ["/v1/status", "/v1/issuers/main/imported/a%2Fb", "/v1/issuers/main/compromised/x", "/"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in [
            "//v1/status",
            "/v1//status",
            "/v1/./status",
            "/v1/../v1/status",
            "/v1/%73tatus",
            "/v1/issuers/main/imported/a/b",
            "/v1/issuers/m%61in/imported/a",
            "/v1/issuers/main/imported/..",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
