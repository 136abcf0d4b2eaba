//! The JWK Set: its versions, its history, its room, and foreign keys in it. `Rig::apply` checks after
//! every event that the version grows exactly with the content, and that no published set ever changes.

use jwksd::ids::{IssuerId, JwkSetVersion};
use jwksd::jose::jwk_set::render;
use jwksd::lifecycle::event::{Fact, IllegalTransition as Illegal, Succession::WhenPropagated};
use jwksd::lifecycle::issuer::Issuer;
use jwksd::lifecycle::key_ring::HISTORY_MAX;
use jwksd::lifecycle::plan::{Action, WaitFor};
use jwksd::lifecycle::policy::{ACTIVE_PERIOD, PROPAGATION, Standby, Terms};
use jwksd::lifecycle::state::Next;
use jwksd::lifecycle::time::Span;

use super::rig::{Rig, jwk, kid, ring, spec};

fn size(rig: &Rig) -> usize {
    render(rig.issuer.jwk_set()).len()
}

/// The size of a set of `count` keys.
fn size_of(count: usize) -> usize {
    r#"{"keys":[]}"#.len() + count * spec().jwk_len_estimate() + count.saturating_sub(1)
}

#[test]
fn history_is_shown_as_it_was() {
    let mut rig = Rig::running();
    let first = rig.issuer.state().jwk_set_version;
    let shown: Vec<_> = rig.listed();
    rig.run_for(Span::from_days(200));
    let then: Vec<_> = rig.issuer.jwk_set_at(first).unwrap().iter().map(|jwk| jwk.kid().clone()).collect();
    assert_eq!(then, shown);
    assert_eq!(rig.issuer.jwk_set_at(JwkSetVersion::new(0)), None);
    assert_eq!(rig.issuer.jwk_set_at(rig.issuer.state().jwk_set_version.next()), None);
}

#[test]
fn a_restored_state_goes_on_behind_every_set_that_may_have_been_lost() {
    let mut rig = Rig::running();
    let (newest, listed) = (rig.issuer.state().jwk_set_version, rig.listed());
    let seen = JwkSetVersion::new(newest.get() + 40);
    let next_number = rig.state("a").next_number.get();
    rig.issuer = rig.issuer.restored(seen, 25).unwrap();
    assert_eq!(rig.state("a").next_number.get(), next_number + 25);
    let restored = rig.issuer.state().jwk_set_version;
    assert_eq!(restored, seen.next());
    assert_eq!(rig.listed(), listed);
    let lost = (1..restored.get()).find(|number| rig.issuer.jwk_set_at(JwkSetVersion::new(*number)).is_some());
    assert_eq!(lost, None, "what stood in a set of this number is not known");
    let shown: Vec<_> = rig.issuer.jwk_set_at(restored).unwrap().iter().map(|jwk| jwk.kid().clone()).collect();
    assert_eq!(shown, listed);
    rig.run_for(Span::from_days(200));
    assert!(rig.issuer.state().published.unwrap().version > restored);
}

#[test]
fn a_restored_state_makes_no_key_under_a_number_that_a_lost_state_may_have_used() {
    let mut rig = Rig::new(&[("a", Terms::default())]);
    rig.step();
    assert!(matches!(rig.state("a").next, Some(Next::Reserved(_))));
    rig.issuer = rig.issuer.restored(JwkSetVersion::new(0), 3).unwrap();
    rig.settle();
    assert_eq!(rig.signer("a"), None);
    rig.run_for(PROPAGATION);
    assert_eq!(rig.signer("a"), Some(5), "v1 was reserved, and v2 to v4 may have been");
}

#[test]
fn only_sets_before_the_last_128_withdrawn_imports_are_forgotten() {
    let mut rig = Rig::running();
    for number in 1..=HISTORY_MAX as u64 + 2 {
        let kid = kid("old", number);
        rig.apply(Fact::Imported { jwk: jwk(&kid), withdraw_at: None }).unwrap();
        rig.apply(Fact::ImportWithdrawn { kid }).unwrap();
        rig.settle();
    }
    assert_eq!(rig.issuer.state().imported.len(), HISTORY_MAX + 1);
    let newest = rig.issuer.state().jwk_set_version.get();
    let remembered = (1..=newest).filter(|number| rig.issuer.jwk_set_at(JwkSetVersion::new(*number)).is_some());
    assert_eq!(remembered.min(), Some(newest - 2 * (HISTORY_MAX as u64 + 1)));
}

#[test]
fn before_the_first_set_nothing_is_passed_over_but_the_first_key_propagates() {
    let restored = Issuer::new(IssuerId::new("main").unwrap(), false).restored(JwkSetVersion::new(40), 1).unwrap();
    assert_eq!(restored.state().jwk_set_version.get(), 0);
    assert!(restored.state().known_to_verifiers);
}

