//! One replica: it loads, plans, acts, records the fact, publishes and looks again, as the daemon does.

use std::collections::BTreeMap;
use std::rc::Rc;

use jwksd::lifecycle::adopt::adoptions;
use jwksd::lifecycle::event::{Event, Fact};
use jwksd::lifecycle::plan::{Action, Due, Outlook};
use jwksd::lifecycle::time::Timestamp;

use super::faults::Ending;
use super::places::Record as Stored;
use super::setup::{HOUR, MINUTE};
use super::world::{Happening, World};

/// How many actions one tick does at most.
const ACTIONS_PER_TICK: usize = 16;
/// The longest that a failing action is left alone.
const BACKOFF_MAX: i64 = 5 * MINUTE;

pub(super) struct Replica {
    /// How far its clock is ahead.
    pub(super) offset: i64,
    pub(super) up: bool,
    /// How often it was started.
    pub(super) boots: u32,
    /// The committed state as it knows it.
    pub(super) snapshot: Option<Rc<Stored>>,
    /// When its last successful load began, if it can't have begun one since.
    pub(super) confirmed: i64,
    /// Since when it does not know whether a commit of its own has landed.
    pub(super) uncertain: Option<i64>,
    /// Steps planned for an earlier turn are called off.
    pub(super) turn: u32,
    pending: Pending,
    /// It has not yet compared its configuration with the state.
    fresh: bool,
    deferred: BTreeMap<Action, Timestamp>,
    failures: BTreeMap<Action, u32>,
    failed_ticks: u32,
    publish_after: i64,
    failed_publications: u32,
}

/// What a tick does next.
enum Pending {
    Look,
    Act(Due),
    Publish(u64),
    Commit(Event, Rc<Stored>),
}

/// When a tick goes on.
enum Next {
    Now,
    At(i64),
    Never,
}

impl Replica {
    pub(super) fn new(offset: i64) -> Self {
        Self {
            offset,
            up: false,
            boots: 0,
            snapshot: None,
            confirmed: i64::MIN,
            uncertain: None,
            turn: 0,
            pending: Pending::Look,
            fresh: true,
            deferred: BTreeMap::new(),
            failures: BTreeMap::new(),
            failed_ticks: 0,
            publish_after: i64::MIN,
            failed_publications: 0,
        }
    }
}

fn backoff(failures: u32) -> i64 {
    (1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX)
}

impl World {
    pub(super) fn start(&mut self, replica: usize) {
        let (offset, boots, turn) = {
            let old = &self.replicas[replica];
            (old.offset, old.boots, old.turn)
        };
        if self.replicas[replica].up {
            return;
        }
        self.note(|| format!("replica {replica} starts"));
        self.replicas[replica] = Replica { up: true, boots: boots + 1, turn, ..Replica::new(offset) };
        self.step_at(replica, self.now);
    }

    /// Everything but the store, the backends and what was published is lost.
    pub(super) fn crash(&mut self, replica: usize) {
        if !self.replicas[replica].up {
            return;
        }
        self.note(|| format!("replica {replica} crashes"));
        self.halt(replica);
        let longest = if self.now < self.faults.until { *self.streams.faults.pick(&[30, HOUR, 10 * HOUR]) } else { 30 };
        let back = self.now + self.streams.faults.range(1, longest);
        self.at(back, Happening::Start { replica });
    }

    pub(super) fn halt(&mut self, replica: usize) {
        self.stop_serving(replica, self.now);
        let offset = self.replicas[replica].offset;
        let (boots, turn) = (self.replicas[replica].boots, self.replicas[replica].turn + 1);
        self.replicas[replica] = Replica { boots, turn, ..Replica::new(offset) };
    }

    pub(super) fn step_at(&mut self, replica: usize, moment: i64) {
        self.replicas[replica].turn += 1;
        let turn = self.replicas[replica].turn;
        self.at(moment, Happening::Step { replica, turn });
    }

    /// When the last successful load of a replica began. While it knows the newest state and the store
    /// answers it, it confirms that all the time.
    pub(super) fn confirmed(&self, replica: usize) -> i64 {
        let known = self.replicas[replica].snapshot.as_ref().map(|known| known.revision);
        let current = known == Some(self.stored().revision) && self.faults.store_answers(replica, self.now);
        if current { self.now } else { self.replicas[replica].confirmed }
    }

    pub(super) fn cut_off(&mut self, replica: usize) {
        if self.replicas[replica].snapshot.is_none() {
            return;
        }
        // A moment ago it was still answered.
        let known = self.replicas[replica].snapshot.as_ref().map(|known| known.revision);
        if known == Some(self.stored().revision) {
            self.replicas[replica].confirmed = self.now;
        }
        let confirmed = self.replicas[replica].confirmed;
        self.at(confirmed + self.setup.publish_for, Happening::Unconfirmed { replica });
        self.load_when_answered(replica);
    }

