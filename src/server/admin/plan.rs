//! What happens next, until when the rest waits, and who would notice if it happened now.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};

use super::Shared;
use super::cost::costs;
use super::strict::Reply;
use crate::access::grant::Operation;
use crate::ids::IssuerId;
use crate::lifecycle::event::Reason;
use crate::lifecycle::forecast::forecast;
use crate::lifecycle::plan::{Action, WaitFor};
use crate::lifecycle::state::Next;
use crate::lifecycle::time::{Span, Timestamp};
use crate::lifecycle::verifiers::Profile;
use crate::server::api::{self, ActionKind, Moment};
use crate::server::problem::{Code, Refusal};
use crate::signer::Asker;
use crate::snapshot::{Place, Snapshot};

/// The plan of one issuer.
#[utoipa::path(get, path = "/v1/issuers/{issuer}/plan", tag = "read",
    params(
        ("issuer" = String, Path, description = "The issuer's name"),
        ("for" = Option<String>, Query, description = "How far to look ahead, such as `90d` or `1y`; a year, if absent"),
    ),
    responses(
        (status = 200, description = "The plan", body = api::Plan),
        (status = "4XX", description = "There is no such issuer, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn plan(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Reply<api::Plan>, Refusal> {
    let ahead = horizon(query.as_deref())?;
    let (id, place) = shared.issuer(&asker, Operation::Read, &name, None)?;
    let plan = plan_of(&shared, &id, ahead).await?;
    let costs = costs(&shared, &[&place.state()], plan.now.0);
    Ok(Reply::ok(api::Plan { costs, ..plan }))
}

/// The plans of every issuer that the caller may read.
#[utoipa::path(get, path = "/v1/plan", tag = "read",
    params(("for" = Option<String>, Query, description = "How far to look ahead, such as `90d` or `1y`; a year, if absent")),
    responses(
        (status = 200, description = "The plans", body = api::Plans),
        (status = "4XX", description = "Not for this caller", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn plans(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Reply<api::Plans>, Refusal> {
    let ahead = horizon(query.as_deref())?;
    let readable = shared.readable(&asker)?;
    let mut plans = Vec::with_capacity(readable.len());
    let mut states = Vec::with_capacity(readable.len());
    for (id, place) in readable {
        plans.push(plan_of(&shared, id, ahead).await?);
        states.push(place.state());
    }
    let states: Vec<&Snapshot> = states.iter().map(|state| &***state).collect();
    let costs = costs(&shared, &states, shared.parts.rotator.clock.now());
    Ok(Reply::ok(api::Plans { plans, costs }))
}

/// Reads `for=…`: a duration as in the configuration, or so many years of 365 days.
fn horizon(query: Option<&str>) -> Result<Span, Refusal> {
    let text = match query {
        None | Some("") => return Ok(YEAR),
        Some(query) => query.strip_prefix("for=").ok_or_else(|| Code::Parameter.refusal("only `for` is known here"))?,
    };
    let years = text.strip_suffix('y').filter(|years| years.bytes().all(|b| b.is_ascii_digit()));
    let span = match years {
        Some(years) => years.parse().ok().filter(|years: &u64| *years <= 100).map(|years| Span::from_days(365 * years)),
        None => text.parse().ok(),
    };
    span.ok_or_else(|| Code::Parameter.refusal("for: write a duration such as 90d, 12h or 1y, at most 100y"))
}

const YEAR: Span = Span::from_days(365);

async fn plan_of(shared: &Shared, id: &IssuerId, ahead: Span) -> Result<api::Plan, Refusal> {
    let unknown = || Code::UnknownIssuer.refusal(format!("there is no issuer {id}"));
    let rotator = &shared.parts.rotator;
    let place = rotator.places.get(id.as_str()).ok_or_else(unknown)?;
    let now = rotator.now_of(&place.state());
    let plan = rotator.plan(id).await.map_err(|_| unknown())?;
    let until = now + ahead;
    let (issuer, policy) = (place.state().issuer().clone(), place.settings.policy.clone());
    // Up to ten thousand actions: too long for a thread that serves others.
    let foreseen = tokio::task::spawn_blocking(move || forecast(&issuer, &policy, now, until)).await;
    let foreseen = foreseen.map_err(|error| Code::Internal.refusal("the forecast failed").because(&error))?;
    Ok(api::Plan {
        issuer: id.to_string(),
        now: Moment(now),
        action: plan.action.map(|due| api::Due { action: action_shown(&due.action), reason: reason_shown(due.reason) }),
        waiting: plan
            .waiting
            .iter()
            .map(|waiting| api::Waiting {
                action: action_shown(&waiting.action),
                wait_for: wait_shown(waiting.wait_for),
                until: waiting.until.map(Moment),
            })
            .collect(),
        wake_at: plan.wake_at.map(Moment),
        next_versions: next_versions(place, &place.state(), shared.verifiers(id), now),
        forecast: foreseen
            .iter()
            .map(|foreseen| api::Foreseen {
                at: Moment(foreseen.at),
                action: action_shown(&foreseen.action),
                reason: reason_shown(foreseen.reason),
            })
            .collect(),
        forecast_until: Moment(until),
        costs: Vec::new(),
    })
}

/// Each pre-active version, and the declared verifiers that may hold a set without it at `now`.
fn next_versions(place: &Place, state: &Snapshot, verifiers: &[Profile], now: Timestamp) -> Vec<api::NextVersion> {
    let rings = state.issuer().state().rings.values();
    let pre_active = rings.filter_map(|ring| match &ring.state().next {
        Some(Next::PreActive(next)) => Some((ring, next)),
        _ => None,
    });
    let shown = pre_active.map(|(ring, next)| {
        let terms = place.settings.policy.rings.get(&ring.state().name).map(|policy| policy.policy.terms());
        // The set of a new issuer: nobody holds an older one.
        let is_first = next.seen.is_some_and(|seen| seen.may_sign_at == seen.at);
        let held = verifiers.iter().filter(|_| !is_first).filter_map(|verifier| {
            let until = next.seen.zip(terms).map(|(seen, terms)| {
                seen.at
                    + verifier.holds(terms.jwks_max_age)
                    + terms.jwks_max_age
                    + terms.replicas.publish_for
                    + terms.skew
            });
            let holds = until.is_none_or(|until| now < until);
            holds.then(|| api::StillHeld { verifier: verifier.name.clone(), until: until.map(Moment) })
        });
        api::NextVersion {
            ring: ring.state().name.to_string(),
            version: next.id.get(),
            kid: next.key.jwk.kid().to_string(),
            seen_at: next.seen.map(|seen| Moment(seen.at)),
            may_sign_at: ring.next_may_sign_at().map(Moment),
            not_known_to: held.collect(),
        }
    });
    shown.collect()
}

fn action_shown(action: &Action) -> api::Action {
    let of = |kind, ring: &crate::ids::RingName, version: crate::ids::VersionId| api::Action {
        kind,
        ring: Some(ring.to_string()),
        version: Some(version.get()),
        kid: None,
        backend: None,
    };
    match action {
        Action::Reserve { ring, version, backend } => {
            api::Action { backend: Some(backend.to_string()), ..of(ActionKind::Reserve, ring, *version) }
        }
        Action::Generate { ring, version } => of(ActionKind::Generate, ring, *version),
        Action::Activate { ring, version } => of(ActionKind::Activate, ring, *version),
        Action::DestroyPrivate { ring, version } => of(ActionKind::DestroyPrivate, ring, *version),
        Action::Withdraw { ring, version } => of(ActionKind::Withdraw, ring, *version),
        Action::WithdrawImported { kid } => api::Action {
            kind: ActionKind::WithdrawImported,
            ring: None,
            version: None,
            kid: Some(kid.to_string()),
            backend: None,
        },
    }
}

fn reason_shown(reason: Reason) -> api::Reason {
    match reason {
        Reason::Bootstrap => api::Reason::Bootstrap,
        Reason::Scheduled => api::Reason::Scheduled,
        Reason::Requested => api::Reason::Requested,
        Reason::Compromise => api::Reason::Compromise,
    }
}

fn wait_shown(wait: WaitFor) -> api::WaitFor {
    match wait {
        WaitFor::Publication => api::WaitFor::Publication,
        WaitFor::Propagation => api::WaitFor::Propagation,
        WaitFor::ActivePeriod => api::WaitFor::ActivePeriod,
        WaitFor::Blackout => api::WaitFor::Blackout,
        WaitFor::Preparation => api::WaitFor::Preparation,
        WaitFor::Drain => api::WaitFor::Drain,
        WaitFor::Retention => api::WaitFor::Retention,
        WaitFor::Backoff => api::WaitFor::Backoff,
        WaitFor::Room => api::WaitFor::Room,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_horizon_is_a_duration_or_years() {
        for (query, days) in [(None, 365), (Some(""), 365), (Some("for=2y"), 730), (Some("for=90d"), 90)] {
            assert_eq!(horizon(query), Ok(Span::from_days(days)), "{query:?}");
        }
        for bad in ["for=", "for=y", "for=-1y", "for=101y", "for=1", "until=1y", "for=1d&for=2d"] {
            assert_eq!(horizon(Some(bad)).map_err(|refusal| refusal.code), Err("parameter"), "{bad}");
        }
    }
}
