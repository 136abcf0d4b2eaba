//! The daemon with keys in Google Cloud: killed at every call that it makes, and told whatever can go wrong there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::cloud_kms::{CloudKms, Fault, KEY_RING, Method, Moment, State};
use crate::support::daemon::{Daemon, Installation, Layout, PATIENCE, monotonic, until, variable};
use crate::support::dice::Dice;
use crate::support::one_ring::issuer;

/// Kills in one run.
const KILLS: u64 = 15;
const KILLS_LONG: u64 = 100;

/// The service, and an installation whose one ring has its keys there.
struct Site {
    cloud: CloudKms,
    installation: Installation,
}

impl Site {
    fn new() -> Self {
        let cloud = CloudKms::start();
        let issuers = backend(&cloud) + &issuer("kms", "6h");
        let installation = Installation::new(Layout { issuers, ..Layout::default() });
        installation.init();
        Self { cloud, installation }
    }

    /// A daemon that can sign and has its standby.
    fn at_work() -> (Self, Daemon) {
        let site = Self::new();
        let daemon = site.installation.start();
        site.installation.both_known("at the start");
        (site, daemon)
    }

    /// It signs again, without anybody's help.
    fn recovers(&self) {
        self.cloud.recover();
        self.installation.must_sign("the fault has passed");
    }

    /// Lets the daemon finish and ends it: the cloud holds the keys that it knows, the signer and its standby, and
    /// nothing else, and never has held anything else.
    fn settle(&self, daemon: Daemon, what: &str) {
        let known = self.installation.settle(daemon, what);
        let held: BTreeSet<String> = self.cloud.versions(State::Enabled).into_iter().collect();
        assert_eq!(held, known, "{what}");
        assert_eq!(self.cloud.keys().len(), 2, "{what}");
    }
}

/// The table of the backend `kms`.
pub(super) fn backend(cloud: &CloudKms) -> String {
    format!(
        "[backends.kms]\nkind = \"gcp-kms\"\nkey_ring = \"{KEY_RING}\"\nendpoint = \"{}\"\ncredentials = \
         \"anonymous\"\nsign_rate = 10000\nwrite_rate = 100\nsign_deadline = \"1s\"\n",
        cloud.endpoint()
    )
}

#[test]
fn killed_at_any_call_of_the_cloud_it_forgets_no_key() {
    let kills = if variable("JWKSD_LONG").is_some() { KILLS_LONG } else { KILLS };
    let seed = variable("JWKSD_SEED").map_or(20_261_122, |seed| seed.parse().expect("JWKSD_SEED is a number"));
    let mut dice = Dice::new(seed);
    let (calm, daemon) = Site::at_work();
    let steps = calm.cloud.calls_of_all();
    calm.settle(daemon, "nothing has happened");
    println!("JWKSD_SEED={seed}, {kills} kills over {steps} calls");
    let mut reached = 0;
    for kill in 0..kills {
        let site = Site::new();
        let skip = (kill * steps + dice.below(steps)) / kills;
        let moment = if kill % 2 == 0 { Moment::Before } else { Moment::After };
        let what = format!("{moment:?} the end of call {skip}");
        let pid = Arc::new(AtomicU32::new(0));
        let victim = Arc::clone(&pid);
        site.cloud.trap(skip, moment, move || {
            let pid = until(PATIENCE, || i32::try_from(victim.load(Ordering::SeqCst)).ok().and_then(Pid::from_raw));
            kill_process(pid.expect("a daemon that calls has a number"), Signal::KILL).unwrap();
        });
        let mut daemon = site.installation.spawn(None);
        pid.store(daemon.pid(), Ordering::SeqCst);
        reached += u64::from(site.installation.dies_on_the_way(&mut daemon));
        drop(daemon);
        site.cloud.recover();
        let daemon = site.installation.start();
        site.settle(daemon, &what);
    }
    println!("{reached} of {kills} daemons died");
    assert!(reached * 10 > kills * 9, "{reached} of {kills}: hardly anything was tested");
}

