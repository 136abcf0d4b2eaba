//! A key ring: which version signs, which comes next, and which are on their way out.
//!
//! The slots make two signers impossible to write down. What may happen when is checked here, in
//! [`KeyRing`]'s event methods; what should happen next is `plan`'s business.

mod clock_set;
mod endings;

use crate::ids::{BackendId, Handle, JwkSetVersion, Kid, RingName, VersionId};
use crate::jose::alg::KeySpec;
use crate::jose::jwk::Jwk;

use super::event::{IllegalTransition, Reason, Succession};
use super::policy::{Policy, Terms};
use super::promise::Promise;
use super::state::{Active, Compromised, Deactivated, Destroyed, Key, Next, PreActive, Private, Reserved, Seen};
use super::time::{Span, Timestamp};

/// The fields of a [`KeyRing`], for readers and for the store's codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingState {
    /// Its name.
    pub name: RingName,
    /// The kind of key that it holds.
    pub spec: KeySpec,
    /// The number that the next reservation takes.
    pub next_number: VersionId,
    /// What is promised to holders of tokens and caches.
    pub promise: Promise,
    /// Since when a rotation is requested.
    pub requested_at: Option<Timestamp>,
    /// What an operator allowed when the signer was compromised.
    pub succession: Succession,
    /// The version that is to sign next.
    pub next: Option<Next>,
    /// The version that signs.
    pub signer: Option<Active>,
    /// Versions that no longer sign, oldest first.
    pub retained: Vec<Deactivated>,
    /// Compromised versions whose end is not complete, oldest first.
    pub compromised: Vec<Compromised>,
    /// Versions whose life is over, oldest first; at most [`HISTORY_MAX`].
    pub destroyed: Vec<Destroyed>,
    /// The first version of the JWK Set whose keys of this ring are all remembered.
    pub history_from: JwkSetVersion,
}

/// How many destroyed versions a ring remembers: ten years of monthly rotations.
pub const HISTORY_MAX: usize = 128;

/// A rotating sequence of key versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRing(RingState);

impl KeyRing {
    /// A ring without any version.
    #[must_use]
    pub fn new(name: RingName, spec: KeySpec, policy: &Policy) -> Self {
        Self(RingState {
            name,
            spec,
            next_number: VersionId::new(1),
            promise: Promise::of(policy.terms()),
            requested_at: None,
            succession: Succession::WhenPropagated,
            next: None,
            signer: None,
            retained: Vec::new(),
            compromised: Vec::new(),
            destroyed: Vec::new(),
            history_from: JwkSetVersion::new(1),
        })
    }

