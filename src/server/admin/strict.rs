//! Bodies and answers of the admin listener.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Shared;
use crate::jose::json::{Limits, Object};
use crate::server::http::{JSON, NO_STORE, check_json, read_body};
use crate::server::problem::{Code, Refusal};

/// A body that is strict JSON: nothing twice, in any case, and no member that is not known. No body at all
/// stands for `{}`.
#[derive(Debug)]
pub struct Strict<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Shared> for Strict<T> {
    type Rejection = Refusal;

    async fn from_request(mut request: Request, shared: &Shared) -> Result<Self, Refusal> {
        let limits = shared.body_limits();
        let has_type = request.headers().contains_key(CONTENT_TYPE);
        let bytes = read_body(request.body_mut(), limits).await?;
        if bytes.is_empty() && !has_type {
            return parse("{}", limits.bytes);
        }
        check_json(request.headers())?;
        let text = str::from_utf8(&bytes).map_err(|_| Code::BodyNotUtf8.refusal("the body is not UTF-8"))?;
        parse(text, limits.bytes)
    }
}

fn parse<T: DeserializeOwned>(text: &str, bytes: usize) -> Result<Strict<T>, Refusal> {
    let limits = Limits { bytes, depth: Limits::DEFAULT.depth + 2, members: 4 * Limits::DEFAULT.members };
    Object::parse(text, &limits).map_err(|error| {
        let title = "The body is not strict JSON";
        Refusal::new(StatusCode::BAD_REQUEST, error.code(), title, error.to_string())
    })?;
    // The shapes refuse unknown members themselves.
    serde_json::from_str(text).map(Strict).map_err(|error| Code::MemberValue.refusal(error.to_string()))
}

/// An answer in JSON, which nobody may keep.
#[derive(Debug)]
pub struct Reply<T>(pub StatusCode, pub T);

impl<T> Reply<T> {
    /// With status 200.
    pub fn ok(value: T) -> Self {
        Self(StatusCode::OK, value)
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.1) {
            Ok(body) => (self.0, [(CONTENT_TYPE, JSON), (CACHE_CONTROL, NO_STORE)], Bytes::from(body)).into_response(),
            Err(error) => Code::Internal.refusal("the answer can't be written").because(&error).into_response(),
        }
    }
}
