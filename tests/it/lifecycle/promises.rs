//! Settings change; what was promised to tokens and caches that are out is kept.

use jwksd::lifecycle::event::Fact;
use jwksd::lifecycle::policy::{ACTIVE_PERIOD, DRAIN, PROPAGATION, ReplicaBounds, SKEW, Standby, Terms};
use jwksd::lifecycle::state::Next;
use jwksd::lifecycle::time::{Span, Timestamp};

use super::rig::{Rig, ring, ring_policy};

/// Durations computed from declared verifiers that keep a set for `cache`.
fn computed(cache: Span, token_lifetime_max: Span) -> Terms {
    let mut terms = Terms { verifier_cache: cache, token_lifetime_max, ..Terms::default() };
    terms.propagation = terms.least_propagation();
    terms.retention = terms.least_retention();
    terms
}

fn hours(hours: u64) -> Span {
    Span::from_hours(hours)
}

fn may_sign_at(rig: &Rig, name: &str) -> Timestamp {
    rig.issuer.ring(&ring(name)).unwrap().next_may_sign_at().unwrap()
}

/// What the JWK Set's age in proxies and the clocks add to a cache.
fn more() -> Span {
    Terms::default().jwks_max_age + SKEW
}

#[test]
fn deadlines_stay_as_stored_when_durations_change() {
    let mut rig = Rig::running();
    rig.run_for(ACTIVE_PERIOD);
    let before = rig.state("a").clone();
    let shorter = Terms {
        drain: Span::from_mins(2),
        retention: hours(2),
        propagation: hours(1),
        token_lifetime_max: Span::from_mins(5),
        ..Terms::default()
    };
    rig.configure("a", shorter);
    assert_eq!(rig.state("a").retained, before.retained);
    assert_eq!(rig.state("a").signer, before.signer);
    assert_eq!(rig.state("a").next, before.next);
}

#[test]
fn a_lower_token_lifetime_keeps_the_old_withdraw_date_for_tokens_that_are_out() {
    let mut rig = Rig::running_with(computed(hours(1), hours(24)));
    rig.run_for(hours(48));
    let changed = rig.now;
    rig.configure("a", computed(hours(1), Span::from_mins(5)));
    rig.request("a");
    rig.settle();
    let old = &rig.state("a").retained[0];
    assert!(old.withdraw_at >= changed + hours(24) + SKEW, "{}", old.withdraw_at);
    assert!(old.withdraw_at <= changed + hours(25), "{}", old.withdraw_at);
    assert_eq!(old.destroy_private_at, changed + DRAIN);
    // Once those tokens have expired, the new lifetime alone counts.
    rig.run_for(hours(72));
    rig.request("a");
    rig.settle();
    let old = &rig.state("a").retained[0];
    assert_eq!(old.withdraw_at, rig.now + DRAIN + Span::from_mins(5) + SKEW);
}

#[test]
fn replicas_issue_longer_tokens_until_they_have_learnt_better() {
    let replicas = ReplicaBounds { sign_for: Span::from_mins(30), publish_for: hours(1) };
    let with = |lifetime| {
        let mut terms = Terms { replicas, ..computed(hours(1), lifetime) };
        terms.drain = terms.least_drain();
        terms.propagation = terms.least_propagation();
        terms.retention = terms.least_retention();
        terms
    };
    let mut rig = Rig::running_with(with(hours(24)));
    rig.run_for(hours(48));
    let changed = rig.now;
    rig.configure("a", with(Span::from_mins(5)));
    rig.request("a");
    rig.settle();
    let needed = changed + replicas.sign_for + hours(24) + SKEW;
    assert!(rig.state("a").retained[0].withdraw_at >= needed);
}

#[test]
fn a_lower_max_age_or_cache_delays_the_next_version() {
    let mut rig = Rig::running_with(Terms { standby: Standby::JustInTime, ..computed(hours(20), hours(1)) });
    rig.run_for(hours(48));
    let changed = rig.now;
    rig.configure("a", computed(hours(1), hours(1)));
    rig.settle();
    assert_eq!(may_sign_at(&rig, "a"), changed + hours(20) + more());
    let mut rig = Rig::running_with(computed(hours(20), hours(1)));
    rig.configure("a", computed(hours(1), hours(1)));
    rig.run_for(hours(48));
    rig.request("a");
    rig.settle();
    assert_eq!(may_sign_at(&rig, "a"), rig.now + hours(1) + more(), "old caches are gone by then");
}

#[test]
fn a_higher_cache_delays_a_version_that_is_on_its_way() {
    let mut rig = Rig::running_with(computed(hours(1), hours(1)));
    let seen = rig.now;
    rig.run_for(Span::from_mins(30));
    rig.configure("a", computed(hours(20), hours(1)));
    assert_eq!(may_sign_at(&rig, "a"), seen + hours(20) + more());
    rig.request("a");
    rig.run_to(seen + hours(20));
    assert_eq!(rig.signer("a"), Some(1));
    rig.run_to(seen + hours(20) + more());
    assert_eq!(rig.signer("a"), Some(2));
}

#[test]
fn a_first_key_is_not_held_up_by_a_higher_cache() {
    let mut rig = Rig::new(&[("a", computed(hours(1), hours(1)))]);
    while !matches!(&rig.state("a").next, Some(Next::PreActive(_))) {
        rig.step().unwrap();
    }
    rig.publish();
    rig.configure("a", computed(hours(20), hours(1)));
    rig.settle();
    assert_eq!(rig.signer("a"), Some(1));
}

#[test]
fn a_new_ring_waits_for_caches_that_were_filled_before_it_came() {
    for together in [false, true] {
        let mut rig = Rig::running_with(computed(hours(20), hours(1)));
        let changed = rig.now;
        if !together {
            rig.configure("a", computed(hours(1), hours(1)));
            rig.run_for(hours(2));
        } else {
            rig.policy.rings.insert(ring("a"), ring_policy(computed(hours(1), hours(1))));
        }
        // With both at once the new ring's fact may come first.
        rig.policy.rings.insert(ring("b"), ring_policy(computed(hours(1), hours(1))));
        rig.apply(Fact::RingAdded { ring: ring("b"), spec: super::rig::spec() }).unwrap();
        rig.adopt();
        rig.settle();
        assert_eq!(may_sign_at(&rig, "b"), changed + hours(20) + more(), "together: {together}");
    }
}

#[test]
fn the_promise_counts_where_a_setting_was_lowered_without_a_record() {
    let mut rig = Rig::running_with(Terms { standby: Standby::JustInTime, ..computed(hours(20), hours(24)) });
    let lower = computed(hours(1), Span::from_mins(5));
    rig.policy.rings.insert(ring("a"), ring_policy(lower));
    rig.settle();
    assert_eq!(may_sign_at(&rig, "a"), rig.now + hours(20) + more());
    rig.request("a");
    rig.run_for(hours(21));
    assert_eq!(rig.signer("a"), Some(2));
    let old = &rig.state("a").retained[0];
    assert_eq!(old.withdraw_at, old.deactivated_at + DRAIN + hours(24) + SKEW);
}

#[test]
fn a_propagation_that_is_out_of_date_is_kept() {
    let long = Terms { propagation: PROPAGATION + PROPAGATION, ..Terms::default() };
    let mut rig = Rig::running_with(long);
    let ready = may_sign_at(&rig, "a");
    rig.configure("a", Terms::default());
    assert_eq!(may_sign_at(&rig, "a"), ready);
}
