//! Tokens: who may sign one, when they are asked for, and who gets to see them.

use jwksd::lifecycle::event::{Event, Fact};
use jwksd::lifecycle::key_ring::KeyRing;
use jwksd::lifecycle::state::{Active, Private};

use super::invariants::Invariant;
use super::places::key_of;
use super::setup::{DAY, seconds};
use super::world::{Happening, Token, World};

/// A signature that a backend is working on.
#[derive(Clone, Copy)]
pub(super) struct Call {
    ring: usize,
    key: usize,
    exp: i64,
    excused: bool,
    boot: u32,
}

/// What a replica would sign with.
struct Offer {
    key: usize,
    /// The longest token.
    lifetime: i64,
    /// No token may expire later than this.
    latest: i64,
}

impl World {
    /// Whether a replica may use what it knows for signing.
    pub(super) fn is_fresh(&self, replica: usize) -> bool {
        let state = &self.replicas[replica];
        if !state.up {
            return false;
        }
        if self.setup.replicas > 1 {
            let bound = if self.setup.mutation.ignores_the_bound() { DAY } else { self.setup.sign_for };
            return self.now.saturating_sub(self.confirmed(replica)) <= bound;
        }
        // A single replica decides everything itself, but may not know yet what it has decided.
        let drain = self.policy.rings.values().map(|ring| seconds(ring.policy.terms().drain)).min().unwrap_or(0);
        state.uncertain.is_none_or(|since| self.now - since <= drain - self.setup.sign_deadline)
    }

    pub(super) fn known_ring(&self, replica: usize, ring: usize) -> Option<&KeyRing> {
        self.replicas[replica].snapshot.as_ref()?.issuer.ring(&self.settings.rings[ring].name)
    }

    /// The key that a replica takes for the signer.
    pub(super) fn known_signer(&self, replica: usize, ring: usize) -> Option<usize> {
        let signer: &Active = self.known_ring(replica, ring)?.state().signer.as_ref()?;
        Some(key_of(signer.key.jwk.kid()))
    }

    fn offer(&self, replica: usize, ring: usize, named: Option<usize>) -> Option<Offer> {
        let state = self.known_ring(replica, ring).filter(|_| self.is_fresh(replica))?.state();
        let terms = self.policy.rings[&state.name].policy.terms();
        let lifetime = seconds(state.promise.token_lifetime.min(terms.token_lifetime_max));
        let signer = self.known_signer(replica, ring);
        let Some(key) = named.filter(|key| signer != Some(*key)) else {
            return signer.map(|key| Offer { key, lifetime, latest: i64::MAX });
        };
        let old = state.retained.iter().find(|old| key_of(old.key.jwk.kid()) == key)?;
        let usable =
            old.private == Private::Held && old.withdrawn.is_none() && self.clock(replica) < old.destroy_private_at;
        usable.then_some(Offer { key, lifetime, latest: old.withdraw_at.as_second() - self.setup.skew })
    }

    /// A caller asks `replica` for a token.
    pub(super) fn sign(&mut self, replica: usize, ring: usize, named: Option<usize>) {
        let Some(offer) = self.offer(replica, ring, named) else { return };
        let rng = &mut self.streams.tokens;
        let lifetime = if rng.chance(70) { offer.lifetime } else { rng.range(1, offer.lifetime) };
        let late = if rng.chance(80) { 0 } else { rng.range(1, self.setup.sign_deadline) };
        let exp = (self.now + self.replicas[replica].offset + lifetime).min(offer.latest);
        let excused = self.keys[offer.key].hurried && self.may_be_unknown(offer.key);
        let call = Call { ring, key: offer.key, exp, excused, boot: self.replicas[replica].boots };
        self.calls.push(call);
        let index = self.calls.len() - 1;
        match late {
            0 => self.signed(replica, index),
            _ => self.at(self.now + late, Happening::Signed { replica, call: index }),
        }
    }

    /// The backend has answered; the replica looks again before it lets the signature go.
    pub(super) fn signed(&mut self, replica: usize, call: usize) {
        let Call { ring, key, exp, excused, boot } = self.calls[call];
        let crashed = self.replicas[replica].boots != boot || !self.replicas[replica].up;
        if crashed || exp <= self.now || !self.is_fresh(replica) {
            return;
        }
        let label = (self.keys[key].ring, self.keys[key].version);
        if !self.backends.iter().any(|backend| backend.held.get(&label) == Some(&key)) {
            // Nothing could sign; whether it should have been able to was checked when the key went.
            return;
        }
        let kid_is_usable = self.known_ring(replica, ring).is_some_and(|ring| {
            let retained = ring.state().retained.iter().filter(|old| old.private == Private::Held);
            retained
                .map(|old| &old.key)
                .chain(ring.state().signer.iter().map(|v| &v.key))
                .any(|k| key_of(k.jwk.kid()) == key)
        });
        if kid_is_usable {
            self.release(replica, Token { key, exp, excused });
        }
    }

