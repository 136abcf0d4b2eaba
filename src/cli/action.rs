//! Actions, reasons and waits in the words of the domain.

use super::paint::tame;
use crate::server::api::{Action, ActionKind, Reason, WaitFor};

/// `activate es256 v8`.
#[must_use]
pub fn action(action: &Action) -> String {
    let Action { kind, ring, version, kid, backend } = action;
    let key = match (ring, version) {
        (Some(ring), Some(version)) => format!("{ring} v{version}"),
        _ => kid.clone().unwrap_or_else(|| "a key".to_owned()),
    };
    let text = match (kind, backend) {
        (ActionKind::Reserve, Some(backend)) => format!("reserve {key} in {backend}"),
        (ActionKind::Reserve, None) => format!("reserve {key}"),
        (ActionKind::Generate, _) => format!("generate {key}"),
        (ActionKind::Activate, _) => format!("activate {key}"),
        (ActionKind::DestroyPrivate, _) => format!("destroy the private half of {key}"),
        (ActionKind::Withdraw, _) => format!("withdraw {key}"),
        (ActionKind::WithdrawImported, _) => format!("withdraw imported {key}"),
    };
    tame(&text)
}

/// Why it is done.
#[must_use]
pub const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Bootstrap => "first key of the ring",
        Reason::Scheduled => "its time has come",
        Reason::Requested => "an operator asked for it",
        Reason::Compromise => "a key was compromised",
    }
}

/// What it waits for.
#[must_use]
pub const fn wait(wait: WaitFor) -> &'static str {
    match wait {
        WaitFor::Publication => "publication, not seen yet",
        WaitFor::Propagation => "propagation to verifiers",
        WaitFor::ActivePeriod => "end of the active period",
        WaitFor::Blackout => "end of the blackout window",
        WaitFor::Preparation => "preparation, too early yet",
        WaitFor::Drain => "drain, late callers",
        WaitFor::Retention => "retention, valid tokens",
        WaitFor::Backoff => "backoff after a failure",
        WaitFor::Room => "room in the JWK Set",
    }
}
