//! The first keys of an issuer, and of a ring.

use jwksd::lifecycle::event::Succession::WhenPropagated;
use jwksd::lifecycle::event::{Fact, Reason};
use jwksd::lifecycle::plan::{Action, WaitFor};
use jwksd::lifecycle::policy::{PROPAGATION, Standby, Terms};
use jwksd::lifecycle::time::Span;

use super::rig::{Rig, jwk, kid, ring, v};

fn lean() -> Terms {
    Terms { standby: Standby::JustInTime, ..Terms::default() }
}

#[test]
fn a_new_issuer_is_published_once_every_ring_has_a_key_and_then_all_sign_at_once() {
    let mut rig = Rig::new(&[("a", lean()), ("b", lean())]);
    while rig.state("a").next.is_none() || rig.listed().len() < 2 {
        assert_eq!(rig.issuer.to_publish(&rig.policy), None, "a set that lacks a first signer");
        rig.step().unwrap();
    }
    assert!(rig.issuer.to_publish(&rig.policy).is_some());
    assert_eq!((rig.signer("a"), rig.signer("b")), (None, None), "nothing signs before it is seen");
    rig.settle();
    assert_eq!((rig.signer("a"), rig.signer("b")), (Some(1), Some(1)));
    assert!(rig.done.iter().all(|done| done.reason == Reason::Bootstrap && done.at == rig.now));
}

#[test]
fn a_version_never_signs_before_it_was_seen_published() {
    let mut rig = Rig::new(&[("a", lean())]);
    rig.publisher_works = false;
    rig.settle();
    let waiting = rig.plan().waiting;
    assert_eq!((waiting[0].wait_for, waiting[0].until), (WaitFor::Publication, None));
    rig.now = rig.now + Span::from_days(365);
    assert_eq!(rig.plan().action, None);
}

#[test]
fn the_first_key_at_a_url_that_verifiers_know_propagates() {
    for imported in [false, true] {
        let mut rig = if imported { Rig::new(&[("a", lean())]) } else { Rig::known(&[("a", lean())]) };
        if imported {
            rig.apply(Fact::Imported { jwk: jwk(&kid("old", 1)), withdraw_at: None }).unwrap();
        }
        let start = rig.now;
        rig.settle();
        assert_eq!(rig.signer("a"), None);
        assert_eq!(rig.plan().wake_at, Some(start + PROPAGATION));
        rig.run_to(start + PROPAGATION);
        assert_eq!(rig.signer("a"), Some(1));
    }
}

#[test]
fn a_ring_that_is_added_later_propagates() {
    let mut rig = Rig::running_with(lean());
    rig.configure("b", lean());
    rig.settle();
    assert_eq!(rig.state("b").next.as_ref().map(|next| next.id().get()), Some(1));
    assert_eq!(rig.signer("b"), None);
    assert_eq!(rig.plan().wake_at, Some(rig.now + PROPAGATION));
    rig.run_for(PROPAGATION);
    assert_eq!(rig.signer("b"), Some(1));
    let last = rig.done.last().unwrap();
    assert_eq!((last.reason, &last.action), (Reason::Bootstrap, &Action::Activate { ring: ring("b"), version: v(1) }));
}

#[test]
fn a_first_set_that_may_be_out_without_a_record_is_not_first_any_more() {
    // The publisher had it, the record of that was lost, and then the set changed.
    let lost = |rig: &mut Rig| {
        rig.publisher_works = false;
        rig.settle();
        assert!(rig.issuer.to_publish(&rig.policy).is_some());
        rig.publisher_works = true;
    };
    let mut rig = Rig::new(&[("a", lean())]);
    lost(&mut rig);
    rig.configure("b", lean());
    rig.settle();
    assert_eq!(rig.signer("b"), None, "verifiers may hold the set without it");

    let mut rig = Rig::new(&[("a", lean())]);
    lost(&mut rig);
    rig.compromise(&kid("a", 1), WhenPropagated).unwrap();
    rig.settle();
    assert_eq!(rig.signer("a"), None, "verifiers may hold the set without v2");
    rig.run_for(PROPAGATION);
    assert_eq!(rig.signer("a"), Some(2));
}

#[test]
fn a_ring_without_a_policy_holds_up_no_other() {
    let mut rig = Rig::running_with(lean());
    rig.configure("b", lean());
    rig.policy.rings.remove(&ring("b"));
    rig.run_for(Span::from_days(40));
    assert_eq!(rig.signer("a"), Some(2));
}
