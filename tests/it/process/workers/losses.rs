//! Workers that are killed, stopped, hang, crash or are cut off from their token.

use std::fs;
use std::time::Duration;

use pkcs11_shim::{Act, Function};
use rustix::process::Signal;

use super::{Site, gap_max, signal, workers};
use crate::support::daemon::variable;
use crate::support::shimmed::HANG_LIMIT;
use crate::support::soon::soon;

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_workers_killed_costs_nobody_anything() {
    let site = Site::new().await;
    let load = site.load();
    load.signs(300).await;
    for _ in 0..3 {
        signal(*workers().first().unwrap(), Signal::KILL);
        load.go_on(Duration::from_millis(200)).await;
        site.whole().await;
    }
    load.signs(300).await;
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
    assert!(tally.gap < gap_max(), "{tally:?}");
    assert_eq!(site.lost("died"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_workers_stopped_costs_nobody_anything() {
    let site = Site::new().await;
    let load = site.load();
    load.signs(300).await;
    let stopped = *workers().first().unwrap();
    signal(stopped, Signal::STOP);
    load.go_on(HANG_LIMIT * 2).await;
    site.whole().await;
    assert!(!workers().contains(&stopped));
    load.signs(300).await;
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
    // The other one goes on; only what the stopped one had in its hands waits for the limit.
    assert!(tally.gap < gap_max(), "{tally:?}");
    assert!(tally.slowest < HANG_LIMIT * 3, "{tally:?}");
    assert_eq!((site.lost("silent"), site.lost_in_all()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_returns_costs_one_worker_and_nobody_a_signature() {
    let site = Site::new().await;
    let load = site.load();
    load.signs(300).await;
    let harmed = site.shimmed.control.harmed();
    site.shimmed.harm(&[Function::Sign], Act::Hang, 1);
    load.go_on(HANG_LIMIT * 2).await;
    site.whole().await;
    assert_eq!(site.shimmed.control.harmed(), harmed + 1);
    load.signs(300).await;
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
    assert!(tally.gap < gap_max(), "{tally:?}");
    assert_eq!((site.lost("hung"), site.lost_in_all()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_module_costs_nobody_anything() {
    let site = Site::new().await;
    let load = site.load();
    load.signs(300).await;
    for _ in 0..3 {
        // One at a time: the threads of one worker may meet two, and it dies once.
        site.shimmed.harm(&[Function::Sign], Act::Crash, 1);
        load.signs(200).await;
        site.whole().await;
    }
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
    assert_eq!(site.lost("died"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_workers_killed_at_once_come_back_before_callers_give_up() {
    let site = Site::new().await;
    let load = site.load();
    load.signs(300).await;
    workers().into_iter().for_each(|worker| signal(worker, Signal::KILL));
    load.signs(500).await;
    site.whole().await;
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_closed_behind_our_back_cost_nobody_anything() {
    let site = Site::new().await;
    let load = site.load();
    load.signs(300).await;
    for n in 1..=3 {
        // One at a time: the threads of one worker may meet two, and end it once.
        site.shimmed.harm(&[Function::SignInit], Act::CloseSessions, 1);
        load.signs(200).await;
        site.whole().await;
        assert!(site.lost("broken") >= n);
    }
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_out_and_put_back_signs_again() {
    let site = Site::new().await;
    let load = site.load();
    load.signs(300).await;
    let (place, away) = (site.shimmed.token.dir.path().join("tokens"), site.shimmed.token.dir.path().join("away"));
    // What an HSM says once it is unplugged.
    let is_about_token =
        |function: &Function| !matches!(function, Function::Initialize | Function::GetInfo | Function::GetSlotList);
    let functions: Vec<Function> = Function::ALL.into_iter().filter(is_about_token).collect();
    site.shimmed.harm(&functions, Act::Return(DEVICE_REMOVED), u64::MAX);
    load.go_on(Duration::from_millis(1500)).await;
    assert_eq!(site.ready(), 0);
    fs::rename(&place, &away).unwrap();
    site.shimmed.control.clear();
    load.go_on(Duration::from_millis(1500)).await;
    assert_eq!(site.ready(), 0, "there is a slot, but no token in it");
    fs::rename(&away, &place).unwrap();
    // A pause between two tries is at most a good second.
    load.go_on(Duration::from_millis(1500)).await;
    load.signs(500).await;
    site.whole().await;
    let tally = load.end().await;
    assert!(tally.failures() > 500, "{tally:?}");
    assert!(tally.gap < Duration::from_secs(5), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_blocks_for_long_leaves_nobody_waiting() {
    let site = Site::new().await;
    let load = site.load_of(200);
    load.signs(100).await;
    site.shimmed.harm(&Function::ALL, Act::Hang, u64::MAX);
    load.go_on(blocked()).await;
    assert_eq!(site.ready(), 0);
    site.shimmed.control.clear();
    load.signs(300).await;
    site.whole().await;
    let tally = load.end().await;
    assert!(tally.failures() > 100, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_end_with_their_router() {
    let Site { router, shimmed, .. } = Site::new().await;
    // The worker that made the key ends by itself.
    assert!(soon(|| workers().len() == 2).await, "{:?}", workers());
    // One of them can't see for itself that nobody is there any more.
    signal(*workers().first().unwrap(), Signal::STOP);
    drop(router);
    let calls = || shimmed.control.calls(Function::Sign);
    assert!(soon(|| workers().is_empty()).await, "{:?} are still there; calls so far: {}", workers(), calls());
}

/// Half a minute, or what is many times the limit all the same.
fn blocked() -> Duration {
    if variable("JWKSD_LONG").is_some() { Duration::from_secs(30) } else { HANG_LIMIT * 15 }
}

const DEVICE_REMOVED: u64 = 0x32;
