//! What the world learns from a commit, in real time and independently of the state's own dates.

use std::rc::Rc;

use jwksd::lifecycle::event::{Event, Fact};
use jwksd::lifecycle::state::{Active, Next, PreActive, Private, Seen};

use super::places::{Label, Record as Stored, key_of};
use super::setup::{DAY, seconds, span};
use super::world::{Happening, World};

impl World {
    /// Takes note of what a commit means.
    pub(super) fn learn(&mut self, before: &Rc<Stored>, event: &Event) {
        let after = Rc::clone(self.stored());
        let (old, new) = (before.issuer.state().jwk_set_version, after.issuer.state().jwk_set_version);
        if new > old {
            self.sets.push(after.issuer.jwk_set().into_iter().map(|jwk| key_of(jwk.kid())).collect());
            self.out.push(None);
        }
        match &event.fact {
            Fact::Generated { jwk, .. } | Fact::Imported { jwk, .. } => self.watch(key_of(jwk.kid())),
            Fact::Published { version } => self.learn_of_publication(version.get(), event),
            Fact::Activated { ring, .. } => {
                let ring = self.ring_index(ring);
                self.asked[ring] = false;
                self.learn_of_signer(before, ring, event);
            }
            Fact::Compromised { kid, .. } => {
                let key = key_of(kid);
                if new > old {
                    self.keys[key].compromised = Some((self.now, new.get()));
                }
                for ring in 0..self.settings.rings.len() {
                    self.learn_of_signer(before, ring, event);
                }
            }
            Fact::PrivateDestroyed { .. } => self.forget(),
            _ => {}
        }
    }

    fn watch(&mut self, key: usize) {
        if self.watched.contains(&key) {
            return;
        }
        self.keys[key].lacked_until = self.served_until;
        self.keys[key].stale_until = self.copies_until;
        self.watched.push(key);
    }

    fn learn_of_publication(&mut self, version: u64, event: &Event) {
        let set = usize::try_from(version).unwrap();
        let out = self.out[set].unwrap_or(self.now);
        for &key in &self.sets[set] {
            let seen = &mut self.keys[key].seen;
            *seen = Some(seen.unwrap_or(out));
        }
        let max_age = span(self.settings.max_age);
        let forgetting = self.settings.verifiers.iter().filter_map(|profile| profile.forgets_within(max_age)).max();
        let grace = self.settings.verifiers.iter().map(|profile| seconds(profile.grace)).max().unwrap_or(0);
        // Caches that were filled under a longer `max-age` end later than the present settings say.
        let rings = self.stored().issuer.state().rings.values();
        let older = rings.filter_map(|ring| ring.state().promise.caches_until).max();
        let Some(forgetting) = forgetting else { return };
        let told = event.at.as_second() + seconds(forgetting) + self.setup.publish_for + self.setup.skew;
        let told = told.max(older.map_or(i64::MIN, |until| until.as_second() + grace + self.setup.skew));
        for key in 0..self.keys.len() {
            let facts = &mut self.keys[key];
            let gone = facts.compromised.is_some_and(|(_, without)| without <= version);
            if gone && facts.told.is_none() {
                facts.told = Some(told);
                self.at(told, Happening::Forgotten { key });
            }
        }
    }

    /// A ring may have another signer than before.
    fn learn_of_signer(&mut self, before: &Rc<Stored>, ring: usize, event: &Event) {
        let name = &self.settings.rings[ring].name;
        let after = Rc::clone(self.stored());
        let (Some(old), Some(new)) = (before.issuer.ring(name), after.issuer.ring(name)) else { return };
        let signer = |active: &Option<Active>| active.as_ref().map(|active| active.id);
        if signer(&old.state().signer) == signer(&new.state().signer) {
            return;
        }
        let Some(active) = &new.state().signer else { return };
        let key = key_of(active.key.jwk.kid());
        self.counts.activations += 1;
        self.asked[ring] = false;
        let due = match &old.state().next {
            Some(Next::PreActive(PreActive { seen: Some(Seen { may_sign_at, .. }), .. })) => Some(*may_sign_at),
            _ => None,
        };
        self.keys[key].was_signer = true;
        self.keys[key].hurried = due.is_some_and(|due| event.at < due);
        self.check_due(key);
        self.check_punctual(old, ring, event);
    }

    /// Lets go of keys that nobody can hold or need any more.
    fn forget(&mut self) {
        let listed = self.sets.last().cloned().unwrap_or_default();
        let open: Vec<usize> = self.record.all_open().collect();
        let (sets, keys, now) = (&self.sets, &self.keys, self.now);
        self.watched.retain(|key| {
            let shown = listed.contains(key) || open.iter().any(|set| sets[*set].contains(key));
            shown || keys[*key].last_exp > now - DAY
        });
    }

    /// Whether the stored state knows of a private half under `label`.
    pub(super) fn is_remembered(&self, label: Label) -> bool {
        let (ring, number) = label;
        let Some(ring) = self.stored().issuer.ring(&self.settings.rings[ring].name) else { return false };
        let state = ring.state();
        let held = |private: Private| private == Private::Held;
        state.next.as_ref().is_some_and(|next| next.id().get() == number)
            || state.signer.as_ref().is_some_and(|signer| signer.id.get() == number)
            || state.retained.iter().any(|old| old.id.get() == number && held(old.private))
            || state.compromised.iter().any(|gone| gone.id.get() == number && held(gone.private))
    }
}
