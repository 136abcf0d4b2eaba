//! What goes over the wire: the shapes of every request and answer, for the servers and the command line.
//!
//! Moments are RFC 3339 in UTC, lengths of time are texts such as `"15m"`, names are those of the lifecycle. New
//! members may be added to answers; a reader ignores those that it does not know. Members that are not
//! known (yet) are left out.

mod admin;
mod checkpoint;
mod cost;
mod key;
mod plan;
mod problem;
mod signing;
mod stray;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::lifecycle::time::{Span, Timestamp};

pub use admin::{
    Allowed, AuditPage, AuditRecord, CompromiseReport, CompromiseRequest, FlushKey, Forgetting, ImportReport,
    ImportRequest, Issuer, IssuerReadiness, Issuers, NextKey, Published, Readiness, Ring, RotateReport, RotateRequest,
    SignerKey, Status, Verifier, WhoAmI, WithdrawReport,
};
pub use checkpoint::{Checkpoint, CheckpointRequest};
pub use cost::{Cost, PendingDeletion, QuotaUse};
pub use key::{Key, KeyState, Keys, PrivateHalf};
pub use plan::{Action, ActionKind, Due, Foreseen, NextVersion, Plan, Plans, Reason, StillHeld, WaitFor, Waiting};
pub use problem::Problem;
pub use signing::{
    BatchRequest, BatchResponse, BatchResult, DigestRequest, JwtRequest, SignatureRequest, SignatureResponse, Signer,
    Token,
};
pub use stray::{DestroyStray, Stray, Strays, Unseen};

/// A moment, in UTC and whole seconds, written as in RFC 3339: `"2026-12-20T03:00:00Z"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

/// A length of time, written as in the configuration: `"15m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub Span);

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl From<Span> for Length {
    fn from(span: Span) -> Self {
        Self(span)
    }
}

macro_rules! as_text {
    ($name:ident, $pattern:expr, $example:expr, $description:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map(Self).map_err(de::Error::custom)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let shape = ObjectBuilder::new().schema_type(Type::String);
                $pattern(shape).description(Some($description)).examples([$example]).into()
            }
        }

        impl ToSchema for $name {}
    };
}

as_text!(
    Moment,
    |shape: ObjectBuilder| shape.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
    "2026-12-20T03:00:00Z",
    "A moment in UTC, whole seconds, as in RFC 3339."
);
as_text!(
    Length,
    |shape: ObjectBuilder| shape.pattern(Some(r"^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$")),
    "15m",
    "A length of time: numbers with w, d, h, m or s, the largest unit first."
);
