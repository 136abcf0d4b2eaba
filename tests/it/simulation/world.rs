//! The world around the core: time, what happens in it, and what was served to whom.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use jwksd::lifecycle::policy::IssuerPolicy;
use jwksd::lifecycle::time::Timestamp;

use super::faults::Faults;
use super::invariants::Failure;
use super::places::{Backend, Record as Stored, Store};
use super::replica::Replica;
use super::rng::{Rng, Streams};
use super::setup::{DAY, DAYS, Settings, Setup};
use super::verifier::{Record, Served, Verifier};

/// 2026-01-01T00:00:00Z.
pub(super) const START: i64 = 1_767_225_600;

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    /// A replica goes on with its tick, unless that was called off since.
    Step {
        replica: usize,
        turn: u32,
    },
    /// A replica learns of a commit, or asks the store again.
    Load {
        replica: usize,
    },
    /// A replica has published for as long as it may without having confirmed its state.
    Unconfirmed {
        replica: usize,
    },
    /// The store becomes unreachable for a replica.
    CutOff {
        replica: usize,
    },
    Crash {
        replica: usize,
    },
    Start {
        replica: usize,
    },
    /// A caller wants a token from a replica: from the signer, or from a key that it names.
    Sign {
        replica: usize,
        ring: usize,
        key: Option<usize>,
    },
    /// A backend has signed.
    Signed {
        replica: usize,
        call: usize,
    },
    /// A token is shown to a verifier.
    Shown {
        token: usize,
        verifier: usize,
    },
    /// Verifiers are said to have forgotten a compromised key.
    Forgotten {
        key: usize,
    },
    /// An operator does something.
    Operator,
    /// An operator destroys the keys that no state knows of.
    Strays,
    /// An operator asks for a rotation.
    Ask,
    /// The configuration changes.
    Reconfigure,
}

/// What the world knows of one key.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyFacts {
    pub(super) ring: usize,
    pub(super) version: u64,
    /// When the last set without it was served, and when the last copy of such a set has ended.
    pub(super) lacked_until: i64,
    pub(super) stale_until: i64,
    /// When its publication was first observed.
    pub(super) seen: Option<i64>,
    /// When the last of its tokens expires, by the slowest clock.
    pub(super) last_exp: i64,
    pub(super) was_signer: bool,
    /// An operator let it sign before its time.
    pub(super) hurried: bool,
    /// When the commit landed that declared it compromised, and the first set without it.
    pub(super) compromised: Option<(i64, u64)>,
    /// When every verifier that forgets by itself is said to have forgotten it.
    pub(super) told: Option<i64>,
}

pub(super) struct Token {
    pub(super) key: usize,
    /// By the clocks' common scale.
    pub(super) exp: i64,
    /// Verifiers may reject it: an operator was told so.
    pub(super) excused: bool,
}

pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) settings: Settings,
    pub(super) policy: Rc<IssuerPolicy>,
    /// The longest that anybody to whom something was promised holds a set after it was served.
    pub(super) staleness: i64,
    /// Whether the present settings are promised: some replica has recorded what they change.
    pub(super) adopted: bool,
    pub(super) streams: Streams,
    pub(super) faults: Faults,
    pub(super) now: i64,
    queue: BinaryHeap<Reverse<(i64, u64, Happening)>>,
    sequence: u64,
    pub(super) store: Store,
    pub(super) backends: [Backend; 2],
    pub(super) replicas: Vec<Replica>,
    pub(super) keys: Vec<KeyFacts>,
    /// Keys that are, or may still be, in somebody's set.
    pub(super) watched: Vec<usize>,
    /// The keys of each version of the JWK Set; the first is what stood at the URL before.
    pub(super) sets: Vec<Vec<usize>>,
    /// When each set was first seen published by whoever published it.
    pub(super) out: Vec<Option<i64>>,
    pub(super) record: Record,
    /// When any set was last served, and when the last copy of it ends.
    pub(super) served_until: i64,
    pub(super) copies_until: i64,
    pub(super) verifiers: Vec<Verifier>,
    pub(super) tokens: Vec<Token>,
    pub(super) calls: Vec<super::tokens::Call>,
    /// Rings for which a request was acknowledged and not met.
    pub(super) asked: Vec<bool>,
    pub(super) failure: Option<Failure>,
    /// What happened, if anybody wants to read it.
    pub(super) log: Option<Vec<String>>,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) happenings: u64,
    pub(super) commits: u64,
    pub(super) activations: u64,
    pub(super) tokens: u64,
    pub(super) verifications: u64,
}

impl Counts {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            happenings: self.happenings + other.happenings,
            commits: self.commits + other.commits,
            activations: self.activations + other.activations,
            tokens: self.tokens + other.tokens,
            verifications: self.verifications + other.verifications,
        }
    }
}

