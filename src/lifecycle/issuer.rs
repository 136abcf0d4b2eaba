//! An issuer: its key rings, its imported keys, and the one JWK Set that they make together.

use std::collections::BTreeMap;

use crate::ids::{IssuerId, JwkSetVersion, Kid, RingName};
use crate::jose::jwk::Jwk;

use super::event::{Event, Fact, IllegalTransition, Succession};
use super::key_ring::{HISTORY_MAX, KeyRing};
use super::policy::{IssuerPolicy, RingPolicy};
use super::state::{Imported, Withdrawn};
use super::time::{ClockSetting, Timestamp};

/// The fields of an [`Issuer`], for readers and for the store's codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerState {
    /// Its name.
    pub id: IssuerId,
    /// The newest version of its JWK Set.
    pub jwk_set_version: JwkSetVersion,
    /// The newest version that was observed as published, and when.
    pub published: Option<Published>,
    /// Whether verifiers may hold a set of this issuer, from us or from whoever had its URL before.
    pub known_to_verifiers: bool,
    /// Its rings.
    pub rings: BTreeMap<RingName, KeyRing>,
    /// Its foreign, verify-only keys, oldest first.
    pub imported: Vec<Imported>,
    /// The first version of the JWK Set whose imported keys are all remembered.
    pub history_from: JwkSetVersion,
    /// By which setting of the machine's clock its moments are told, if that is known.
    pub clock: Option<ClockSetting>,
}

/// An observed publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Which set.
    pub version: JwkSetVersion,
    /// When it was observed.
    pub at: Timestamp,
}

/// One published JWK Set and the keys behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(IssuerState);

impl Issuer {
    /// An issuer without rings. `known_to_verifiers` says that its URL has served another set before, so
    /// that not even the first key may sign at once.
    #[must_use]
    pub fn new(id: IssuerId, known_to_verifiers: bool) -> Self {
        Self(IssuerState {
            id,
            jwk_set_version: JwkSetVersion::new(0),
            published: None,
            known_to_verifiers,
            rings: BTreeMap::new(),
            imported: Vec::new(),
            history_from: JwkSetVersion::new(1),
            clock: None,
        })
    }

