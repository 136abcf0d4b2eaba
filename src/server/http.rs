//! What the listeners share: bodies in and out, header names, fixed header values.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use tokio::time::timeout;

use super::problem::{Code, Refusal};

/// The answer to a request that was understood and granted: JSON that nobody may keep.
pub fn succeeded(body: Bytes, request_id: &str) -> Answer {
    let mut answer = Response::new(Full::new(body));
    let head = answer.headers_mut();
    *head = HeaderMap::with_capacity(HEADERS);
    head.insert(CONTENT_TYPE, JSON);
    head.insert(CACHE_CONTROL, NO_STORE);
    head.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        head.insert(REQUEST_ID, id);
    }
    answer
}

/// An answer whose body is ready.
pub type Answer = Response<Full<Bytes>>;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const JWK_SET_VERSION: HeaderName = HeaderName::from_static("jwk-set-version");

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
pub const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Room for the headers of an answer. Six is the most for which the map's memory is small enough for
/// malloc's fast path.
const HEADERS: usize = 6;

/// How much of a body is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// The most bytes.
    pub bytes: usize,
    /// The longest time from the head to the last byte.
    pub within: Duration,
}

/// Reads a body that says in advance how long it is.
///
/// A body in chunks is refused: with one way to say its length, no proxy in front can see another body.
pub async fn read_body<B>(body: &mut B, limits: BodyLimits) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let declared = body.size_hint().exact();
    let declared = declared.ok_or_else(|| Code::LengthRequired.refusal("send the body with a Content-Length"))?;
    if declared > limits.bytes as u64 {
        let detail = format!("the body has {declared} bytes, at most {} are taken", limits.bytes);
        return Err(Code::BodyTooLarge.refusal(detail));
    }
    match timeout(limits.within, collect(body)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Code::BodyIncomplete.refusal("the body ended before its Content-Length")),
        Err(_) => Err(Code::BodyTimeout.refusal("the body did not arrive in time")),
    }
}

/// Lets the rest of a body come in and go, as far as it is small and quick.
///
/// Over HTTP/2 an answer to a request whose body is still on its way ends in a reset, and some clients then forget
/// the answer. HTTP/1.1 has no such trouble.
pub async fn discard<B>(body: &mut B, version: Version)
where
    B: Body<Data = Bytes> + Unpin,
{
    if version != Version::HTTP_2 || body.size_hint().exact().is_none_or(|bytes| bytes > DISCARDED_MAX) {
        return;
    }
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    // Who is slower gets the reset.
    let _ = timeout(DISCARDED_WITHIN, all).await;
}

const DISCARDED_MAX: u64 = 64 * 1_024;
const DISCARDED_WITHIN: Duration = Duration::from_secs(1);

/// The whole body; without a copy if it came in one piece.
async fn collect<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Result<Bytes, B::Error> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Refuses a body that is said to be anything but JSON.
pub fn check_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_json = match (types.next(), types.next()) {
        (Some(one), None) => is_json(one.as_bytes()),
        _ => false,
    };
    if is_json { Ok(()) } else { Err(Code::UnsupportedMediaType.refusal("send the body as application/json")) }
}

/// `application/json`, at will with `charset=utf-8`, which RFC 8259 made the only one.
fn is_json(media_type: &[u8]) -> bool {
    if media_type == b"application/json" {
        return true;
    }
    let Ok(text) = str::from_utf8(media_type) else { return false };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let parameter = parameters.trim().to_ascii_lowercase();
    essence.trim().eq_ignore_ascii_case("application/json")
        && matches!(parameter.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_json_in_every_spelling_and_nothing_else_is() {
        let good = ["application/json", "Application/JSON", "application/json; charset=UTF-8", "application/json;"];
        for text in good {
            assert!(is_json(text.as_bytes()), "{text}");
        }
        for text in ["", "text/json", "application/json; charset=latin1", "application/json5", "application/jwt", "*/*"]
        {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
    }
}
