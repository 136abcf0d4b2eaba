//! Policies and drivers with one mistake each: every mistake must break a named invariant.

use jwksd::lifecycle::event::{Event, Fact};
use jwksd::lifecycle::issuer::Issuer;
use jwksd::lifecycle::key_ring::{KeyRing, RingState};
use jwksd::lifecycle::policy::{IssuerPolicy, Policy};
#[cfg(feature = "failpoints")]
use jwksd::lifecycle::policy::{Rotation, Terms};
use jwksd::lifecycle::state::Next;
use jwksd::lifecycle::time::{Span, Timestamp};

/// One mistake, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "failpoints"), expect(dead_code, reason = "mistakes need the unchecked policy"))]
pub(super) enum Mutation {
    None,
    PropagationWithoutCache,
    PropagationWithoutMaxAge,
    PropagationWithoutReplicas,
    PropagationWithoutSkew,
    DrainWithoutReplicas,
    DrainWithoutDeadline,
    DrainWithoutSkew,
    RetentionWithoutDrain,
    RetentionWithoutLifetime,
    RetentionWithoutSkew,
    ActivePeriodWithinPropagation,
    /// Propagation counts from the making of a key, not from its observed publication.
    CountsFromGeneration,
    /// A changed setting moves the deadlines of old keys.
    MovesDeadlines,
    ForgetsLongerTokens,
    ForgetsLongerCaches,
    /// A ring that joins a set is not told what its caches were promised.
    JoinsUnaware,
    /// A longer cache does not put off a version that is on its way.
    KeepsReadiness,
    /// A first set that may be out without a record of it is taken for the first again.
    TrustsTheRecord,
    /// Replicas sign without having confirmed their state.
    SignsUnconfirmed,
    /// The last writer wins.
    Overwrites,
    /// A backend makes a second key under the same label.
    ForgetsLabels,
}

impl Mutation {
    pub(super) fn overwrites(self) -> bool {
        self == Self::Overwrites
    }

    pub(super) fn forgets_labels(self) -> bool {
        self == Self::ForgetsLabels
    }

    pub(super) fn ignores_the_bound(self) -> bool {
        self == Self::SignsUnconfirmed
    }

    #[cfg(not(feature = "failpoints"))]
    pub(super) fn policy(self, policy: Policy) -> Policy {
        policy
    }

    /// What the daemon takes for its policy.
    #[cfg(feature = "failpoints")]
    pub(super) fn policy(self, policy: Policy) -> Policy {
        let mut terms = policy.terms().clone();
        let propagation = |terms: &mut Terms| terms.propagation = terms.least_propagation();
        match self {
            Self::PropagationWithoutCache => terms.verifier_cache = Span::ZERO,
            Self::PropagationWithoutMaxAge => terms.jwks_max_age = Span::ZERO,
            Self::PropagationWithoutReplicas => terms.replicas.publish_for = Span::ZERO,
            Self::PropagationWithoutSkew => terms.skew = Span::ZERO,
            Self::DrainWithoutReplicas => terms.drain = terms.sign_deadline + terms.skew,
            Self::DrainWithoutDeadline => terms.drain = terms.replicas.sign_for + terms.skew,
            Self::DrainWithoutSkew => terms.drain = terms.replicas.sign_for + terms.sign_deadline,
            Self::ActivePeriodWithinPropagation => {
                terms.rotation = Rotation::Every(Span::from_secs(terms.propagation.as_secs() / 2));
            }
            _ => return policy,
        }
        match self {
            Self::PropagationWithoutCache
            | Self::PropagationWithoutMaxAge
            | Self::PropagationWithoutReplicas
            | Self::PropagationWithoutSkew => propagation(&mut terms),
            _ => {}
        }
        Policy::new_unchecked(terms)
    }

    /// How a fact is dated at `now`.
    pub(super) fn date(self, now: Timestamp, fact: &Fact, issuer: &Issuer) -> Timestamp {
        let Fact::Published { .. } = fact else { return now };
        if self != Self::CountsFromGeneration {
            return now;
        }
        let made = issuer.state().rings.values().filter_map(|ring| match &ring.state().next {
            Some(Next::PreActive(next)) if next.seen.is_none() => Some(next.key.generated_at),
            _ => None,
        });
        made.min().unwrap_or(now)
    }

    /// What `event` made of an issuer, had the core the mistake.
    pub(super) fn rewrite(self, before: &Issuer, issuer: Issuer, event: &Event, policy: &IssuerPolicy) -> Issuer {
        if self == Self::None {
            return issuer;
        }
        let mut state = issuer.state().clone();
        if self == Self::TrustsTheRecord && before.state().published.is_none() {
            state.known_to_verifiers = before.state().known_to_verifiers;
        }
        for ring in state.rings.values_mut() {
            let mut fields = ring.state().clone();
            let Some(terms) = policy.rings.get(&fields.name).map(|ring| ring.policy.terms()) else { continue };
            let (drain, retention) = (terms.drain, terms.retention);
            match self {
                Self::ForgetsLongerTokens => fields.promise.tokens_until = None,
                Self::ForgetsLongerCaches => fields.promise.caches_until = None,
                Self::JoinsUnaware if matches!(&event.fact, Fact::RingAdded { ring, .. } if *ring == fields.name) => {
                    fields.promise.caches_until = None;
                }
                Self::KeepsReadiness if matches!(event.fact, Fact::TermsChanged { .. }) => {
                    fields.next = before.ring(&fields.name).and_then(|ring| ring.state().next.clone());
                }
                Self::TrustsTheRecord => {}
                Self::RetentionWithoutDrain => shorten(&mut fields, event, drain),
                Self::RetentionWithoutLifetime => shorten(&mut fields, event, terms.token_lifetime_max),
                Self::RetentionWithoutSkew => shorten(&mut fields, event, terms.skew),
                Self::MovesDeadlines if matches!(event.fact, Fact::TermsChanged { .. }) => {
                    for old in &mut fields.retained {
                        old.destroy_private_at = old.deactivated_at + drain;
                        old.withdraw_at = old.deactivated_at + retention;
                    }
                }
                _ => {}
            }
            *ring = KeyRing::from_state(fields).unwrap();
        }
        Issuer::from_state(state).unwrap()
    }
}

/// Takes `part` from the retention of a version that was just deactivated.
fn shorten(ring: &mut RingState, event: &Event, part: Span) {
    let Fact::Activated { ring: name, .. } = &event.fact else { return };
    if *name == ring.name
        && let Some(old) = ring.retained.last_mut().filter(|old| old.deactivated_at == event.at)
    {
        old.withdraw_at = (old.withdraw_at - part).max(old.destroy_private_at);
    }
}
