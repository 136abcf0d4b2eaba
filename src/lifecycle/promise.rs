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
    /// When the last token issued under a longer lifetime has expired.
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
    /// was issued under them has ended.
    #[must_use]
    pub fn changed_to(self, terms: &Terms, at: Timestamp) -> Self {
        let new = Self::of(terms);
        let until =
            |old: Span, new: Span, kept: Option<Timestamp>| if old > new { kept.max(Some(at + old)) } else { kept };
        Self {
            tokens_until: until(self.token_lifetime, new.token_lifetime, self.tokens_until),
            caches_until: until(self.cache_bound, new.cache_bound, self.caches_until),
            ..new
        }
    }
}
