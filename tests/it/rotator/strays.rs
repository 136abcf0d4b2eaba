//! Keys without a version: what is one, and that nothing else is ever destroyed.

use jwksd::backend::Backend;
use jwksd::ids::{BackendId, Handle, Label};
use jwksd::lifecycle::event::Fact;
use jwksd::rotator::{Cause, StrayError, Why};
use jwksd::store::Store;

use super::rig::Rig;
use crate::support::fake_backend::{Call, FakeBackend, Fault};

/// Makes a key behind the daemon's back.
async fn leave(rig: &Rig, label: &str) -> Handle {
    let label: Label = label.parse().unwrap();
    rig.backend.generate(&label, FakeBackend::spec()).await.unwrap().handle
}

async fn strays(rig: &Rig) -> Vec<(String, Why)> {
    let found = rig.rotator.strays().await.unwrap();
    assert_eq!(found.unseen, []);
    found.strays.iter().map(|stray| (stray.found.label.to_string(), stray.why)).collect()
}

fn backend(rig: &Rig) -> BackendId {
    rig.rotator.effector.backends.keys().next().unwrap().clone()
}

#[tokio::test]
async fn a_key_is_a_stray_only_if_no_version_can_have_it() {
    let rig = Rig::settled().await;
    assert_eq!(strays(&rig).await, []);
    for label in ["test/main.es256.v9", "test/main.old.v1", "test/gone.es256.v1"] {
        leave(&rig, label).await;
    }
    let expected = [
        ("test/gone.es256.v1".to_owned(), Why::NoIssuer),
        ("test/main.es256.v9".to_owned(), Why::Ahead),
        ("test/main.old.v1".to_owned(), Why::NoRing),
    ];
    assert_eq!(strays(&rig).await, expected);
    // A version that was reserved has its key as soon as it is made, though no state names that key yet.
    rig.backend.fail_next(Call::Generate, Fault::FailedDone);
    rig.record(Fact::Requested { ring: rig.ring.clone() }).await.unwrap();
    rig.settle().await;
    assert!(rig.backend.labels().iter().any(|label| label.to_string() == "test/main.es256.v3"));
    assert_eq!(strays(&rig).await, expected);
}

#[tokio::test]
async fn a_second_key_of_a_version_is_a_stray_as_soon_as_it_is_known_which_is_its_own() {
    let rig = Rig::settled().await;
    // While a version is only reserved, either may become its key.
    rig.backend.fail_next(Call::Generate, Fault::FailedDone);
    rig.record(Fact::Requested { ring: rig.ring.clone() }).await.unwrap();
    rig.settle().await;
    let young = rig.backend.leave_twin("test/main.es256.v3");
    assert_eq!(strays(&rig).await, []);
    let undecided = rig.rotator.destroy_stray(&backend(&rig), &young, &Cause::default()).await;
    assert!(matches!(undecided, Err(StrayError::Living(_))), "{undecided:?}");
    rig.pass(60);
    rig.settle().await;
    let old = rig.backend.leave_twin("test/main.es256.v2");
    let twin = |version: u64| (format!("test/main.es256.v{version}"), Why::Twin);
    assert_eq!(strays(&rig).await, [twin(2), twin(3)]);
    for found in rig.backend.list().await.unwrap() {
        let destroyed = rig.rotator.destroy_stray(&backend(&rig), &found.handle, &Cause::default()).await;
        assert_eq!(destroyed.is_ok(), [&old, &young].contains(&&found.handle), "{destroyed:?}");
    }
    assert_eq!(strays(&rig).await, []);
    let living: Vec<String> = rig.backend.labels().iter().map(ToString::to_string).collect();
    assert!(living.iter().any(|label| label.ends_with("v2")) && living.iter().any(|label| label.ends_with("v3")));
    assert!(rig.sign().await.is_ok());
}

#[tokio::test]
async fn a_private_half_that_came_back_is_a_stray() {
    let rig = Rig::settled().await;
    let first = rig.served();
    rig.pass(2_000);
    rig.settle().await;
    rig.pass(2_000);
    rig.settle().await;
    assert_ne!(rig.served(), first);
    leave(&rig, "test/main.es256.v1").await;
    assert_eq!(strays(&rig).await, [("test/main.es256.v1".to_owned(), Why::Ended)]);
}

#[tokio::test]
async fn only_a_stray_is_destroyed_and_the_log_knows_who_wanted_it() {
    let rig = Rig::settled().await;
    let left = leave(&rig, "test/main.es256.v9").await;
    let cause = Cause { caller: Some("uid:1".to_owned()), reason: Some("a drill".to_owned()), ..Cause::default() };
    for found in rig.backend.list().await.unwrap() {
        let destroyed = rig.rotator.destroy_stray(&backend(&rig), &found.handle, &cause).await;
        assert_eq!(destroyed.is_ok(), found.handle == left, "{destroyed:?}");
        assert!(found.handle == left || matches!(destroyed, Err(StrayError::Living(_))), "{destroyed:?}");
    }
    assert_eq!(strays(&rig).await, []);
    assert!(rig.sign().await.is_ok());
    let again = rig.rotator.destroy_stray(&backend(&rig), &left, &cause).await;
    assert!(matches!(again, Err(StrayError::NoKey(_))), "{again:?}");
    let elsewhere = rig.rotator.destroy_stray(&"nowhere".parse().unwrap(), &left, &cause).await;
    assert!(matches!(elsewhere, Err(StrayError::NoBackend(_))), "{elsewhere:?}");
    let log = rig.log();
    let acts: Vec<&String> = log.iter().filter(|line| line.contains("es256.v9")).collect();
    assert_eq!(acts.len(), 2, "{log:?}");
    assert!(acts[0].contains("a drill") && acts[0].contains("uid:1") && acts[1].contains("act_done"), "{acts:?}");
}

#[tokio::test]
async fn what_can_not_be_seen_is_said_and_nothing_is_destroyed_in_doubt() {
    let rig = Rig::settled().await;
    let left = leave(&rig, "test/main.es256.v9").await;
    rig.backend.fail_next(Call::List, Fault::FailedNotDone);
    let found = rig.rotator.strays().await.unwrap();
    assert_eq!((found.strays.len(), found.unseen.len()), (0, 1));
    rig.backend.fail_next(Call::List, Fault::FailedNotDone);
    let destroyed = rig.rotator.destroy_stray(&backend(&rig), &left, &Cause::default()).await;
    assert!(matches!(destroyed, Err(StrayError::Unseen(..))), "{destroyed:?}");
    // An issuer that the configuration has dropped still has its keys.
    assert!(rig.store.load(&rig.issuer).await.unwrap().is_some());
    assert_eq!(strays(&rig).await.len(), 1);
}
