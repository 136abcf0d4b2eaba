//! An issuer with a driver in which everything succeeds at once, unless a test says otherwise.

use std::collections::BTreeMap;

use jwksd::ids::{BackendId, Handle, JwkSetVersion, Kid, RingName, VersionId};
use jwksd::jose::alg::{Algorithm, KeySpec};
use jwksd::jose::jwk::{Jwk, PublicKey};
use jwksd::lifecycle::adopt::adoptions;
use jwksd::lifecycle::event::{Event, Fact, IllegalTransition, Succession};
use jwksd::lifecycle::forecast::Foreseen;
use jwksd::lifecycle::issuer::Issuer;
use jwksd::lifecycle::key_ring::{KeyRing, RingState};
use jwksd::lifecycle::plan::{Action, Due, Outlook, Plan};
use jwksd::lifecycle::policy::{IssuerPolicy, MAX_BYTES, Policy, RingPolicy, Terms};
use jwksd::lifecycle::time::{Span, Timestamp};

/// 2026-01-01T00:00:00Z, a Thursday.
pub(super) const START: i64 = 1_767_225_600;

#[derive(Clone)]
pub(super) struct Rig {
    pub(super) issuer: Issuer,
    pub(super) policy: IssuerPolicy,
    pub(super) now: Timestamp,
    pub(super) deferred: BTreeMap<Action, Timestamp>,
    /// What was done, as a forecast lists it.
    pub(super) done: Vec<Foreseen>,
    /// Whether sets that are made become visible.
    pub(super) publisher_works: bool,
    history: BTreeMap<JwkSetVersion, Vec<Kid>>,
}

pub(super) fn ring(name: &str) -> RingName {
    RingName::new(name).unwrap()
}

pub(super) fn v(number: u64) -> VersionId {
    VersionId::new(number)
}

pub(super) fn spec() -> KeySpec {
    KeySpec::new(Algorithm::Es256, None).unwrap()
}

/// A kid as long as a thumbprint, so that sizes are those of real keys.
pub(super) fn kid(ring: &str, number: u64) -> Kid {
    Kid::new(&format!("{:->43}", format!("{ring}.v{number}"))).unwrap()
}

pub(super) fn jwk(kid: &Kid) -> Jwk {
    Jwk::new(kid.clone(), Algorithm::Es256, PublicKey::stand_in(spec())).unwrap()
}

pub(super) fn ring_policy(terms: Terms) -> RingPolicy {
    let policy = Policy::new(terms).unwrap();
    RingPolicy { policy, backend: BackendId::new("hsm-a").unwrap(), standby_backend: None }
}

impl Rig {
    /// A new issuer with rings of these durations, adopted but without any version.
    pub(super) fn new(rings: &[(&str, Terms)]) -> Self {
        Self::with(rings, Issuer::new("main".parse().unwrap(), false))
    }

    /// The same, at a URL that has served another set.
    pub(super) fn known(rings: &[(&str, Terms)]) -> Self {
        Self::with(rings, Issuer::new("main".parse().unwrap(), true))
    }

    fn with(rings: &[(&str, Terms)], issuer: Issuer) -> Self {
        let rings = rings.iter().map(|(name, terms)| (ring(name), ring_policy(terms.clone())));
        let mut rig = Self {
            issuer,
            policy: IssuerPolicy { rings: rings.collect(), max_bytes: MAX_BYTES },
            now: Timestamp::from_second(START),
            deferred: BTreeMap::new(),
            done: Vec::new(),
            publisher_works: true,
            history: BTreeMap::new(),
        };
        rig.adopt();
        rig
    }

    /// One ring "a" of the default durations, running: v1 signs, v2 stands by.
    pub(super) fn running() -> Self {
        Self::running_with(Terms::default())
    }

    pub(super) fn running_with(terms: Terms) -> Self {
        let mut rig = Self::new(&[("a", terms)]);
        rig.settle();
        assert_eq!(rig.state("a").signer.as_ref().unwrap().id, v(1));
        rig
    }

    /// Records what the configuration demands.
    pub(super) fn adopt(&mut self) {
        let specs: BTreeMap<_, _> = self.policy.rings.keys().map(|name| (name.clone(), spec())).collect();
        for fact in adoptions(&self.issuer, &self.policy, &specs) {
            self.apply(fact).unwrap();
        }
    }

    /// Gives a ring other durations, or adds it.
    pub(super) fn configure(&mut self, name: &str, terms: Terms) {
        self.policy.rings.insert(ring(name), ring_policy(terms));
        self.adopt();
    }

