//! The real rotator and signer under faults that a real store or backend can't be asked to show.

mod publishing;
mod rig;
mod strays;

use std::sync::Arc;
use std::time::Duration;

use jwksd::ids::Kid;
use jwksd::lifecycle::event::{Fact, Succession};
use jwksd::rotator::{CommitError, TickError, run};
use jwksd::signer::SignError;
use jwksd::store::Store;

use crate::support::fake_backend::{Call, Fault as BackendFault};
use crate::support::memory_store::Fault;
use crate::support::soon::soon;
use rig::Rig;

fn compromised(kid: &str) -> Fact {
    let kid = Kid::new(kid).unwrap();
    Fact::Compromised { kid, reason: "drill".to_owned(), succession: Succession::WhenPropagated }
}

#[tokio::test]
async fn a_new_issuer_signs_as_soon_as_its_first_set_is_out_and_then_makes_its_standby() {
    let rig = Rig::new().await;
    assert!(matches!(rig.sign().await, Err(SignError::NoSigner { .. })));
    rig.settle().await;
    assert_eq!(rig.signing_version(), Some(1));
    assert_eq!(rig.served().matches("\"kid\"").count(), 2);
    assert_eq!(rig.backend.labels().len(), 2);
    assert!(rig.sign().await.is_ok());
}

#[tokio::test]
async fn a_generation_whose_answer_was_lost_makes_one_key() {
    let rig = Rig::new().await;
    rig.backend.fail_next(Call::Generate, BackendFault::FailedDone);
    rig.settle().await;
    assert_eq!(rig.signing_version(), None);
    rig.pass(1);
    rig.settle().await;
    assert_eq!(rig.signing_version(), Some(1));
    let labels: Vec<String> = rig.backend.labels().iter().map(ToString::to_string).collect();
    assert_eq!(labels, ["test/main.es256.v1", "test/main.es256.v2"]);
}

#[tokio::test]
async fn a_failing_backend_is_asked_less_and_less() {
    let rig = Rig::new().await;
    rig.backend.fail_always(Call::Generate, BackendFault::FailedNotDone);
    for _ in 0..200 {
        rig.settle().await;
        rig.pass(1);
    }
    let asked = rig.backend.calls(Call::Generate);
    assert!((6..=9).contains(&asked), "{asked} times in 200 seconds");
}

#[tokio::test]
async fn a_commit_of_unknown_fate_is_resolved_by_reading() {
    for fault in [Fault::Persisted, Fault::NotPersisted] {
        let rig = Rig::settled().await;
        rig.store.fail_next(fault);
        let committed = rig.record(Fact::Requested { ring: rig.ring.clone() }).await.unwrap();
        assert!(committed.issuer.ring(&rig.ring).unwrap().state().requested_at.is_some(), "{fault:?}");
        rig.settle().await;
        assert_eq!(rig.signing_version(), Some(2), "{fault:?}");
    }
}

#[tokio::test]
async fn a_store_that_can_not_write_is_not_called_busy_and_does_not_fill_the_log() {
    let rig = Rig::settled().await;
    (0..4).for_each(|_| rig.store.fail_next(Fault::NotPersisted));
    let before = rig.log().len();
    let error = rig.record(Fact::Requested { ring: rig.ring.clone() }).await.unwrap_err();
    let source = match &error {
        TickError::Commit { source: CommitError::Store(source), .. } => source.to_string(),
        _ => panic!("{error:?}"),
    };
    assert!(source.contains("NotPersisted"), "{source}");
    let announced = rig.log().split_off(before);
    assert_eq!(announced.iter().filter(|line| line.contains("\"intent\"")).count(), 2, "{announced:?}");
    assert_eq!(announced.len(), 4, "{announced:?}");
    assert!(rig.record(Fact::Requested { ring: rig.ring.clone() }).await.is_err());
    // The store can write again.
    assert!(rig.record(Fact::Requested { ring: rig.ring.clone() }).await.is_ok());
    rig.settle().await;
    assert_eq!(rig.signing_version(), Some(2));
}

#[tokio::test]
async fn a_standby_that_cannot_sign_does_not_take_over() {
    let rig = Rig::settled().await;
    rig.backend.fail_always(Call::Sign, BackendFault::WrongSignature);
    rig.pass(1_000);
    rig.settle().await;
    assert_eq!(rig.signing_version(), Some(1));
    rig.backend.recover();
    rig.pass(1);
    rig.settle().await;
    assert_eq!(rig.signing_version(), Some(2));
}

