use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use proptest::prelude::*;

use super::*;
use crate::jose::alg::{Algorithm, Curve, RsaBits};
use crate::jose::hash::{HashFunction, MessageDigest};
use crate::jose::jwk::PublicKey;
use crate::lifecycle::time::Timestamp;

/// Real ones: a key that is none is refused by whoever reads it.
static KEYS: LazyLock<[PublicKey; 2]> = LazyLock::new(|| {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    [PublicKey::from_ec(Curve::P256, x, y).unwrap(), PublicKey::from_ed25519(ed25519.public_key().as_ref()).unwrap()]
});

fn specs() -> impl Strategy<Value = KeySpec> {
    let sizes = [None, Some(RsaBits::B2048), Some(RsaBits::B3072), Some(RsaBits::B4096)];
    let all = Algorithm::ALL.into_iter().flat_map(move |alg| sizes.map(|bits| KeySpec::new(alg, bits).ok()));
    prop::sample::select(all.flatten().collect::<Vec<_>>())
}

fn labels() -> impl Strategy<Value = Label> {
    ("[a-z0-9]{1,20}", "[a-z0-9]{1,20}", 1..u64::MAX)
        .prop_map(|(issuer, ring, version)| format!("it/{issuer}.{ring}.v{version}").parse().unwrap())
}

fn errors() -> impl Strategy<Value = BackendError> {
    prop_oneof![
        ".*".prop_map(BackendError::Unavailable),
        any::<u32>().prop_map(|ms| BackendError::Throttled { retry_after: Duration::from_millis(ms.into()) }),
        ".*".prop_map(BackendError::NotFound),
        ".*".prop_map(BackendError::Mismatch),
        ".*".prop_map(BackendError::Refused),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let handle = || ".{0,99}".prop_map(|text: String| Handle::new(&text));
    prop_oneof![
        (handle(), prop::sample::select(KEYS.to_vec()))
            .prop_map(|(handle, public)| Outcome::Generated(Generated { handle, public })),
        Just(Outcome::Destroyed(Destroyed::Done)),
        any::<i32>().prop_map(|at| Outcome::Destroyed(Destroyed::ScheduledFor(Timestamp::from_second(at.into())))),
        prop::collection::vec((labels(), handle()), 0..5)
            .prop_map(|keys| Outcome::Found(keys.into_iter().map(|(label, handle)| Found { label, handle }).collect())),
        (".*", prop::collection::vec((".*", ".*"), 0..5))
            .prop_map(|(summary, facts)| Outcome::Probed(Probe { summary, facts })),
    ]
}

fn reports() -> impl Strategy<Value = Report> {
    prop_oneof![
        Just(Report::Ready),
        Just(Report::Alive),
        (any::<u64>(), any::<Vec<u8>>()).prop_map(|(id, bytes)| Report::Signed(id, Signature(bytes))),
        (any::<u64>(), errors()).prop_map(|(id, error)| Report::Declined(id, error)),
        prop::result::maybe_ok(outcomes(), errors()).prop_map(Report::Done),
        (any::<u64>(), ".*").prop_map(|(id, text)| Report::Broken(id, text)),
        (any::<u64>(), any::<u32>()).prop_map(|(id, ms)| Report::Hung(id, Duration::from_millis(ms.into()))),
        ".*".prop_map(Report::Pin),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reports_arrive_as_they_were_sent_in_pieces_of_any_size(sent in prop::collection::vec(reports(), 1..6)) {
        let mut bytes = Vec::new();
        sent.iter().for_each(|report| report.write(&mut bytes));
        let mut arrived = Vec::new();
        let mut buffer = Vec::new();
        for byte in bytes {
            buffer.push(byte);
            while let Some((frame, len)) = next(&buffer).unwrap() {
                arrived.push(Report::parse(frame).unwrap());
                buffer.drain(..len);
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(arrived, sent);
    }

    #[test]
    fn orders_arrive_as_they_were_sent(
        id: u64, handle in ".{0,99}", spec in specs(), message: Vec<u8>, label in labels(), open: Vec<u8>
    ) {
        let handle = Handle::new(&handle);
        let digests = HashFunction::ALL.map(|hash| Input::Digest(MessageDigest::of(hash, &message)));
        for input in [Input::Message(&message)].into_iter().chain(digests) {
            let mut bytes = Order::sign(&handle, spec, input);
            set_id(&mut bytes, id);
            let (frame, len) = next(&bytes).unwrap().unwrap();
            prop_assert_eq!(len, bytes.len());
            let sign = Sign { id, handle: handle.clone(), spec, input };
            prop_assert_eq!(Order::parse(frame), Ok(Order::Sign(sign)));
        }

        let bytes = Order::open(&open);
        prop_assert_eq!(Order::parse(next(&bytes).unwrap().unwrap().0), Ok(Order::Open(&open)));
        for admin in [Admin::Generate(label, spec), Admin::Destroy(handle), Admin::List, Admin::Probe] {
            let bytes = Order::admin(&admin);
            prop_assert_eq!(Order::parse(next(&bytes).unwrap().unwrap().0), Ok(Order::Admin(admin)));
        }
    }

    #[test]
    fn nothing_that_arrives_can_hurt(bytes: Vec<u8>, kind in 0..13_u8) {
        let _ = next(&bytes);
        let mut frame = vec![kind, 0, 0, 0, 0, 0, 0, 0, 0];
        frame.extend_from_slice(&bytes);
        let _ = Report::parse(&frame);
        let _ = Order::parse(&frame);
    }
}

#[test]
fn a_frame_longer_than_any_is_refused_before_it_is_waited_for() {
    assert_eq!(next(&u32::MAX.to_le_bytes()), Err(Malformed));
    assert_eq!(next(&[1, 0, 0]), Ok(None));
}

#[test]
fn what_is_left_over_makes_a_frame_malformed() {
    let mut bytes = Vec::new();
    Report::Alive.write(&mut bytes);
    let mut frame = next(&bytes).unwrap().unwrap().0.to_vec();
    frame.push(0);
    assert_eq!(Report::parse(&frame), Err(Malformed));
}
