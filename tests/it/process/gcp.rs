//! The daemon with keys in Google Cloud: killed at every call that it makes, and told whatever can go wrong there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jwksd::server::api::Keys;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::cloud_kms::{CloudKms, Fault, KEY_RING, Method, Moment, State};
use crate::support::daemon::{Daemon, Installation, Layout, PATIENCE, monotonic, pause, until, variable};
use crate::support::dice::Dice;
use crate::support::http::Answer;
use crate::support::witness::handles;

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
        let issuers = format!(
            r#"
{}
[issuers.main]
url = "http://127.0.0.1/main"
jwks_max_age = "1s"
skew = "1s"
verifiers = [{{ name = "ours", cache = "1s" }}]
[issuers.main.rings.es256]
algorithm = "ES256"
backend = "kms"
active_period = "6h"
token_lifetime_max = "5s"
drain = "6h"
"#,
            backend(&cloud)
        );
        let installation = Installation::new(Layout { issuers, ..Layout::default() });
        installation.init();
        Self { cloud, installation }
    }

    /// A daemon that can sign and has its standby.
    fn at_work() -> (Self, Daemon) {
        let site = Self::new();
        let daemon = site.installation.start();
        assert!(until(PATIENCE, || site.has_both().then_some(())).is_some(), "{:?}", site.known());
        (site, daemon)
    }

    /// Whether signer and standby are made.
    fn has_both(&self) -> bool {
        self.known().is_some_and(|known| known.len() == 2)
    }

    fn sign(&self) -> Answer {
        let body = json!({"claims": {"sub": "alice"}, "ttl": "5s"});
        self.installation.signing.post("/v1/issuers/main/rings/es256/jwt", &body).expect("the daemon answers")
    }

    fn signs(&self) -> bool {
        let body = json!({"claims": {"sub": "alice"}, "ttl": "5s"});
        let answer = self.installation.signing.post("/v1/issuers/main/rings/es256/jwt", &body);
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// It signs again, without anybody's help.
    fn recovers(&self) {
        self.cloud.recover();
        assert!(until(PATIENCE, || self.signs().then_some(())).is_some(), "it does not sign any more");
    }

    /// The names of the keys that the daemon knows.
    fn known(&self) -> Option<BTreeSet<String>> {
        let keys: Keys = self.installation.admin.get("/v1/issuers/main/keys").ok()?.read();
        Some(handles(&keys.keys).into_iter().collect())
    }

    /// Lets the daemon finish what it has to do and ends it: the cloud holds the keys that it knows, the signer and its
    /// standby, and nothing else, and never has held anything else.
    fn settle(&self, daemon: Daemon, what: &str) {
        assert!(until(PATIENCE, || self.signs().then_some(())).is_some(), "{what}: it does not sign");
        let known = until(PATIENCE, || self.known().filter(|known| known.len() == 2));
        let known = known.unwrap_or_else(|| panic!("{what}: it has no standby: {:?}", self.known()));
        assert!(daemon.stop().success(), "{what}");
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
        let died = until(PATIENCE, || {
            let is_over = !daemon.is_running() || site.has_both();
            is_over.then(|| !daemon.is_running())
        });
        reached += u64::from(died == Some(true));
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
        assert_eq!(site.sign().status, 500);
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
        let answer = site.sign();
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
    let answer = site.sign();
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
    assert_eq!(site.sign().status, 500);
    assert!(until(PATIENCE, || daemon.stderr().contains("gcloud kms keys versions enable").then_some(())).is_some());
    keys.iter().for_each(|key| site.cloud.set_state(key, State::Enabled));
    site.recovers();
    assert!(daemon.stop().success());
}

#[test]
fn a_compromised_key_is_disabled_at_once_and_its_end_is_shown() {
    let (site, daemon) = Site::at_work();
    // The standby has to be ready, or nothing would sign after it.
    pause(Duration::from_secs(6));
    let kid = site.sign().read::<jwksd::server::api::Token>().kid;
    let body = json!({"kid": kid, "reason": "drill"});
    let answer = site.installation.admin.post("/v1/issuers/main/compromise", &body).unwrap();
    assert_eq!(answer.status, 200);
    let scheduled = until(PATIENCE, || {
        let gone = site.cloud.versions(State::DestroyScheduled);
        (gone.len() == 1).then(|| gone[0].clone())
    });
    assert!(scheduled.is_some(), "the key was not destroyed");
    assert!(site.signs());
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
