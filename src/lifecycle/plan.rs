//! What happens next: at most one action, what everything else waits for, and when to look again.
//!
//! Planning is total and cannot fail. Do the action, record the fact, plan again: after a crash the
//! stored facts are the whole truth, and the plan resumes where the effect was left.

use std::collections::BTreeMap;
use std::fmt;

use crate::ids::{BackendId, Kid, RingName, VersionId};

use super::event::Reason;
use super::issuer::Issuer;
use super::key_ring::KeyRing;
use super::policy::{IssuerPolicy, RingPolicy, Standby};
use super::schedule::first_free;
use super::state::{Next, Private};
use super::time::Timestamp;

/// What is to be done. Only `Generate` and `DestroyPrivate` leave the process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Choose number and backend of the next version.
    Reserve {
        /// Which ring.
        ring: RingName,
        /// Its number.
        version: VersionId,
        /// Where it is to be made.
        backend: BackendId,
    },
    /// Make the key, or find it if an earlier try made it.
    Generate {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
    },
    /// Let the next version sign from now on.
    Activate {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
    },
    /// Have the backend destroy a private half.
    DestroyPrivate {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
    },
    /// Take a version out of the JWK Set.
    Withdraw {
        /// Which ring.
        ring: RingName,
        /// Which version.
        version: VersionId,
    },
    /// Take an imported key out of the JWK Set.
    WithdrawImported {
        /// Which key.
        kid: Kid,
    },
}

/// An action and why it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What something waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// The JWK Set that lists it has not been seen published.
    Publication,
    /// Verifiers may still hold a set without it.
    Propagation,
    /// The signer is not due to be replaced.
    ActivePeriod,
    /// A blackout window is open.
    Blackout,
    /// With `just-in-time`, it is too early to make the next version.
    Preparation,
    /// Callers and late replicas may still use the private half.
    Drain,
    /// Tokens that it signed may still be valid.
    Retention,
    /// The last try failed; the next one is due then.
    Backoff,
    /// The JWK Set has no room for another key.
    Room,
}

impl WaitFor {
    /// The word used in answers and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publication => "publication",
            Self::Propagation => "propagation",
            Self::ActivePeriod => "active period",
            Self::Blackout => "blackout",
            Self::Preparation => "preparation",
            Self::Drain => "drain",
            Self::Retention => "retention",
            Self::Backoff => "backoff",
            Self::Room => "room in the JWK Set",
        }
    }
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An action that is not due, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What will be done.
    pub action: Action,
    /// What it waits for.
    pub wait_for: WaitFor,
    /// When that is over, as far as time alone decides it.
    pub until: Option<Timestamp>,
}

/// The outcome of one look at a state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The one thing to do now.
    pub action: Option<Due>,
    /// What everything else waits for.
    pub waiting: Vec<Waiting>,
    /// When to look again if nothing else happens; now, if there is an action.
    pub wake_at: Option<Timestamp>,
}

/// The moment of looking, and which actions failed lately and are not to be tried before when.
#[derive(Debug, Clone, Copy)]
pub struct Outlook<'a> {
    /// Now.
    pub now: Timestamp,
    /// Failed actions with the moment of their next try.
    pub deferred: &'a BTreeMap<Action, Timestamp>,
}

/// Collects what could be done, in order of weight, and keeps the weightiest.
struct Draft<'a> {
    outlook: Outlook<'a>,
    best: Option<(Weight, Due)>,
    waiting: Vec<Waiting>,
}

/// Lighter numbers go first. Decisions come before effects, so that a backend that is down holds up
/// nothing that needs no backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    FillSigner,
    Activate,
    Withdraw,
    Reserve,
    DestroyCompromised,
    Generate,
    DestroyDrained,
}

