//! Places outside of the daemon: the store and the backends. Each does what it is told, or fails before
//! or after having done it.

use std::collections::BTreeMap;
use std::rc::Rc;

use jwksd::ids::{IssuerId, Kid};
use jwksd::jose::alg::KeySpec;
use jwksd::jose::jwk::{Jwk, PublicKey};
use jwksd::lifecycle::issuer::Issuer;

/// A committed state.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) issuer: Issuer,
    pub(super) revision: u64,
    /// The random name of the commit that wrote it.
    pub(super) commit: u64,
}

/// One record under compare-and-swap.
pub(super) struct Store {
    pub(super) current: Rc<Record>,
    commits: u64,
}

impl Store {
    pub(super) fn new(known_to_verifiers: bool) -> Self {
        let issuer = Issuer::new(IssuerId::new("main").unwrap(), known_to_verifiers);
        Self { current: Rc::new(Record { issuer, revision: 1, commit: 0 }), commits: 0 }
    }

    /// A name that no other commit has.
    pub(super) fn new_commit(&mut self) -> u64 {
        self.commits += 1;
        self.commits
    }

    /// Writes `next` if `expected` stands there.
    pub(super) fn replace(&mut self, expected: u64, next: Issuer, commit: u64) -> bool {
        let matches = self.current.revision == expected;
        if matches {
            self.current = Rc::new(Record { issuer: next, revision: expected + 1, commit });
        }
        matches
    }
}

/// Where a private half is: ring and number, as in its label.
pub(super) type Label = (usize, u64);

/// A backend that makes keys under labels.
#[derive(Default)]
pub(super) struct Backend {
    /// The keys that it holds.
    pub(super) held: BTreeMap<Label, usize>,
}

/// A kid as long as a thumbprint that says which key it is.
pub(super) fn kid(key: usize) -> Kid {
    Kid::new(&format!("{key:0>43}")).unwrap()
}

/// The key behind a kid of [`kid`].
pub(super) fn key_of(kid: &Kid) -> usize {
    kid.as_str()[37..].parse().unwrap()
}

pub(super) fn jwk(key: usize, spec: KeySpec) -> Jwk {
    Jwk::new(kid(key), spec.algorithm(), PublicKey::stand_in(spec)).unwrap()
}