    pub(super) fn apply(&mut self, fact: Fact) -> Result<(), IllegalTransition> {
        let before = self.issuer.clone();
        let outcome = self.issuer.apply(&self.policy, &Event { at: self.now, fact: fact.clone() });
        if outcome.is_err() {
            assert_eq!(self.issuer, before, "{fact:?} was refused and yet changed something");
        }
        self.check(&before, &fact);
        outcome
    }

    /// What holds after every event.
    fn check(&mut self, before: &Issuer, fact: &Fact) {
        let (old, new) = (before.state().jwk_set_version, self.issuer.state().jwk_set_version);
        let changed = before.jwk_set() != self.issuer.jwk_set();
        assert_eq!(new, if changed { old.next() } else { old }, "{fact:?}");
        for number in 1..=new.get() {
            let version = JwkSetVersion::new(number);
            let shown = self.issuer.jwk_set_at(version).map(kids);
            if shown.is_none() && version < new {
                // Wholly forgotten is fine, half forgotten is not.
                continue;
            }
            let known = self.history.entry(version).or_insert_with(|| shown.clone().unwrap());
            assert_eq!(Some(&*known), shown.as_ref(), "{fact:?} changed JWK Set {version}");
        }
        Issuer::from_state(self.issuer.state().clone()).unwrap();
        for ring in self.issuer.state().rings.values() {
            KeyRing::from_state(ring.state().clone()).unwrap();
        }
    }

    pub(super) fn plan(&self) -> Plan {
        let plan = self.issuer.plan(&self.policy, Outlook { now: self.now, deferred: &self.deferred });
        assert!(plan.wake_at.is_none_or(|at| at >= self.now), "wake_at is in the past: {plan:?}");
        assert!(plan.action.is_some() || plan.wake_at.is_none_or(|at| at > self.now), "busy loop: {plan:?}");
        plan
    }

    pub(super) fn publish(&mut self) {
        if let Some(version) = self.issuer.to_publish(&self.policy).filter(|_| self.publisher_works) {
            self.apply(Fact::Published { version }).unwrap();
        }
    }

    fn fact(&self, due: &Due) -> Fact {
        match due.action.clone() {
            Action::Reserve { ring, version, backend } => Fact::Reserved { ring, version, backend, reason: due.reason },
            Action::Generate { ring, version } => {
                let jwk = jwk(&kid(ring.as_str(), version.get()));
                Fact::Generated { ring, version, handle: Handle::new("made"), jwk }
            }
            Action::Activate { ring, version } => Fact::Activated { ring, version, reason: due.reason },
            Action::DestroyPrivate { ring, version } => Fact::PrivateDestroyed { ring, version, gone_at: self.now },
            Action::Withdraw { ring, version } => Fact::Withdrawn { ring, version },
            Action::WithdrawImported { kid } => Fact::ImportWithdrawn { kid },
        }
    }

    /// Does the one action that is due, if any.
    pub(super) fn step(&mut self) -> Option<Due> {
        self.publish();
        let due = self.plan().action?;
        self.apply(self.fact(&due)).unwrap();
        self.done.push(Foreseen { at: self.now, action: due.action.clone(), reason: due.reason });
        Some(due)
    }

    /// Does everything that is due now.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            if self.step().is_none() {
                return;
            }
        }
        panic!("still busy after 100 actions: {:?}", self.done);
    }

    /// Lives until `moment`, waking exactly when the plan says so.
    pub(super) fn run_to(&mut self, moment: Timestamp) {
        self.settle();
        while let Some(wake_at) = self.plan().wake_at.filter(|at| *at <= moment) {
            self.now = wake_at;
            assert!(self.step().is_some(), "nothing was due at wake_at {wake_at}: {:?}", self.plan());
            self.settle();
        }
        self.now = moment;
    }

    pub(super) fn run_for(&mut self, span: Span) {
        self.run_to(self.now + span);
    }

    pub(super) fn state(&self, name: &str) -> &RingState {
        self.issuer.ring(&ring(name)).unwrap().state()
    }

    /// The number of the version that signs.
    pub(super) fn signer(&self, name: &str) -> Option<u64> {
        self.state(name).signer.as_ref().map(|active| active.id.get())
    }

    pub(super) fn compromise(&mut self, kid: &Kid, succession: Succession) -> Result<(), IllegalTransition> {
        self.apply(Fact::Compromised { kid: kid.clone(), reason: "leaked".to_owned(), succession })
    }

    pub(super) fn request(&mut self, name: &str) {
        self.apply(Fact::Requested { ring: ring(name) }).unwrap();
    }

    /// The kids of the present JWK Set.
    pub(super) fn listed(&self) -> Vec<Kid> {
        kids(self.issuer.jwk_set())
    }
}

fn kids(set: Vec<&Jwk>) -> Vec<Kid> {
    set.into_iter().map(|jwk| jwk.kid().clone()).collect()
}
