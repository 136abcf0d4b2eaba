//! The durations of a key ring and the inequalities between them.
//!
//! A [`Policy`] that exists keeps the first promise: with it no valid token is rejected because of a
//! rotation. It refuses and names both numbers; it never clamps.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::ids::{BackendId, RingName};

use super::schedule::{Blackout, Schedule};
use super::time::{Span, Timestamp};

/// When a signer is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// So long after its activation.
    Every(Span),
    /// At the next moment of a schedule.
    Schedule(Schedule),
}

impl Rotation {
    /// When a version that becomes the signer at `activated_at` is due to be replaced.
    #[must_use]
    pub fn due_after(&self, activated_at: Timestamp) -> Timestamp {
        match self {
            Self::Every(span) => activated_at + *span,
            Self::Schedule(schedule) => schedule.next_after(activated_at).unwrap_or(activated_at + ACTIVE_PERIOD),
        }
    }
}

/// Whether the next version waits, published, from the moment that a rotation is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    /// The next version is made right after a rotation: an emergency finds it ready.
    Always,
    /// The next version is made shortly before it is needed: one key less, and no answer to a compromise.
    JustInTime,
}

/// What several replicas may do without having confirmed their state. Zero with one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaBounds {
    /// L: how long a replica signs.
    pub sign_for: Span,
    /// P: how long a replica publishes.
    pub publish_for: Span,
}

/// The durations of one key ring, as set by its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// When a signer is replaced.
    pub rotation: Rotation,
    /// Windows without scheduled rotations.
    pub blackouts: Vec<Blackout>,
    /// Whether a standby is kept.
    pub standby: Standby,
    /// Time from observed publication until a version may sign.
    pub propagation: Span,
    /// The longest `exp - iat` of a token.
    pub token_lifetime_max: Span,
    /// The largest difference between any two clocks concerned.
    pub skew: Span,
    /// The `max-age` of the JWK Set.
    pub jwks_max_age: Span,
    /// The longest that a declared verifier keeps a set; nothing if none is declared.
    pub verifier_cache: Span,
    /// Time from deactivation until the private half is destroyed.
    pub drain: Span,
    /// Time from deactivation until the public half is withdrawn.
    pub retention: Span,
    /// The longest that one signature may take.
    pub sign_deadline: Span,
    /// What replicas may do unconfirmed.
    pub replicas: ReplicaBounds,
}

/// 26 h: the longest cache that we know of (classic OWIN, 24 h and its grace), and a margin.
pub const PROPAGATION: Span = Span::from_hours(26);
/// 30 d.
pub const ACTIVE_PERIOD: Span = Span::from_days(30);
/// 1 h.
pub const TOKEN_LIFETIME_MAX: Span = Span::from_hours(1);
/// 1 min.
pub const SKEW: Span = Span::from_mins(1);
/// 5 min.
pub const JWKS_MAX_AGE: Span = Span::from_mins(5);
/// 10 min.
pub const DRAIN: Span = Span::from_mins(10);
/// 10 s.
pub const SIGN_DEADLINE: Span = Span::from_secs(10);

impl Terms {
    /// The least `propagation` that every declared verifier allows: their longest cache, what caches in
    /// between may add, what a replica may publish unconfirmed, and the clocks.
    #[must_use]
    pub fn least_propagation(&self) -> Span {
        self.verifier_cache + self.jwks_max_age + self.replicas.publish_for + self.skew
    }

    /// The least `drain`: no replica may still be signing when the private half goes, though the clock
    /// that dates the deactivation be slow and the one that ends the drain be fast.
    #[must_use]
    pub fn least_drain(&self) -> Span {
        self.replicas.sign_for + self.sign_deadline + self.skew
    }

    /// The least `retention`: the last token that can have been signed has expired everywhere.
    #[must_use]
    pub fn least_retention(&self) -> Span {
        self.drain + self.token_lifetime_max + self.skew
    }
}

