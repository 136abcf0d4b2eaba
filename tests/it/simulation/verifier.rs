//! Caching verifiers, and the record of what was served that they fetch from.

use jwksd::lifecycle::verifiers::{Cache, Profile};

use super::rng::Rng;
use super::setup::{seconds, span};

/// One source served one set for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) from: i64,
    /// The end; `i64::MAX` while it lasts.
    pub(super) to: i64,
    /// Which set: an index into the world's sets.
    pub(super) set: usize,
}

/// What was served, in order of time, and what is said with it.
pub(super) struct Record {
    pub(super) sources: Vec<Vec<Served>>,
    pub(super) max_age: i64,
    /// Since when that is the `max-age`.
    pub(super) since: i64,
}

impl Record {
    /// The set that `source` is serving.
    pub(super) fn open(&self, source: usize) -> Option<usize> {
        self.sources[source].last().filter(|served| served.to == i64::MAX).map(|served| served.set)
    }

    /// Every set that is being served.
    pub(super) fn all_open(&self) -> impl Iterator<Item = usize> {
        (0..self.sources.len()).filter_map(|source| self.open(source))
    }

    /// The set that some source served at `moment`, preferring `source`.
    fn at(&self, source: usize, moment: i64) -> Option<usize> {
        let count = self.sources.len();
        let find = |source: usize| {
            let served = self.sources[source].iter().rev().find(|served| served.from <= moment)?;
            (moment < served.to).then_some(served.set)
        };
        (0..count).find_map(|offset| find((source + offset) % count))
    }
}

/// How a verifier behaves within its profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It holds a copy to the last second, behind a proxy that does the same, and never fetches early.
    Worst,
    /// It fetches when it likes to.
    Free,
    /// It fetches when it likes to, and when it meets an unknown kid.
    Curious,
}

pub(super) struct Verifier {
    pub(super) profile: Profile,
    manner: Manner,
    copy: Option<usize>,
    fetched: i64,
    /// When the copy ends.
    until: i64,
}

impl Verifier {
    /// A verifier that starts at `now` and has fetched nothing.
    pub(super) fn new(profile: Profile, now: i64, rng: &mut Rng) -> Self {
        let manner = *rng.pick(&[Manner::Worst, Manner::Worst, Manner::Free, Manner::Curious]);
        Self { profile, manner, copy: None, fetched: now, until: now }
    }

    fn hold(&self, max_age: i64) -> i64 {
        seconds(self.profile.holds(span(max_age))).max(1)
    }

    /// Fetches at `moment`; keeps the copy it has if nobody serves.
    fn fetch(&mut self, record: &Record, moment: i64, rng: &mut Rng) {
        let max_age = record.max_age;
        let age = match self.manner {
            Manner::Worst => max_age - 1,
            Manner::Free | Manner::Curious => rng.range(0, max_age - 1),
        };
        let source = rng.index(record.sources.len());
        let proxied = record.at(source, (moment - age).max(record.since)).or_else(|| record.at(source, moment));
        let hold = match self.manner {
            Manner::Worst => self.hold(max_age),
            Manner::Free | Manner::Curious => rng.range(1, self.hold(max_age)),
        };
        self.copy = proxied;
        self.fetched = moment;
        self.until = moment + hold;
    }

    /// Brings the copy to what it would be at `now`.
    pub(super) fn settle(&mut self, record: &Record, now: i64, rng: &mut Rng) {
        let endless = matches!(self.profile.cache, Cache::UntilUnknownKid(_)) && self.copy.is_some();
        if endless || now < self.until {
            return;
        }
        // All fetches but the last leave no trace.
        let hold = self.hold(record.max_age);
        let last = match self.manner {
            Manner::Worst => self.until + (now - self.until) / hold * hold,
            Manner::Free | Manner::Curious => now - rng.range(0, (now - self.until).min(hold - 1)),
        };
        self.fetch(record, last, rng);
    }

    /// Whether it takes a token of `key` at `now`; `None` if it has no set and can't fetch one.
    pub(super) fn accepts(
        &mut self,
        record: &Record,
        now: i64,
        rng: &mut Rng,
        lists: impl Fn(usize) -> bool,
    ) -> Option<bool> {
        self.settle(record, now, rng);
        if self.copy.is_none() {
            self.fetch(record, now, rng);
        }
        let taken = lists(self.copy?);
        let refetches = match self.profile.cache {
            Cache::UntilUnknownKid(least) => now - self.fetched >= seconds(least),
            Cache::Fixed(_) | Cache::MaxAge(_) => self.manner == Manner::Curious,
        };
        if taken || !refetches {
            return Some(taken);
        }
        self.fetch(record, now, rng);
        Some(lists(self.copy?))
    }

    /// Whether it has just fetched.
    pub(super) fn fetched_at(&self, now: i64) -> bool {
        self.fetched == now
    }

    /// Whether a key that left the set is forgotten without an unknown kid.
    pub(super) fn forgets_alone(&self) -> bool {
        !matches!(self.profile.cache, Cache::UntilUnknownKid(_))
    }
}
