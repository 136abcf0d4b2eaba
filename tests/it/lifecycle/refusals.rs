//! What can't have happened is refused, and leaves the state as it was; `Rig::apply` checks the latter.

use jwksd::ids::{BackendId, Handle, JwkSetVersion};
use jwksd::jose::alg::{Algorithm, KeySpec};
use jwksd::jose::jwk::{Jwk, PublicKey};
use jwksd::lifecycle::event::{Fact, IllegalTransition as Illegal, Reason};
use jwksd::lifecycle::policy::{ACTIVE_PERIOD, DRAIN, PROPAGATION, Standby, Terms};
use jwksd::lifecycle::state::Next;
use jwksd::lifecycle::time::Span;

use super::rig::{Rig, jwk, kid, ring, spec, v};

fn reserved(number: u64) -> Fact {
    let backend = BackendId::new("hsm-a").unwrap();
    Fact::Reserved { ring: ring("a"), version: v(number), backend, reason: Reason::Scheduled }
}

fn generated(number: u64, name: u64) -> Fact {
    Fact::Generated { ring: ring("a"), version: v(number), handle: Handle::new("made"), jwk: jwk(&kid("a", name)) }
}

fn activated(number: u64) -> Fact {
    Fact::Activated { ring: ring("a"), version: v(number), reason: Reason::Scheduled }
}

fn destroyed(number: u64) -> Fact {
    Fact::PrivateDestroyed { ring: ring("a"), version: v(number), gone_at: super::rig::Rig::running().now }
}

fn withdrawn(number: u64) -> Fact {
    Fact::Withdrawn { ring: ring("a"), version: v(number) }
}

fn wrong_state(number: u64, event: &'static str, state: &'static str) -> Illegal {
    Illegal::WrongState { ring: ring("a"), version: v(number), event, state }
}

/// v2 signs, v1 is within its drain, v3 stands by.
fn rotated() -> Rig {
    let mut rig = Rig::running();
    rig.run_for(ACTIVE_PERIOD);
    rig
}

/// v1 signs, nothing is reserved.
fn lean() -> Rig {
    Rig::running_with(Terms { standby: Standby::JustInTime, ..Terms::default() })
}

fn with_reservation() -> Rig {
    let mut rig = lean();
    rig.apply(reserved(2)).unwrap();
    rig
}