#[tokio::test]
async fn a_wrong_signature_never_leaves() {
    let rig = Rig::settled().await;
    rig.backend.fail_next(Call::Sign, BackendFault::WrongSignature);
    assert_eq!(rig.sign().await.unwrap_err().code(), "backend_failed");
    assert!(rig.sign().await.is_ok());
}

#[tokio::test]
async fn a_compromise_is_over_at_once_though_the_backend_is_down() {
    let rig = Rig::settled().await;
    let bad = rig.signer_kid();
    rig.backend.fail_always(Call::Destroy, BackendFault::FailedNotDone);
    rig.backend.fail_always(Call::Generate, BackendFault::FailedNotDone);
    rig.record(compromised(&bad)).await.unwrap();
    assert_eq!(rig.signing_version(), Some(2));
    assert!(!rig.served().contains(&bad));
    assert!(rig.sign().await.is_ok());
    rig.settle().await;
    rig.backend.recover();
    rig.pass(1);
    rig.settle().await;
    let labels: Vec<String> = rig.backend.labels().iter().map(ToString::to_string).collect();
    assert_eq!(labels, ["test/main.es256.v2", "test/main.es256.v3"]);
    assert!(rig.served().contains(&rig.signer_kid()));
    assert_eq!(rig.served().matches("\"kid\"").count(), 2);
}

#[tokio::test]
async fn a_key_that_is_compromised_while_it_signs_has_not_signed() {
    let rig = Rig::settled().await;
    rig.backend.fail_next(Call::Sign, BackendFault::Slow(Duration::from_millis(300)));
    let compromise = async {
        while rig.backend.calls(Call::Sign) == signatures_so_far(&rig) {
            tokio::task::yield_now().await;
        }
        rig.record(compromised(&rig.signer_kid())).await
    };
    let (signed, recorded) = tokio::join!(rig.sign(), compromise);
    recorded.unwrap();
    assert_eq!(signed.unwrap_err().code(), "key_withdrawn");
}

/// Signatures before a test asked for any: each generation proves its key.
fn signatures_so_far(rig: &Rig) -> u64 {
    rig.backend.calls(Call::Generate) + 1
}

#[tokio::test]
async fn signing_stops_when_a_decision_stays_unseen_for_longer_than_the_drain_allows() {
    let rig = Rig::settled().await;
    rig.place().commit_pending(rig.rotator.clock.monotonic());
    rig.pass(45);
    assert!(rig.sign().await.is_ok());
    rig.pass(1);
    assert_eq!(rig.sign().await.unwrap_err().code(), "state_unconfirmed");
    rig.settle().await;
    assert!(rig.sign().await.is_ok());
}

#[tokio::test]
async fn a_store_that_went_back_is_not_followed() {
    let rig = Rig::settled().await;
    let backup = rig.store.record(&rig.issuer).unwrap();
    rig.record(Fact::Requested { ring: rig.ring.clone() }).await.unwrap();
    rig.settle().await;
    assert_eq!(rig.signing_version(), Some(2));
    rig.store.put(&rig.issuer, backup);
    let refused = rig.tick().await.unwrap_err();
    assert!(matches!(refused, TickError::Commit { source: CommitError::WentBack { .. }, .. }), "{refused:?}");
    assert_eq!(rig.signing_version(), Some(2));
}

#[tokio::test]
async fn without_its_record_in_the_audit_log_nothing_happens() {
    let rig = Rig::settled().await;
    let before = rig.store.load(&rig.issuer).await.unwrap().unwrap();
    let keys = rig.backend.labels();
    rig.audit.clone().close().unwrap();
    let refused = rig.record(Fact::Requested { ring: rig.ring.clone() }).await.unwrap_err();
    assert!(matches!(refused, TickError::Commit { source: CommitError::Audit(_), .. }), "{refused:?}");
    assert_eq!(rig.sign().await.unwrap_err().code(), "audit_unavailable");
    rig.pass(2_000);
    assert!(rig.tick().await.is_err());
    assert_eq!(rig.store.load(&rig.issuer).await.unwrap().unwrap(), before);
    assert_eq!(rig.backend.labels(), keys);
    assert!(!rig.served().is_empty());
}

