//! What the log knows of the store: the last commit of each issuer, and commits of unknown fate.

use std::collections::BTreeMap;

use super::digest::Digest;
use super::event::{Commit, Event};
use crate::ids::{CommitId, IssuerId, Revision};

/// The commit that a store must hold at least, or it went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Its revision.
    pub revision: Revision,
    /// Its random name.
    pub commit_id: CommitId,
    /// The hash of the stored record.
    pub hash: Digest,
}

/// The sum of all events so far, as far as they speak of commits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Per issuer the highest commit, or the one that an operator accepted.
    pub anchors: BTreeMap<IssuerId, Anchor>,
    /// Intents of which the log does not say how they ended, oldest first: read the store to find out.
    pub intents: Vec<Commit>,
}

impl Ledger {
    pub(super) fn of(anchors: &[Commit], intents: &[Commit]) -> Self {
        let anchor = |commit: &Commit| {
            let Commit { issuer, revision, commit_id, hash } = commit.clone();
            (issuer, Anchor { revision, commit_id, hash })
        };
        Self { anchors: anchors.iter().map(anchor).collect(), intents: intents.to_vec() }
    }

    pub(super) fn commits(&self) -> Vec<Commit> {
        let commit = |(issuer, anchor): (&IssuerId, &Anchor)| {
            let Anchor { revision, commit_id, hash } = anchor.clone();
            Commit { issuer: issuer.clone(), revision, commit_id, hash }
        };
        self.anchors.iter().map(commit).collect()
    }

    /// Whether `event` would change a ledger.
    pub(super) fn concerns(event: &Event) -> bool {
        matches!(
            event,
            Event::Segment(_)
                | Event::Created { .. }
                | Event::Intent { .. }
                | Event::Committed { .. }
                | Event::Abandoned { .. }
                | Event::RollbackAccepted { .. }
        )
    }

    /// Takes in one event, in the order of the log.
    pub(super) fn record(&mut self, event: &Event) {
        match event {
            Event::Segment(header) => *self = Self::of(&header.anchors, &header.intents),
            Event::Created { issuer, commit_id, hash } => {
                self.committed(issuer, Anchor { revision: Revision::new(1), commit_id: *commit_id, hash: *hash });
            }
            Event::Committed { issuer, revision, commit_id, hash } => {
                self.committed(issuer, Anchor { revision: *revision, commit_id: *commit_id, hash: *hash });
            }
            Event::Intent { issuer, revision, commit_id, hash, .. } => self.intents.push(Commit {
                issuer: issuer.clone(),
                revision: *revision,
                commit_id: *commit_id,
                hash: *hash,
            }),
            Event::Abandoned { commit_id, .. } => self.intents.retain(|intent| intent.commit_id != *commit_id),
            Event::RollbackAccepted { issuer, revision, commit_id, hash, .. } => {
                self.intents.retain(|intent| intent.issuer != *issuer);
                let anchor = Anchor { revision: *revision, commit_id: *commit_id, hash: *hash };
                self.anchors.insert(issuer.clone(), anchor);
            }
            Event::Started { .. }
            | Event::Stopped {}
            | Event::Act { .. }
            | Event::ActDone { .. }
            | Event::Signed { .. }
            | Event::SignedDigest { .. }
            | Event::Refused { .. }
            | Event::Checkpoint { .. }
            | Event::TailCut { .. } => {}
        }
    }

    fn committed(&mut self, issuer: &IssuerId, anchor: Anchor) {
        // The store holds this revision now, so no intent up to it can still come true.
        self.intents.retain(|intent| intent.issuer != *issuer || intent.revision > anchor.revision);
        match self.anchors.get(issuer) {
            Some(known) if known.revision > anchor.revision => {}
            _ => {
                self.anchors.insert(issuer.clone(), anchor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(revision: u64, id: u8) -> Commit {
        Commit {
            issuer: IssuerId::new("main").unwrap(),
            revision: Revision::new(revision),
            commit_id: CommitId::new([id; 16]),
            hash: Digest([id; 32]),
        }
    }

    fn intent(Commit { issuer, revision, commit_id, hash }: Commit) -> Event {
        Event::Intent {
            issuer,
            revision,
            commit_id,
            hash,
            what: "activated".to_owned(),
            ring: None,
            version: None,
            kid: None,
            caller: None,
            request_id: None,
            reason: None,
        }
    }

    fn committed(Commit { issuer, revision, commit_id, hash }: Commit) -> Event {
        Event::Committed { issuer, revision, commit_id, hash }
    }

    #[test]
    fn an_intent_dangles_until_its_fate_is_known() {
        let mut ledger = Ledger::default();
        ledger.record(&intent(commit(2, 7)));
        assert_eq!(ledger.intents, [commit(2, 7)]);
        ledger.record(&committed(commit(2, 7)));
        assert_eq!((ledger.intents.len(), ledger.commits()), (0, vec![commit(2, 7)]));

        ledger.record(&intent(commit(3, 8)));
        let Commit { issuer, revision, commit_id, .. } = commit(3, 8);
        ledger.record(&Event::Abandoned { issuer, revision, commit_id });
        assert!(ledger.intents.is_empty());
    }

    #[test]
    fn an_anchor_goes_back_only_if_an_operator_accepts_it() {
        let mut ledger = Ledger::default();
        ledger.record(&committed(commit(5, 5)));
        ledger.record(&committed(commit(4, 4)));
        assert_eq!(ledger.commits(), [commit(5, 5)]);

        let Commit { issuer, revision, commit_id, hash } = commit(3, 3);
        let (caller, reason) = ("uid 0".to_owned(), "restored".to_owned());
        ledger.record(&Event::RollbackAccepted { issuer, revision, commit_id, hash, caller, reason });
        assert_eq!(ledger.commits(), [commit(3, 3)]);
    }

    #[test]
    fn a_ledger_survives_its_journey_through_a_header() {
        let mut ledger = Ledger::default();
        ledger.record(&committed(commit(5, 5)));
        ledger.record(&intent(commit(6, 6)));
        assert_eq!(Ledger::of(&ledger.commits(), &ledger.intents), ledger);
    }
}
