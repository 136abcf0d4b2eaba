//! Commits and effects, and what may become of them.

use std::rc::Rc;

use jwksd::ids::{BackendId, Handle, RingName, VersionId};
use jwksd::lifecycle::event::{Event, Fact};
use jwksd::lifecycle::issuer::Issuer;
use jwksd::lifecycle::key_ring::RingState;
use jwksd::lifecycle::plan::Action;
use jwksd::lifecycle::state::{Key, Next};
use jwksd::lifecycle::time::Timestamp;

use super::faults::Ending;
use super::places::{Label, Record as Stored, jwk, key_of};
use super::setup::DAY;
use super::world::{Happening, World};

impl World {
    /// Compare-and-swap. `Some` says whether the commit is known to have landed, `None` that it is not
    /// known.
    pub(super) fn replace(&mut self, replica: usize, base: &Rc<Stored>, event: &Event, next: Issuer) -> Option<bool> {
        let next = self.setup.mutation.rewrite(&base.issuer, next, event, &self.policy);
        let ending = self.faults.ending(&mut self.streams.faults, self.now);
        if ending == Ending::FailedUndone {
            self.note(|| format!("replica {replica}: {} not stored", brief(&event.fact)));
            return Some(false);
        }
        let current = Rc::clone(self.stored());
        let expected = if self.setup.mutation.overwrites() { current.revision } else { base.revision };
        let commit = self.store.new_commit();
        if !self.store.replace(expected, next, commit) {
            self.note(|| format!("replica {replica}: {} came second", brief(&event.fact)));
            return Some(false);
        }
        self.committed(replica, &current, event);
        if ending == Ending::FailedDone && self.streams.faults.chance(50) {
            // The answer was lost, and so is the next question.
            self.note(|| format!("replica {replica}: {} stored, but the answer is lost", brief(&event.fact)));
            let dated = event.at.as_second() - self.replicas[replica].offset;
            self.replicas[replica].uncertain.get_or_insert(dated);
            return None;
        }
        // An answer that was lost is found by the commit's name.
        self.load(replica);
        Some(self.stored().commit == commit)
    }

    /// A commit has landed: others know the state before it until they load again.
    fn committed(&mut self, replica: usize, before: &Rc<Stored>, event: &Event) {
        self.counts.commits += 1;
        self.note(|| format!("replica {replica}: {}, dated {}", brief(&event.fact), event.at));
        for other in 0..self.setup.replicas {
            self.fall_behind(other, other == replica, before.revision);
        }
        self.learn(before, event);
        self.check_commit(before, event);
        self.sample_tokens(replica, event);
        self.tempt_the_operator(&event.fact);
    }

    /// A replica no longer knows the newest state.
    fn fall_behind(&mut self, replica: usize, is_writer: bool, revision: u64) {
        let was_current = self.replicas[replica].snapshot.as_ref().is_some_and(|known| known.revision == revision);
        if !self.replicas[replica].up || !was_current || !self.faults.store_answers(replica, self.now) {
            return;
        }
        let early = self.setup.sign_for.min(self.setup.publish_for) / 4;
        let latency = &mut self.streams.latency;
        let poll = if is_writer || latency.chance(50) { 0 } else { latency.range(0, early) };
        let state = &mut self.replicas[replica];
        state.confirmed = state.confirmed.max(self.now - poll);
        let confirmed = state.confirmed;
        if is_writer {
            // It learns of its own commit at once, unless the answer is lost.
            return self.at(confirmed + self.setup.publish_for, Happening::Unconfirmed { replica });
        }
        let quick = self.now >= self.faults.until || latency.chance(60);
        let lag = match (quick, latency.chance(60)) {
            (true, _) => latency.range(0, 2),
            (false, true) => latency.range(0, self.setup.sign_for + 1),
            (false, false) => latency.range(0, self.setup.sign_for.max(self.setup.publish_for) + 60),
        };
        self.at(self.now + lag, Happening::Load { replica });
        if confirmed + self.setup.publish_for < self.now + lag {
            self.at(confirmed + self.setup.publish_for, Happening::Unconfirmed { replica });
        }
    }

