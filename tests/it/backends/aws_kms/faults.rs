//! What can go wrong with a signature: each is classified, counted and over by itself.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use jwksd::backend::{Backend, BackendError, Input, KeyRef};
use jwksd::clock::{Clock, SystemClock};
use serde_json::json;

use super::super::{es256, label, sign, verifies};
use super::{Ahead, Site, open, settings};
use crate::support::aws::{Act, CREDENTIALS, ask, with_credentials, with_env};
use crate::support::daemon::variable;
use crate::support::soon::answered;

#[test]
fn every_fault_has_its_class_and_ends_by_itself() {
    with_credentials("backends::aws_kms::faults::one_after_the_other");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn one_after_the_other() {
    let site = Site::with(|settings| settings.sign_try = Duration::from_millis(500));
    let backend = &*site.backend;
    let key = backend.generate(&label("es256", 1), es256()).await.unwrap();
    let fail = |status, code| Act::Fail { status, code };
    // What is tried again goes well if it fails once; what is not is told.
    let cases = [
        ("throttled", fail(400, "ThrottlingException"), true),
        ("transient", fail(500, "KMSInternalException"), true),
        ("transient", fail(503, "DependencyTimeoutException"), true),
        ("transient", fail(500, "KeyUnavailableException"), true),
        ("transient", fail(502, ""), true),
        ("unknown", Act::HangUp, true),
        ("unknown", Act::Lose, true),
        ("unknown", Act::Reset, true),
        ("unknown", Act::Cut, true),
        ("unknown", Act::Delay(Duration::from_millis(1_000)), true),
        ("permission", fail(400, "AccessDeniedException"), false),
        ("permission", fail(400, "ExpiredTokenException"), false),
        ("permission", fail(403, ""), false),
        ("key_off", fail(400, "DisabledException"), false),
        ("key_gone", fail(400, "KMSInvalidStateException"), false),
        ("key_gone", fail(400, "NotFoundException"), false),
        ("quota", fail(400, "LimitExceededException"), false),
        ("bad", fail(400, "ValidationException"), false),
        ("bad", Act::Rename, false),
    ];
    for (class, act, is_repeated) in cases {
        let before = site.faults(class);
        site.proxy.take_calls();
        site.proxy.harm_next("Sign", 1, act.clone());
        let signed = backend.sign(KeyRef { handle: &key.handle, spec: es256() }, Input::Message(b"a.b"), LONG).await;
        assert_eq!(site.faults(class), before + 1, "{act:?}: {signed:?}");
        assert_eq!(site.proxy.take_calls().len(), if is_repeated { 2 } else { 1 }, "{act:?}");
        match (signed, is_repeated) {
            (Ok(signature), true) => assert!(verifies(&key, es256(), b"a.b", &signature), "{act:?}"),
            (Err(error), false) => assert!(is_told_as(&error, class), "{act:?}: {error}"),
            (signed, _) => panic!("{act:?}: {signed:?}"),
        }
        sign(backend, &key, es256(), b"c.d").await.unwrap_or_else(|error| panic!("after {act:?}: {error}"));
    }
    // What was called a reset is one, and no orderly end.
    site.proxy.harm_next("ListKeys", 1, Act::Reset);
    let reset = ask(site.proxy.port, "TrentService.ListKeys", &json!({})).map(|answer| answer.status);
    assert_eq!(reset.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    // A signature of something else is well formed; whoever verifies sees it, as the daemon always does.
    site.proxy.harm_next("Sign", 1, Act::Forge);
    let forged = sign(backend, &key, es256(), b"a.b").await.unwrap();
    assert!(!verifies(&key, es256(), b"a.b", &forged));
}

fn is_told_as(error: &BackendError, class: &str) -> bool {
    match class {
        "key_gone" => matches!(error, BackendError::NotFound(_)),
        _ => matches!(error, BackendError::Refused(_)),
    }
}

#[test]
fn a_cloud_that_stays_ill_is_left_alone_and_taken_up_again() {
    with_credentials("backends::aws_kms::faults::ill_and_well_again");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn ill_and_well_again() {
    let site = Site::new();
    let backend = &*site.backend;
    let key = backend.generate(&label("es256", 1), es256()).await.unwrap();
    let key_ref = KeyRef { handle: &key.handle, spec: es256() };
    site.proxy.harm_next("Sign", u64::MAX, Act::Fail { status: 503, code: "" });
    while site.metric(LEFT_ALONE) == 0 {
        let signed = backend.sign(key_ref, Input::Message(b"a.b"), LONG).await;
        assert!(matches!(signed, Err(BackendError::Unavailable(_))), "{signed:?}");
    }
    site.proxy.take_calls();
    let told = backend.sign(key_ref, Input::Message(b"a.b"), LONG).await.unwrap_err();
    assert!(matches!(told, BackendError::Unavailable(_)), "{told}");
    assert!(site.proxy.take_calls().len() <= 1, "it is left alone");
    site.proxy.clear();
    let well = answered(async || backend.sign(key_ref, Input::Message(b"a.b"), LONG).await.ok()).await;
    assert!(verifies(&key, es256(), b"a.b", &well.expect("it signs again")));
    assert_eq!(site.metric(LEFT_ALONE), 0);
    // Throttling that lasts is told early and with a time, not as a time-out.
    site.proxy.harm_next("Sign", u64::MAX, Act::Fail { status: 400, code: "ThrottlingException" });
    let told =
        tokio::time::timeout(LONG / 2, backend.sign(key_ref, Input::Message(b"a.b"), LONG)).await.expect("told early");
    assert!(matches!(told, Err(BackendError::Throttled { .. })), "{told:?}");
}

#[test]
fn what_is_done_to_a_key_behind_our_back_is_told_apart() {
    with_credentials("backends::aws_kms::faults::behind_our_back");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn behind_our_back() {
    let site = Site::new();
    let backend = &*site.backend;
    let key = backend.generate(&label("es256", 1), es256()).await.unwrap();
    let arn = json!({"KeyId": key.handle.as_str()});
    site.emulator.call("DisableKey", &arn);
    let signed = sign(backend, &key, es256(), b"a.b").await;
    assert!(matches!(&signed, Err(BackendError::Refused(text)) if text.contains("DisabledException")), "{signed:?}");
    assert_eq!(backend.list().await.unwrap().len(), 1, "it is there, and ours");
    site.emulator.call("EnableKey", &arn);
    sign(backend, &key, es256(), b"a.b").await.unwrap();
    site.emulator.call("ScheduleKeyDeletion", &arn);
    let signed = sign(backend, &key, es256(), b"a.b").await;
    assert!(matches!(signed, Err(BackendError::NotFound(_))), "{signed:?}");
    assert_eq!(backend.list().await, Ok(vec![]));
    assert_eq!((site.faults("key_off"), site.faults("key_gone")), (1, 1));
    site.emulator.call("CancelKeyDeletion", &arn);
    site.emulator.call("EnableKey", &arn);
    sign(backend, &key, es256(), b"a.b").await.unwrap();
}

#[test]
fn credentials_that_have_run_out_are_looked_for_anew() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("credentials");
    let [.., nowhere_else, no_config] = CREDENTIALS;
    let env = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()), nowhere_else, no_config];
    with_env("backends::aws_kms::faults::worn_out", &env);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn worn_out() {
    let is_given = |access_key: &str| {
        let text = format!("[default]\naws_access_key_id = {access_key}\naws_secret_access_key = not-a-secret\n");
        std::fs::write(variable("AWS_SHARED_CREDENTIALS_FILE").unwrap(), text).unwrap();
    };
    is_given("AKIDOLD");
    let clock = Arc::new(Ahead::default());
    let site = Site::by(Arc::clone(&clock) as Arc<dyn Clock>, |_| {});
    let backend = &*site.backend;
    let key = backend.generate(&label("es256", 1), es256()).await.unwrap();
    site.proxy.wear_out("AKIDOLD");
    is_given("AKIDNEW");
    let is_refused = async || {
        let signed = sign(backend, &key, es256(), b"a.b").await;
        assert!(matches!(&signed, Err(BackendError::Refused(text)) if text.contains("ExpiredToken")), "{signed:?}");
    };
    is_refused().await;
    // They were found a moment ago; nobody looks for others with every call that is refused.
    is_refused().await;
    clock.pass(Duration::from_secs(10));
    is_refused().await;
    sign(backend, &key, es256(), b"a.b").await.unwrap();
}

#[test]
fn where_nobody_listens_it_says_so() {
    with_credentials("backends::aws_kms::faults::nobody_there");
}

#[tokio::test]
#[ignore = "run by others in a process of its own"]
async fn nobody_there() {
    let (backend, _registry) = open(settings("http://127.0.0.1:9"), Arc::new(SystemClock));
    let probed = backend.probe().await;
    assert!(matches!(&probed, Err(BackendError::Unavailable(text)) if text.contains("refused")), "{probed:?}");
    // What never left was not made, so there is nothing to search for.
    let made = backend.generate(&label("es256", 1), es256()).await;
    assert!(matches!(&made, Err(BackendError::Unavailable(text)) if text.contains("refused")), "{made:?}");
}

const LEFT_ALONE: &str = "jwksd_cloud_left_alone{backend=\"kms\"} ";

/// Far more than all tries of a signature take.
const LONG: Duration = Duration::from_secs(10);