/// Its name, the state, the fact, and why the fact can't have happened to that state.
type Case = (&'static str, Rig, Fact, Box<dyn Fn(&Rig) -> Illegal>);

#[test]
fn every_illegal_transition_is_refused_by_name() {
    let due = |rig: &Rig, span| rig.now + span;
    let cases: Vec<Case> = vec![
        (
            "two reservations",
            with_reservation(),
            reserved(3),
            Box::new(|_| wrong_state(3, "reserved", "waiting behind a reserved version")),
        ),
        (
            "a reservation behind a standby",
            rotated(),
            reserved(4),
            Box::new(|_| wrong_state(4, "reserved", "waiting behind a pre-active version")),
        ),
        (
            "a number that was used",
            lean(),
            reserved(1),
            Box::new(|_| Illegal::WrongNumber { ring: ring("a"), version: v(1), expected: v(2) }),
        ),
        (
            "a number that was left out",
            lean(),
            reserved(3),
            Box::new(|_| Illegal::WrongNumber { ring: ring("a"), version: v(3), expected: v(2) }),
        ),
        ("a key without an intent", lean(), generated(2, 2), Box::new(|_| wrong_state(2, "generated", "not reserved"))),
        (
            "a key for another intent",
            with_reservation(),
            generated(3, 3),
            Box::new(|_| wrong_state(3, "generated", "not reserved")),
        ),
        (
            "another key for the same version",
            rotated(),
            generated(3, 9),
            Box::new(|_| wrong_state(3, "generated", "not reserved")),
        ),
        ("a kid that is there", with_reservation(), generated(2, 1), Box::new(|_| Illegal::DuplicateKid(kid("a", 1)))),
        (
            "a version that is not next",
            rotated(),
            activated(1),
            Box::new(|_| wrong_state(1, "activated", "not the next version")),
        ),
        (
            "a reserved version",
            with_reservation(),
            activated(2),
            Box::new(|_| wrong_state(2, "activated", "not seen published")),
        ),
        (
            "a version before its time",
            rotated(),
            activated(3),
            Box::new(move |rig| Illegal::TooEarly { ring: ring("a"), version: v(3), due: due(rig, PROPAGATION) }),
        ),
        (
            "the signer's private half",
            rotated(),
            destroyed(2),
            Box::new(|_| wrong_state(2, "destroyed", "neither deactivated nor compromised")),
        ),
        (
            "a private half within its drain",
            rotated(),
            destroyed(1),
            Box::new(move |rig| Illegal::StillNeeded {
                ring: ring("a"),
                version: v(1),
                event: "destroyed",
                due: due(rig, DRAIN),
            }),
        ),
        (
            "a public half within its retention",
            rotated(),
            withdrawn(1),
            Box::new(move |rig| Illegal::StillNeeded {
                ring: ring("a"),
                version: v(1),
                event: "withdrawn",
                due: due(rig, Terms::default().retention),
            }),
        ),
        (
            "the signer's public half",
            rotated(),
            withdrawn(2),
            Box::new(|_| wrong_state(2, "withdrawn", "not deactivated")),
        ),
        (
            "a set that was never made",
            rotated(),
            Fact::Published { version: JwkSetVersion::new(99) },
            Box::new(|rig| Illegal::UnknownJwkSet {
                version: JwkSetVersion::new(99),
                newest: rig.issuer.state().jwk_set_version,
            }),
        ),
        ("an unknown ring", lean(), Fact::Requested { ring: ring("x") }, Box::new(|_| Illegal::UnknownRing(ring("x")))),
        (
            "a ring without a policy",
            lean(),
            Fact::RingAdded { ring: ring("x"), spec: spec() },
            Box::new(|_| Illegal::NoPolicy(ring("x"))),
        ),
        (
            "a ring that is there",
            lean(),
            Fact::RingAdded { ring: ring("a"), spec: spec() },
            Box::new(|_| Illegal::RingExists(ring("a"))),
        ),
        (
            "an import under a kid of ours",
            rotated(),
            Fact::Imported { jwk: jwk(&kid("a", 1)), withdraw_at: None },
            Box::new(|_| Illegal::DuplicateKid(kid("a", 1))),
        ),
        (
            "the withdrawal of a key that was not imported",
            rotated(),
            Fact::ImportWithdrawn { kid: kid("a", 1) },
            Box::new(|_| Illegal::UnknownKid(kid("a", 1))),
        ),
    ];
    for (name, mut rig, fact, expected) in cases {
        let expected = expected(&rig);
        assert_eq!(rig.apply(fact), Err(expected), "{name}");
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let mut rig = with_reservation();
    let other = KeySpec::new(Algorithm::Es384, None).unwrap();
    let jwk = Jwk::new(kid("a", 2), Algorithm::Es384, PublicKey::stand_in(other)).unwrap();
    let fact = Fact::Generated { ring: ring("a"), version: v(2), handle: Handle::new("made"), jwk };
    assert_eq!(rig.apply(fact), Err(Illegal::WrongKey { ring: ring("a"), version: v(2) }));
}

#[test]
fn a_second_withdrawal_is_refused() {
    let mut rig = rotated();
    rig.now = rig.now + Span::from_days(1);
    rig.apply(withdrawn(1)).unwrap();
    assert_eq!(rig.apply(withdrawn(1)), Err(wrong_state(1, "withdrawn", "withdrawn already")));
}

#[test]
fn replaying_an_outside_fact_changes_nothing() {
    let mut rig = with_reservation();
    let replay = |rig: &mut Rig, fact: Fact, hours: u64| {
        rig.apply(fact.clone()).unwrap();
        let before = rig.issuer.clone();
        rig.now = rig.now + Span::from_hours(hours);
        rig.apply(fact).unwrap();
        assert_eq!(rig.issuer, before);
    };
    replay(&mut rig, generated(2, 2), 1);
    let version = rig.issuer.state().jwk_set_version;
    replay(&mut rig, Fact::Published { version }, 1);
    replay(&mut rig, Fact::Published { version: JwkSetVersion::new(1) }, 1);
    assert!(matches!(&rig.state("a").next, Some(Next::PreActive(next)) if next.seen.is_some()));
    let mut rig = rotated();
    rig.now = rig.now + DRAIN;
    replay(&mut rig, destroyed(1), 1);
    rig.run_for(Span::from_days(1));
    assert_eq!(rig.state("a").destroyed.len(), 1);
    replay(&mut rig, destroyed(1), 1);
}

#[test]
fn a_request_that_is_repeated_keeps_its_date() {
    let mut rig = Rig::running();
    rig.request("a");
    let asked = rig.now;
    rig.now = rig.now + Span::from_hours(1);
    rig.request("a");
    assert_eq!(rig.state("a").requested_at, Some(asked));
}