    /// Whether some verifier may rightly not know `key` now.
    fn may_be_unknown(&self, key: usize) -> bool {
        let lacking = self.record.all_open().any(|set| !self.sets[set].contains(&key));
        lacking || self.now < self.keys[key].stale_until
    }

    fn release(&mut self, replica: usize, token: Token) {
        self.counts.tokens += 1;
        self.check_released(replica, &token);
        let Token { key, exp, excused } = token;
        if !excused && self.keys[key].compromised.is_none() && self.may_be_unknown(key) {
            let facts = &self.keys[key];
            let text =
                format!("{key} signs at replica {replica}, but copies without it live until {}", facts.stale_until);
            self.fail(Invariant::EveryValidTokenVerifies, text);
        }
        self.keys[key].last_exp = self.keys[key].last_exp.max(exp);
        self.tokens.push(token);
        let token = self.tokens.len() - 1;
        let last = exp - 1;
        let moments = [self.now, self.streams.tokens.range(self.now, last), last];
        for moment in moments {
            let verifier = self.streams.tokens.index(self.verifiers.len());
            self.at(moment, Happening::Shown { token, verifier });
        }
    }

    /// A verifier meets a token.
    pub(super) fn show(&mut self, token: usize, verifier: usize) {
        let Token { key, exp, excused } = self.tokens[token];
        let Some(verifier) = self.verifiers.get_mut(verifier) else { return };
        let sets = &self.sets;
        let taken =
            verifier.accepts(&self.record, self.now, &mut self.streams.verifiers, |set| sets[set].contains(&key));
        self.counts.verifications += 1;
        let bad = self.keys[key].compromised.is_some() || excused || self.now >= exp;
        if taken == Some(false) && !bad {
            let text = format!("{} rejects a token of key {key} that expires at {exp}", verifier.profile.name);
            self.fail(Invariant::EveryValidTokenVerifies, text);
        }
    }

    /// Asks for tokens where it is most dangerous: around what has just been committed.
    pub(super) fn sample_tokens(&mut self, writer: usize, event: &Event) {
        let (Fact::Activated { ring, .. } | Fact::TermsChanged { ring }) = &event.fact else {
            if let Fact::Compromised { .. } = &event.fact {
                self.sample_everywhere(writer);
            }
            return;
        };
        let ring = self.ring_index(ring);
        self.sample_replicas(writer, ring);
        let name = &self.settings.rings[ring].name;
        let Some(state) = self.stored().issuer.ring(name).map(KeyRing::state) else { return };
        let due = state.signer.as_ref().map(|signer| signer.rotate_at.as_second());
        let old = state.retained.last().map(|old| (key_of(old.key.jwk.kid()), old.destroy_private_at.as_second()));
        let rng = &mut self.streams.tokens;
        let replica = rng.index(self.setup.replicas);
        let some_day = self.now + rng.range(0, 20 * DAY);
        self.at(some_day, Happening::Sign { replica, ring, key: None });
        if let Some(due) = due {
            self.at(due - self.replicas[replica].offset - 1, Happening::Sign { replica, ring, key: None });
        }
        if let Some((key, drained)) = old {
            self.at(drained - self.replicas[replica].offset - 1, Happening::Sign { replica, ring, key: Some(key) });
        }
    }

    fn sample_everywhere(&mut self, writer: usize) {
        for ring in 0..self.settings.rings.len() {
            self.sample_replicas(writer, ring);
        }
    }

    /// At the writer now; at the others at the last moment at which they may, and just after it.
    fn sample_replicas(&mut self, writer: usize, ring: usize) {
        self.at(self.now, Happening::Sign { replica: writer, ring, key: None });
        for replica in (0..self.setup.replicas).filter(|replica| *replica != writer) {
            if self.replicas[replica].up {
                let last = self.confirmed(replica).saturating_add(self.setup.sign_for);
                self.at(last, Happening::Sign { replica, ring, key: None });
                self.at(last.saturating_add(1), Happening::Sign { replica, ring, key: None });
            }
        }
    }
}
