//! What was promised to tokens and caches that are out. Settings may change; these promises are kept.

use super::policy::Terms;
use super::time::{Span, Timestamp};

/// What holders of tokens and of cached sets may still rely on, whatever the settings have become since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The longest token that the signer may issue.
    pub token_lifetime: Span,
    /// The longest that a set may be held.
    pub cache_bound: Span,
    /// When the last token issued under a longer lifetime has expired, by every clock.
    pub tokens_until: Option<Timestamp>,
    /// When the last cache filled under a longer bound has ended.
    pub caches_until: Option<Timestamp>,
}

impl Promise {
    /// What the terms promise from the start.
    #[must_use]
    pub fn of(terms: &Terms) -> Self {
        Self {
            token_lifetime: terms.token_lifetime_max,
            cache_bound: terms.least_propagation(),
            tokens_until: None,
            caches_until: None,
        }
    }

    /// The promise under new terms from `at` on: where they are shorter, the old ones hold until what
    /// was issued under them has ended. Replicas issue longer tokens until they have learnt of it.
    #[must_use]
    pub fn changed_to(self, terms: &Terms, at: Timestamp) -> Self {
        let new = Self::of(terms);
        let learnt = at + terms.replicas.sign_for + terms.skew;
        let longer_tokens = self.token_lifetime > new.token_lifetime;
        Self {
            tokens_until: self.tokens_until.max(longer_tokens.then(|| learnt + self.token_lifetime)),
            ..new.beside(self, at)
        }
    }

    /// The promise of a ring that comes, at `at`, to a JWK Set for which `other` was promised: caches
    /// hold the whole set, so they may lack the new ring's keys for as long as the other's.
    #[must_use]
    pub fn beside(self, other: Self, at: Timestamp) -> Self {
        let longer_caches = (other.cache_bound > self.cache_bound).then(|| at + other.cache_bound);
        Self { caches_until: self.caches_until.max(other.caches_until).max(longer_caches), ..self }
    }
}
