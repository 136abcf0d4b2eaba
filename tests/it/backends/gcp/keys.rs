//! How keys come to be, are found again, and end.

use futures_util::future::join_all;
use jwksd::backend::gcp_kms::Protection;
use jwksd::backend::{Backend, BackendError, Destroyed};
use jwksd::ids::{Handle, Label};
use jwksd::jose::alg::{Algorithm, KeySpec, RsaBits};
use jwksd::lifecycle::time::Span;

use super::super::{INSTALLATION, es256, label, sign, verifies};
use super::House;
use crate::support::cloud_kms::{Fault, KEY_RING, Method, Moment, State};
use crate::support::daemon::now;

#[tokio::test]
async fn a_key_is_the_first_version_of_a_cryptokey_that_is_named_after_its_label() {
    let house = House::new();
    let made = house.backend.generate(&label("es256", 7), es256()).await.unwrap();
    let key = format!("{KEY_RING}/cryptoKeys/{INSTALLATION}_main_es256_v7");
    assert_eq!(made.handle.as_str(), format!("{key}/cryptoKeyVersions/1"));
    house.cloud.tamper(&key, |key| {
        let labels: Vec<_> = key.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = ["jwksd_installation=it", "jwksd_issuer=main", "jwksd_ring=es256", "jwksd_version=7"];
        assert_eq!(labels, expected);
    });
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_key() {
    for fault in [
        Fault::Lost,
        Fault::Cut,
        Fault::Reset,
        Fault::Status(503, "UNAVAILABLE"),
        Fault::Status(429, "RESOURCE_EXHAUSTED"),
    ] {
        let house = House::new();
        house.cloud.fail(Method::CreateKey, fault, 1);
        house.backend.generate(&label("es256", 1), es256()).await.unwrap();
        assert_eq!(house.cloud.calls(Method::CreateKey), 2, "{fault:?}");
        assert_eq!(house.cloud.keys().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_generation_that_was_given_up_at_any_call_is_taken_up_by_the_next() {
    let calm = House::new();
    calm.backend.generate(&label("es256", 1), es256()).await.unwrap();
    let calls = calm.cloud.calls_of_all();
    assert!(calls >= 4, "{calls}");
    for skip in 0..calls {
        for moment in [Moment::Before, Moment::After] {
            let house = House::new();
            let (asked, gave_up) = tokio::sync::oneshot::channel();
            house.cloud.trap(skip, moment, move || asked.send(()).unwrap());
            let label = label("es256", 1);
            tokio::select! {
                biased;
                _ = gave_up => {}
                made = house.backend.generate(&label, es256()) => panic!("{skip} {moment:?}: {made:?}"),
            }
            let made = house.backend.generate(&label, es256()).await.unwrap();
            let signature = sign(&*house.backend, &made, es256(), b"input").await.unwrap();
            assert!(verifies(&made, es256(), b"input", &signature));
            assert_eq!(house.cloud.keys().len(), 1, "{skip} {moment:?}");
        }
    }
}

#[tokio::test]
async fn generations_that_failed_do_not_block_the_label() {
    let house = House::new();
    house.cloud.fail_generations(2);
    let made = house.backend.generate(&label("es256", 1), es256()).await.unwrap();
    assert!(made.handle.as_str().ends_with("_v1_a3/cryptoKeyVersions/1"), "{}", made.handle);
    // The two that failed are not keys, and stay what they are.
    assert_eq!(house.backend.list().await.unwrap().len(), 1);
    assert_eq!(house.backend.generate(&label("es256", 1), es256()).await, Ok(made));
    assert_eq!(house.cloud.keys().len(), 3);
}

#[tokio::test]
async fn a_key_that_is_not_as_we_make_them_is_not_adopted() {
    let label = label("es256", 1);
    let key = format!("{KEY_RING}/cryptoKeys/{INSTALLATION}_main_es256_v1");
    type Change = fn(&mut crate::support::cloud_kms::Key);
    let changes: [(&str, Change); 5] = [
        ("purpose", |key| key.purpose = 6),
        ("RSA_SIGN_PKCS1_2048_SHA256", |key| key.algorithm = 5),
        ("SOFTWARE", |key| key.protection = 1),
        ("labels", |key| {
            key.labels.insert("jwksd_ring".to_owned(), "other".to_owned());
        }),
        ("imported", |key| key.first().import_time = Some("2026-01-01T00:00:00Z".to_owned())),
    ];
    for (named, change) in changes {
        let house = House::new();
        house.backend.generate(&label, es256()).await.unwrap();
        house.cloud.tamper(&key, change);
        match house.backend.generate(&label, es256()).await {
            Err(BackendError::Mismatch(text)) => assert!(text.contains(named), "{text}"),
            other => panic!("{named}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_disabled_key_is_not_replaced_behind_its_operators_back() {
    let house = House::new();
    let made = house.backend.generate(&label("es256", 1), es256()).await.unwrap();
    house.cloud.set_state(made.handle.as_str(), State::Disabled);
    let again = house.backend.generate(&label("es256", 1), es256()).await;
    assert!(matches!(&again, Err(BackendError::Refused(text)) if text.contains("disabled")), "{again:?}");
    assert_eq!(house.cloud.keys().len(), 1);
}

#[tokio::test]
async fn the_end_of_a_key_is_scheduled_from_each_state_it_can_be_in() {
    let house = House::with(|settings| settings.deletion_window = Span::from_days(2));
    let states = [State::Enabled, State::Disabled, State::DestroyScheduled, State::Destroyed, State::GenerationFailed];
    for (number, state) in (1..).zip(states) {
        let made = house.backend.generate(&label("es256", number), es256()).await.unwrap();
        house.cloud.set_state(made.handle.as_str(), state);
        let destroyed = house.backend.destroy(&made.handle).await.unwrap();
        match (state, destroyed) {
            (State::Destroyed | State::GenerationFailed, Destroyed::Done) => {}
            (State::Enabled | State::Disabled, Destroyed::ScheduledFor(at)) => {
                let within = at.as_second() - now();
                assert!((2 * 86_400 - 60..=2 * 86_400).contains(&within), "{within}");
                assert!(house.cloud.versions(State::DestroyScheduled).contains(&made.handle.to_string()));
            }
            (State::DestroyScheduled, Destroyed::ScheduledFor(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(house.backend.list().await, Ok(vec![]));
}

#[tokio::test]
async fn an_end_whose_answers_were_lost_is_one_end() {
    for method in [Method::UpdateVersion, Method::Destroy] {
        let house = House::new();
        let made = house.backend.generate(&label("es256", 1), es256()).await.unwrap();
        house.cloud.fail(method, Fault::Lost, 1);
        let destroyed = house.backend.destroy(&made.handle).await;
        assert!(matches!(destroyed, Ok(Destroyed::ScheduledFor(_))), "{method:?}: {destroyed:?}");
    }
}

#[tokio::test]
async fn nothing_is_destroyed_that_we_have_not_made() {
    let house = House::new();
    let made = house.backend.generate(&label("es256", 1), es256()).await.unwrap();
    let before = house.cloud.calls_of_all();
    let others = [
        made.handle.as_str().replace("/cryptoKeyVersions/1", "/cryptoKeyVersions/2"),
        made.handle.as_str().replace("cryptoKeys/it_", "cryptoKeys/payroll_"),
        made.handle.as_str().replace("keyRings/jwksd", "keyRings/other"),
    ];
    for other in others {
        let destroyed = house.backend.destroy(&Handle::new(&other)).await;
        assert!(matches!(destroyed, Err(BackendError::Refused(_))), "{other}: {destroyed:?}");
    }
    assert_eq!(house.cloud.calls_of_all(), before, "nobody had to be asked");
}

#[tokio::test]
async fn a_version_that_is_gone_is_destroyed_unless_the_key_ring_is_gone_too() {
    let house = House::new();
    let gone = Handle::new(&format!("{KEY_RING}/cryptoKeys/{INSTALLATION}_main_es256_v9/cryptoKeyVersions/1"));
    assert_eq!(house.backend.destroy(&gone).await, Ok(Destroyed::Done));
    house.cloud.forget_rings();
    let refused = house.backend.destroy(&gone).await;
    assert!(matches!(&refused, Err(BackendError::Refused(text)) if text.contains("key ring")), "{refused:?}");
}

#[tokio::test]
async fn all_pages_are_listed_and_only_what_we_have_made() {
    let house = House::new();
    let labels: Vec<Label> = (1..=5).map(|number| label("es256", number)).collect();
    let made = join_all(labels.iter().map(|label| house.backend.generate(label, es256()))).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let key = format!("{KEY_RING}/cryptoKeys/{INSTALLATION}_main_es256_v5");
    house.cloud.tamper(&key, |key| {
        key.labels.insert("jwksd_version".to_owned(), "6".to_owned());
    });
    let mut found: Vec<Label> = house.backend.list().await.unwrap().into_iter().map(|found| found.label).collect();
    found.sort();
    assert_eq!(found, labels[..4]);
    assert!(house.cloud.calls(Method::ListKeys) >= 3);
}

#[tokio::test]
async fn a_missing_key_ring_is_named_with_the_command_that_makes_it() {
    let house = House::new();
    house.cloud.forget_rings();
    let command = "gcloud kms keyrings create jwksd --location europe-west1 --project it";
    for error in [
        house.backend.probe().await.unwrap_err(),
        house.backend.generate(&label("es256", 1), es256()).await.unwrap_err(),
    ] {
        assert!(matches!(&error, BackendError::Refused(text) if text.contains(command)), "{error:?}");
    }
}

#[tokio::test]
async fn a_missing_key_ring_is_made_only_if_that_is_asked_for() {
    let house = House::with(|settings| settings.create_key_ring = true);
    house.cloud.forget_rings();
    house.backend.generate(&label("es256", 1), es256()).await.unwrap();
    assert_eq!(house.cloud.calls(Method::CreateKeyRing), 1);
    house.cloud.forget_rings();
    house.backend.probe().await.unwrap();
    assert_eq!(house.cloud.calls(Method::CreateKeyRing), 2);
}

#[tokio::test]
async fn algorithms_that_google_has_not_are_refused_by_name() {
    let house = House::new();
    for (alg, bits) in [
        (Algorithm::Es512, None),
        (Algorithm::Rs384, Some(RsaBits::B4096)),
        (Algorithm::Ps384, Some(RsaBits::B3072)),
        (Algorithm::Rs512, Some(RsaBits::B2048)),
        (Algorithm::Ps512, Some(RsaBits::B3072)),
    ] {
        let spec = KeySpec::new(alg, bits).unwrap();
        let refused = house.backend.generate(&label("none", 1), spec).await;
        assert!(
            matches!(&refused, Err(BackendError::Refused(text)) if text.contains(&spec.to_string())),
            "{refused:?}"
        );
    }
    assert_eq!(house.cloud.calls(Method::CreateKey), 0);
}

#[tokio::test]
async fn the_level_that_is_asked_for_is_the_level_that_keys_get() {
    let house = House::with(|settings| settings.protection = Protection::Software);
    house.backend.generate(&label("es256", 1), es256()).await.unwrap();
    let key = format!("{KEY_RING}/cryptoKeys/{INSTALLATION}_main_es256_v1");
    house.cloud.tamper(&key, |key| assert_eq!(key.protection, 1));
}