    /// Takes up a ring that was stored.
    ///
    /// # Errors
    /// Says in words which invariant the fields break.
    pub fn from_state(state: RingState) -> Result<Self, String> {
        let mut ids: Vec<VersionId> = state.next.iter().map(Next::id).collect();
        ids.extend(state.signer.iter().map(|v| v.id));
        ids.extend(state.retained.iter().map(|v| v.id));
        ids.extend(state.compromised.iter().map(|v| v.id));
        ids.extend(state.destroyed.iter().map(|v| v.id));
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(format!("ring {}: a version number stands twice", state.name));
        }
        if ids.last().is_some_and(|last| *last >= state.next_number) {
            return Err(format!("ring {}: the next number {} is taken", state.name, state.next_number));
        }
        let ring = Self(state);
        if let Some(key) = ring.listed_keys().find(|key| !key.jwk.key().matches(ring.0.spec)) {
            return Err(format!("ring {}: key {} is not of the ring's kind", ring.0.name, key.jwk.kid()));
        }
        Ok(ring)
    }

    /// The fields.
    #[must_use]
    pub fn state(&self) -> &RingState {
        &self.0
    }

    /// The keys that the present JWK Set lists.
    pub fn listed_keys(&self) -> impl Iterator<Item = &Key> {
        let next = self.0.next.iter().filter_map(|next| match next {
            Next::PreActive(pre_active) => Some(&pre_active.key),
            Next::Reserved(_) => None,
        });
        let signer = self.0.signer.iter().map(|active| &active.key);
        let retained = self.0.retained.iter().filter(|v| v.withdrawn.is_none()).map(|v| &v.key);
        next.chain(signer).chain(retained)
    }

    /// The kids that the ring remembers, listed or not.
    pub fn kids(&self) -> impl Iterator<Item = &Kid> {
        let withdrawn = self.0.retained.iter().filter(|v| v.withdrawn.is_some()).map(|v| v.key.jwk.kid());
        let compromised = self.0.compromised.iter().map(|v| v.key.jwk.kid());
        let destroyed = self.0.destroyed.iter().map(|v| v.jwk.kid());
        self.listed_keys().map(|key| key.jwk.kid()).chain(withdrawn).chain(compromised).chain(destroyed)
    }

    /// When the next version may sign, if its publication was observed.
    #[must_use]
    pub fn next_may_sign_at(&self) -> Option<Timestamp> {
        let Some(Next::PreActive(PreActive { seen: Some(seen), .. })) = &self.0.next else { return None };
        let hurry = self.0.signer.is_none() && self.0.succession == Succession::WhenPublished;
        Some(if hurry { seen.at } else { seen.may_sign_at })
    }

    /// Whether a version could take over at `now` without one verifier noticing.
    #[must_use]
    pub fn standby_ready(&self, now: Timestamp) -> bool {
        matches!(&self.0.next, Some(Next::PreActive(PreActive { seen: Some(seen), .. })) if seen.may_sign_at <= now)
    }

    /// Whether the settings differ from what is promised.
    #[must_use]
    pub fn terms_differ(&self, policy: &Policy) -> bool {
        let wanted = Promise::of(policy.terms());
        (wanted.token_lifetime, wanted.cache_bound) != (self.0.promise.token_lifetime, self.0.promise.cache_bound)
    }

    /// Adopts the durations of `policy`; what was promised under longer ones stays remembered. Longer
    /// caches delay a version that is on its way, unless no cache can lack it.
    pub(super) fn terms_changed(&mut self, policy: &Policy, at: Timestamp) {
        self.0.promise = self.0.promise.changed_to(policy.terms(), at);
        if let Some(Next::PreActive(PreActive { seen: Some(seen), .. })) = &mut self.0.next
            && seen.may_sign_at > seen.at
        {
            seen.may_sign_at = seen.may_sign_at.max(seen.at + self.0.promise.cache_bound);
        }
    }

    /// Takes over what caches of the issuer's set were promised before this ring came.
    pub(super) fn joined(&mut self, other: &Self, at: Timestamp) {
        self.0.promise = self.0.promise.beside(other.0.promise, at);
    }

    pub(super) fn reserved(
        &mut self,
        version: VersionId,
        backend: &BackendId,
        reason: Reason,
        at: Timestamp,
    ) -> Result<(), IllegalTransition> {
        if let Some(next) = &self.0.next {
            let state = match next {
                Next::Reserved(_) => "waiting behind a reserved version",
                Next::PreActive(_) => "waiting behind a pre-active version",
            };
            return Err(self.wrong_state(version, "reserved", state));
        }
        if version != self.0.next_number {
            let (ring, expected) = (self.0.name.clone(), self.0.next_number);
            return Err(IllegalTransition::WrongNumber { ring, version, expected });
        }
        self.0.next_number = version.next();
        self.0.next = Some(Next::Reserved(Reserved { id: version, backend: backend.clone(), reserved_at: at, reason }));
        Ok(())
    }

    /// Whether the next version is known to be of this key.
    pub(super) fn has_generated(&self, version: VersionId, jwk: &Jwk) -> bool {
        matches!(&self.0.next, Some(Next::PreActive(next)) if next.id == version && next.key.jwk == *jwk)
    }

    /// Returns whether the JWK Set changes.
    pub(super) fn generated(
        &mut self,
        version: VersionId,
        handle: &Handle,
        jwk: &Jwk,
        at: Timestamp,
        listed_from: JwkSetVersion,
    ) -> Result<bool, IllegalTransition> {
        match &self.0.next {
            Some(Next::Reserved(reserved)) if reserved.id == version => {
                if !jwk.key().matches(self.0.spec) || jwk.alg() != self.0.spec.algorithm() {
                    return Err(IllegalTransition::WrongKey { ring: self.0.name.clone(), version });
                }
                let key = Key {
                    backend: reserved.backend.clone(),
                    handle: handle.clone(),
                    jwk: jwk.clone(),
                    listed_from,
                    generated_at: at,
                };
                let reason = reserved.reason;
                self.0.next = Some(Next::PreActive(PreActive { id: version, key, reason, seen: None }));
                Ok(true)
            }
            _ if self.has_generated(version, jwk) => Ok(false),
            _ => Err(self.wrong_state(version, "generated", "not reserved")),
        }
    }

    /// Every listed key of a set up to `version` has been seen. Without a policy, the promise alone counts.
    pub(super) fn published(
        &mut self,
        policy: Option<&Policy>,
        version: JwkSetVersion,
        at: Timestamp,
        first_set: bool,
    ) {
        let Promise { cache_bound, caches_until, .. } = self.0.promise;
        let propagation = policy.map_or(Span::ZERO, |policy| policy.terms().propagation).max(cache_bound);
        if let Some(Next::PreActive(next)) = &mut self.0.next
            && next.key.listed_from <= version
            && next.seen.is_none()
        {
            let propagated = (at + propagation).max(caches_until.unwrap_or(at));
            next.seen = Some(Seen { at, may_sign_at: if first_set { at } else { propagated } });
        }
        for gone in &mut self.0.compromised {
            if gone.withdrawn.listed_until <= version && gone.withdrawal_seen_at.is_none() {
                gone.withdrawal_seen_at = Some(at);
            }
        }
        self.bury();
    }

    pub(super) fn activated(
        &mut self,
        policy: &Policy,
        version: VersionId,
        at: Timestamp,
    ) -> Result<(), IllegalTransition> {
        if self.0.next.as_ref().map(Next::id) != Some(version) {
            return Err(self.wrong_state(version, "activated", "not the next version"));
        }
        match self.next_may_sign_at() {
            None => return Err(self.wrong_state(version, "activated", "not seen published")),
            Some(due) if at < due => {
                return Err(IllegalTransition::TooEarly { ring: self.0.name.clone(), version, due });
            }
            Some(_) => {}
        }
        if let Some(old) = self.0.signer.take() {
            self.retain(policy.terms(), old, at);
        }
        self.promote(policy, at);
        Ok(())
    }

    /// Moves the pre-active version into the empty signer's slot.
    fn promote(&mut self, policy: &Policy, at: Timestamp) {
        if let Some(Next::PreActive(next)) = self.0.next.take() {
            let rotate_at = policy.terms().rotation.due_after(at);
            self.0.signer = Some(Active { id: next.id, key: next.key, activated_at: at, rotate_at });
            self.0.requested_at = None;
            self.0.succession = Succession::WhenPropagated;
            self.0.promise.tokens_until = None;
        }
    }

    fn retain(&mut self, terms: &Terms, old: Active, at: Timestamp) {
        // The promise counts where the settings were lowered without its having been changed.
        let retention = terms.retention.max(terms.drain + self.0.promise.token_lifetime + terms.skew);
        let last_token = self.0.promise.tokens_until.map_or(at, |until| until + terms.skew);
        self.0.retained.push(Deactivated {
            id: old.id,
            key: old.key,
            activated_at: old.activated_at,
            deactivated_at: at,
            destroy_private_at: at + terms.drain,
            withdraw_at: (at + retention).max(last_token),
            private: Private::Held,
            withdrawn: None,
        });
    }

    /// Lets an operator who chose to wait for a signer choose again.
    pub(super) fn hurry(&mut self, succession: Succession) {
        if self.0.signer.is_none() && succession == Succession::WhenPublished {
            self.0.succession = succession;
        }
    }

    pub(super) fn requested(&mut self, at: Timestamp) {
        self.0.requested_at.get_or_insert(at);
    }

    fn wrong_state(&self, version: VersionId, event: &'static str, state: &'static str) -> IllegalTransition {
        IllegalTransition::WrongState { ring: self.0.name.clone(), version, event, state }
    }
}
