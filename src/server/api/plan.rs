//! What happens next.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;
use super::cost::Cost;

/// The plans of every issuer that the caller may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plans {
    /// By issuer, in alphabetical order.
    pub plans: Vec<Plan>,
    /// What their keys cost, for each backend that costs money.
    #[serde(default)]
    pub costs: Vec<Cost>,
}

/// What happens next to one issuer, what the rest waits for, and what is foreseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// The issuer's name.
    pub issuer: String,
    /// The daemon's clock.
    pub now: Moment,
    /// The one thing that is done now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub action: Option<Due>,
    /// What everything else waits for.
    pub waiting: Vec<Waiting>,
    /// When the daemon looks again, if nothing else happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub wake_at: Option<Moment>,
    /// Each ring's next version, and which verifiers might not know it if it signed now.
    pub next_versions: Vec<NextVersion>,
    /// What will happen, in order, if everything succeeds at once.
    pub forecast: Vec<Foreseen>,
    /// How far the forecast reaches.
    pub forecast_until: Moment,
    /// What its keys cost, for each backend that costs money; empty in a list of plans, which has them for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub costs: Vec<Cost>,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Choose number and backend of the next version.
    Reserve,
    /// Make the key, or find it.
    Generate,
    /// Let the next version sign from now on.
    Activate,
    /// Have the backend destroy a private half.
    DestroyPrivate,
    /// Take a version out of the JWK Set.
    Withdraw,
    /// Take an imported key out of the JWK Set.
    WithdrawImported,
}

impl ActionKind {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Generate => "generate",
            Self::Activate => "activate",
            Self::DestroyPrivate => "destroy_private",
            Self::Withdraw => "withdraw",
            Self::WithdrawImported => "withdraw_imported",
        }
    }
}

/// An action and what it is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Action {
    /// What.
    pub kind: ActionKind,
    /// In which ring; absent for an imported key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ring: Option<String>,
    /// To which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<u64>,
    /// To which imported key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kid: Option<String>,
    /// Where a reserved version is to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub backend: Option<String>,
}

/// Why something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The ring had no version.
    Bootstrap,
    /// Its time has come.
    Scheduled,
    /// An operator asked.
    Requested,
    /// A key leaked.
    Compromise,
}

impl Reason {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Scheduled => "scheduled",
            Self::Requested => "requested",
            Self::Compromise => "compromise",
        }
    }
}

/// An action that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Due {
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What something waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// The JWK Set that lists it has not been seen published.
    Publication,
    /// Verifiers may still hold a set without it.
    Propagation,
    /// The signer is not due to be replaced.
    ActivePeriod,
    /// A blackout window is open.
    Blackout,
    /// It is too early to make the next version.
    Preparation,
    /// Callers and late replicas may still use the private half.
    Drain,
    /// Tokens that it signed may still be valid.
    Retention,
    /// The last try failed.
    Backoff,
    /// The JWK Set has no room for another key.
    Room,
}

impl WaitFor {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publication => "publication",
            Self::Propagation => "propagation",
            Self::ActivePeriod => "active_period",
            Self::Blackout => "blackout",
            Self::Preparation => "preparation",
            Self::Drain => "drain",
            Self::Retention => "retention",
            Self::Backoff => "backoff",
            Self::Room => "room",
        }
    }
}

/// An action that is not due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// What will be done.
    pub action: Action,
    /// What it waits for.
    pub wait_for: WaitFor,
    /// When that is over, as far as time alone decides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub until: Option<Moment>,
}

/// One foreseen action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Foreseen {
    /// When.
    pub at: Moment,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// A ring's next version, and who might reject its tokens if it signed now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextVersion {
    /// The ring.
    pub ring: String,
    /// Its number.
    pub version: u64,
    /// Its name in tokens.
    pub kid: String,
    /// When its publication was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub seen_at: Option<Moment>,
    /// When it may sign; absent until its publication was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub may_sign_at: Option<Moment>,
    /// The declared verifiers that may hold an older set at this moment.
    pub not_known_to: Vec<StillHeld>,
}

/// A declared verifier that may hold a JWK Set without the next version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StillHeld {
    /// The verifier's name in the configuration.
    pub verifier: String,
    /// Until when; absent until the publication was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub until: Option<Moment>,
}
