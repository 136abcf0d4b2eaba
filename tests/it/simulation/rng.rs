//! A small deterministic generator. Each kind of draw has a stream of its own, so that one more draw of
//! one kind shifts no other.

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Clone)]
pub(super) struct Rng(u64);

impl Rng {
    /// The stream number `kind` of `seed`.
    pub(super) fn stream(seed: u64, kind: u64) -> Self {
        let mut rng = Self(seed ^ kind.wrapping_mul(0xa076_1d64_78bd_642f));
        let state = rng.next();
        Self(state)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn range(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low).unwrap() + 1;
        low + i64::try_from(self.next() % width).unwrap()
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.range(0, i64::try_from(len).unwrap() - 1)).unwrap()
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// True in one of `cases` cases.
    pub(super) fn one_in(&mut self, cases: u64) -> bool {
        self.next().is_multiple_of(cases)
    }
}

/// One stream for each kind of draw.
pub(super) struct Streams {
    pub(super) setup: Rng,
    pub(super) operator: Rng,
    pub(super) faults: Rng,
    pub(super) latency: Rng,
    pub(super) tokens: Rng,
    pub(super) verifiers: Rng,
}

impl Streams {
    pub(super) fn of(seed: u64) -> Self {
        let mut kinds = 1..;
        let mut stream = || Rng::stream(seed, kinds.next().unwrap());
        Self {
            setup: stream(),
            operator: stream(),
            faults: stream(),
            latency: stream(),
            tokens: stream(),
            verifiers: stream(),
        }
    }
}
