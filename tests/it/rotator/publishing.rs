//! Publishers that fail, are new, or have lost what they held.

use std::sync::Arc;

use jwksd::publish::Publisher;
use jwksd::rotator::TickError;

use super::rig::Rig;
use super::{compromised, soon};
use crate::support::fake_publisher::FakePublisher;

async fn published() -> (Rig, Arc<FakePublisher>) {
    let publisher = Arc::new(FakePublisher::default());
    let rig = Rig::with(&[], vec![Arc::clone(&publisher) as Arc<dyn Publisher>]).await;
    rig.settle().await;
    rig.pass(100);
    (rig, publisher)
}

#[tokio::test]
async fn a_publisher_that_fails_holds_up_neither_a_destruction_nor_the_next_key() {
    let (rig, publisher) = published().await;
    let bad = rig.signer_kid();
    publisher.fail(true);
    let refused = rig.record(compromised(&bad)).await.unwrap_err();
    assert!(matches!(refused, TickError::Publish { .. }), "{refused:?}");
    assert!(rig.tick().await.is_err());
    let labels: Vec<String> = rig.backend.labels().iter().map(ToString::to_string).collect();
    assert_eq!(labels, ["test/main.es256.v2", "test/main.es256.v3"]);
    // What was not seen everywhere has not begun to propagate.
    rig.pass(1_000);
    assert!(rig.tick().await.is_err());
    assert_eq!(rig.signing_version(), Some(2));
    publisher.fail(false);
    rig.settle().await;
    rig.pass(100);
    rig.settle().await;
    assert_eq!(rig.signing_version(), Some(3));
}

#[tokio::test]
async fn a_publisher_that_is_new_or_has_lost_its_set_is_given_it_at_the_start() {
    let (rig, publisher) = published().await;
    let newest = publisher.out().unwrap();
    let empty = Arc::new(FakePublisher::default());
    let rig = rig.restarted(vec![Arc::clone(&empty) as Arc<dyn Publisher>]).await;
    let before = rig.place().state().revision();
    rig.settle().await;
    assert_eq!(empty.out(), Some(newest));
    // Nothing new was published, so nothing is recorded.
    assert_eq!(rig.place().state().revision(), before);
}

#[tokio::test]
async fn a_set_that_ours_has_overtaken_is_no_alarm() {
    let (rig, publisher) = published().await;
    let rig = Arc::new(rig);
    publisher.hold_next();
    let slow = tokio::spawn({
        let (rig, bad) = (Arc::clone(&rig), rig.signer_kid());
        async move { rig.record(compromised(&bad)).await }
    });
    assert!(soon(|| publisher.is_holding()).await);
    rig.record(compromised(&rig.signer_kid())).await.unwrap();
    publisher.release();
    slow.await.unwrap().unwrap();
    assert_eq!(publisher.out(), Some(rig.place().state().jwk_set_version()));
}
