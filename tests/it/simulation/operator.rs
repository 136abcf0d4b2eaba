//! Operators: they ask for rotations, report leaks, import keys and change the configuration.

use std::rc::Rc;

use jwksd::ids::Kid;
use jwksd::jose::alg::{Algorithm, KeySpec};
use jwksd::lifecycle::event::{Event, Fact, IllegalTransition, Succession};
use jwksd::lifecycle::time::{Span, Timestamp};
use jwksd::lifecycle::verifiers::Profile;

use super::invariants::Invariant;
use super::places::{jwk, kid};
use super::setup::{DAY, DAYS, HOUR};
use super::verifier::{Served, Verifier};
use super::world::{Happening, START, World};

impl World {
    pub(super) fn plan_operator(&mut self) {
        if self.setup.replicas > 1 {
            self.at(START + 7 * DAY, Happening::Strays);
        }
        if self.setup.calm {
            return;
        }
        for (most, happening) in [(10, Happening::Operator), (5, Happening::Reconfigure)] {
            for _ in 0..self.streams.operator.range(0, most) {
                let moment = START + self.streams.operator.range(0, DAYS * DAY);
                self.at(moment, happening);
            }
        }
    }

    /// Sometimes an operator comes while something is under way: a rotation with its old key, or the
    /// change of a configuration with its old tokens and caches.
    pub(super) fn tempt_the_operator(&mut self, fact: &Fact) {
        if self.setup.calm || self.now >= self.faults.until {
            return;
        }
        let rarely = if self.setup.nervous { 1 } else { 12 };
        let rng = &mut self.streams.operator;
        let most = if rng.chance(50) { 20 } else { HOUR };
        let soon = self.now + rng.range(0, most);
        match fact {
            Fact::Activated { .. } if rng.one_in(2 * rarely) => self.at(soon, Happening::Reconfigure),
            Fact::TermsChanged { .. } if rng.one_in(rarely.min(2)) => self.at(soon, Happening::Ask),
            _ if rng.one_in(10 * rarely) => self.at(soon, Happening::Operator),
            _ => {}
        }
    }

    /// A slow call of a replica that was overtaken may make a key for an intent that is gone. Its number is
    /// never reused, so that the key can be told from any that is needed.
    pub(super) fn destroy_strays(&mut self) {
        for backend in 0..self.backends.len() {
            if self.faults.backends[backend].end_around(self.now).is_none() {
                let mut held = std::mem::take(&mut self.backends[backend].held);
                held.retain(|label, _| self.is_remembered(*label));
                self.backends[backend].held = held;
            }
        }
        self.at(self.now + 7 * DAY, Happening::Strays);
    }

    /// An operator asks for a rotation.
    pub(super) fn ask(&mut self) {
        let replica = self.streams.operator.index(self.setup.replicas);
        if self.replicas[replica].up && self.faults.store_answers(replica, self.now) {
            let ring = self.streams.operator.pick(&self.settings.rings).name.clone();
            if self.stored().issuer.ring(&ring).is_some() {
                self.order(replica, Fact::Requested { ring });
            }
        }
    }

    pub(super) fn operate(&mut self) {
        let replica = self.streams.operator.index(self.setup.replicas);
        if !self.replicas[replica].up || !self.faults.store_answers(replica, self.now) {
            return;
        }
        let imported = self.stored().issuer.state().imported.len();
        let rng = &mut self.streams.operator;
        let fact = match rng.range(0, 9) {
            0..=3 => return self.ask(),
            4..=7 => {
                let Some(key) = self.suspect() else { return };
                let succession = *self.streams.operator.pick(&[Succession::WhenPropagated, Succession::WhenPublished]);
                Fact::Compromised { kid: key, reason: "leaked".to_owned(), succession }
            }
            8 if imported < 2 => {
                let spec = KeySpec::new(Algorithm::Es256, None).unwrap();
                let until = rng.chance(50).then(|| Timestamp::from_second(self.now + rng.range(0, 90 * DAY)));
                let key = self.meet(0, 0);
                Fact::Imported { jwk: jwk(key, spec), withdraw_at: until }
            }
            _ => {
                let imported = self.stored().issuer.state().imported.iter();
                let Some(key) = imported.filter(|key| key.withdrawn.is_none()).map(|key| key.kid().clone()).next()
                else {
                    return;
                };
                Fact::ImportWithdrawn { kid: key }
            }
        };
        self.order(replica, fact);
    }

    /// A key that may have leaked: mostly one that is listed, now and then any.
    fn suspect(&mut self) -> Option<Kid> {
        let listed: Vec<Kid> = self.stored().issuer.jwk_set().into_iter().map(|jwk| jwk.kid().clone()).collect();
        let rng = &mut self.streams.operator;
        match rng.range(0, 9) {
            0 if !self.keys.is_empty() => Some(kid(rng.index(self.keys.len()))),
            _ if listed.is_empty() => None,
            _ => Some(rng.pick(&listed).clone()),
        }
    }

