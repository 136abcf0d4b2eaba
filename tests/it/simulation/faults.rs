//! What fails, and when. After `Faults::until` nothing does any more.

use super::rng::Rng;
use super::setup::{DAY, DAYS, HOUR, MINUTE, Setup};

/// Stretches of time, in order and without overlap.
#[derive(Default)]
pub(super) struct Windows(Vec<(i64, i64)>);

impl Windows {
    fn random(rng: &mut Rng, start: i64, every: i64, longest: i64) -> Self {
        let end = start + DAYS * DAY;
        let mut windows = Vec::new();
        let mut at = start + rng.range(0, 2 * every);
        while at < end {
            let most = *rng.pick(&[5 * MINUTE, HOUR, longest]);
            let to = (at + rng.range(1, most)).min(end);
            windows.push((at, to));
            at = to + rng.range(1, 2 * every);
        }
        Self(windows)
    }

    /// The end of the window around `moment`, if there is one.
    pub(super) fn end_around(&self, moment: i64) -> Option<i64> {
        let (from, to) = *self.0.get(self.0.partition_point(|(_, to)| *to <= moment))?;
        (from <= moment).then_some(to)
    }

    pub(super) fn starts(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|(from, _)| *from)
    }
}

/// How an effect ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    FailedUndone,
    FailedDone,
}

pub(super) struct Faults {
    /// The store is unreachable for everybody.
    pub(super) store: Windows,
    pub(super) backends: [Windows; 2],
    pub(super) directory: Windows,
    /// The store is unreachable for one replica.
    pub(super) cut_off: Vec<Windows>,
    /// When replicas crash between their steps.
    pub(super) crashes: Vec<(i64, usize)>,
    /// When the last fault has ended.
    pub(super) until: i64,
    percent: u64,
}

impl Faults {
    pub(super) fn random(rng: &mut Rng, setup: &Setup, start: i64) -> Self {
        let none = || Self {
            store: Windows::default(),
            backends: [Windows::default(), Windows::default()],
            directory: Windows::default(),
            cut_off: (0..setup.replicas).map(|_| Windows::default()).collect(),
            crashes: Vec::new(),
            until: start,
            percent: 0,
        };
        if setup.calm {
            return none();
        }
        let mut faults = Self { until: start + DAYS * DAY, percent: *rng.pick(&[0, 2, 10, 25]), ..none() };
        let outages = |rng: &mut Rng, longest: i64| {
            if rng.chance(50) { Windows::random(rng, start, 60 * DAY, longest) } else { Windows::default() }
        };
        faults.store = outages(rng, 12 * HOUR);
        faults.backends = [outages(rng, 4 * DAY), outages(rng, 4 * DAY)];
        faults.directory = outages(rng, 3 * DAY);
        faults.cut_off.fill_with(|| outages(rng, DAY));
        let crashes = if rng.chance(70) { rng.range(0, 20) } else { 0 };
        for _ in 0..crashes {
            faults.crashes.push((start + rng.range(0, DAYS * DAY), rng.index(setup.replicas)));
        }
        faults
    }

    /// How an effect ends at `moment`, apart from outages.
    pub(super) fn ending(&self, rng: &mut Rng, moment: i64) -> Ending {
        if moment >= self.until || !rng.chance(self.percent) {
            return Ending::Done;
        }
        if rng.chance(50) { Ending::FailedUndone } else { Ending::FailedDone }
    }

    /// Whether a replica dies between two steps at `moment`.
    pub(super) fn dies(&self, rng: &mut Rng, moment: i64) -> bool {
        moment < self.until && self.percent > 0 && rng.one_in(150)
    }

    /// Whether the store answers replica `index`.
    pub(super) fn store_answers(&self, index: usize, moment: i64) -> bool {
        self.store.end_around(moment).is_none() && self.cut_off[index].end_around(moment).is_none()
    }
}
