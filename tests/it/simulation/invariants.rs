//! What must hold, by name. Each is checked where something happens that could break it.

use std::fmt;
use std::rc::Rc;

use jwksd::ids::JwkSetVersion;
use jwksd::jose::jwk_set::render;
use jwksd::lifecycle::event::{Event, Fact};
use jwksd::lifecycle::issuer::Issuer;
use jwksd::lifecycle::key_ring::KeyRing;
use jwksd::lifecycle::plan::Plan;
use jwksd::lifecycle::policy::Standby;
use jwksd::lifecycle::schedule::first_free;
use jwksd::lifecycle::state::Private;
use jwksd::lifecycle::time::{Span, Timestamp};

use super::places::{Label, Record as Stored, key_of};
use super::setup::{DAY, MINUTE, span};
use super::world::{Token, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Invariant {
    /// From its signing until it expires, at every declared verifier, unless its key was compromised.
    EveryValidTokenVerifies,
    NothingSignsBeforeItIsDue,
    NoNumberIsSkippedOrReused,
    OneSignerFollowsAnother,
    NothingIsOrphaned,
    NoSignerLosesItsKey,
    TheSetStaysWithinItsLimit,
    NoSourceGoesBack,
    HistoryStays,
    ACompromisedKeyIsOutAtOnce,
    ACompromisedKeyNeverSigns,
    CompromisedTokensAreForgotten,
    OperatorsAreObeyed,
    PlansLeadOn,
    RotationsAreOnTime,
    NothingIsStuck,
}

/// A broken invariant.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) invariant: Invariant,
    pub(super) at: i64,
    pub(super) text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken at {}: {}", self.invariant, Timestamp::from_second(self.at), self.text)
    }
}

impl World {
    pub(super) fn fail(&mut self, invariant: Invariant, text: String) {
        let at = self.now;
        self.failure.get_or_insert(Failure { invariant, at, text });
    }