impl Draft<'_> {
    fn add(&mut self, weight: Weight, action: Action, reason: Reason, wait: Option<(WaitFor, Option<Timestamp>)>) {
        let now = self.outlook.now;
        let retry = self.outlook.deferred.get(&action).copied().filter(|retry| *retry > now);
        // Of two waits that time alone ends, the longer one counts.
        let outlasts = |retry: &Timestamp| wait.is_none_or(|(_, until)| until.is_some_and(|until| until < *retry));
        let wait = retry.filter(outlasts).map(|retry| (WaitFor::Backoff, Some(retry))).or(wait);
        match wait {
            Some((wait_for, until)) => self.waiting.push(Waiting { action, wait_for, until }),
            None if self.best.as_ref().is_none_or(|(best, _)| weight < *best) => {
                self.best = Some((weight, Due { action, reason }));
            }
            None => {}
        }
    }

    /// Waits for `until` if it is still ahead.
    fn until(&self, wait_for: WaitFor, until: Timestamp) -> Option<(WaitFor, Option<Timestamp>)> {
        (self.outlook.now < until).then_some((wait_for, Some(until)))
    }

    fn finish(self) -> Plan {
        let wake_at = match &self.best {
            Some(_) => Some(self.outlook.now),
            None => self.waiting.iter().filter_map(|waiting| waiting.until).min(),
        };
        Plan { action: self.best.map(|(_, due)| due), waiting: self.waiting, wake_at }
    }
}

impl KeyRing {
    /// What this ring needs at `outlook.now`, looked at alone.
    #[must_use]
    pub fn plan(&self, policy: &RingPolicy, outlook: Outlook<'_>) -> Plan {
        let mut draft = Draft { outlook, best: None, waiting: Vec::new() };
        self.draft(policy, &|| usize::MAX, &mut draft);
        draft.finish()
    }

    /// `room` says how many bytes are left in the JWK Set; it is asked only if that matters.
    fn draft(&self, policy: &RingPolicy, room: &dyn Fn() -> usize, draft: &mut Draft<'_>) {
        match &self.state().next {
            Some(Next::PreActive(next)) => self.draft_activation(policy, next.id, next.reason, draft),
            Some(Next::Reserved(next)) => {
                let action = Action::Generate { ring: self.state().name.clone(), version: next.id };
                draft.add(Weight::Generate, action, next.reason, None);
            }
            None => self.draft_reservation(policy, room, draft),
        }
        self.draft_endings(draft);
    }

    fn draft_activation(&self, policy: &RingPolicy, version: VersionId, made_for: Reason, draft: &mut Draft<'_>) {
        let ring = self.state();
        let action = Action::Activate { ring: ring.name.clone(), version };
        let now = draft.outlook.now;
        let Some(ready) = self.next_may_sign_at() else {
            return draft.add(Weight::Activate, action, made_for, Some((WaitFor::Publication, None)));
        };
        let propagation = draft.until(WaitFor::Propagation, ready);
        let Some(signer) = &ring.signer else {
            let reason = if made_for == Reason::Bootstrap { Reason::Bootstrap } else { Reason::Compromise };
            return draft.add(Weight::FillSigner, action, reason, propagation);
        };
        if ring.requested_at.is_some() {
            return draft.add(Weight::Activate, action, Reason::Requested, propagation);
        }
        let free = first_free(&policy.policy.terms().blackouts, signer.rotate_at.max(ready).max(now));
        let wait = draft
            .until(WaitFor::ActivePeriod, signer.rotate_at)
            .or(propagation)
            .or_else(|| draft.until(WaitFor::Blackout, free))
            .map(|(wait_for, _)| (wait_for, Some(free)));
        draft.add(Weight::Activate, action, Reason::Scheduled, wait);
    }

