//! Whatever goes wrong has its name and its number, no signature is wrong, and it passes by itself.

use std::time::Duration;

use futures_util::future::join_all;
use jwksd::backend::{Backend, BackendError, Generated, Input, KeyRef};

use super::super::{es256, label, sign, verifies};
use super::House;
use crate::support::cloud_kms::{Fault, Method, State};
use crate::support::soon::answered;

async fn signer() -> (House, Generated) {
    let house = House::new();
    let made = house.backend.generate(&label("es256", 1), es256()).await.unwrap();
    (house, made)
}

/// It signs as if nothing had been.
async fn recovers(house: &House, made: &Generated) {
    house.cloud.recover();
    // A cloud that was ill is asked again after a moment, a key that was disabled is looked at again.
    let signed = answered(async || sign(&*house.backend, made, es256(), b"input").await.ok()).await;
    assert!(verifies(made, es256(), b"input", &signed.expect("it signs again")));
}

#[tokio::test]
async fn a_fault_that_passes_is_not_seen_by_who_wants_a_signature() {
    for (fault, class) in [
        (Fault::Status(503, "UNAVAILABLE"), "transient"),
        (Fault::Status(500, "INTERNAL"), "transient"),
        (Fault::Status(409, "ABORTED"), "transient"),
        (Fault::Status(504, "DEADLINE_EXCEEDED"), "unknown"),
        (Fault::Reset, "unknown"),
        (Fault::Lost, "unknown"),
        (Fault::Cut, "unknown"),
        (Fault::Checksum, "corrupt"),
        (Fault::Unverified, "corrupt"),
        (Fault::OtherName, "corrupt"),
        // What it says of a request whose checksum is wrong.
        (Fault::Status(400, "INVALID_ARGUMENT"), "corrupt"),
    ] {
        let (house, made) = signer().await;
        house.cloud.fail(Method::Sign, fault, 1);
        let signature = sign(&*house.backend, &made, es256(), b"input").await.unwrap();
        assert!(verifies(&made, es256(), b"input", &signature), "{fault:?}");
        assert_eq!((house.counted(class), house.cloud.calls(Method::Sign)), (1, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn a_fault_that_stays_has_its_class_and_ends_by_itself() {
    for (fault, class, calls) in [
        (Fault::Status(503, "UNAVAILABLE"), "transient", 3),
        (Fault::Reset, "unknown", 3),
        (Fault::Cut, "unknown", 3),
        (Fault::Checksum, "corrupt", 3),
        (Fault::OtherName, "corrupt", 3),
        (Fault::Status(401, "UNAUTHENTICATED"), "permission", 1),
        (Fault::Status(403, "PERMISSION_DENIED"), "permission", 1),
    ] {
        let (house, made) = signer().await;
        house.cloud.fail_always(Method::Sign, fault);
        let error = sign(&*house.backend, &made, es256(), b"input").await.unwrap_err();
        let fits = match class {
            "permission" => matches!(&error, BackendError::Refused(text) if text.contains("Told to fail")),
            _ => matches!(error, BackendError::Unavailable(_)),
        };
        assert!(fits, "{fault:?}: {error:?}");
        assert_eq!((house.counted(class), house.cloud.calls(Method::Sign)), (calls, calls), "{fault:?}");
        recovers(&house, &made).await;
    }
}

#[tokio::test]
async fn a_throttled_cloud_is_left_alone_and_callers_are_told_so_early() {
    let (house, made) = signer().await;
    house.cloud.fail_always(Method::Sign, Fault::Status(429, "RESOURCE_EXHAUSTED"));
    let begun = tokio::time::Instant::now();
    let asked = join_all((0..50).map(|_| sign(&*house.backend, &made, es256(), b"input"))).await;
    assert!(asked.iter().all(|answer| matches!(answer, Err(BackendError::Throttled { .. }))), "{asked:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(house.counted("throttled") >= 1);
    recovers(&house, &made).await;
}

#[tokio::test]
async fn a_slow_answer_is_late_and_not_wrong() {
    let (house, made) = signer().await;
    house.cloud.fail_always(Method::Sign, Fault::Slow(Duration::from_secs(30)));
    let within = Duration::from_millis(200);
    let key = KeyRef { handle: &made.handle, spec: es256() };
    let begun = tokio::time::Instant::now();
    let late = house.backend.sign(key, Input::Message(b"input"), within).await;
    assert!(matches!(late, Err(BackendError::Unavailable(_))), "{late:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(house.counted("unknown"), 1);
    recovers(&house, &made).await;
}

#[tokio::test]
async fn a_key_that_was_disabled_is_an_operators_matter_until_it_is_enabled() {
    let (house, made) = signer().await;
    house.cloud.set_state(made.handle.as_str(), State::Disabled);
    let looked = house.cloud.calls(Method::Version);
    let asked = join_all((0..50).map(|_| sign(&*house.backend, &made, es256(), b"input"))).await;
    let is_told = |answer: &Result<_, BackendError>| matches!(answer, Err(BackendError::Refused(text)) if text.contains("gcloud kms keys versions enable"));
    assert!(asked.iter().all(is_told), "{asked:?}");
    assert_eq!(house.counted("key_off"), 50);
    assert_eq!(house.cloud.calls(Method::Version), looked + 1, "its state is read once for all");
    house.cloud.set_state(made.handle.as_str(), State::Enabled);
    recovers(&house, &made).await;
}

#[tokio::test]
async fn a_key_that_is_being_destroyed_is_not_found() {
    for state in [State::DestroyScheduled, State::Destroyed] {
        let (house, made) = signer().await;
        house.cloud.set_state(made.handle.as_str(), state);
        let gone = sign(&*house.backend, &made, es256(), b"input").await;
        assert!(matches!(gone, Err(BackendError::NotFound(_))), "{gone:?}");
        assert_eq!(house.counted("key_gone"), 1);
    }
}

/// That it verifies is the signer's to find out, who does so for every signature of a cloud; here it is shown that
/// there is something to find.
#[tokio::test]
async fn a_signature_of_something_else_is_only_found_by_verifying_it() {
    let (house, made) = signer().await;
    house.cloud.fail(Method::Sign, Fault::Signature, 1);
    let signature = sign(&*house.backend, &made, es256(), b"input").await.unwrap();
    assert!(!verifies(&made, es256(), b"input", &signature));
    recovers(&house, &made).await;
}

#[tokio::test]
async fn a_public_key_with_a_wrong_checksum_or_name_is_asked_for_again() {
    for fault in [Fault::Checksum, Fault::OtherName] {
        let house = House::new();
        house.cloud.fail(Method::PublicKey, fault, 1);
        let made = house.backend.generate(&label("es256", 1), es256()).await.unwrap();
        assert_eq!((house.counted("corrupt"), house.cloud.calls(Method::PublicKey)), (1, 2));
        recovers(&house, &made).await;
    }
}

#[tokio::test]
async fn a_cloud_that_is_not_there_is_unavailable_and_comes_back() {
    let house = House::with(|settings| settings.endpoint = Some("http://127.0.0.1:9".to_owned()));
    let error = house.backend.probe().await.unwrap_err();
    assert!(matches!(&error, BackendError::Unavailable(text) if text.contains("no connection")), "{error:?}");
    assert!(house.counted("transient") >= 1);
}

#[tokio::test]
async fn nothing_but_the_signature_is_asked_for_when_one_is_wanted() {
    let (house, made) = signer().await;
    let before = house.cloud.calls_of_all();
    for _ in 0..20 {
        sign(&*house.backend, &made, es256(), b"input").await.unwrap();
    }
    assert_eq!(house.cloud.calls_of_all() - before, 20);
    assert_eq!(house.cloud.calls(Method::Sign), 20);
}
