//! The coming year: plan and apply, again and again, assuming that everything succeeds at once.
//!
//! It runs the very functions that the rotator runs, so what is printed is what will be done.

use std::collections::BTreeMap;

use crate::ids::{Handle, Kid};
use crate::jose::jwk::{Jwk, PublicKey};

use super::event::{Event, Fact, Reason};
use super::issuer::Issuer;
use super::plan::{Action, Due, Outlook};
use super::policy::IssuerPolicy;
use super::state::Next;
use super::time::Timestamp;

/// One foreseen action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// The most actions that one forecast lists; more than this nobody reads.
pub const FORESEEN_MAX: usize = 10_000;

/// What will happen to `issuer` from `now` until `horizon`, in order.
#[must_use]
pub fn forecast(issuer: &Issuer, policy: &IssuerPolicy, now: Timestamp, horizon: Timestamp) -> Vec<Foreseen> {
    let deferred = BTreeMap::new();
    let mut issuer = issuer.clone();
    let mut foreseen = Vec::new();
    let mut at = now;
    while at <= horizon && foreseen.len() < FORESEEN_MAX {
        if let Some(version) = issuer.to_publish(policy)
            && issuer.apply(policy, &Event { at, fact: Fact::Published { version } }).is_err()
        {
            break;
        }
        let plan = issuer.plan(policy, Outlook { now: at, deferred: &deferred });
        match (plan.action, plan.wake_at) {
            (Some(due), _) => {
                let Some(fact) = assumed_fact(&issuer, &due, at) else { break };
                if issuer.apply(policy, &Event { at, fact }).is_err() {
                    break;
                }
                foreseen.push(Foreseen { at, action: due.action, reason: due.reason });
            }
            (None, Some(wake_at)) if wake_at > at => at = wake_at,
            (None, _) => break,
        }
    }
    foreseen
}

/// The fact that a successful action leaves behind.
fn assumed_fact(issuer: &Issuer, due: &Due, at: Timestamp) -> Option<Fact> {
    Some(match due.action.clone() {
        Action::Reserve { ring, version, backend } => Fact::Reserved { ring, version, backend, reason: due.reason },
        Action::Generate { ring, version } => {
            let state = issuer.ring(&ring)?.state();
            let Some(Next::Reserved(_)) = &state.next else { return None };
            let kid = Kid::new(&format!("{ring}.{version}")).ok()?;
            let jwk = Jwk::new(kid, state.spec.algorithm(), PublicKey::stand_in(state.spec)).ok()?;
            Fact::Generated { ring, version, handle: Handle::new("foreseen"), jwk }
        }
        Action::Activate { ring, version } => Fact::Activated { ring, version, reason: due.reason },
        Action::DestroyPrivate { ring, version } => Fact::PrivateDestroyed { ring, version, gone_at: at },
        Action::Withdraw { ring, version } => Fact::Withdrawn { ring, version },
        Action::WithdrawImported { kid } => Fact::ImportWithdrawn { kid },
    })
}
