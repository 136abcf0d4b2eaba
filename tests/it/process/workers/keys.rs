//! Keys that are made while others sign, and what goes wrong at that.

use std::time::Duration;

use jwksd::backend::pkcs11::router::Router;
use jwksd::backend::{Backend, BackendError, Destroyed, Generated};
use jwksd::ids::Label;
use pkcs11_shim::{Act, Function};
use tokio::time::Instant;

use super::{Site, gap_max};
use crate::support::shimmed::{es256, label, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_generation_holds_up_no_signature() {
    let site = Site::new().await;
    let load = site.load();
    load.signs(300).await;
    site.shimmed.harm(&[Function::GenerateKeyPair], Act::Delay(700_000), 1);
    let begun = Instant::now();
    site.router.generate(&label(2), es256()).await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(700));
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
    assert!(tally.gap < gap_max(), "{tally:?}");
    assert_eq!(site.lost_in_all(), 0, "no worker was taken to hang");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_token_makes_no_keys_but_signs_on() {
    const DEVICE_MEMORY: u64 = 0x31;
    let site = Site::new().await;
    let load = site.load();
    let before = site.router.list().await.unwrap();
    site.shimmed.harm(&[Function::GenerateKeyPair], Act::Return(DEVICE_MEMORY), 1);
    let full = site.router.generate(&label(2), es256()).await;
    assert!(
        matches!(&full, Err(BackendError::Refused(text) | BackendError::Unavailable(text)) if text.contains("CKR_DEVICE_MEMORY")),
        "{full:?}"
    );
    assert_eq!(site.router.list().await.unwrap(), before);
    site.router.generate(&label(2), es256()).await.expect("there is room again");
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_says_it_failed_although_it_did_not_leaves_no_second_key() {
    const GENERAL_ERROR: u64 = 0x05;
    let site = Site::new().await;
    let before = site.router.list().await.unwrap().len();
    site.shimmed.harm(&[Function::GenerateKeyPair], Act::DoAndReturn(GENERAL_ERROR), 1);
    let made = site.router.generate(&label(2), es256()).await;
    assert!(made.is_err(), "{made:?}");
    let made = site.router.generate(&label(2), es256()).await.unwrap();
    assert_eq!(site.router.generate(&label(2), es256()).await, Ok(made));
    assert_eq!(site.router.list().await.unwrap().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_never_returns_is_given_up_and_the_next_one_succeeds() {
    let site = Site::new().await;
    let load = site.load();
    site.shimmed.harm(&[Function::GenerateKeyPair], Act::Hang, 1);
    let hung = site.router.generate(&label(2), es256()).await;
    assert!(matches!(&hung, Err(BackendError::Unavailable(_))), "{hung:?}");
    assert_eq!(site.lost("hung"), 1);
    site.router.generate(&label(2), es256()).await.unwrap();
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
}

/// A tool of the same user of the token, at work all the while.
#[tokio::test(flavor = "multi_thread")]
async fn another_tool_on_the_same_token_confuses_nobody() {
    let site = Site::new().await;
    let load = site.load_of(500);
    load.signs(100).await;
    let ours = site.router.list().await.unwrap();
    let tool = |args: &[&str]| tokio::task::block_in_place(|| site.shimmed.token.pkcs11_tool(args));
    for number in 10..14 {
        let id = format!("{number}");
        let foreign = ["--keypairgen", "--key-type", "EC:prime256v1", "--id", &id, "--label", "somebody else's"];
        tool(&foreign);
        let made = site.router.generate(&label(number), es256()).await.unwrap();
        tool(&["--list-objects"]);
        assert_eq!(site.router.destroy(&made.handle).await, Ok(Destroyed::Done));
        tool(&["--delete-object", "--type", "privkey", "--id", &id]);
    }
    assert_eq!(site.router.list().await.unwrap(), ours, "what is somebody else's is not ours");
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
}

/// Another daemon's workers on the same token, with lock files of their own: nothing keeps the two apart.
#[tokio::test(flavor = "multi_thread")]
async fn another_daemon_on_the_same_token_confuses_nobody() {
    let site = Site::new().await;
    let mut plan = site.shimmed.plan();
    plan.gate = site.shimmed.token.dir.path().join("gate of another");
    plan.settings.installation = "another".to_owned();
    let (other, _metrics) = start(plan);
    let load = site.load_of(500);
    load.signs(100).await;
    for number in 1..4 {
        let theirs = format!("another/main.es256.v{number}").parse().unwrap();
        let ours = label(number + 1);
        // Soft tokens answer nonsense to two who make keys at once; who is told so asks again.
        let (ours, theirs) = tokio::join!(insist(&site.router, &ours), insist(&other, &theirs));
        assert_ne!(ours.public, theirs.public);
    }
    assert_eq!(site.router.list().await.unwrap().len(), 4);
    assert_eq!(other.list().await.unwrap().len(), 3);
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
}

async fn insist(router: &Router, label: &Label) -> Generated {
    for _ in 0..20 {
        match router.generate(label, es256()).await {
            Ok(made) => return made,
            Err(BackendError::Unavailable(_)) => {}
            Err(error) => panic!("{label}: {error}"),
        }
    }
    panic!("{label} was never made");
}