#[test]
fn only_sets_before_the_last_128_destroyed_versions_are_forgotten() {
    let mut rig = Rig::running();
    for _ in 0..HISTORY_MAX {
        let standby = rig.listed().pop().unwrap();
        rig.compromise(&standby, WhenPropagated).unwrap();
        rig.settle();
    }
    assert!(rig.issuer.jwk_set_at(JwkSetVersion::new(1)).is_some());
    let standby = rig.listed().pop().unwrap();
    rig.compromise(&standby, WhenPropagated).unwrap();
    rig.settle();
    let remembered = |number| rig.issuer.jwk_set_at(JwkSetVersion::new(number)).is_some();
    assert!(!remembered(1) && !remembered(2) && remembered(3));
}

#[test]
fn a_foreign_key_is_published_and_withdrawn_when_it_was_said() {
    let mut rig = Rig::running();
    let old = kid("old", 1);
    let until = rig.now + Span::from_days(3);
    let import = |until| Fact::Imported { jwk: jwk(&kid("old", 1)), withdraw_at: until };
    rig.apply(import(None)).unwrap();
    rig.settle();
    assert!(rig.listed().contains(&old));
    let version = rig.issuer.state().jwk_set_version;
    // Importing it again only sets the date.
    rig.apply(import(Some(until))).unwrap();
    assert_eq!(rig.issuer.state().jwk_set_version, version);
    rig.run_to(until - Span::from_secs(1));
    assert!(rig.listed().contains(&old));
    rig.run_to(until);
    assert!(!rig.listed().contains(&old));
    assert_eq!(rig.apply(Fact::ImportWithdrawn { kid: old.clone() }), Err(Illegal::UnknownKid(old.clone())));
    assert_eq!(rig.apply(import(None)), Err(Illegal::DuplicateKid(old)), "history would become ambiguous");
}

#[test]
fn a_foreign_key_can_be_withdrawn_at_any_time() {
    let mut rig = Rig::running();
    let old = kid("old", 1);
    rig.apply(Fact::Imported { jwk: jwk(&old), withdraw_at: None }).unwrap();
    rig.apply(Fact::ImportWithdrawn { kid: old.clone() }).unwrap();
    assert!(!rig.listed().contains(&old));
}

#[test]
fn a_version_that_would_not_fit_is_not_made_until_there_is_room() {
    let lean = Terms { standby: Standby::JustInTime, ..Terms::default() };
    for (bytes, fits) in [(size_of(2), true), (size_of(2) - 1, false)] {
        let mut rig = Rig::running_with(lean.clone());
        rig.policy.max_bytes = bytes;
        rig.request("a");
        rig.settle();
        assert_eq!(rig.state("a").next.is_some(), fits, "{bytes} bytes");
        if !fits {
            let waiting = rig.plan().waiting;
            assert!(matches!(waiting[0].action, Action::Reserve { .. }));
            assert_eq!((waiting[0].wait_for, waiting[0].until), (WaitFor::Room, None));
        }
    }
}

#[test]
fn several_rings_that_need_room_at_once_share_what_there_is() {
    let lean = || Terms { standby: Standby::JustInTime, ..Terms::default() };
    for bytes in size_of(3)..=size_of(6) {
        let mut rig = Rig::new(&[("a", lean()), ("b", lean()), ("c", lean())]);
        rig.settle();
        rig.policy.max_bytes = bytes;
        // Reservations come before keys: the room is promised before it is used.
        for name in ["a", "b", "c"] {
            rig.request(name);
        }
        rig.settle();
        assert!(size(&rig) <= bytes, "{} bytes in a set of at most {bytes}", size(&rig));
        assert_eq!(bytes >= size_of(6), rig.listed().len() == 6);
    }
}

#[test]
fn a_foreign_key_that_would_not_fit_is_refused() {
    let mut rig = Rig::running();
    rig.policy.max_bytes = size_of(3) - 1;
    let import = Fact::Imported { jwk: jwk(&kid("old", 1)), withdraw_at: None };
    assert_eq!(rig.apply(import.clone()), Err(Illegal::NoRoom { bytes: size_of(3), max_bytes: size_of(3) - 1 }));
    rig.policy.max_bytes = size_of(3);
    rig.apply(import).unwrap();
}

#[test]
fn a_full_set_never_holds_up_a_rotation_to_a_key_that_it_lists() {
    let mut rig = Rig::running();
    rig.policy.max_bytes = size(&rig);
    rig.run_for(ACTIVE_PERIOD);
    assert_eq!(rig.signer("a"), Some(2));
    // The old key's place is the new one's.
    rig.run_for(Span::from_days(1));
    assert_eq!(rig.listed(), [kid("a", 2), kid("a", 3)]);
    rig.run_for(PROPAGATION);
    rig.compromise(&kid("a", 2), WhenPropagated).unwrap();
    assert_eq!(rig.signer("a"), Some(3));
}

#[test]
fn rings_share_one_set_in_the_order_of_first_listing() {
    let mut rig = Rig::new(&[("b", Terms::default()), ("a", Terms::default())]);
    rig.settle();
    let order = [kid("a", 1), kid("b", 1), kid("a", 2), kid("b", 2)];
    assert_eq!(rig.listed(), order);
    assert_eq!(rig.state("a").spec, spec());
    assert!(rig.issuer.ring(&ring("c")).is_none());
}