impl World {
    pub(super) fn new(setup: Setup, mut streams: Streams) -> Self {
        let settings = Settings::random(&mut streams.setup, &setup);
        let policy = Rc::new(setup.policy(&settings));
        let faults = Faults::random(&mut streams.faults, &setup, START);
        let offset = |rng: &mut Rng| match rng.index(3) {
            0 => 0,
            1 => setup.skew,
            _ => rng.range(0, setup.skew),
        };
        let replicas = (0..setup.replicas).map(|_| Replica::new(offset(&mut streams.setup))).collect();
        // The replicas, the directory, and whoever had the URL before.
        let sources = vec![Vec::new(); setup.replicas + 2];
        let mut world = Self {
            store: Store::new(setup.known_to_verifiers),
            backends: [Backend::default(), Backend::default()],
            asked: vec![false; settings.rings.len()],
            staleness: settings.staleness(),
            adopted: false,
            record: Record { sources, max_age: settings.max_age, since: START },
            replicas,
            settings,
            policy,
            faults,
            now: START,
            queue: BinaryHeap::new(),
            sequence: 0,
            keys: Vec::new(),
            watched: Vec::new(),
            sets: vec![Vec::new()],
            out: vec![None],
            served_until: i64::MIN,
            copies_until: i64::MIN,
            verifiers: Vec::new(),
            tokens: Vec::new(),
            calls: Vec::new(),
            failure: None,
            log: None,
            counts: Counts::default(),
            streams,
            setup,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        if self.setup.known_to_verifiers {
            let source = self.former_owner();
            self.record.sources[source].push(Served { from: START - 30 * DAY, to: i64::MAX, set: 0 });
            self.served_until = START;
        }
        for replica in 0..self.setup.replicas {
            self.at(
                START + if replica == 0 { 0 } else { 5 * i64::try_from(replica).unwrap() },
                Happening::Start { replica },
            );
            let cuts: Vec<i64> = self.faults.cut_off[replica].starts().chain(self.faults.store.starts()).collect();
            cuts.into_iter().for_each(|start| self.at(start, Happening::CutOff { replica }));
        }
        for (moment, replica) in self.faults.crashes.clone() {
            self.at(moment, Happening::Crash { replica });
        }
        self.add_verifiers();
        self.plan_operator();
    }

    pub(super) fn add_verifiers(&mut self) {
        for profile in self.settings.verifiers.clone() {
            for _ in 0..2 {
                self.verifiers.push(Verifier::new(profile.clone(), self.now, &mut self.streams.verifiers));
            }
        }
    }

    pub(super) fn former_owner(&self) -> usize {
        self.setup.replicas + 1
    }

    pub(super) fn directory(&self) -> usize {
        self.setup.replicas
    }

    /// When everything is over: faults have ended, and what they held up had its time.
    pub(super) fn end(&self) -> i64 {
        START + DAYS * DAY + self.quiet()
    }

    pub(super) fn at(&mut self, moment: i64, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((moment.max(self.now), self.sequence, happening)));
    }

    /// What the clock of a replica shows now.
    pub(super) fn clock(&self, replica: usize) -> Timestamp {
        Timestamp::from_second(self.now + self.replicas[replica].offset)
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{} {}", Timestamp::from_second(self.now), text()));
        }
    }

    /// Lives to the end, or to the first broken invariant.
    pub(super) fn run(&mut self) -> Result<Counts, Failure> {
        let end = self.end();
        while let Some(Reverse((moment, _, happening))) = self.queue.pop() {
            if moment > end {
                break;
            }
            self.now = moment;
            self.counts.happenings += 1;
            self.happen(happening);
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
        }
        self.now = end;
        self.check_the_end();
        self.failure.take().map_or(Ok(self.counts), Err)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Step { replica, turn } if self.replicas[replica].turn == turn => self.step(replica),
            Happening::Step { .. } => {}
            Happening::Load { replica } => self.load_late(replica),
            Happening::Unconfirmed { replica } => self.stop_serving_if_unconfirmed(replica),
            Happening::CutOff { replica } => self.cut_off(replica),
            Happening::Crash { replica } => self.crash(replica),
            Happening::Start { replica } => self.start(replica),
            Happening::Sign { replica, ring, key } => self.sign(replica, ring, key),
            Happening::Signed { replica, call } => self.signed(replica, call),
            Happening::Shown { token, verifier } => self.show(token, verifier),
            Happening::Forgotten { key } => self.check_forgotten(key),
            Happening::Operator => self.operate(),
            Happening::Strays => self.destroy_strays(),
            Happening::Ask => self.ask(),
            Happening::Reconfigure => self.reconfigure(),
        }
    }

    /// The newest state, as the store has it.
    pub(super) fn stored(&self) -> &Rc<Stored> {
        &self.store.current
    }

    /// From now on `source` serves the JWK Set `version`.
    pub(super) fn serve(&mut self, source: usize, version: u64) {
        let set = usize::try_from(version).unwrap();
        let open = self.record.open(source);
        if open == Some(set) {
            return;
        }
        self.check_served_version(source, set);
        self.stop_serving(source, self.now);
        let former = self.former_owner();
        self.stop_serving(former, self.now);
        self.record.sources[source].push(Served { from: self.now, to: i64::MAX, set });
        self.check_nothing_needed_is_missing(set);
    }

    /// `source` has served nothing since `end`.
    pub(super) fn stop_serving(&mut self, source: usize, end: i64) {
        let Some(served) = self.record.sources[source].last_mut().filter(|served| served.to == i64::MAX) else {
            return;
        };
        served.to = end.max(served.from);
        let (end, set) = (served.to, served.set);
        let copies = end + self.staleness;
        for &key in &self.watched {
            if !self.sets[set].contains(&key) {
                let facts = &mut self.keys[key];
                facts.lacked_until = facts.lacked_until.max(end);
                facts.stale_until = facts.stale_until.max(copies);
            }
        }
        self.served_until = self.served_until.max(end);
        self.copies_until = self.copies_until.max(copies);
    }

    /// A key has come to be; every set until now lacks it.
    pub(super) fn meet(&mut self, ring: usize, version: u64) -> usize {
        let facts = KeyFacts {
            ring,
            version,
            lacked_until: self.served_until,
            stale_until: self.copies_until,
            last_exp: i64::MIN,
            ..KeyFacts::default()
        };
        self.keys.push(facts);
        self.keys.len() - 1
    }
}
