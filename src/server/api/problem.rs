//! Errors as they go out: RFC 9457.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;

/// Why a request was not answered as asked, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:jwksd:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:jwksd:problem:wrong_signer")]
    pub kind: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    #[schema(example = 409)]
    pub status: u16,
    /// What was wrong with this request, for people.
    pub detail: String,
    /// The kind of problem, for programs. Stable.
    #[schema(example = "wrong_signer")]
    pub code: String,
    /// The request's name in logs and in the audit trail.
    pub request_id: String,
    /// With `wrong_signer`: the kid to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kid: Option<String>,
    /// With `wrong_signer`: the algorithm to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub alg: Option<String>,
    /// With `no_signer`: when there will be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_at: Option<Moment>,
}
