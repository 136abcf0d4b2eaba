//! How versions of a key ring end: destroyed, withdrawn, compromised, and at last history.

use crate::ids::{JwkSetVersion, Kid, VersionId};

use super::super::event::{IllegalTransition, Succession};
use super::super::policy::Policy;
use super::super::state::{Compromised, Destroyed, Key, Next, Private, Withdrawn};
use super::super::time::Timestamp;
use super::{HISTORY_MAX, KeyRing};

impl KeyRing {
    pub(in crate::lifecycle) fn private_destroyed(
        &mut self,
        version: VersionId,
        at: Timestamp,
        gone_at: Timestamp,
    ) -> Result<(), IllegalTransition> {
        let destroyed = Private::Destroyed { at, gone_at };
        if let Some(gone) = self.0.compromised.iter_mut().find(|v| v.id == version) {
            if gone.private == Private::Held {
                gone.private = destroyed;
            }
        } else if let Some(old) = self.0.retained.iter_mut().find(|v| v.id == version) {
            if at < old.destroy_private_at {
                let (ring, due) = (self.0.name.clone(), old.destroy_private_at);
                return Err(IllegalTransition::StillNeeded { ring, version, event: "destroyed", due });
            }
            if old.private == Private::Held {
                old.private = destroyed;
            }
        } else if !self.0.destroyed.iter().any(|v| v.id == version) {
            return Err(self.wrong_state(version, "destroyed", "neither deactivated nor compromised"));
        }
        self.bury();
        Ok(())
    }

    pub(in crate::lifecycle) fn withdrawn(
        &mut self,
        version: VersionId,
        at: Timestamp,
        listed_until: JwkSetVersion,
    ) -> Result<(), IllegalTransition> {
        let name = self.0.name.clone();
        match self.0.retained.iter_mut().find(|v| v.id == version) {
            Some(old) if old.withdrawn.is_some() => Err(self.wrong_state(version, "withdrawn", "withdrawn already")),
            Some(old) if at < old.withdraw_at => {
                let due = old.withdraw_at;
                Err(IllegalTransition::StillNeeded { ring: name, version, event: "withdrawn", due })
            }
            Some(old) => {
                old.withdrawn = Some(Withdrawn { at, listed_until });
                self.bury();
                Ok(())
            }
            None => Err(self.wrong_state(version, "withdrawn", "not deactivated")),
        }
    }

    /// Takes the key of that kid out of use at once; a ready standby takes over from a signer.
    /// Returns whether the ring had such a key, listed until now.
    pub(in crate::lifecycle) fn compromised(
        &mut self,
        policy: &Policy,
        kid: &Kid,
        reason: &str,
        succession: Succession,
        withdrawn: Withdrawn,
    ) -> bool {
        let at = withdrawn.at;
        let is_it = |key: &Key| key.jwk.kid() == kid;
        let (id, key, private) = if let Some(old) = self.0.signer.take_if(|v| is_it(&v.key)) {
            self.0.promise.tokens_until = None;
            if self.standby_ready(at) {
                self.promote(policy, at);
            } else {
                self.0.succession = succession;
            }
            (old.id, old.key, Private::Held)
        } else if let Some(Next::PreActive(next)) =
            self.0.next.take_if(|next| matches!(next, Next::PreActive(v) if is_it(&v.key)))
        {
            (next.id, next.key, Private::Held)
        } else if let Some(index) = self.0.retained.iter().position(|v| is_it(&v.key) && v.withdrawn.is_none()) {
            let old = self.0.retained.remove(index);
            (old.id, old.key, old.private)
        } else {
            return false;
        };
        let reason = reason.to_owned();
        self.0.compromised.push(Compromised { id, key, withdrawn, withdrawal_seen_at: None, private, reason });
        true
    }

    /// Moves versions whose life is over into the history.
    pub(super) fn bury(&mut self) {
        let buried = &mut self.0.destroyed;
        self.0.retained.retain(|old| match (old.withdrawn, old.private) {
            (Some(withdrawn), Private::Destroyed { gone_at, .. }) => {
                buried.push(epitaph(old.id, &old.key, withdrawn, gone_at));
                false
            }
            _ => true,
        });
        self.0.compromised.retain(|gone| match (gone.withdrawal_seen_at, gone.private) {
            (Some(_), Private::Destroyed { gone_at, .. }) => {
                buried.push(Destroyed {
                    withdrawal_seen_at: gone.withdrawal_seen_at,
                    compromised: Some(gone.reason.clone()),
                    ..epitaph(gone.id, &gone.key, gone.withdrawn, gone_at)
                });
                false
            }
            _ => true,
        });
        let surplus = buried.len().saturating_sub(HISTORY_MAX);
        for forgotten in buried.drain(..surplus) {
            self.0.history_from = self.0.history_from.max(forgotten.withdrawn.listed_until);
        }
    }
}

fn epitaph(id: VersionId, key: &Key, withdrawn: Withdrawn, gone_at: Timestamp) -> Destroyed {
    let (jwk, backend, listed_from) = (key.jwk.clone(), key.backend.clone(), key.listed_from);
    Destroyed { id, jwk, backend, listed_from, withdrawn, withdrawal_seen_at: None, gone_at, compromised: None }
}