#[test]
fn no_wrong_signature_leaves_and_every_fault_passes_by_itself() {
    let (site, daemon) = Site::at_work();
    // The signature of something else, with its checksum right: only who verifies it finds out.
    site.cloud.fail_always(Method::Sign, Fault::Signature);
    for _ in 0..5 {
        assert_eq!(site.installation.sign().status, 500);
    }
    site.recovers();
    for (fault, statuses) in [
        (Fault::Checksum, [503]),
        (Fault::OtherName, [503]),
        (Fault::Reset, [503]),
        (Fault::Status(503, "UNAVAILABLE"), [503]),
        (Fault::Slow(Duration::from_secs(60)), [503]),
        (Fault::Status(401, "UNAUTHENTICATED"), [500]),
    ] {
        site.cloud.fail_always(Method::Sign, fault);
        let answer = site.installation.sign();
        assert!(statuses.contains(&answer.status), "{fault:?}: {}", answer.status);
        site.recovers();
    }
    assert!(daemon.stop().success());
}

#[test]
fn throttling_reaches_the_caller_early_and_says_when_to_come_again() {
    let (site, daemon) = Site::at_work();
    site.cloud.fail_always(Method::Sign, Fault::Status(429, "RESOURCE_EXHAUSTED"));
    let begun = monotonic();
    let answer = site.installation.sign();
    assert!([429, 503].contains(&answer.status), "{}", answer.status);
    assert!(answer.header("retry-after").is_some());
    assert!(monotonic() - begun < Duration::from_secs(1), "{:?}", monotonic() - begun);
    site.recovers();
    assert!(daemon.stop().success());
}

#[test]
fn a_key_that_was_disabled_behind_our_back_signs_again_when_it_is_enabled() {
    let (site, daemon) = Site::at_work();
    let keys = site.cloud.versions(State::Enabled);
    keys.iter().for_each(|key| site.cloud.set_state(key, State::Disabled));
    assert_eq!(site.installation.sign().status, 500);
    assert!(until(PATIENCE, || daemon.stderr().contains("gcloud kms keys versions enable").then_some(())).is_some());
    keys.iter().for_each(|key| site.cloud.set_state(key, State::Enabled));
    site.recovers();
    assert!(daemon.stop().success());
}

#[test]
fn a_compromised_key_is_disabled_at_once_and_its_end_is_shown() {
    let (site, daemon) = Site::at_work();
    // Or nothing would sign after it.
    site.installation.must_have_standby();
    let kid = site.installation.sign().read::<jwksd::server::api::Token>().kid;
    let body = json!({"kid": kid, "reason": "drill"});
    let answer = site.installation.admin.post("/v1/issuers/main/compromise", &body).unwrap();
    assert_eq!(answer.status, 200);
    let scheduled = until(PATIENCE, || {
        let gone = site.cloud.versions(State::DestroyScheduled);
        (gone.len() == 1).then(|| gone[0].clone())
    });
    assert!(scheduled.is_some(), "the key was not destroyed");
    assert_eq!(site.installation.sign().status, 200);
    assert!(daemon.stop().success());
}

#[test]
fn the_test_of_a_backend_says_in_words_what_is_wrong() {
    let site = Site::new();
    let test = ["backend", "test", "kms"];
    let done = site.installation.done(&test);
    assert!(done.contains("Google Cloud KMS") && done.contains(KEY_RING), "{done}");
    assert_eq!(site.cloud.versions(State::DestroyScheduled).len(), 1, "the throw-away key is on its way out");
    for (method, fault, said) in [
        (Method::KeyRing, Fault::Status(401, "UNAUTHENTICATED"), "UNAUTHENTICATED"),
        (Method::CreateKey, Fault::Status(403, "PERMISSION_DENIED"), "making a key"),
        (Method::Sign, Fault::Status(403, "PERMISSION_DENIED"), "signing"),
        (Method::Destroy, Fault::Status(403, "PERMISSION_DENIED"), "destroying the key"),
        (Method::CreateKey, Fault::Status(400, "INVALID_ARGUMENT"), "INVALID_ARGUMENT"),
    ] {
        site.cloud.fail_always(method, fault);
        let (_, text) = site.installation.refused(&test);
        assert!(text.contains(said), "{said}: {text}");
        site.cloud.recover();
    }
    site.cloud.forget_rings();
    let (_, text) = site.installation.refused(&test);
    assert!(text.contains("gcloud kms keyrings create jwksd"), "{text}");
    let gone = site.cloud.endpoint();
    let Site { cloud, installation } = site;
    drop(cloud);
    let (_, text) = installation.refused(&test);
    assert!(text.contains("no connection"), "{gone}: {text}");
}