impl Default for Terms {
    /// The defaults of `config/example.toml`, for one replica and no declared verifier.
    fn default() -> Self {
        Self {
            rotation: Rotation::Every(ACTIVE_PERIOD),
            blackouts: Vec::new(),
            standby: Standby::Always,
            propagation: PROPAGATION,
            token_lifetime_max: TOKEN_LIFETIME_MAX,
            skew: SKEW,
            jwks_max_age: JWKS_MAX_AGE,
            verifier_cache: Span::ZERO,
            drain: DRAIN,
            retention: DRAIN + TOKEN_LIFETIME_MAX + SKEW,
            sign_deadline: SIGN_DEADLINE,
            replicas: ReplicaBounds { sign_for: Span::ZERO, publish_for: Span::ZERO },
        }
    }
}

/// Why durations don't make a policy. Each names the setting to change and the value that would do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// A verifier could meet a signature of a version that it has not seen.
    #[error(
        "propagation {propagation} is shorter than verifier cache {verifier_cache} + jwks_max_age {jwks_max_age} \
         + publish_for {publish_for} + skew {skew}; raise propagation to at least {least}"
    )]
    Propagation {
        /// What was set.
        propagation: Span,
        /// The longest cache of the declared verifiers.
        verifier_cache: Span,
        /// The JWK Set's `max-age`.
        jwks_max_age: Span,
        /// P.
        publish_for: Span,
        /// The clocks' allowance.
        skew: Span,
        /// What it must be at least.
        least: Span,
    },
    /// A private half could be destroyed under a signature.
    #[error(
        "drain {drain} is shorter than sign_for {sign_for} + sign_deadline {sign_deadline} + skew {skew}; \
         raise drain to at least {least}"
    )]
    Drain {
        /// What was set.
        drain: Span,
        /// L.
        sign_for: Span,
        /// The longest signature.
        sign_deadline: Span,
        /// The clocks' allowance.
        skew: Span,
        /// What it must be at least.
        least: Span,
    },
    /// A public half could be withdrawn under a valid token.
    #[error(
        "retention {retention} is shorter than drain {drain} + token_lifetime_max {token_lifetime_max} + skew {skew}; \
         raise retention to at least {least}"
    )]
    Retention {
        /// What was set.
        retention: Span,
        /// Deactivation to destruction.
        drain: Span,
        /// The longest token.
        token_lifetime_max: Span,
        /// The clocks' allowance.
        skew: Span,
        /// What it must be at least.
        least: Span,
    },
    /// A version would be due before its successor can be ready.
    #[error(
        "active_period {active_period} is not longer than propagation {propagation}; raise active_period or lower propagation"
    )]
    ActivePeriod {
        /// What was set.
        active_period: Span,
        /// Publication to first signature.
        propagation: Span,
    },
    /// The schedule comes due faster than a successor can be ready.
    #[error(
        "schedule {schedule:?} comes due after {gap}, which is not longer than propagation {propagation}; thin out the schedule or lower propagation"
    )]
    Schedule {
        /// The cron expression.
        schedule: String,
        /// Its shortest gap.
        gap: Span,
        /// Publication to first signature.
        propagation: Span,
    },
    /// A duration that must be something is nothing.
    #[error("{name} is 0s; set it to at least 1s")]
    Zero {
        /// The setting.
        name: &'static str,
    },
}

/// Durations that fit together. See [`Terms`] for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy(Terms);

impl Policy {
    /// Checks the inequalities of docs/lifecycle.md.
    ///
    /// # Errors
    /// [`PolicyError`] names the first that does not hold, with both sides.
    pub fn new(terms: Terms) -> Result<Self, PolicyError> {
        for (name, span) in [
            ("token_lifetime_max", terms.token_lifetime_max),
            ("jwks_max_age", terms.jwks_max_age),
            ("sign_deadline", terms.sign_deadline),
        ] {
            if span == Span::ZERO {
                return Err(PolicyError::Zero { name });
            }
        }
        if terms.propagation < terms.least_propagation() {
            return Err(PolicyError::Propagation {
                propagation: terms.propagation,
                verifier_cache: terms.verifier_cache,
                jwks_max_age: terms.jwks_max_age,
                publish_for: terms.replicas.publish_for,
                skew: terms.skew,
                least: terms.least_propagation(),
            });
        }
        if terms.drain < terms.least_drain() {
            return Err(PolicyError::Drain {
                drain: terms.drain,
                sign_for: terms.replicas.sign_for,
                sign_deadline: terms.sign_deadline,
                skew: terms.skew,
                least: terms.least_drain(),
            });
        }
        if terms.retention < terms.least_retention() {
            return Err(PolicyError::Retention {
                retention: terms.retention,
                drain: terms.drain,
                token_lifetime_max: terms.token_lifetime_max,
                skew: terms.skew,
                least: terms.least_retention(),
            });
        }
        check_rotation(&terms)?;
        Ok(Self(terms))
    }

