//! Which keys sign at present: a new worker proves these before it says that it is ready.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use crate::ids::Handle;
use crate::jose::alg::KeySpec;

/// The keys that were used last.
#[derive(Debug, Default)]
pub(super) struct Used {
    keys: HashMap<Handle, (KeySpec, u64)>,
    uses: u64,
    destroyed: HashSet<Handle>,
    made: HashMap<Handle, Instant>,
}

impl Used {
    /// A signature with this key was asked for.
    pub(super) fn used(&mut self, handle: &Handle, spec: KeySpec) {
        self.uses += 1;
        if let Some((_, last)) = self.keys.get_mut(handle) {
            *last = self.uses;
            return;
        }
        if self.keys.len() >= KEYS_MAX {
            let oldest = self.keys.iter().min_by_key(|(_, (_, last))| *last).map(|(handle, _)| handle.clone());
            oldest.and_then(|handle| self.keys.remove(&handle));
        }
        self.keys.insert(handle.clone(), (spec, self.uses));
    }

    /// The key was not found.
    pub(super) fn forget(&mut self, handle: &Handle) {
        self.keys.remove(handle);
    }

    /// The key was made, or found, by another worker.
    pub(super) fn made(&mut self, handle: &Handle, now: Instant) {
        if self.made.len() >= REMEMBERED_MAX {
            self.made.clear();
        }
        self.made.insert(handle.clone(), now);
    }

    /// Whether a worker that was started at `begun` may not see the key, though it is there: some modules look into
    /// their token only when they are initialised (tpm2-pkcs11 does).
    pub(super) fn is_new_to(&self, handle: &Handle, begun: Instant) -> bool {
        self.made.get(handle).is_some_and(|made| *made > begun)
    }

    /// The key was destroyed, and a handle never comes back. A session that knew it is not asked for it again: the
    /// token may give its number to another key.
    pub(super) fn destroyed(&mut self, handle: &Handle) {
        self.keys.remove(handle);
        self.made.remove(handle);
        if self.destroyed.len() >= REMEMBERED_MAX {
            self.destroyed.clear();
        }
        self.destroyed.insert(handle.clone());
    }

    /// Whether the key was destroyed.
    pub(super) fn is_gone(&self, handle: &Handle) -> bool {
        self.destroyed.contains(handle)
    }

    /// All of them, the one used last first.
    pub(super) fn keys(&self) -> Vec<(Handle, KeySpec)> {
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_unstable_by_key(|(_, (_, last))| std::cmp::Reverse(*last));
        keys.into_iter().map(|(handle, (spec, _))| (handle.clone(), *spec)).collect()
    }
}

/// More would make a start slow on a token that is slow; any other key is proven when it first signs.
const KEYS_MAX: usize = 32;

/// More than are made or destroyed before the workers that knew the first of them were replaced.
const REMEMBERED_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::alg::Algorithm;

    #[test]
    fn a_key_is_new_to_workers_that_were_started_before_it_was_made() {
        let (handle, older) = (Handle::new("key"), Instant::now());
        let made = older + std::time::Duration::from_millis(1);
        let mut used = Used::default();
        assert!(!used.is_new_to(&handle, older), "nobody made it here");
        used.made(&handle, made);
        assert!(used.is_new_to(&handle, older));
        assert!(!used.is_new_to(&handle, made));
        used.destroyed(&handle);
        assert!(!used.is_new_to(&handle, older));
    }

    #[test]
    fn the_keys_used_last_are_remembered() {
        let spec = KeySpec::new(Algorithm::Es256, None).unwrap();
        let handle = |n: usize| Handle::new(&n.to_string());
        let mut used = Used::default();
        (0..KEYS_MAX).for_each(|n| used.used(&handle(n), spec));
        used.used(&handle(0), spec);
        used.used(&handle(KEYS_MAX), spec);
        let keys = used.keys();
        assert_eq!(keys.len(), KEYS_MAX);
        assert_eq!(keys[0].0, handle(KEYS_MAX));
        assert_eq!(keys[1].0, handle(0));
        assert!(keys.iter().all(|(key, _)| *key != handle(1)), "the one that was not used for longest is forgotten");
        used.forget(&handle(0));
        assert!(used.keys().iter().all(|(key, _)| *key != handle(0)));
    }
}