#[tokio::test]
async fn a_wall_clock_that_is_set_shortens_and_lengthens_no_wait() {
    for (seconds, restarts) in [(86_400, false), (-86_400, false), (1_000, true), (-1_000, true), (30, true)] {
        let case = format!("set by {seconds} s, restarted: {restarts}");
        let mut rig = Rig::settled().await;
        rig.record(Fact::Requested { ring: rig.ring.clone() }).await.unwrap();
        rig.settle().await;
        rig.jump(seconds);
        if restarts {
            rig = rig.restarted(Vec::new()).await;
        }
        rig.settle().await;
        assert_eq!((rig.signing_version(), rig.backend.labels().len(), rig.listed()), (Some(2), 3, 3), "{case}");
        // Each wait is checked a second before and a second after its end.
        for (passes, keys, listed, ready) in
            [(49, 3, 3, false), (2, 2, 3, false), (48, 2, 3, false), (2, 2, 3, true), (9, 2, 3, true), (2, 2, 2, true)]
        {
            rig.pass(passes);
            rig.settle().await;
            assert_eq!(
                (rig.backend.labels().len(), rig.listed(), rig.standby_is_ready()),
                (keys, listed, ready),
                "{case}"
            );
        }
        rig.pass(1_000 - 113);
        rig.settle().await;
        assert_eq!(rig.signing_version(), Some(2), "{case}");
        rig.pass(2);
        rig.settle().await;
        assert_eq!(rig.signing_version(), Some(3), "{case}");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_is_noticed_without_anything_being_due() {
    let rig = Rig::settled().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(run(Arc::clone(&rig.rotator), async { drop(stopped.await) }));
    let told = |rig: &Rig| rig.place().state().issuer().state().clock.unwrap().booted_at;
    let before = told(&rig);
    rig.jump(-5_000);
    rig.rotator.wakes.wake(&rig.issuer);
    let is_told_anew = soon(|| told(&rig) == before.shifted(-5_000)).await;
    drop(stop);
    running.await.unwrap();
    assert!(is_told_anew);
}

#[tokio::test]
async fn an_unknown_fate_stops_signing_in_time_whatever_is_tried_meanwhile() {
    let rig = Rig::settled().await;
    let bad = rig.signer_kid();
    rig.store.fail_next(Fault::PersistedThenMute);
    let unknown = rig.record(compromised(&bad)).await.unwrap_err();
    assert!(matches!(unknown, TickError::Commit { source: CommitError::Unknown(_), .. }), "{unknown:?}");
    rig.pass(40);
    let again = rig.record(compromised(&bad)).await.unwrap_err();
    assert!(matches!(again, TickError::Commit { source: CommitError::Store(_), .. }), "{again:?}");
    rig.pass(6);
    assert_eq!(rig.sign().await.unwrap_err().code(), "state_unconfirmed");
    rig.store.recover();
    rig.settle().await;
    assert!(rig.sign().await.is_ok());
    assert_ne!(rig.signer_kid(), bad);
}

#[tokio::test]
async fn a_command_of_unknown_fate_is_looked_into_without_being_asked() {
    let rig = Rig::settled().await;
    let bad = rig.signer_kid();
    let ticks = rig.rotator.metrics.rotator.ticks.get();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(run(Arc::clone(&rig.rotator), async { drop(stopped.await) }));
    assert!(soon(|| rig.rotator.metrics.rotator.ticks.get() > ticks).await);
    rig.store.fail_next(Fault::PersistedThenMute);
    assert!(rig.record(compromised(&bad)).await.is_err());
    rig.store.recover();
    let is_seen = soon(|| rig.signing_version() == Some(2)).await;
    drop(stop);
    running.await.unwrap();
    assert!(is_seen, "readers never saw what was committed");
}

#[tokio::test]
async fn a_leaked_key_does_not_wait_behind_others_whose_backend_hangs() {
    let rig = Rig::with(&["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"], Vec::new()).await;
    rig.settle().await;
    rig.pass(100);
    let bad = rig.signer_kid();
    rig.backend.fail_always(Call::Generate, BackendFault::Hang);
    let made = rig.backend.calls(Call::Generate);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(run(Arc::clone(&rig.rotator), async { drop(stopped.await) }));
    assert!(soon(|| rig.backend.calls(Call::Generate) == made + 8).await);
    rig.record(compromised(&bad)).await.unwrap();
    let is_gone = soon(|| rig.backend.labels().len() == 1).await;
    running.abort();
    drop(stop);
    assert!(is_gone, "the private half of the leaked key is still there");
}