    /// Has a backend do something. `Ok(None)`: the state has moved on.
    pub(super) fn effect(&mut self, replica: usize, action: &Action) -> Result<Option<Fact>, &'static str> {
        let snapshot = self.replicas[replica].snapshot.clone().expect("a tick begins with a load");
        let (Action::Generate { ring, version } | Action::DestroyPrivate { ring, version }) = action else {
            return Ok(None);
        };
        let Some(state) = snapshot.issuer.ring(ring).map(|ring| ring.state()) else { return Ok(None) };
        let index = self.ring_index(ring);
        let label = (index, version.get());
        match action {
            Action::Generate { .. } => {
                let Some(Next::Reserved(reserved)) = state.next.as_ref().filter(|next| next.id() == *version) else {
                    return Ok(None);
                };
                let key = self.generate(&reserved.backend, label)?;
                let (handle, jwk) = (Handle::new(&key.to_string()), jwk(key, state.spec));
                Ok(Some(Fact::Generated { ring: ring.clone(), version: *version, handle, jwk }))
            }
            _ => {
                let Some(key) = ending_key(state, *version) else { return Ok(None) };
                self.destroy(&key.backend, label, key_of(key.jwk.kid()))?;
                let late = if self.streams.latency.chance(80) { 0 } else { 7 * DAY };
                let gone_at = Timestamp::from_second(self.clock(replica).as_second() + late);
                Ok(Some(Fact::PrivateDestroyed { ring: ring.clone(), version: *version, gone_at }))
            }
        }
    }

    fn generate(&mut self, backend: &BackendId, label: Label) -> Result<usize, &'static str> {
        let ending = self.reach(backend)?;
        let there = self.backends[backend_index(backend)].held.get(&label).copied();
        let key = match there.filter(|_| !self.setup.mutation.forgets_labels()) {
            Some(key) => key,
            None => {
                let key = self.meet(label.0, label.1);
                let old = self.backends[backend_index(backend)].held.insert(label, key);
                self.check_not_displaced(label, old);
                key
            }
        };
        self.check_nothing_is_orphaned();
        if ending == Ending::FailedDone { Err("made, but the answer is lost") } else { Ok(key) }
    }

    fn destroy(&mut self, backend: &BackendId, label: Label, key: usize) -> Result<(), &'static str> {
        let ending = self.reach(backend)?;
        self.check_no_signer_loses_its_key(key);
        self.backends[backend_index(backend)].held.remove(&label);
        if ending == Ending::FailedDone { Err("destroyed, but the answer is lost") } else { Ok(()) }
    }

    /// Calls a backend; what is returned has an effect.
    fn reach(&mut self, backend: &BackendId) -> Result<Ending, &'static str> {
        if self.faults.backends[backend_index(backend)].end_around(self.now).is_some() {
            return Err("unavailable");
        }
        match self.faults.ending(&mut self.streams.faults, self.now) {
            Ending::FailedUndone => Err("failed"),
            ending => Ok(ending),
        }
    }

    pub(super) fn ring_index(&self, name: &RingName) -> usize {
        self.settings.rings.iter().position(|ring| ring.name == *name).expect("rings are never taken away")
    }
}

/// A fact in few words.
pub(super) fn brief(fact: &Fact) -> String {
    let of_whom = match fact {
        Fact::RingAdded { ring, .. } | Fact::TermsChanged { ring } | Fact::Requested { ring } => ring.to_string(),
        Fact::Reserved { ring, version, .. }
        | Fact::Generated { ring, version, .. }
        | Fact::Activated { ring, version, .. }
        | Fact::PrivateDestroyed { ring, version, .. }
        | Fact::Withdrawn { ring, version } => format!("{ring} {version}"),
        Fact::Published { version } => format!("set {version}"),
        Fact::Compromised { kid, succession, .. } => format!("key {} {succession:?}", key_of(kid)),
        Fact::Imported { jwk, .. } => format!("key {}", key_of(jwk.kid())),
        Fact::ImportWithdrawn { kid } => format!("key {}", key_of(kid)),
        Fact::ClockSet { setting } => format!("{:?}", setting.booted_at),
    };
    format!("{of_whom} {}", fact.name())
}

/// The key of a version that is deactivated or compromised.
fn ending_key(state: &RingState, version: VersionId) -> Option<&Key> {
    let retained = state.retained.iter().find(|v| v.id == version).map(|v| &v.key);
    retained.or_else(|| state.compromised.iter().find(|v| v.id == version).map(|v| &v.key))
}

fn backend_index(id: &BackendId) -> usize {
    id.as_str().trim_start_matches("hsm-").parse().unwrap()
}
