//! When to look again, what to leave alone for a while, and what is foreseen. `Rig::plan` checks that
//! no moment of waking is past, and `Rig::run_to` that something is due at each.

use jwksd::lifecycle::event::{Fact, Succession::WhenPropagated};
use jwksd::lifecycle::forecast::forecast;
use jwksd::lifecycle::plan::{Action, WaitFor};
use jwksd::lifecycle::policy::{ACTIVE_PERIOD, PROPAGATION, Rotation, Standby, Terms};
use jwksd::lifecycle::schedule::{Blackout, Schedule};
use jwksd::lifecycle::time::Span;

use super::rig::{Rig, jwk, kid, ring, v};

fn scheduled() -> Terms {
    let weekend = Blackout::Recurring { opens: Schedule::new("0 16 * * 5").unwrap(), lasts: Span::from_hours(64) };
    let rotation = Rotation::Schedule(Schedule::new("30 2 */9 * *").unwrap());
    Terms { rotation, blackouts: vec![weekend], propagation: Span::from_hours(20), ..Terms::default() }
}

fn histories() -> Vec<Rig> {
    let lean = Terms { standby: Standby::JustInTime, ..Terms::default() };
    let quick = Terms { rotation: Rotation::Every(PROPAGATION + Span::from_secs(1)), ..Terms::default() };
    let mut rigs = vec![
        Rig::new(&[("a", Terms::default())]),
        Rig::known(&[("a", lean.clone()), ("b", scheduled())]),
        Rig::new(&[("a", quick.clone()), ("b", lean), ("c", scheduled())]),
        Rig::running_with(quick),
    ];
    let mut troubled = Rig::running();
    troubled.compromise(&kid("a", 1), WhenPropagated).unwrap();
    let until = troubled.now + Span::from_days(7);
    troubled.apply(Fact::Imported { jwk: jwk(&kid("old", 1)), withdraw_at: Some(until) }).unwrap();
    troubled.request("a");
    rigs.push(troubled);
    rigs
}

#[test]
fn a_forecast_is_what_the_driver_does() {
    for mut rig in histories() {
        let horizon = rig.now + Span::from_days(365);
        let foreseen = forecast(&rig.issuer, &rig.policy, rig.now, horizon);
        assert!(!foreseen.is_empty());
        rig.done.clear();
        rig.run_to(horizon);
        assert_eq!(rig.done, foreseen);
    }
}

#[test]
fn waking_a_second_early_finds_nothing_to_do() {
    for mut rig in histories() {
        for _ in 0..60 {
            rig.settle();
            let Some(wake_at) = rig.plan().wake_at else { break };
            rig.now = wake_at - Span::from_secs(1);
            assert_eq!(rig.plan().action, None, "lost a wake-up before {wake_at}");
            rig.now = wake_at;
            assert!(rig.plan().action.is_some());
        }
    }
}

#[test]
fn an_action_that_failed_lately_holds_up_no_other() {
    let mut rig = Rig::new(&[("a", Terms::default()), ("b", Terms::default())]);
    rig.step().unwrap();
    rig.step().unwrap();
    let broken = Action::Generate { ring: ring("a"), version: v(1) };
    assert_eq!(rig.plan().action.unwrap().action, broken);
    let retry = rig.now + Span::from_secs(30);
    rig.deferred.insert(broken.clone(), retry);
    rig.settle();
    assert!(rig.state("b").next.is_some());
    let plan = rig.plan();
    let waiting = plan.waiting.iter().find(|waiting| waiting.action == broken).unwrap();
    assert_eq!((waiting.wait_for, waiting.until), (WaitFor::Backoff, Some(retry)));
    assert_eq!(plan.wake_at, Some(retry));
    rig.now = retry;
    assert_eq!(rig.plan().action.unwrap().action, broken, "deferred until then, and no longer");
}

#[test]
fn a_backend_that_is_down_holds_up_no_decision() {
    let mut rig = Rig::running();
    rig.run_for(ACTIVE_PERIOD.saturating_sub(PROPAGATION));
    // v3 can't be made and v1 can't be destroyed, yet v2 takes over and v1 is withdrawn.
    for (number, action) in [(3, "generate"), (1, "destroy")] {
        let (ring, version) = (ring("a"), v(number));
        let action = match action {
            "generate" => Action::Generate { ring, version },
            _ => Action::DestroyPrivate { ring, version },
        };
        rig.deferred.insert(action, rig.now + Span::from_days(100));
    }
    rig.run_for(PROPAGATION + Span::from_days(2));
    assert_eq!(rig.signer("a"), Some(2));
    assert_eq!(rig.listed(), [kid("a", 2)]);
}

#[test]
fn a_ring_planned_alone_says_what_the_issuer_says() {
    let rig = Rig::running();
    let alone = rig.issuer.ring(&ring("a")).unwrap();
    let outlook = jwksd::lifecycle::plan::Outlook { now: rig.now, deferred: &rig.deferred };
    assert_eq!(alone.plan(&rig.policy.rings[&ring("a")], outlook), rig.plan());
}
