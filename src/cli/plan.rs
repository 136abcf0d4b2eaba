//! `jwksd plan`: what happens next, and what it waits for.

use super::action::{action, reason, wait};
use super::args;
use super::client::Client;
use super::context::Context;
use super::cost::costs;
use super::failure::Failure;
use super::moment::{absolute, moment, relative, rough};
use super::paint::{BAD, COMING, DOUBTFUL, GOOD, PLAIN, TITLE, paint, tame};
use super::table::{Cell, Table, WIDTH, wrap};
use crate::lifecycle::time::{Span, Timestamp};
use crate::server::api::{Foreseen, NextVersion, Plan, Plans, WaitFor, Waiting};

/// Asks for the plan of one issuer, or of all.
pub fn plan(args: &args::Plan, context: Context<'_>) -> Result<(), Failure> {
    let client = Client::new(&args.daemon)?;
    let (horizon, extent) = match args.horizon {
        Some(horizon) => (horizon, Extent::All),
        None => (Span::from_days(365), Extent::Nearest),
    };
    match &args.issuer {
        Some(issuer) => {
            let answer = client.get(&format!("/v1/issuers/{issuer}/plan?for={horizon}"))?;
            context.show(&answer, |plan: &Plan, _| render(plan, extent) + &costs(&plan.costs, plan.now.0))
        }
        None => {
            let answer = client.get(&format!("/v1/plan?for={horizon}"))?;
            context.show(&answer, |plans: &Plans, _| {
                let texts: Vec<String> = plans.plans.iter().map(|plan| render(plan, extent)).collect();
                let Some(first) = plans.plans.first() else { return NO_ISSUER.to_owned() };
                texts.join("\n") + &costs(&plans.costs, first.now.0)
            })
        }
    }
}

/// Nothing to tell, and why.
pub const NO_ISSUER: &str = "There is no issuer that you may read; `jwksd whoami` says what you may do.\n";

/// The plan of one issuer, by the daemon's own clock.
#[must_use]
pub fn render(plan: &Plan, extent: Extent) -> String {
    let now = plan.now.0;
    let mut text = format!("{}, {}\n\n", paint(TITLE, tame(&plan.issuer)), absolute(now));
    text.push_str(&format!("  {}\n", present(plan)));
    for next in &plan.next_versions {
        text.push_str(&format!("  {}\n", readiness(next, now)));
    }
    if !plan.waiting.is_empty() {
        text.push('\n');
        text.push_str(&waiting(&plan.waiting, now));
    }
    text.push('\n');
    text.push_str(&forecast(plan, extent));
    text
}

fn present(plan: &Plan) -> String {
    let now = plan.now.0;
    match (&plan.action, plan.wake_at) {
        (Some(due), _) => format!("Now: {} ({}).", paint(GOOD, action(&due.action)), reason(due.reason)),
        (None, Some(at)) => format!("Nothing to do now; the next look is {}.", moment(at.0, now)),
        (None, None) => "Nothing to do, and nothing to wait for.".to_owned(),
    }
}

/// Who would break if the next version signed now.
fn readiness(next: &NextVersion, now: Timestamp) -> String {
    let name = tame(&format!("{} v{}", next.ring, next.version));
    let Some(at) = next.may_sign_at else {
        return format!("{name} is {}: no verifier can know it.", paint(DOUBTFUL, "not seen as published yet"));
    };
    if at.0 <= now {
        return format!("{name} is a {}: it can sign now, and no verifier notices.", paint(GOOD, "standby"));
    }
    let mut text = format!("{name} may sign {}.", paint(COMING, moment(at.0, now)));
    let held = next.not_known_to.iter().map(|held| match held.until {
        Some(until) => format!("{} for {}", tame(&held.verifier), rough(until.0.since(now))),
        None => tame(&held.verifier),
    });
    let held: Vec<String> = held.collect();
    if !held.is_empty() {
        let who = format!("If it signed now, its tokens could be rejected by {}.", held.join(", "));
        text.extend(wrap(&who, WIDTH - 4).into_iter().map(|line| format!("\n    {line}")));
    }
    text
}

fn waiting(waiting: &[Waiting], now: Timestamp) -> String {
    let mut table = Table::new(["WAITING", "FOR", "UNTIL"]).indented(2);
    for Waiting { action: what, wait_for, until } in waiting {
        let until = until.map_or_else(|| "-".to_owned(), |until| moment(until.0, now));
        let style = match wait_for {
            WaitFor::Backoff | WaitFor::Room => BAD,
            _ => PLAIN,
        };
        table.row([action(what).into(), Cell::styled(style, wait(*wait_for)), until.into()]);
    }
    table.render()
}

fn forecast(plan: &Plan, extent: Extent) -> String {
    let (now, until) = (plan.now.0, plan.forecast_until.0);
    let shown = match extent {
        Extent::All => plan.forecast.len(),
        Extent::Nearest => NEAREST,
    };
    if plan.forecast.is_empty() {
        return format!("  Nothing is foreseen until {}.\n", absolute(until));
    }
    let mut table = Table::new(["FORESEEN", "", "WHAT", "WHY"]).indented(2);
    for Foreseen { at, action: what, reason: why } in plan.forecast.iter().take(shown) {
        table.row([absolute(at.0).into(), relative(at.0, now).into(), action(what).into(), reason(*why).into()]);
    }
    let rest = match plan.forecast.len().saturating_sub(shown) {
        0 => format!("As far as {}, if everything succeeds at once.", absolute(until)),
        rest => format!("And {rest} more until {}; --for lists all.", absolute(until)),
    };
    format!("{}\n  {rest}\n", table.render())
}

/// How much of a forecast is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What comes next.
    Nearest,
    /// Everything.
    All,
}

/// A screen's worth.
const NEAREST: usize = 24;
