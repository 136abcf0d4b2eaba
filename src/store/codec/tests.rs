//! What was written is read back; what was not written is refused.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use proptest::prelude::*;

use super::*;
use crate::ids::{BackendId, BootId, Handle, JwkSetVersion, Kid, RingName, VersionId};
use crate::jose::alg::{Algorithm, KeySpec};
use crate::jose::jwk::{Jwk, PublicKey};
use crate::lifecycle::event::{Event, Fact, Reason, Succession};
use crate::lifecycle::policy::{IssuerPolicy, MAX_BYTES, Policy, RingPolicy, Terms};
use crate::lifecycle::state::Next;
use crate::lifecycle::time::{ClockSetting, Span, Timestamp};

static EC: LazyLock<PublicKey> = LazyLock::new(|| {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    PublicKey::from_ec(crate::jose::alg::Curve::P256, &point[1..33], &point[33..]).unwrap()
});

static ED: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::from_ed25519(Ed25519KeyPair::generate().unwrap().public_key().as_ref()).unwrap());

fn jwk(alg: Algorithm, kid: u64) -> Jwk {
    let key = if alg == Algorithm::Es256 { &*EC } else { &*ED };
    Jwk::new(Kid::new(&format!("kid-{kid}")).unwrap(), alg, key.clone()).unwrap()
}

fn id() -> IssuerId {
    IssuerId::new("main").unwrap()
}

fn rings() -> [(RingName, Algorithm); 2] {
    [(RingName::new("es256").unwrap(), Algorithm::Es256), (RingName::new("ed").unwrap(), Algorithm::Ed25519)]
}

fn policy(token_lifetime_max: Span) -> IssuerPolicy {
    let terms = Terms { token_lifetime_max, retention: Span::from_days(2), ..Terms::default() };
    let policy = Policy::new(terms).unwrap();
    let ring = RingPolicy { policy, backend: BackendId::new("hsm").unwrap(), standby_backend: None };
    let rings: BTreeMap<_, _> = rings().into_iter().map(|(name, _)| (name, ring.clone())).collect();
    IssuerPolicy { rings, max_bytes: MAX_BYTES }
}

/// The issuer that a walk of random events reaches; what can't happen where it stands does not.
fn wander(known_to_verifiers: bool, walk: &[(u8, u8, u32)]) -> Issuer {
    let mut issuer = Issuer::new(id(), known_to_verifiers);
    let mut at = Timestamp::from_second(1_800_000_000);
    for (n, (what, which, wait)) in walk.iter().enumerate() {
        at = at + Span::from_secs(u64::from(*wait));
        let (ring, alg) = rings()[usize::from(which % 2)].clone();
        let state = issuer.ring(&ring).map(|ring| ring.state().clone());
        let next = state.as_ref().and_then(|s| s.next.as_ref().map(Next::id)).unwrap_or(VersionId::new(1));
        let old = state.as_ref().and_then(|s| s.retained.first().map(|v| v.id));
        let gone = state.as_ref().and_then(|s| s.compromised.first().map(|v| v.id));
        let kids: Vec<Kid> = issuer.jwk_set().iter().map(|jwk| jwk.kid().clone()).collect();
        let kid = kids.get(usize::from(*which) % kids.len().max(1)).cloned();
        let n = n as u64;
        let fact = match what % 18 {
            0 => Fact::RingAdded { ring, spec: KeySpec::new(alg, None).unwrap() },
            1 => Fact::TermsChanged { ring },
            2 | 3 => {
                let version = state.map_or(VersionId::new(1), |s| s.next_number);
                let reason = [Reason::Bootstrap, Reason::Scheduled, Reason::Requested, Reason::Compromise];
                let reason = reason[usize::from(which % 4)];
                Fact::Reserved { ring, version, backend: BackendId::new("hsm").unwrap(), reason }
            }
            4 | 5 => {
                Fact::Generated { ring, version: next, handle: Handle::new(&format!("id \"{n}\"\n")), jwk: jwk(alg, n) }
            }
            6 | 7 => Fact::Published { version: issuer.state().jwk_set_version },
            8..=10 => Fact::Activated { ring, version: next, reason: Reason::Scheduled },
            11 => {
                Fact::PrivateDestroyed { ring, version: old.or(gone).unwrap_or(next), gone_at: at + Span::from_days(7) }
            }
            12 => Fact::Withdrawn { ring, version: old.unwrap_or(next) },
            13 => match kid {
                Some(kid) => {
                    let succession =
                        [Succession::WhenPropagated, Succession::WhenPublished][usize::from(which / 2 % 2)];
                    Fact::Compromised { kid, reason: format!("leaked — \"{n}\""), succession }
                }
                None => Fact::Published { version: JwkSetVersion::new(0) },
            },
            14 => Fact::Requested { ring },
            15 => {
                let booted_at = Timestamp::from_second(1_700_000_000) + Span::from_secs(n * 1_000);
                Fact::ClockSet { setting: ClockSetting { boot: BootId::new([which % 2; 16]), booted_at } }
            }
            16 => {
                let foreign = issuer.state().imported.iter().map(|key| key.kid().clone()).next_back();
                Fact::ImportWithdrawn { kid: foreign.or(kid).unwrap_or_else(|| Kid::new("none").unwrap()) }
            }
            _ => Fact::Imported { jwk: jwk(alg, n), withdraw_at: (which % 2 == 0).then_some(at + Span::from_days(9)) },
        };
        let policy = policy(Span::from_hours(u64::from(which % 3 + 1)));
        let _ = issuer.apply(&policy, &Event { at, fact });
    }
    issuer
}