    fn draft_reservation(&self, policy: &RingPolicy, room: &dyn Fn() -> usize, draft: &mut Draft<'_>) {
        let ring = self.state();
        let backend = self.next_backend(policy);
        let action = Action::Reserve { ring: ring.name.clone(), version: ring.next_number, backend };
        let terms = policy.policy.terms();
        let (reason, wait) = match &ring.signer {
            None if ring.next_number == VersionId::new(1) => (Reason::Bootstrap, None),
            None => (Reason::Compromise, None),
            Some(_) if ring.requested_at.is_some() => (Reason::Requested, None),
            Some(_) if terms.standby == Standby::Always => (Reason::Scheduled, None),
            Some(signer) => {
                // Twice the propagation: a backend may be down for as long as a propagation takes.
                let prepare_at = signer.rotate_at - terms.propagation - terms.propagation;
                (Reason::Scheduled, draft.until(WaitFor::Preparation, prepare_at))
            }
        };
        let wait = wait.or_else(|| (room() < ring.spec.jwk_len_estimate()).then_some((WaitFor::Room, None)));
        draft.add(Weight::Reserve, action, reason, wait);
    }

    /// The backend of the next version: with two backends, the one that the signer is not in.
    fn next_backend(&self, policy: &RingPolicy) -> BackendId {
        let signer = self.state().signer.as_ref().map(|signer| &signer.key.backend);
        match &policy.standby_backend {
            Some(standby) if signer == Some(&policy.backend) => standby.clone(),
            _ => policy.backend.clone(),
        }
    }

    fn draft_endings(&self, draft: &mut Draft<'_>) {
        let ring = self.state();
        for gone in ring.compromised.iter().filter(|gone| gone.private == Private::Held) {
            let action = Action::DestroyPrivate { ring: ring.name.clone(), version: gone.id };
            draft.add(Weight::DestroyCompromised, action, Reason::Compromise, None);
        }
        for old in &ring.retained {
            let version = old.id;
            if old.private == Private::Held {
                let action = Action::DestroyPrivate { ring: ring.name.clone(), version };
                let wait = draft.until(WaitFor::Drain, old.destroy_private_at);
                draft.add(Weight::DestroyDrained, action, Reason::Scheduled, wait);
            }
            if old.withdrawn.is_none() {
                let action = Action::Withdraw { ring: ring.name.clone(), version };
                let wait = draft.until(WaitFor::Retention, old.withdraw_at);
                draft.add(Weight::Withdraw, action, Reason::Scheduled, wait);
            }
        }
    }
}

impl Issuer {
    /// What this issuer needs at `outlook.now`: the weightiest action of all its rings.
    #[must_use]
    pub fn plan(&self, policy: &IssuerPolicy, outlook: Outlook<'_>) -> Plan {
        let mut draft = Draft { outlook, best: None, waiting: Vec::new() };
        let rings = self.state().rings.iter().filter_map(|(name, ring)| Some((ring, policy.rings.get(name)?)));
        let room = || policy.max_bytes.saturating_sub(self.reserved_bytes());
        for (ring, ring_policy) in rings {
            ring.draft(ring_policy, &room, &mut draft);
        }
        for key in self.state().imported.iter().filter(|key| key.withdrawn.is_none()) {
            if let Some(withdraw_at) = key.withdraw_at {
                let wait = draft.until(WaitFor::Retention, withdraw_at);
                let action = Action::WithdrawImported { kid: key.kid().clone() };
                draft.add(Weight::Withdraw, action, Reason::Requested, wait);
            }
        }
        draft.finish()
    }

    /// What an added key finds used, in bytes: the JWK Set, with keys that are being made, and the comma
    /// behind each.
    pub(super) fn reserved_bytes(&self) -> usize {
        let rings = self.state().rings.values().map(KeyRing::state);
        let coming = rings.filter(|ring| matches!(ring.next, Some(Next::Reserved(_))));
        let coming: usize = coming.map(|ring| ring.spec.jwk_len_estimate() + 1).sum();
        let listed: usize = self.jwk_set().iter().map(|jwk| jwk.to_json().len() + 1).sum();
        listed + coming + r#"{"keys":[]}"#.len()
    }
}