    fn load_when_answered(&mut self, replica: usize) {
        let ends = [&self.faults.store, &self.faults.cut_off[replica]].map(|windows| windows.end_around(self.now));
        let answered = ends.into_iter().flatten().max().unwrap_or(self.now);
        let late = self.streams.latency.range(0, 30);
        self.at(answered + late, Happening::Load { replica });
    }

    pub(super) fn stop_serving_if_unconfirmed(&mut self, replica: usize) {
        let end = self.confirmed(replica).saturating_add(self.setup.publish_for);
        if self.setup.replicas > 1 && end <= self.now {
            self.stop_serving(replica, end);
        }
    }

    /// A hint or a poll arrives, late or not.
    pub(super) fn load_late(&mut self, replica: usize) {
        if !self.replicas[replica].up {
            return;
        }
        if !self.faults.store_answers(replica, self.now) {
            return self.load_when_answered(replica);
        }
        self.load(replica);
        if matches!(self.replicas[replica].pending, Pending::Look) {
            self.step_at(replica, self.now);
        }
    }

    /// Takes up the stored state; the store has answered.
    pub(super) fn load(&mut self, replica: usize) {
        let stored = Rc::clone(self.stored());
        let state = &mut self.replicas[replica];
        state.confirmed = self.now;
        state.uncertain = None;
        let newer = state.snapshot.as_ref().is_none_or(|known| known.revision < stored.revision);
        if newer {
            state.snapshot = Some(Rc::clone(&stored));
        }
        // No set goes out under settings that are not promised yet.
        let issuer = &stored.issuer;
        if self.replicas[replica].fresh {
            return;
        }
        if issuer.state().published.is_some() || issuer.to_publish(&self.policy).is_some() {
            self.serve(replica, issuer.state().jwk_set_version.get());
        }
    }

    /// Goes on with the tick of a replica.
    pub(super) fn step(&mut self, replica: usize) {
        for _ in 0..ACTIONS_PER_TICK {
            if self.faults.dies(&mut self.streams.faults, self.now) {
                return self.crash(replica);
            }
            match self.advance(replica) {
                Next::Now => {}
                Next::At(moment) => return self.step_at(replica, moment),
                Next::Never => return,
            }
            if self.failure.is_some() {
                return;
            }
        }
        self.step_at(replica, self.now + 1);
    }

    fn advance(&mut self, replica: usize) -> Next {
        match std::mem::replace(&mut self.replicas[replica].pending, Pending::Look) {
            Pending::Look => self.look(replica),
            Pending::Act(due) => self.act(replica, due),
            Pending::Publish(version) => self.publish(replica, version),
            Pending::Commit(event, base) => self.land(replica, event, &base),
        }
    }

    fn tick_failed(&mut self, replica: usize) -> Next {
        let state = &mut self.replicas[replica];
        state.failed_ticks += 1;
        Next::At(self.now + backoff(state.failed_ticks))
    }

    fn look(&mut self, replica: usize) -> Next {
        if !self.faults.store_answers(replica, self.now) {
            return self.tick_failed(replica);
        }
        self.load(replica);
        let stored = Rc::clone(self.stored());
        if self.replicas[replica].fresh {
            let facts = adoptions(&stored.issuer, &self.policy, &self.settings.specs());
            if let Some(fact) = facts.into_iter().next() {
                return self.commit(replica, fact);
            }
            self.replicas[replica].fresh = false;
            self.adopt();
            self.load(replica);
        }
        let to_publish = stored.issuer.to_publish(&self.policy);
        if let Some(version) = to_publish.filter(|_| self.replicas[replica].publish_after <= self.now) {
            return self.later(replica, Pending::Publish(version.get()), MINUTE);
        }
        let outlook = Outlook { now: self.clock(replica), deferred: &self.replicas[replica].deferred };
        let plan = stored.issuer.plan(&self.policy, outlook);
        self.check_plan(replica, &plan);
        let Some(due) = plan.action else {
            self.replicas[replica].failed_ticks = 0;
            return self.sleep(replica, plan.wake_at, to_publish.is_some());
        };
        let reason = due.reason;
        let fact = match due.action.clone() {
            Action::Generate { .. } | Action::DestroyPrivate { .. } => {
                return self.later(replica, Pending::Act(due), MINUTE);
            }
            Action::Reserve { ring, version, backend } => Fact::Reserved { ring, version, backend, reason },
            Action::Activate { ring, version } => Fact::Activated { ring, version, reason },
            Action::Withdraw { ring, version } => Fact::Withdrawn { ring, version },
            Action::WithdrawImported { kid } => Fact::ImportWithdrawn { kid },
        };
        self.commit(replica, fact)
    }