fn walks() -> impl Strategy<Value = Issuer> {
    let waits = prop::sample::select(vec![0, 60, 3_600, 100_000, 3_000_000]);
    let steps = prop::collection::vec((any::<u8>(), any::<u8>(), waits), 0..160);
    // Every walk begins with both rings, or hardly one would get anywhere.
    (any::<bool>(), steps).prop_map(|(known, steps)| {
        let start = [(0, 0, 0), (0, 1, 0)];
        wander(known, &start.into_iter().chain(steps).collect::<Vec<_>>())
    })
}

fn commit(byte: u8) -> CommitId {
    CommitId::new([byte; 16])
}

fn first(issuer: &Issuer) -> Sealed {
    seal(issuer, Revision::new(1), commit(1), None).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn what_is_written_is_read_back(before in walks(), issuer in walks()) {
        let expected = |issuer: &Issuer, revision, id, hash| {
            Ok(Committed { issuer: issuer.clone(), revision: Revision::new(revision), commit_id: commit(id), hash })
        };
        let first = first(&before);
        prop_assert_eq!(decode(&id(), &first.bytes), expected(&before, 1, 1, first.hash));
        let second = seal(&issuer, Revision::new(2), commit(2), Some(first.hash)).unwrap();
        prop_assert_eq!(decode(&id(), &second.bytes), expected(&issuer, 2, 2, second.hash));
        prop_assert_eq!(&seal(&issuer, Revision::new(2), commit(2), Some(first.hash)).unwrap(), &second);
        let cover = cover(&id(), &second.bytes).unwrap();
        prop_assert_eq!((cover.revision, cover.commit_id, cover.hash), (Revision::new(2), commit(2), second.hash));
    }

    #[test]
    fn mangled_bytes_are_refused(issuer in walks(), at in any::<prop::sample::Index>(), with in any::<Vec<u8>>()) {
        let mut bytes = first(&issuer).bytes;
        let at = at.index(bytes.len());
        bytes.truncate(at);
        bytes.extend(with);
        prop_assert!(decode(&id(), &bytes).is_err());
    }

    /// A body with a right hash around wrong values: what a faulty writer, not a faulty disk, would leave.
    #[test]
    fn no_sealed_nonsense_makes_the_reader_panic(issuer in walks(), at in any::<prop::sample::Index>(), digit in 0_u8..10) {
        let text = String::from_utf8(first(&issuer).bytes).unwrap();
        let body = text.split_once("\"body\":").unwrap().1.strip_suffix('}').unwrap();
        let digits: Vec<usize> = body.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
        let mut body = body.to_owned();
        let at = *at.get(&digits);
        body.replace_range(at..=at, &digit.to_string());
        let _ = decode(&id(), &sealed(1, "main", &body));
    }
}

/// A record with hashes that are right.
fn sealed(format: u32, issuer: &str, body: &str) -> Vec<u8> {
    let envelope = format!(
        "{{\"format\":{format},\"issuer\":\"{issuer}\",\"revision\":1,\"commit_id\":\"{}\",\"prev_hash\":null,\
         \"body_hash\":\"{}\",\"body\":{body}}}",
        commit(1),
        hash(body.as_bytes())
    );
    format!("{}\n{envelope}", hash(envelope.as_bytes())).into_bytes()
}

const EMPTY: &str = r#"{"jwk_set_version":0,"published":null,"known_to_verifiers":false,"rings":[],"imported":[],"history_from":1,"clock":null}"#;

fn refusal(record: &[u8]) -> String {
    decode(&id(), record).unwrap_err().to_string()
}

#[test]
fn an_empty_issuer_has_this_form() {
    let encoded = first(&Issuer::new(id(), false));
    assert_eq!(encoded.bytes, sealed(1, "main", EMPTY));
}

#[test]
fn every_flipped_bit_is_refused() {
    let walk = [(0, 0, 0), (2, 0, 0), (4, 0, 0), (6, 0, 0), (8, 0, 0), (2, 0, 0), (15, 1, 0)];
    let bytes = first(&wander(false, &walk)).bytes;
    assert!(bytes.len() > 900, "the walk got somewhere");
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(matches!(decode(&id(), &flipped), Err(StoreError::Damaged(_))), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let newer = sealed(2, "main", r#"{"anything":true}"#);
    assert_eq!(decode(&id(), &newer), Err(StoreError::Format { issuer: id(), found: 2, known: 1 }));
}

#[test]
fn a_refusal_says_what_and_where() {
    for (record, expected) in [
        (sealed(1, "other", EMPTY), "issuer main: the record is that of issuer other"),
        (
            sealed(1, "main", &EMPTY.replace("null}", "null,\"extra\":1}")),
            "issuer main: revision 1: body: unknown field `extra`",
        ),
        (
            sealed(1, "main", &EMPTY.replacen("null", r#"{"version":3,"at":"2026-12-20T00:00:00Z"}"#, 1)),
            "issuer main: revision 1: a JWK Set is published that was never made",
        ),
        (sealed(1, "main", &EMPTY.replacen("null", r#"{"version":0,"at":"soon"}"#, 1)), "\"soon\" is not a moment"),
        (b"".to_vec(), "issuer main: the record has no hash"),
    ] {
        let refusal = refusal(&record);
        assert!(refusal.contains(expected), "{refusal}");
    }
}