    /// Takes the durations as they are, so that a simulation can show what each inequality prevents.
    #[cfg(feature = "failpoints")]
    #[must_use]
    pub fn new_unchecked(terms: Terms) -> Self {
        Self(terms)
    }

    /// The durations.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.0
    }
}

/// What a ring is asked to be by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingPolicy {
    /// Its durations.
    pub policy: Policy,
    /// Where its keys are made.
    pub backend: BackendId,
    /// Where every other key is made instead, so that signer and standby never share a backend.
    pub standby_backend: Option<BackendId>,
}

/// What an issuer is asked to be by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerPolicy {
    /// Its rings.
    pub rings: BTreeMap<RingName, RingPolicy>,
    /// The most bytes that its JWK Set may have; a version that would exceed them is not made.
    pub max_bytes: usize,
}

/// 50 KiB: more than this, common verifiers refuse to read.
pub const MAX_BYTES: usize = 50 * 1024;

fn check_rotation(terms: &Terms) -> Result<(), PolicyError> {
    let propagation = terms.propagation;
    match &terms.rotation {
        Rotation::Every(active_period) if *active_period <= propagation => {
            Err(PolicyError::ActivePeriod { active_period: *active_period, propagation })
        }
        Rotation::Schedule(schedule) => {
            // Any start serves: the gaps of a cron expression repeat every four years.
            let gap = schedule.shortest_gap(Timestamp::from_second(0));
            if gap <= propagation {
                return Err(PolicyError::Schedule { schedule: schedule.as_str().to_owned(), gap, propagation });
            }
            Ok(())
        }
        Rotation::Every(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Terms)) -> String {
        let mut terms = Terms::default();
        change(&mut terms);
        Policy::new(terms).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_a_policy() {
        assert!(Policy::new(Terms::default()).is_ok());
    }

    #[test]
    fn every_inequality_names_both_sides_and_the_value_that_would_do() {
        assert_eq!(
            refused(|t| t.retention = Span::from_hours(1)),
            "retention 1h is shorter than drain 10m + token_lifetime_max 1h + skew 1m; raise retention to at least 1h11m"
        );
        assert_eq!(
            refused(|t| t.drain = Span::from_secs(5)),
            "drain 5s is shorter than sign_for 0s + sign_deadline 10s + skew 1m; raise drain to at least 1m10s"
        );
        assert_eq!(
            refused(|t| {
                t.verifier_cache = Span::from_hours(25);
                t.replicas.publish_for = Span::from_hours(1);
            }),
            "propagation 26h is shorter than verifier cache 25h + jwks_max_age 5m + publish_for 1h + skew 1m; \
             raise propagation to at least 26h6m"
        );
        assert_eq!(
            refused(|t| t.rotation = Rotation::Every(Span::from_hours(26))),
            "active_period 26h is not longer than propagation 26h; raise active_period or lower propagation"
        );
        assert_eq!(
            refused(|t| t.rotation = Rotation::Schedule(Schedule::new("0 3 * * *").unwrap())),
            "schedule \"0 3 * * *\" comes due after 1d, which is not longer than propagation 26h; \
             thin out the schedule or lower propagation"
        );
        assert_eq!(refused(|t| t.jwks_max_age = Span::ZERO), "jwks_max_age is 0s; set it to at least 1s");
    }
}