    /// Sleeps until the plan says so; a busy machine wakes late.
    fn sleep(&mut self, replica: usize, wake_at: Option<Timestamp>, unpublished: bool) -> Next {
        let state = &self.replicas[replica];
        let planned = wake_at.map(|at| at.as_second() - state.offset);
        let Some(wake) = planned.into_iter().chain(unpublished.then_some(state.publish_after)).min() else {
            return Next::Never;
        };
        let stalled = self.now < self.faults.until && !self.setup.calm;
        let late = match self.streams.latency.range(0, 9) {
            0 if stalled => self.streams.latency.range(0, 6 * HOUR),
            1..=4 if stalled => self.streams.latency.range(0, 2 * self.setup.skew + 5),
            _ => 0,
        };
        Next::At(wake.max(self.now) + late)
    }

    /// Lets some time pass, mostly none.
    fn later(&mut self, replica: usize, pending: Pending, longest: i64) -> Next {
        self.replicas[replica].pending = pending;
        if self.setup.calm || longest == 0 || self.streams.latency.chance(85) {
            return Next::Now;
        }
        Next::At(self.now + self.streams.latency.range(1, longest))
    }

    fn act(&mut self, replica: usize, due: Due) -> Next {
        match self.effect(replica, &due.action) {
            Ok(Some(fact)) => {
                self.replicas[replica].deferred.remove(&due.action);
                self.replicas[replica].failures.remove(&due.action);
                self.commit(replica, fact)
            }
            // The state has moved on.
            Ok(None) => Next::Now,
            Err(reason) => {
                self.note(|| format!("replica {replica}: {:?} failed: {reason}", due.action));
                let clock = self.clock(replica);
                let state = &mut self.replicas[replica];
                let failures = state.failures.entry(due.action.clone()).or_default();
                *failures += 1;
                let wait = backoff(*failures);
                state.deferred.insert(due.action, Timestamp::from_second(clock.as_second() + wait));
                Next::Now
            }
        }
    }

    fn publish(&mut self, replica: usize, version: u64) -> Next {
        if self.setup.directory {
            let outage = self.faults.directory.end_around(self.now).is_some();
            let ending = self.faults.ending(&mut self.streams.faults, self.now);
            let is_newest =
                self.record.open(self.directory()).is_none_or(|there| there <= usize::try_from(version).unwrap());
            if !outage && ending != Ending::FailedUndone && is_newest {
                self.serve(self.directory(), version);
            }
            if outage || ending != Ending::Done {
                self.note(|| format!("replica {replica}: publication of {version} failed"));
                let state = &mut self.replicas[replica];
                state.failed_publications += 1;
                state.publish_after = self.now + backoff(state.failed_publications);
                return Next::Now;
            }
        }
        self.replicas[replica].failed_publications = 0;
        let out = &mut self.out[usize::try_from(version).unwrap()];
        *out = Some(out.unwrap_or(self.now));
        self.commit(replica, Fact::Published { version: jwksd::ids::JwkSetVersion::new(version) })
    }

    /// Dates a fact and has it committed; the commit may take a while to reach the store.
    fn commit(&mut self, replica: usize, fact: Fact) -> Next {
        if !self.faults.store_answers(replica, self.now) {
            return self.tick_failed(replica);
        }
        self.load(replica);
        let at = self.setup.mutation.date(self.clock(replica), &fact, &self.stored().issuer);
        let base = Rc::clone(self.stored());
        // The drain has room for a commit that lands within the time of a signature.
        self.later(replica, Pending::Commit(Event { at, fact }, base), self.setup.sign_deadline / 2)
    }

    fn land(&mut self, replica: usize, event: Event, base: &Rc<Stored>) -> Next {
        let next = match base.issuer.after(&self.policy, &event) {
            Ok(next) => next,
            Err(reason) => {
                self.note(|| format!("replica {replica}: {} refused: {reason}", super::commit::brief(&event.fact)));
                return self.tick_failed(replica);
            }
        };
        if next == base.issuer {
            return Next::Now;
        }
        if !self.faults.store_answers(replica, self.now) {
            return self.tick_failed(replica);
        }
        match self.replace(replica, base, &event, next) {
            Some(true) => Next::Now,
            Some(false) | None => self.tick_failed(replica),
        }
    }
}
