//! Refusals: a stable code, a status, and words that may leave the house.
//!
//! Callers see what they can act on. The whole chain of causes goes to the log, and never further.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use tracing::{error, info, warn};

use super::api::{Moment, Problem};
use super::http::{Answer, NO_STORE, NOSNIFF, REQUEST_ID};
use crate::access::caller::Caller;
use crate::ids::Kid;
use crate::jose::alg::Algorithm;
use crate::lifecycle::time::Timestamp;
use crate::telemetry::{Metrics, chain};

macro_rules! codes {
    ($($name:ident $code:literal $status:ident $title:literal)*) => {
        /// The kinds of refusal that are the servers' own; signer and claims bring codes of their own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

codes! {
    AtOnce "too_many_at_once" TOO_MANY_REQUESTS "Too many requests at once"
    AuditUnavailable "audit_unavailable" SERVICE_UNAVAILABLE "The audit log can't be written"
    BackendUnavailable "backend_unavailable" SERVICE_UNAVAILABLE "The backend did not do it"
    BatchSize "batch_size" BAD_REQUEST "The batch is empty or too large"
    BodyIncomplete "body_incomplete" BAD_REQUEST "The body is incomplete"
    BodyNotUtf8 "body_not_utf8" BAD_REQUEST "The body is not UTF-8"
    BodyTimeout "body_timeout" REQUEST_TIMEOUT "The body did not arrive in time"
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large"
    Busy "busy" SERVICE_UNAVAILABLE "Too many requests are under way"
    CheckpointFailed "checkpoint_failed" SERVICE_UNAVAILABLE "No checkpoint could be made"
    Credentials "credentials_malformed" UNAUTHORIZED "The credentials are malformed"
    DuplicateKid "duplicate_kid" CONFLICT "The kid is known already"
    Gone "jwk_set_forgotten" GONE "The JWK Set is not remembered any more"
    Illegal "illegal_transition" CONFLICT "The state does not allow it"
    Internal "internal" INTERNAL_SERVER_ERROR "Something is broken here"
    JwkSetFull "jwk_set_full" CONFLICT "The JWK Set has no room"
    Key "key_unusable" UNPROCESSABLE_ENTITY "The key can't be published"
    LengthRequired "length_required" LENGTH_REQUIRED "The body has no length"
    MemberMissing "member_missing" BAD_REQUEST "A member is missing"
    MemberUnknown "member_unknown" BAD_REQUEST "A member is unknown"
    MemberValue "member_value" BAD_REQUEST "A member has an unusable value"
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The method is not allowed here"
    NoCheckpoint "no_checkpoint" NOT_FOUND "There is no checkpoint"
    NotFound "not_found" NOT_FOUND "There is nothing here"
    NotGranted "not_granted" FORBIDDEN "Not granted"
    NotPublished "not_published" SERVICE_UNAVAILABLE "Nothing is published yet"
    OutcomeUnknown "outcome_unknown" SERVICE_UNAVAILABLE "It is not known whether it was done"
    Parameter "parameter" BAD_REQUEST "A parameter is unusable"
    Path "path_not_canonical" BAD_REQUEST "The path is not in its canonical form"
    QueryNotAllowed "query_not_allowed" BAD_REQUEST "No query is taken here"
    RateLimited "rate_limited" TOO_MANY_REQUESTS "Too many requests"
    StoreDamaged "store_damaged" INTERNAL_SERVER_ERROR "The store can't be trusted"
    StoreUnavailable "store_unavailable" SERVICE_UNAVAILABLE "The store is unavailable"
    TimedOut "timed_out" SERVICE_UNAVAILABLE "It took too long"
    TokenIssuerUnavailable "token_issuer_unavailable" SERVICE_UNAVAILABLE "The token's issuer is unavailable"
    TokenRefused "token_refused" UNAUTHORIZED "The bearer token is not accepted"
    UnknownIssuer "unknown_issuer" NOT_FOUND "There is no such issuer"
    UnknownKid "unknown_kid" NOT_FOUND "There is no such key"
    UnknownRing "unknown_ring" NOT_FOUND "There is no such ring"
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The body is not JSON"
}

impl Code {
    /// A refusal of this kind. `detail` goes to the caller.
    pub fn refusal(self, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(self.status(), self.as_str(), self.title(), detail)
    }
}

/// A request that is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The kind, for programs.
    pub code: &'static str,
    /// The kind, for people.
    pub title: &'static str,
    /// What was wrong, for the caller.
    pub detail: Cow<'static, str>,
    /// What was wrong, for the log; if it is more than `detail`.
    pub cause: Option<Box<str>>,
    /// Whether an operator must act.
    pub needs_operator: bool,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u64>,
    /// The key to use instead.
    pub right_key: Option<Box<(Kid, Algorithm)>>,
    /// When there will be a signer.
    pub retry_at: Option<Timestamp>,
}

impl Refusal {
    /// A refusal without further words.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            cause: None,
            needs_operator: false,
            retry_after: None,
            right_key: None,
            retry_at: None,
        }
    }

    /// The same, with the chain of causes for the log.
    #[must_use]
    pub fn because(mut self, error: &dyn std::error::Error) -> Self {
        self.cause = Some(chain(error).into());
        self
    }

    /// The same, to be tried again after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same, as something that an operator must look at.
    #[must_use]
    pub fn for_operator(mut self) -> Self {
        self.needs_operator = true;
        self
    }

    /// What goes out, under the name of the request.
    #[must_use]
    pub fn problem(&self, request_id: &str) -> Problem {
        Problem {
            kind: format!("urn:jwksd:problem:{}", self.code),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone().into_owned(),
            code: self.code.to_owned(),
            request_id: request_id.to_owned(),
            kid: self.right_key.as_ref().map(|key| key.0.to_string()),
            alg: self.right_key.as_ref().map(|key| key.1.name().to_owned()),
            retry_at: self.retry_at.map(Moment),
        }
    }

    /// Says it in the log: loudest if an operator must act, with the causes that the caller is not told. Of a flood
    /// with one code only the first few of each second are told.
    pub fn log(&self, metrics: &Metrics, caller: &Caller, request_id: &str) {
        let Self { code, detail, .. } = self;
        let error = self.cause.as_deref().unwrap_or(detail);
        let Some(unsaid) = metrics.told.admit(code) else { return };
        match self.status.is_server_error() {
            _ if self.needs_operator => error!(code, caller = %caller, request_id, unsaid, error, "request failed"),
            true => warn!(code, caller = %caller, request_id, unsaid, error, "request could not be answered"),
            false => info!(code, caller = %caller, request_id, unsaid, error, "request refused"),
        }
    }

    /// The answer.
    #[must_use]
    pub fn answer(&self, request_id: &str) -> Answer {
        let body = serde_json::to_vec(&self.problem(request_id)).unwrap_or_default();
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_words_in_order_with_an_error_status() {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        }
    }

    #[test]
    fn a_problem_says_nothing_of_its_cause() {
        let refusal = Code::StoreUnavailable.refusal("try again").because(&std::io::Error::other("secret path"));
        let text = serde_json::to_string(&refusal.problem("r-1")).unwrap();
        assert_eq!(
            text,
            "{\"type\":\"urn:jwksd:problem:store_unavailable\",\"title\":\"The store is unavailable\",\"status\":503,\
             \"detail\":\"try again\",\"code\":\"store_unavailable\",\"request_id\":\"r-1\"}"
        );
        assert_eq!(refusal.cause.as_deref(), Some("secret path"));
    }
}