    /// Takes up an issuer that was stored.
    ///
    /// # Errors
    /// Says in words which invariant the fields break.
    pub fn from_state(state: IssuerState) -> Result<Self, String> {
        if state.rings.iter().any(|(name, ring)| *name != ring.state().name) {
            return Err("a ring stands under another ring's name".to_owned());
        }
        if state.published.is_some_and(|published| published.version > state.jwk_set_version) {
            return Err("a JWK Set is published that was never made".to_owned());
        }
        let issuer = Self(state);
        let mut kids: Vec<&Kid> = issuer.kids().collect();
        kids.sort_unstable();
        match kids.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
            Some(kid) => Err(format!("kid {kid} stands twice")),
            None => Ok(issuer),
        }
    }

    /// The fields.
    #[must_use]
    pub fn state(&self) -> &IssuerState {
        &self.0
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &IssuerId {
        &self.0.id
    }

    /// The ring of that name.
    #[must_use]
    pub fn ring(&self, name: &RingName) -> Option<&KeyRing> {
        self.0.rings.get(name)
    }

    /// Every kid that the issuer remembers.
    fn kids(&self) -> impl Iterator<Item = &Kid> {
        self.0.rings.values().flat_map(KeyRing::kids).chain(self.0.imported.iter().map(Imported::kid))
    }

    /// The keys of the present JWK Set, in the order in which they were first listed.
    #[must_use]
    pub fn jwk_set(&self) -> Vec<&Jwk> {
        self.listed_at(self.0.jwk_set_version)
    }

    /// The keys that the JWK Set `version` listed, in the same order as then; nothing if it was never
    /// made or is not wholly remembered.
    #[must_use]
    pub fn jwk_set_at(&self, version: JwkSetVersion) -> Option<Vec<&Jwk>> {
        let mut from = self.0.rings.values().map(|ring| ring.state().history_from);
        let remembered = self.0.history_from <= version && from.all(|from| from <= version);
        let made = JwkSetVersion::new(1) <= version && version <= self.0.jwk_set_version;
        (made && remembered).then(|| self.listed_at(version))
    }

    fn listed_at(&self, version: JwkSetVersion) -> Vec<&Jwk> {
        let mut listed: Vec<(JwkSetVersion, &Jwk)> = Vec::new();
        let mut add = |from: JwkSetVersion, until: Option<JwkSetVersion>, jwk| {
            if from <= version && until.is_none_or(|until| version < until) {
                listed.push((from, jwk));
            }
        };
        for ring in self.0.rings.values().map(KeyRing::state) {
            if let Some(super::state::Next::PreActive(v)) = &ring.next {
                add(v.key.listed_from, None, &v.key.jwk);
            }
            ring.signer.iter().for_each(|v| add(v.key.listed_from, None, &v.key.jwk));
            for v in &ring.retained {
                add(v.key.listed_from, v.withdrawn.map(|w| w.listed_until), &v.key.jwk);
            }
            ring.compromised.iter().for_each(|v| add(v.key.listed_from, Some(v.withdrawn.listed_until), &v.key.jwk));
            ring.destroyed.iter().for_each(|v| add(v.listed_from, Some(v.withdrawn.listed_until), &v.jwk));
        }
        for v in &self.0.imported {
            add(v.listed_from, v.withdrawn.map(|w| w.listed_until), &v.jwk);
        }
        listed.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.kid().cmp(y.kid())));
        listed.into_iter().map(|(_, jwk)| jwk).collect()
    }

    /// The JWK Set that is to be published now, if the newest is not known to be.
    ///
    /// A new issuer waits until each of its rings has a key, so that no verifier ever holds a set that
    /// lacks one of the first signers.
    #[must_use]
    pub fn to_publish(&self, policy: &IssuerPolicy) -> Option<JwkSetVersion> {
        let newest = self.0.jwk_set_version;
        let is_out = self.0.published.is_some_and(|published| published.version == newest);
        let complete = self.0.known_to_verifiers || self.have_keys(policy.rings.keys());
        (!is_out && newest != JwkSetVersion::new(0) && complete).then_some(newest)
    }

    fn have_keys<'a>(&self, mut rings: impl Iterator<Item = &'a RingName>) -> bool {
        rings.all(|name| self.ring(name).is_some_and(|ring| ring.listed_keys().next().is_some()))
    }

    /// Whether the first set may be out though no publication was recorded: a publisher had it, and the
    /// record of that was lost.
    fn may_be_out_unseen(&self, policy: &IssuerPolicy) -> bool {
        let made = self.0.published.is_none() && self.0.jwk_set_version != JwkSetVersion::new(0);
        made && (self.have_keys(policy.rings.keys()) || self.have_keys(self.0.rings.keys()))
    }

    /// The issuer after `event`; this one stays as it is.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the event can't have happened to this state.
    pub fn after(&self, policy: &IssuerPolicy, event: &Event) -> Result<Self, IllegalTransition> {
        let mut next = self.clone();
        next.apply(policy, event)?;
        Ok(next)
    }

    /// Lets `event` happen. On an error nothing has changed.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the event can't have happened to this state.
    pub fn apply(&mut self, policy: &IssuerPolicy, event: &Event) -> Result<(), IllegalTransition> {
        let at = event.at;
        let next_set = self.0.jwk_set_version.next();
        let may_be_out_unseen = self.may_be_out_unseen(policy);
        let set_changes = match &event.fact {
            Fact::RingAdded { ring, spec } => {
                let terms = policy.rings.get(ring).ok_or_else(|| IllegalTransition::NoPolicy(ring.clone()))?;
                if self.0.rings.contains_key(ring) {
                    return Err(IllegalTransition::RingExists(ring.clone()));
                }
                let mut added = KeyRing::new(ring.clone(), *spec, &terms.policy);
                self.0.rings.values().for_each(|other| added.joined(other, at));
                self.0.rings.insert(ring.clone(), added);
                self.0.known_to_verifiers |= may_be_out_unseen;
                false
            }
            Fact::TermsChanged { ring } => {
                let (ring, terms) = self.ring_mut(policy, ring)?;
                ring.terms_changed(&terms.policy, at);
                false
            }
            Fact::Reserved { ring, version, backend, reason } => {
                self.ring_mut(policy, ring)?.0.reserved(*version, backend, *reason, at)?;
                false
            }
            Fact::Generated { ring, version, handle, jwk } => {
                let replayed = self.ring(ring).is_some_and(|ring| ring.has_generated(*version, jwk));
                if !replayed && self.kids().any(|kid| kid == jwk.kid()) {
                    return Err(IllegalTransition::DuplicateKid(jwk.kid().clone()));
                }
                self.ring_mut(policy, ring)?.0.generated(*version, handle, jwk, at, next_set)?
            }
            Fact::Published { version } => {
                self.published(policy, *version, at)?;
                false
            }
            Fact::Activated { ring, version, reason: _ } => {
                let (ring, terms) = self.ring_mut(policy, ring)?;
                ring.activated(&terms.policy, *version, at)?;
                false
            }
            Fact::PrivateDestroyed { ring, version, gone_at } => {
                self.ring_mut(policy, ring)?.0.private_destroyed(*version, at, *gone_at)?;
                false
            }
            Fact::Withdrawn { ring, version } => {
                self.ring_mut(policy, ring)?.0.withdrawn(*version, at, next_set)?;
                true
            }
            Fact::Compromised { kid, reason, succession } => {
                let withdrawn = Withdrawn { at, listed_until: next_set };
                self.compromised(policy, kid, reason, *succession, withdrawn)?
            }
            Fact::Requested { ring } => {
                self.ring_mut(policy, ring)?.0.requested(at);
                false
            }
            Fact::Imported { jwk, withdraw_at } => self.import(policy, jwk, *withdraw_at, at)?,
            Fact::ImportWithdrawn { kid } => {
                let listed = self.0.imported.iter_mut().find(|v| v.kid() == kid && v.withdrawn.is_none());
                let key = listed.ok_or_else(|| IllegalTransition::UnknownKid(kid.clone()))?;
                key.withdrawn = Some(Withdrawn { at, listed_until: next_set });
                true
            }
            Fact::ClockSet { setting } => {
                self.clock_set(policy, *setting);
                false
            }
        };
        if set_changes {
            self.0.jwk_set_version = next_set;
            self.0.known_to_verifiers |= may_be_out_unseen;
        }
        Ok(())
    }

    /// What is ahead keeps its distance. What lies behind stays as it was told, and so does what an operator has
    /// named by date.
    fn clock_set(&mut self, policy: &IssuerPolicy, setting: ClockSetting) {
        let known = self.0.clock.replace(setting);
        let ahead = known.and_then(|known| setting.ahead_of(known)).unwrap_or(0);
        if ahead != 0 {
            self.0.published.iter_mut().for_each(|published| published.at = published.at.shifted(ahead));
            let seen = self.0.imported.iter_mut().filter_map(|key| key.withdrawal_seen_at.as_mut());
            seen.for_each(|seen| *seen = seen.shifted(ahead));
            for (name, ring) in &mut self.0.rings {
                ring.clock_set(policy.rings.get(name).map(|ring| &ring.policy), ahead);
            }
        }
    }

    fn ring_mut<'a>(
        &'a mut self,
        policy: &'a IssuerPolicy,
        name: &RingName,
    ) -> Result<(&'a mut KeyRing, &'a RingPolicy), IllegalTransition> {
        let ring = self.0.rings.get_mut(name).ok_or_else(|| IllegalTransition::UnknownRing(name.clone()))?;
        let terms = policy.rings.get(name).ok_or_else(|| IllegalTransition::NoPolicy(name.clone()))?;
        Ok((ring, terms))
    }

    fn published(
        &mut self,
        policy: &IssuerPolicy,
        version: JwkSetVersion,
        at: Timestamp,
    ) -> Result<(), IllegalTransition> {
        let newest = self.0.jwk_set_version;
        if version > newest {
            return Err(IllegalTransition::UnknownJwkSet { version, newest });
        }
        if self.0.published.is_some_and(|published| published.version >= version) {
            return Ok(());
        }
        let first_set = !self.0.known_to_verifiers;
        for (name, ring) in &mut self.0.rings {
            let terms = policy.rings.get(name).map(|ring| &ring.policy);
            ring.published(terms, version, at, first_set);
        }
        for gone in &mut self.0.imported {
            if gone.withdrawal_seen_at.is_none() && gone.withdrawn.is_some_and(|gone| gone.listed_until <= version) {
                gone.withdrawal_seen_at = Some(at);
            }
        }
        self.0.published = Some(Published { version, at });
        self.0.known_to_verifiers = true;
        Ok(())
    }

    /// Returns whether the JWK Set changes: declaring the same key compromised again changes nothing.
    fn compromised(
        &mut self,
        policy: &IssuerPolicy,
        kid: &Kid,
        reason: &str,
        succession: Succession,
        withdrawn: Withdrawn,
    ) -> Result<bool, IllegalTransition> {
        for (name, ring) in &mut self.0.rings {
            if !ring.kids().any(|known| known == kid) {
                continue;
            }
            let terms = policy.rings.get(name).ok_or_else(|| IllegalTransition::NoPolicy(name.clone()))?;
            if ring.compromised(&terms.policy, kid, reason, succession, withdrawn) {
                return Ok(true);
            }
            let known = ring.state().compromised.iter().any(|v| v.key.jwk.kid() == kid)
                || ring.state().destroyed.iter().any(|v| v.jwk.kid() == kid && v.compromised.is_some());
            if !known {
                return Err(IllegalTransition::UnknownKid(kid.clone()));
            }
            ring.hurry(succession);
            return Ok(false);
        }
        match self.0.imported.iter_mut().find(|v| v.kid() == kid) {
            Some(key) if key.withdrawn.is_none() => {
                key.withdrawn = Some(withdrawn);
                key.compromised = Some(reason.to_owned());
                Ok(true)
            }
            Some(key) if key.compromised.is_some() => Ok(false),
            _ => Err(IllegalTransition::UnknownKid(kid.clone())),
        }
    }

    fn import(
        &mut self,
        policy: &IssuerPolicy,
        jwk: &Jwk,
        withdraw_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<bool, IllegalTransition> {
        let listed_from = self.0.jwk_set_version.next();
        if let Some(there) = self.0.imported.iter_mut().find(|v| v.jwk == *jwk && v.withdrawn.is_none()) {
            there.withdraw_at = withdraw_at;
            return Ok(false);
        }
        if self.kids().any(|kid| kid == jwk.kid()) {
            return Err(IllegalTransition::DuplicateKid(jwk.kid().clone()));
        }
        let bytes = self.reserved_bytes() + jwk.to_json().len();
        if bytes > policy.max_bytes {
            return Err(IllegalTransition::NoRoom { bytes, max_bytes: policy.max_bytes });
        }
        // A foreign key means that this URL had another owner: verifiers may hold that owner's set.
        self.0.known_to_verifiers = true;
        let key = Imported {
            jwk: jwk.clone(),
            imported_at: at,
            withdraw_at,
            listed_from,
            withdrawn: None,
            withdrawal_seen_at: None,
            compromised: None,
        };
        self.0.imported.push(key);
        self.forget_imported();
        Ok(true)
    }

    /// Keeps at most [`HISTORY_MAX`] imported keys that are withdrawn; sets that listed others are forgotten whole.
    fn forget_imported(&mut self) {
        let gone = |key: &Imported| key.withdrawn.filter(|_| key.withdrawal_seen_at.is_some());
        let mut surplus = self.0.imported.iter().filter(|key| gone(key).is_some()).count().saturating_sub(HISTORY_MAX);
        let history_from = &mut self.0.history_from;
        self.0.imported.retain(|key| match gone(key) {
            Some(withdrawn) if surplus > 0 => {
                surplus -= 1;
                *history_from = withdrawn.listed_until.max(*history_from);
                false
            }
            _ => true,
        });
    }
}
