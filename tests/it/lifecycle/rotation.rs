//! One signer follows another.

use jwksd::ids::BackendId;
use jwksd::lifecycle::event::Reason;
use jwksd::lifecycle::plan::{Action, WaitFor};
use jwksd::lifecycle::policy::{ACTIVE_PERIOD, DRAIN, PROPAGATION, Rotation, SKEW, Standby, TOKEN_LIFETIME_MAX, Terms};
use jwksd::lifecycle::schedule::{Blackout, Schedule};
use jwksd::lifecycle::state::{Next, Private};
use jwksd::lifecycle::time::{Span, Timestamp};

use super::rig::{Rig, ring, v};

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_rotation_reserves_generates_publishes_activates_drains_and_withdraws_in_this_order() {
    let mut rig = Rig::running_with(Terms { standby: Standby::JustInTime, ..Terms::default() });
    let start = rig.now;
    rig.done.clear();
    rig.run_for(ACTIVE_PERIOD + Span::from_days(1));
    let a = || ring("a");
    let prepared = start + ACTIVE_PERIOD - PROPAGATION - PROPAGATION;
    let activated = start + ACTIVE_PERIOD;
    let expected = [
        (prepared, Action::Reserve { ring: a(), version: v(2), backend: BackendId::new("hsm-a").unwrap() }),
        (prepared, Action::Generate { ring: a(), version: v(2) }),
        (activated, Action::Activate { ring: a(), version: v(2) }),
        (activated + DRAIN, Action::DestroyPrivate { ring: a(), version: v(1) }),
        (activated + DRAIN + TOKEN_LIFETIME_MAX + SKEW, Action::Withdraw { ring: a(), version: v(1) }),
    ];
    let done: Vec<_> = rig.done.iter().map(|done| (done.at, done.action.clone())).collect();
    assert_eq!(done, expected);
    assert!(rig.done.iter().all(|done| done.reason == Reason::Scheduled));
}

#[test]
fn a_standby_is_made_right_after_a_rotation_or_just_in_time() {
    for standby in [Standby::Always, Standby::JustInTime] {
        let mut rig = Rig::running_with(Terms { standby, ..Terms::default() });
        assert_eq!(rig.state("a").next.is_some(), standby == Standby::Always);
        rig.run_for(ACTIVE_PERIOD.saturating_sub(PROPAGATION));
        let ring = rig.issuer.ring(&ring("a")).unwrap();
        assert!(ring.standby_ready(rig.now), "a whole propagation ahead of time");
    }
}

#[test]
fn with_two_backends_signer_and_standby_never_share_one() {
    let mut rig = Rig::running();
    let (first, second) = (BackendId::new("hsm-a").unwrap(), BackendId::new("hsm-b").unwrap());
    rig.policy.rings.get_mut(&ring("a")).unwrap().standby_backend = Some(second.clone());
    rig.run_for(ACTIVE_PERIOD);
    for round in 0..6 {
        let state = rig.state("a");
        let (signer, next) = (&state.signer.as_ref().unwrap().key.backend, state.next.as_ref().unwrap().backend());
        let expected = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        assert_eq!((signer, next), expected, "round {round}");
        rig.run_for(ACTIVE_PERIOD);
    }
}

#[test]
fn a_request_is_met_as_soon_as_the_standby_is_ready() {
    // After propagation: at once.
    let mut rig = Rig::running();
    rig.run_for(PROPAGATION);
    rig.request("a");
    rig.settle();
    assert_eq!(rig.signer("a"), Some(2));
    assert_eq!(
        rig.done.iter().rfind(|d| matches!(d.action, Action::Activate { .. })).unwrap().reason,
        Reason::Requested
    );
    assert_eq!(rig.state("a").requested_at, None);
    // Before it: when it is over.
    rig.request("a");
    rig.settle();
    assert_eq!(rig.signer("a"), Some(2));
    let plan = rig.plan();
    let waiting = plan.waiting.iter().find(|w| matches!(w.action, Action::Activate { .. })).unwrap();
    assert_eq!((waiting.wait_for, waiting.until), (WaitFor::Propagation, Some(rig.now + PROPAGATION)));
    rig.run_for(PROPAGATION);
    assert_eq!(rig.signer("a"), Some(3));
    // Without any standby: it is made now.
    let mut rig = Rig::running_with(Terms { standby: Standby::JustInTime, ..Terms::default() });
    rig.request("a");
    rig.run_for(PROPAGATION);
    assert_eq!(rig.signer("a"), Some(2));
}

#[test]
fn a_blackout_holds_up_the_schedule_but_not_a_request() {
    let freeze = Blackout::Once { from: moment("2026-01-20T00:00:00Z"), to: moment("2026-02-15T06:00:00Z") };
    let mut rig = Rig::running_with(Terms { blackouts: vec![freeze], ..Terms::default() });
    rig.run_to(moment("2026-02-15T05:59:59Z"));
    assert_eq!(rig.signer("a"), Some(1));
    let plan = rig.plan();
    assert_eq!(plan.wake_at, Some(moment("2026-02-15T06:00:00Z")));
    assert!(plan.waiting.iter().any(|waiting| waiting.wait_for == WaitFor::Blackout));
    let mut asked = rig.clone();
    asked.request("a");
    asked.settle();
    assert_eq!(asked.signer("a"), Some(2));
    rig.run_to(moment("2026-02-15T06:00:00Z"));
    assert_eq!(rig.signer("a"), Some(2));
}

#[test]
fn a_schedule_rotates_at_its_moments() {
    let monthly = Rotation::Schedule(Schedule::new("0 3 1 * *").unwrap());
    let mut rig = Rig::running_with(Terms { rotation: monthly, ..Terms::default() });
    rig.run_to(moment("2026-06-15T00:00:00Z"));
    let activations = rig.done.iter().filter(|done| matches!(done.action, Action::Activate { .. }));
    let moments: Vec<String> = activations.map(|done| done.at.to_string()).collect();
    let months = ["01-01T00", "01-01T03", "02-01T03", "03-01T03", "04-01T03", "05-01T03", "06-01T03"];
    // The first due moment comes before the standby has propagated.
    let expected =
        months.map(|m| if m == "01-01T03" { "2026-01-02T02:00:00Z".into() } else { format!("2026-{m}:00:00Z") });
    assert_eq!(moments, expected);
}

#[test]
fn a_late_rotation_happens_once_and_not_twice() {
    let mut rig = Rig::running();
    rig.now = rig.now + Span::from_days(300);
    rig.settle();
    assert_eq!(rig.signer("a"), Some(2));
    let signer = rig.state("a").signer.as_ref().unwrap();
    assert_eq!((signer.activated_at, signer.rotate_at), (rig.now, rig.now + ACTIVE_PERIOD));
    let old = &rig.state("a").retained[0];
    assert_eq!((old.private, old.destroy_private_at), (Private::Held, rig.now + DRAIN));
    assert!(matches!(&rig.state("a").next, Some(Next::PreActive(next)) if next.id == v(3)));
}

#[test]
fn a_number_is_never_used_again() {
    use jwksd::lifecycle::event::Succession::WhenPropagated;
    let mut rig = Rig::running();
    for round in 2..40 {
        let Some(Next::PreActive(next)) = &rig.state("a").next else { panic!("no standby in round {round}") };
        assert_eq!(next.id, v(round));
        let kid = next.key.jwk.kid().clone();
        rig.compromise(&kid, WhenPropagated).unwrap();
        rig.settle();
    }
}
