//! A key has leaked.

use jwksd::ids::Kid;
use jwksd::lifecycle::event::Succession::{WhenPropagated, WhenPublished};
use jwksd::lifecycle::event::{Fact, IllegalTransition, Reason};
use jwksd::lifecycle::plan::{Action, WaitFor};
use jwksd::lifecycle::policy::{ACTIVE_PERIOD, PROPAGATION};
use jwksd::lifecycle::state::{Next, Private};
use jwksd::lifecycle::time::Span;

use super::rig::{Rig, jwk, kid, ring, v};

#[test]
fn a_ready_standby_signs_in_the_same_commit_and_a_fresh_key_is_published() {
    let mut rig = Rig::running();
    rig.run_for(PROPAGATION);
    rig.compromise(&kid("a", 1), WhenPropagated).unwrap();
    assert_eq!(rig.signer("a"), Some(2));
    assert_eq!(rig.listed(), [kid("a", 2)]);
    rig.done.clear();
    rig.settle();
    assert_eq!(rig.listed(), [kid("a", 2), kid("a", 3)]);
    assert!(rig.done.iter().any(|d| d.action == Action::DestroyPrivate { ring: ring("a"), version: v(1) }));
    let buried = &rig.state("a").destroyed[0];
    assert_eq!((buried.id, buried.compromised.as_deref()), (v(1), Some("leaked")));
}

#[test]
fn without_a_standby_the_operator_chooses_between_silence_and_rejections() {
    for succession in [WhenPropagated, WhenPublished] {
        let mut rig = Rig::running();
        rig.compromise(&kid("a", 2), succession).unwrap();
        rig.compromise(&kid("a", 1), succession).unwrap();
        assert_eq!((rig.signer("a"), rig.listed().len()), (None, 0));
        rig.done.clear();
        let ready = rig.now + PROPAGATION;
        rig.run_to(ready - Span::from_secs(1));
        assert_eq!(rig.signer("a"), (succession == WhenPublished).then_some(3), "{succession:?}");
        rig.run_to(ready);
        assert_eq!(rig.signer("a"), Some(3), "{succession:?}");
        let activation = rig.done.iter().find(|d| matches!(d.action, Action::Activate { .. })).unwrap();
        assert_eq!(activation.reason, Reason::Compromise);
        assert_eq!(rig.state("a").succession, WhenPropagated, "the permission is used up");
    }
}

#[test]
fn a_standby_that_is_on_its_way_signs_when_it_is_ready_or_at_once() {
    for succession in [WhenPropagated, WhenPublished] {
        let mut rig = Rig::running();
        let ready = rig.now + PROPAGATION;
        rig.run_for(Span::from_hours(1));
        rig.compromise(&kid("a", 1), succession).unwrap();
        rig.settle();
        assert_eq!(rig.signer("a"), (succession == WhenPublished).then_some(2));
        rig.run_to(ready);
        assert_eq!(rig.signer("a"), Some(2));
    }
}

#[test]
fn an_operator_may_still_choose_to_hurry_after_having_chosen_to_wait() {
    let mut rig = Rig::running();
    rig.compromise(&kid("a", 1), WhenPropagated).unwrap();
    rig.settle();
    assert_eq!(rig.signer("a"), None);
    let set = rig.issuer.state().jwk_set_version;
    rig.compromise(&kid("a", 1), WhenPublished).unwrap();
    assert_eq!(rig.issuer.state().jwk_set_version, set);
    rig.settle();
    assert_eq!(rig.signer("a"), Some(2));
}

#[test]
fn a_compromised_standby_is_replaced_and_the_signer_signs_on() {
    let mut rig = Rig::running();
    rig.compromise(&kid("a", 2), WhenPublished).unwrap();
    rig.settle();
    assert_eq!(rig.signer("a"), Some(1));
    assert_eq!(rig.listed(), [kid("a", 1), kid("a", 3)]);
}

#[test]
fn a_compromised_retained_version_leaves_at_once() {
    let mut rig = Rig::running();
    rig.run_for(ACTIVE_PERIOD);
    assert_eq!(rig.state("a").retained.len(), 1);
    rig.compromise(&kid("a", 1), WhenPropagated).unwrap();
    assert_eq!(rig.listed(), [kid("a", 2), kid("a", 3)]);
    assert_eq!(rig.signer("a"), Some(2));
    assert_eq!(rig.plan().action.unwrap().action, Action::DestroyPrivate { ring: ring("a"), version: v(1) });
}

#[test]
fn a_compromised_imported_key_leaves_at_once() {
    let mut rig = Rig::running();
    rig.apply(Fact::Imported { jwk: jwk(&kid("old", 7)), withdraw_at: None }).unwrap();
    rig.settle();
    assert!(rig.listed().contains(&kid("old", 7)));
    rig.compromise(&kid("old", 7), WhenPropagated).unwrap();
    assert!(!rig.listed().contains(&kid("old", 7)));
    assert_eq!(rig.issuer.state().imported[0].compromised.as_deref(), Some("leaked"));
}

#[test]
fn saying_it_twice_changes_nothing() {
    let mut rig = Rig::running();
    rig.apply(Fact::Imported { jwk: jwk(&kid("old", 7)), withdraw_at: None }).unwrap();
    for kid in [kid("a", 1), kid("a", 2), kid("old", 7)] {
        rig.compromise(&kid, WhenPropagated).unwrap();
        let before = rig.issuer.clone();
        rig.compromise(&kid, WhenPropagated).unwrap();
        assert_eq!(rig.issuer, before);
        rig.settle();
        let before = rig.issuer.clone();
        rig.compromise(&kid, WhenPropagated).unwrap();
        assert_eq!(rig.issuer, before, "also once it is buried");
    }
}

#[test]
fn an_unknown_kid_is_named() {
    let mut rig = Rig::running();
    let stranger = Kid::new("stranger").unwrap();
    assert_eq!(rig.compromise(&stranger, WhenPropagated), Err(IllegalTransition::UnknownKid(stranger)));
}

#[test]
fn a_compromised_key_is_forgotten_from_the_moment_at_which_a_set_without_it_was_seen() {
    let mut rig = Rig::running();
    rig.run_for(PROPAGATION);
    rig.publisher_works = false;
    rig.compromise(&kid("a", 1), WhenPropagated).unwrap();
    rig.settle();
    assert_eq!(rig.state("a").compromised[0].withdrawal_seen_at, None);
    assert!(matches!(rig.state("a").compromised[0].private, Private::Destroyed { .. }), "needs no publisher");
    rig.publisher_works = true;
    rig.settle();
    assert!(rig.state("a").compromised.is_empty());
}

#[test]
fn a_compromise_in_a_blackout_or_during_a_request_leaves_nothing_open() {
    let mut rig = Rig::running();
    rig.run_for(PROPAGATION);
    rig.request("a");
    rig.compromise(&kid("a", 1), WhenPropagated).unwrap();
    assert_eq!((rig.signer("a"), rig.state("a").requested_at), (Some(2), None));
    rig.settle();
    let Some(Next::PreActive(next)) = &rig.state("a").next else { panic!("no standby") };
    assert_eq!((next.id, next.reason), (v(3), Reason::Scheduled));
    let plan = rig.plan();
    let waiting = plan.waiting.iter().find(|w| matches!(w.action, Action::Activate { .. })).unwrap();
    assert_eq!(waiting.wait_for, WaitFor::ActivePeriod);
}