    /// Has a fact committed for an operator, who is told only of what is known to have landed.
    fn order(&mut self, replica: usize, fact: Fact) {
        self.load(replica);
        let base = Rc::clone(self.stored());
        let event = Event { at: self.clock(replica), fact };
        let next = match base.issuer.after(&self.policy, &event) {
            Ok(next) => next,
            Err(IllegalTransition::UnknownKid(kid)) => {
                if base.issuer.jwk_set().iter().any(|jwk| *jwk.kid() == kid) {
                    self.fail(Invariant::OperatorsAreObeyed, format!("kid {kid} is listed, yet unknown"));
                }
                return;
            }
            Err(IllegalTransition::NoRoom { .. }) => return,
            Err(error) => return self.fail(Invariant::OperatorsAreObeyed, format!("{:?}: {error}", event.fact)),
        };
        let acknowledged = next == base.issuer || self.replace(replica, &base, &event, next) == Some(true);
        if acknowledged && let Fact::Requested { ring } = &event.fact {
            let ring = self.ring_index(ring);
            let state = self.stored().issuer.ring(&self.settings.rings[ring].name);
            self.asked[ring] = state.is_some_and(|ring| ring.state().requested_at.is_some());
        }
        self.step_at(replica, self.now);
    }

    /// Every replica stops, and starts again with another configuration.
    pub(super) fn reconfigure(&mut self) {
        for replica in 0..self.setup.replicas {
            // The last tokens under the old settings.
            (0..self.settings.rings.len()).for_each(|ring| self.sign(replica, ring, None));
            self.halt(replica);
        }
        let directory = self.directory();
        let open = self.record.open(directory);
        self.stop_serving(directory, self.now);
        let former = self.former_owner();
        let former_open = self.record.open(former);
        self.stop_serving(former, self.now);
        self.change_settings();
        self.note(|| "the configuration changes".to_owned());
        // What is shorter counts at once, what is longer once it is promised.
        self.adopted = false;
        self.staleness = self.staleness.min(self.settings.staleness());
        self.record.max_age = self.record.max_age.min(self.settings.max_age);
        self.record.since = self.now;
        for (source, set) in [(directory, open), (former, former_open)] {
            if let Some(set) = set {
                self.record.sources[source].push(Served { from: self.now, to: i64::MAX, set });
            }
        }
        let anybody = Profile::custom("anybody", Span::from_secs(1));
        self.verifiers = vec![Verifier::new(anybody, self.now, &mut self.streams.verifiers)];
        for replica in 0..self.setup.replicas {
            let longest = *self.streams.operator.pick(&[0, 120, HOUR]);
            let back = self.now + self.streams.operator.range(0, longest);
            self.at(back, Happening::Start { replica });
        }
    }

    /// The first replica has recorded what the present settings change: now they are promised.
    pub(super) fn adopt(&mut self) {
        if std::mem::replace(&mut self.adopted, true) {
            return;
        }
        self.staleness = self.settings.staleness();
        self.record.max_age = self.settings.max_age;
        self.record.since = self.now;
        self.expect_slower_verifiers();
        self.verifiers.clear();
        self.add_verifiers();
    }

    fn change_settings(&mut self) {
        let rng = &mut self.streams.operator;
        let ring = rng.index(self.settings.rings.len());
        for _ in 0..rng.range(1, 2) {
            match rng.range(0, 3) {
                0 => self.settings.change_caches(rng, &self.setup),
                1 => self.settings.rings[ring].change_lifetime(rng, &self.setup),
                2 => self.settings.rings[ring].change_periods(rng, &self.setup),
                _ if self.settings.rings.len() < 3 => self.settings.add_ring(rng, &self.setup),
                _ => {}
            }
        }
        self.asked.resize(self.settings.rings.len(), false);
        self.policy = Rc::new(self.setup.policy(&self.settings));
    }

    /// A newly declared verifier may have been there all the time: of keys that have not signed yet, it
    /// may hold a copy without them that it fetched before now. Keys that have signed are known to it
    /// from its first fetch on.
    fn expect_slower_verifiers(&mut self) {
        let staleness = self.staleness;
        for &key in &self.watched {
            let facts = &mut self.keys[key];
            if !facts.was_signer && facts.lacked_until > i64::MIN {
                facts.stale_until = facts.stale_until.max(facts.lacked_until + staleness);
            }
        }
        if self.served_until > i64::MIN {
            self.copies_until = self.copies_until.max(self.served_until + staleness);
        }
    }
}