    fn ensure(&mut self, invariant: Invariant, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.fail(invariant, text());
        }
    }

    pub(super) fn check_plan(&mut self, replica: usize, plan: &Plan) {
        let now = self.clock(replica);
        let sound = match (&plan.action, plan.wake_at) {
            (Some(_), wake_at) => wake_at == Some(now),
            (None, wake_at) => wake_at.is_none_or(|at| at > now),
        };
        self.ensure(Invariant::PlansLeadOn, sound, || format!("{plan:?}"));
    }

    pub(super) fn check_served_version(&mut self, source: usize, set: usize) {
        let highest = self.record.sources[source].last().map_or(0, |served| served.set);
        self.ensure(Invariant::NoSourceGoesBack, set >= highest, || format!("source {source}: {highest} to {set}"));
    }

    /// A set without a key that valid tokens need is about to be served.
    pub(super) fn check_nothing_needed_is_missing(&mut self, set: usize) {
        let needed = |key: &&usize| {
            let facts = &self.keys[**key];
            facts.last_exp > self.now && facts.compromised.is_none() && !self.sets[set].contains(*key)
        };
        if let Some(key) = self.watched.iter().find(needed).copied() {
            let left = self.keys[key].last_exp - self.now;
            let text = format!("set {set} lacks key {key}, {left} s before its last token expires");
            self.fail(Invariant::EveryValidTokenVerifies, text);
        }
    }

    /// A key begins to sign: had a replica published until the last moment that it may, would every
    /// verifier know the key?
    pub(super) fn check_due(&mut self, key: usize) {
        let facts = &self.keys[key];
        if facts.hurried || facts.lacked_until == i64::MIN {
            return;
        }
        let known = facts.seen.map(|seen| seen + self.setup.publish_for + self.staleness);
        let holds = known.is_some_and(|known| known <= self.now);
        let now = self.now;
        self.ensure(Invariant::NothingSignsBeforeItIsDue, holds, || format!("{key} at {now}, due {known:?}"));
    }

    /// Without faults and with room, a scheduled rotation happens when it is due.
    pub(super) fn check_punctual(&mut self, old: &KeyRing, ring: usize, event: &Event) {
        let settings = &self.settings.rings[ring];
        let undisturbed = self.setup.calm && !self.setup.is_narrow();
        // The first signer may have been activated just before a scheduled moment.
        let Some(signer) = old.state().signer.as_ref().filter(|signer| undisturbed && signer.id.get() > 1) else {
            return;
        };
        let due = first_free(&settings.blackouts, signer.rotate_at);
        let late = event.at.since(due);
        let holds = event.at >= signer.rotate_at && late.as_secs() <= 5;
        self.ensure(Invariant::RotationsAreOnTime, holds, || format!("{} came due {late} ago", signer.id));
    }

    pub(super) fn check_not_displaced(&mut self, label: Label, old: Option<usize>) {
        self.ensure(Invariant::NothingIsOrphaned, old.is_none(), || format!("{label:?} was there already"));
    }

    /// Every key in a backend belongs to a version or an intent in the store; with several replicas, but
    /// for what [`World::destroy_strays`] finds.
    pub(super) fn check_nothing_is_orphaned(&mut self) {
        if self.setup.replicas == 1 {
            self.check_every_key_is_remembered();
        }
    }

    fn check_every_key_is_remembered(&mut self) {
        let labels = self.backends.iter().flat_map(|backend| backend.held.keys());
        if let Some(label) = labels.copied().find(|label| !self.is_remembered(*label)) {
            self.fail(Invariant::NothingIsOrphaned, format!("{label:?} is known to nobody"));
        }
    }

    pub(super) fn check_no_signer_loses_its_key(&mut self, key: usize) {
        if self.keys[key].compromised.is_some() {
            return;
        }
        let ring = self.keys[key].ring;
        let signs = |replica: &usize| self.is_fresh(*replica) && self.known_signer(*replica, ring) == Some(key);
        if let Some(replica) = (0..self.setup.replicas).find(signs) {
            self.fail(Invariant::NoSignerLosesItsKey, format!("replica {replica} still signs with {key}"));
        }
    }

    pub(super) fn check_released(&mut self, replica: usize, token: &Token) {
        let facts = &self.keys[token.key];
        let (compromised, was_signer) = (facts.compromised, facts.was_signer);
        let bound = if self.setup.replicas > 1 { self.setup.sign_for } else { i64::MAX };
        let holds = compromised.is_none_or(|(since, _)| self.now <= since.saturating_add(bound));
        self.ensure(Invariant::ACompromisedKeyNeverSigns, holds, || format!("{} at replica {replica}", token.key));
        self.ensure(Invariant::NothingSignsBeforeItIsDue, was_signer, || format!("{} never was signer", token.key));
    }

    pub(super) fn check_forgotten(&mut self, key: usize) {
        for index in 0..self.verifiers.len() {
            let (sets, rng) = (&self.sets, &mut self.streams.verifiers);
            let verifier = &mut self.verifiers[index];
            let alone = verifier.forgets_alone();
            if !alone {
                // It meets a kid that it does not know, once it may ask again.
                verifier.accepts(&self.record, self.now, rng, |_| false);
            }
            let taken = verifier.accepts(&self.record, self.now, rng, |set| sets[set].contains(&key));
            let name = verifier.profile.name.clone();
            let asked_lately = !alone && !verifier.fetched_at(self.now);
            let holds = taken != Some(true) || asked_lately;
            self.ensure(Invariant::CompromisedTokensAreForgotten, holds, || format!("{name} still trusts {key}"));
        }
    }

    pub(super) fn check_commit(&mut self, before: &Rc<Stored>, event: &Event) {
        let after = Rc::clone(self.stored());
        let issuer = &after.issuer;
        for (name, ring) in &issuer.state().rings {
            let old = before.issuer.ring(name).map_or(1, |ring| ring.state().next_number.get());
            let new = ring.state().next_number.get();
            let reserved = matches!(&event.fact, Fact::Reserved { ring, .. } if ring == name);
            let holds = new == old + u64::from(reserved);
            self.ensure(Invariant::NoNumberIsSkippedOrReused, holds, || format!("{name}: {old} to {new}"));
            self.check_succession(before, name.as_str(), ring);
        }
        self.check_set(before, issuer);
        for (ring, asked) in self.asked.clone().into_iter().enumerate() {
            let state = issuer.ring(&self.settings.rings[ring].name).map(KeyRing::state);
            let kept = !asked || state.is_some_and(|state| state.requested_at.is_some());
            self.ensure(Invariant::OperatorsAreObeyed, kept, || format!("a request for ring {ring} is lost"));
        }
        if self.counts.commits.is_multiple_of(16) {
            let sound = Issuer::from_state(issuer.state().clone()).is_ok()
                && issuer.state().rings.values().all(|ring| KeyRing::from_state(ring.state().clone()).is_ok());
            self.ensure(Invariant::OneSignerFollowsAnother, sound, || "the state can't be read back".to_owned());
        }
    }

    /// A signer that is replaced is retained or compromised, and signers' numbers only grow.
    fn check_succession(&mut self, before: &Rc<Stored>, name: &str, ring: &KeyRing) {
        let Some(old) = before.issuer.state().rings.get(name).and_then(|ring| ring.state().signer.as_ref()) else {
            return;
        };
        let state = ring.state();
        let stays = state.signer.as_ref().is_some_and(|new| new.id == old.id);
        let follows = state.signer.as_ref().is_none_or(|new| new.id > old.id);
        let kept = state.retained.iter().any(|v| v.id == old.id) || state.compromised.iter().any(|v| v.id == old.id);
        self.ensure(Invariant::OneSignerFollowsAnother, stays || (follows && kept), || format!("{name} {}", old.id));
    }

    fn check_set(&mut self, before: &Rc<Stored>, issuer: &Issuer) {
        let (old, new) = (before.issuer.state().jwk_set_version, issuer.state().jwk_set_version);
        let newest = self.sets.len() - 1;
        let listed: Vec<usize> = issuer.jwk_set().into_iter().map(|jwk| key_of(jwk.kid())).collect();
        let in_step = new.get() == u64::try_from(newest).unwrap() && self.sets[newest] == listed;
        self.ensure(Invariant::HistoryStays, in_step, || format!("set {new} changed without a new version"));
        if new > old {
            let changed = newest == 1 || self.sets[newest] != self.sets[newest - 1];
            self.ensure(Invariant::HistoryStays, changed, || format!("set {new} is the one before it"));
            let grown = newest > 0 && listed.len() > self.sets[newest - 1].len();
            let fits = !self.setup.is_narrow() || !grown || render(issuer.jwk_set()).len() <= self.setup.max_bytes;
            self.ensure(Invariant::TheSetStaysWithinItsLimit, fits, || format!("set {new}"));
        }
        let leaked = listed.iter().find(|key| self.keys[**key].compromised.is_some()).copied();
        self.ensure(Invariant::ACompromisedKeyIsOutAtOnce, leaked.is_none(), || format!("{leaked:?} in {new}"));
        let any = 1 + self.streams.setup.index(newest.max(1));
        let remembered = issuer.jwk_set_at(JwkSetVersion::new(u64::try_from(any).unwrap()));
        if let Some(set) = remembered {
            let same = set.into_iter().map(|jwk| key_of(jwk.kid())).eq(self.sets[any].iter().copied());
            self.ensure(Invariant::HistoryStays, same, || format!("set {any} changed"));
        }
    }

    /// After faults have ended and everything had its time, nothing is overdue.
    pub(super) fn check_the_end(&mut self) {
        self.check_every_key_is_remembered();
        let stored = Rc::clone(self.stored());
        let state = stored.issuer.state();
        let now = Timestamp::from_second(self.now);
        // Foreign keys may fill the set for ever; then no ring can rotate.
        let crowded = self.setup.is_narrow();
        let patience = |wait: Span| wait + wait + span(60 * MINUTE);
        let mut stuck = Vec::new();
        if state.published.is_none_or(|published| published.version != state.jwk_set_version) {
            stuck.push("publication".to_owned());
        }
        for (name, ring) in &state.rings {
            let terms = self.policy.rings[name].policy.terms();
            let ring = ring.state();
            let overdue = |due: Timestamp| now.since(due) > patience(terms.propagation);
            match &ring.signer {
                None if !crowded => stuck.push(format!("{name} has no signer")),
                Some(signer) if !crowded && overdue(first_free(&terms.blackouts, signer.rotate_at)) => {
                    stuck.push(format!("{name} {} should have been replaced at {}", signer.id, signer.rotate_at));
                }
                _ => {}
            }
            if !crowded && ring.requested_at.is_some_and(overdue) {
                stuck.push(format!("{name}: the request"));
            }
            let private =
                ring.retained.iter().any(|old| old.private == Private::Held && overdue(old.destroy_private_at));
            let public = ring.retained.iter().any(|old| old.withdrawn.is_none() && overdue(old.withdraw_at));
            if private || public || !ring.compromised.is_empty() {
                stuck.push(format!("{name}: an ending"));
            }
            let just_in_time = terms.standby == Standby::JustInTime;
            if !crowded && ring.next.is_none() && !just_in_time {
                stuck.push(format!("{name}: the standby"));
            }
        }
        self.ensure(Invariant::NothingIsStuck, stuck.is_empty(), || stuck.join(", "));
    }

    /// How long it takes at most until whatever faults held up is done.
    pub(super) fn quiet(&self) -> i64 {
        14 * DAY
    }
}
