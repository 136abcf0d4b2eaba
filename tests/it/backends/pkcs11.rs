//! Tokens: the contract over each that can be had, and what a token is asked to keep to itself.

mod campaign;
mod sabotage;

use std::sync::Arc;
use std::time::Duration;

use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use jwksd::backend::Backend;
use jwksd::backend::pkcs11::router::{PinSource, Plan, Router, WorkerMetrics};
use jwksd::backend::pkcs11::{Fault, Gate, InProcess, Latch, Pin};
use jwksd::jose::alg::{Algorithm, KeySpec, RsaBits};

use prometheus_client::registry::Registry;

use self::campaign::Insistent;
use super::conformance;
use crate::support::tokens::{PIN, SoftToken, given, is_contended, lacks};

#[test]
fn softhsm_keeps_the_contract() {
    SoftToken::softhsm().in_child("backends::pkcs11::conformance_in_process");
}

#[test]
fn nss_keeps_the_contract() {
    SoftToken::nss().in_child("backends::pkcs11::conformance_in_process");
}

#[test]
fn softhsm_in_workers_keeps_the_contract() {
    SoftToken::softhsm().in_child("backends::pkcs11::conformance_in_workers");
}

#[test]
fn nss_in_workers_keeps_the_contract() {
    SoftToken::nss().in_child("backends::pkcs11::conformance_in_workers");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn conformance_in_process() {
    let (settings, pin, dir) = given();
    let backend = tokio::task::spawn_blocking(move || InProcess::open(&settings, &pin, &dir.join("locks")));
    conforms(Arc::new(backend.await.unwrap().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn conformance_in_workers() {
    let (settings, _, dir) = given();
    let plan = Plan {
        program: env!("CARGO_BIN_EXE_jwksd").into(),
        settings,
        pin: PinSource(Arc::new(|| Ok(crate::support::tokens::pin()))),
        gate: dir.join("locks"),
        hang_limit: Duration::from_secs(10),
        admin_limit: Duration::from_secs(60),
    };
    let metrics = WorkerMetrics::register(&mut Registry::default());
    let router: Arc<dyn Backend> = Arc::new(Router::start("hsm".parse().unwrap(), plan, &metrics).unwrap());
    conforms(if is_contended() { Arc::new(Insistent(router)) } else { router }).await;
}

/// Every algorithm that the token has the mechanisms for, and one larger modulus.
async fn conforms(backend: Arc<dyn Backend>) {
    let facts = backend.probe().await.unwrap().facts;
    let algorithms = facts.into_iter().find(|(name, _)| name == "algorithms").unwrap().1;
    let mut specs: Vec<KeySpec> = algorithms.split(' ').map(|name| spec(name.parse().unwrap())).collect();
    specs.push(KeySpec::new(Algorithm::Rs256, Some(RsaBits::B3072)).unwrap());
    specs.retain(|spec| !lacks(*spec));
    conformance(backend, &specs).await;
}

/// Not over NSS, whose soft token wraps keys that it calls never extractable (3.87; docs/backends/pkcs11.md).
#[test]
fn no_key_can_leave_the_token() {
    SoftToken::softhsm().in_child("backends::pkcs11::make_keys_and_try_to_take_them_out");
}

/// What the strangers' tool shows. NSS can't be asked by it: it takes no module arguments.
#[test]
fn pkcs11_tool_sees_keys_that_sign_and_stay() {
    let token = SoftToken::softhsm();
    token.in_child("backends::pkcs11::make_keys_and_try_to_take_them_out");
    let listed = token.pkcs11_tool(&["--list-objects", "--type", "privkey"]);
    let told = |name: &str| -> Vec<String> {
        let values = listed.lines().filter_map(|line| line.trim().strip_prefix(name));
        values.map(|value| value.trim().to_owned()).collect()
    };
    assert_eq!(told("Usage:"), ["sign"; 3], "{listed}");
    assert_eq!(told("Access:"), ["sensitive, always sensitive, never extractable, local"; 3], "{listed}");
    let mut labels = told("label:");
    labels.sort();
    assert_eq!(labels, [1, 2, 3].map(|number| super::label("each", number).to_string()), "{listed}");
}

#[test]
#[ignore = "run by others in a process of its own"]
fn make_keys_and_try_to_take_them_out() {
    let (settings, pin, dir) = given();
    let token = Gate::new(&dir.join("locks")).unwrap().open(&settings, &pin).unwrap();
    let algorithms = [Algorithm::Es256, Algorithm::Rs256, Algorithm::Ed25519];
    let able = algorithms.into_iter().filter(|alg| token.facts().algorithms.contains(&alg.to_string()));
    let made = (1..).zip(able).map(|(number, alg)| token.generate(&super::label("each", number), spec(alg)).unwrap());
    let made = made.count();
    // The module is initialised and this process logged in: what follows sees what the token sees.
    let module = Pkcs11::new(&settings.module).unwrap();
    let slot = module.get_slots_with_token().unwrap().into_iter().find(|slot| slot.id() == token.facts().slot).unwrap();
    let session = module.open_rw_session(slot).unwrap();
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap();
    assert_eq!(keys.len(), made);
    let wrapping =
        [Attribute::Token(false), Attribute::Wrap(true), Attribute::Encrypt(true), Attribute::ValueLen(32.into())];
    let wrapping = session.generate_key(&Mechanism::AesKeyGen, &wrapping).unwrap();
    for key in keys {
        for secret in [AttributeType::Value, AttributeType::PrivateExponent, AttributeType::Prime1] {
            let read = session.get_attributes(key, &[secret]);
            assert!(read.as_ref().map_or(true, Vec::is_empty), "{secret}: {read:?}");
        }
        for mechanism in [Mechanism::AesKeyWrap, Mechanism::AesKeyWrapPad, Mechanism::AesCbcPad([0; 16])] {
            let wrapped = session.wrap_key(&mechanism, wrapping, key);
            assert!(wrapped.is_err(), "{}: {mechanism:?}: {} bytes", settings.module.display(), wrapped.unwrap().len());
        }
        for attribute in [Attribute::Extractable(true), Attribute::Sensitive(false)] {
            let changed = session.update_attributes(key, std::slice::from_ref(&attribute));
            assert!(changed.is_err(), "{attribute:?}");
        }
    }
}

#[test]
fn a_refused_pin_is_tried_once_and_not_again_until_somebody_acts() {
    SoftToken::softhsm().in_child("backends::pkcs11::a_wrong_pin_then_the_right_one");
}

#[test]
#[ignore = "run by others in a process of its own"]
fn a_wrong_pin_then_the_right_one() {
    let (settings, _, dir) = given();
    let gate = Gate::new(&dir.join("locks")).unwrap();
    let pin = |text: &str, source| Pin::new(text.as_bytes(), source).unwrap();
    let refused = |pin| match gate.open(&settings, &pin) {
        Err(Fault::Pin(text)) => text,
        other => panic!("{other:?}"),
    };
    let first = refused(pin("000000", "file a"));
    assert!(first.contains("CKR_PIN_INCORRECT") && !first.contains("000000"), "{first}");
    // Even the right one is not tried: it came from the same source, which nobody has touched.
    assert!(refused(pin(PIN, "file a")).contains("no further PIN is tried"));
    // A changed source is tried again, once.
    assert_eq!(refused(pin("111111", "file b")), first);
    assert!(refused(pin(PIN, "file b")).contains("no further PIN is tried"));
    assert!(Latch::new(&dir.join("locks")).clear().unwrap());
    let token = gate.open(&settings, &pin(PIN, "file b")).unwrap();
    assert_eq!(token.list(), Ok(vec![]));
}

fn spec(alg: Algorithm) -> KeySpec {
    KeySpec::new(alg, None).unwrap()
}
