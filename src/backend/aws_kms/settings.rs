//! What an operator says about keys in AWS KMS.

use std::time::Duration;

use crate::ids::InstallationId;
use crate::lifecycle::time::Span;

/// Where the keys are, and how they are made, used and ended. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The installation whose keys these are: those with its tag are ours, no others.
    pub installation: InstallationId,
    /// The region; without one, that of the environment, the profile or the machine.
    pub region: Option<String>,
    /// The profile of the shared configuration files; without one, that of the environment.
    pub profile: Option<String>,
    /// Where KMS is, instead of its public address in the region.
    pub endpoint: Option<String>,
    /// Where the Resource Groups Tagging API is, instead of its public address in the region.
    pub tagging_endpoint: Option<String>,
    /// Signatures per second and kind of key (RSA, ECC) that this daemon may ask for.
    pub sign_rate: u32,
    /// How long one try of a signature may take, so that there is time for another.
    pub sign_try: Duration,
    /// From the end of a key to its deletion: 7 to 30 whole days.
    pub deletion_window: Span,
    /// For how long a key may stay unseen of which nobody knows whether it was made.
    pub settle: Duration,
    /// How keys are made.
    pub creation: Creation,
}

impl Settings {
    /// The defaults.
    #[must_use]
    pub fn new(installation: InstallationId) -> Self {
        Self {
            installation,
            region: None,
            profile: None,
            endpoint: None,
            tagging_endpoint: None,
            sign_rate: SIGN_RATE,
            sign_try: Duration::from_secs(1),
            deletion_window: Span::from_days(30),
            settle: Duration::from_secs(300),
            creation: Creation::default(),
        }
    }
}

/// How keys are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Creation {
    /// The key policy, a JSON document; without one, the account's default.
    pub policy: Option<String>,
    /// What the console shows beside the key; without one, its label.
    pub description: Option<String>,
    /// Whether keys are multi-Region primaries.
    pub multi_region: bool,
    /// Tags beside our own.
    pub tags: Vec<(String, String)>,
    /// If set, each key gets the alias `alias/<prefix><installation>/<issuer>/<ring>/v<n>`.
    pub alias_prefix: Option<String>,
}

/// The default quota of an account and region for signatures with keys of one kind.
///
/// # Source
/// AWS KMS Developer Guide, "Request quotas".
pub const SIGN_RATE: u32 = 1_000;
