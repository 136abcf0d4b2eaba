//! Who is to be looked at, and when.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::ids::IssuerId;
use crate::lifecycle::time::Timestamp;

/// Hints that an issuer is to be looked at now; from operators' commands.
#[derive(Debug, Default)]
pub struct Wakes {
    hinted: Mutex<HashSet<IssuerId>>,
    notify: Notify,
}

impl Wakes {
    /// Asks for a look at `issuer` as soon as possible.
    pub fn wake(&self, issuer: &IssuerId) {
        self.hinted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(issuer.clone());
        self.notify.notify_one();
    }

    /// Waits for a hint, and takes all there are.
    pub(super) async fn take(&self) -> HashSet<IssuerId> {
        loop {
            let hinted = std::mem::take(&mut *self.hinted.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
            if !hinted.is_empty() {
                return hinted;
            }
            self.notify.notified().await;
        }
    }
}

/// Issuers by the moment of their next look: the cost of a look does not depend on those not due.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    by_time: BTreeSet<(Timestamp, IssuerId)>,
    times: HashMap<IssuerId, Timestamp>,
}

impl Agenda {
    /// Puts `issuer` down for `at`, or for the earlier moment that it is down for already.
    pub(super) fn add(&mut self, issuer: IssuerId, at: Timestamp) {
        match self.times.get(&issuer) {
            Some(known) if *known <= at => return,
            Some(known) => {
                self.by_time.remove(&(*known, issuer.clone()));
            }
            None => {}
        }
        self.times.insert(issuer.clone(), at);
        self.by_time.insert((at, issuer));
    }

    /// The moment of the earliest look.
    pub(super) fn earliest(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes off an issuer that is due at `now`.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<IssuerId> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, issuer) = self.by_time.pop_first()?;
        self.times.remove(&issuer);
        Some(issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_down_once_at_the_earliest_moment_asked_for() {
        let mut agenda = Agenda::default();
        let id = |name: &str| IssuerId::new(name).unwrap();
        let at = Timestamp::from_second;
        agenda.add(id("a"), at(50));
        agenda.add(id("a"), at(20));
        agenda.add(id("a"), at(90));
        agenda.add(id("b"), at(30));
        assert_eq!(agenda.earliest(), Some(at(20)));
        assert_eq!(agenda.take_due(at(19)), None);
        assert_eq!(agenda.take_due(at(40)), Some(id("a")));
        assert_eq!(agenda.take_due(at(40)), Some(id("b")));
        assert_eq!(agenda.take_due(at(99)), None);
        assert_eq!(agenda.earliest(), None);
    }
}
