//! The daemon with keys in AWS KMS: killed at every call of making one, told what is wrong, and what it leaves behind.

use jwksd::server::api::Keys;
use serde_json::json;

use crate::support::aws::{Act, CREDENTIALS, Emulator, Proxy, REGION, Rule};
use crate::support::daemon::{Daemon, Installation, Layout, PATIENCE, said, until, variable};
use crate::support::dice::Dice;
use crate::support::witness::handles;

/// Kills in one run.
const KILLS: u64 = 15;
const KILLS_LONG: u64 = 100;

/// An account, and an installation whose one ring has its keys there.
struct Site {
    emulator: Emulator,
    proxy: Proxy,
    installation: Installation,
}

impl Site {
    fn new() -> Self {
        Self::with_env(CREDENTIALS.to_vec())
    }

    fn with_env(env: Vec<(&'static str, &'static str)>) -> Self {
        let emulator = Emulator::start();
        let proxy = Proxy::start(emulator.port);
        let issuers = format!(
            r#"
{}sign_deadline = "3s"
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
            backend(&proxy)
        );
        let installation = Installation::new(Layout { issuers, env, ..Layout::default() });
        Self { emulator, proxy, installation }
    }

    fn signs(&self) -> bool {
        let body = json!({"claims": {"sub": "alice"}, "ttl": "5s"});
        let answer = self.installation.signing.post("/v1/issuers/main/rings/es256/jwt", &body);
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// The ARNs of the keys that the daemon knows.
    fn known(&self) -> Option<Vec<String>> {
        let keys: Keys = self.installation.admin.get("/v1/issuers/main/keys").ok()?.read();
        Some(handles(&keys.keys))
    }

    /// Lets the daemon finish what it has to do and ends it: it signs, and the account holds the keys that it knows,
    /// the signer and its standby, and nothing else.
    fn settle(&self, daemon: Daemon, what: &str) {
        assert!(until(PATIENCE, || self.signs().then_some(())).is_some(), "{what}: it does not sign");
        let known = until(PATIENCE, || self.known().filter(|known| known.len() == 2));
        let known = known.unwrap_or_else(|| panic!("{what}: it has no standby: {:?}", self.known()));
        assert!(daemon.stop().success(), "{what}");
        assert_eq!(self.emulator.arns("Enabled"), known, "{what}");
        assert_eq!(self.emulator.keys().len(), 2, "{what}: a key was made that nobody needed");
    }
}

/// The table of the backend `kms`, to which a key may be added.
pub(super) fn backend(proxy: &Proxy) -> String {
    let url = proxy.url();
    format!(
        "[backends.kms]\nkind = \"aws-kms\"\nregion = \"{REGION}\"\nendpoint = \"{url}\"\ntagging_endpoint = \
         \"{url}\"\n"
    )
}

#[test]
fn killed_at_any_call_of_the_cloud_it_forgets_no_key() {
    let kills = if variable("JWKSD_LONG").is_some() { KILLS_LONG } else { KILLS };
    let seed = variable("JWKSD_SEED").map_or(20_261_122, |seed| seed.parse().expect("JWKSD_SEED is a number"));
    let mut dice = Dice::new(seed);
    // How many calls there are until both keys are made.
    let calm = Site::new();
    calm.installation.init();
    let daemon = calm.installation.spawn(None);
    assert!(until(PATIENCE, || calm.known().filter(|known| known.len() == 2)).is_some(), "{}", daemon.stderr());
    let calls = calm.proxy.take_calls();
    let steps = u64::try_from(calls.len()).unwrap();
    assert!(calls.iter().filter(|call| *call == "CreateKey").count() == 2, "{calls:?}");
    calm.settle(daemon, "nothing has happened");
    println!("JWKSD_SEED={seed}, {kills} kills over {calls:?}");
    let mut reached = 0;
    for kill in 0..kills {
        let site = Site::new();
        site.installation.init();
        let skip = (kill * steps + dice.below(steps)) / kills;
        // Before the cloud has seen the call, or when it has answered and nobody hears it.
        let act = if kill % 2 == 0 { Act::KillAfter } else { Act::KillBefore };
        let what = format!("{act:?} at call {skip}");
        let mut daemon = site.installation.spawn(None);
        site.proxy.set_victim(daemon.pid());
        site.proxy.harm(Rule { operation: None, skip, times: 1, act });
        let died = until(PATIENCE, || {
            let is_over = !daemon.is_running() || site.known().is_some_and(|known| known.len() == 2);
            is_over.then(|| !daemon.is_running())
        });
        reached += u64::from(died == Some(true));
        drop(daemon);
        site.proxy.clear();
        let daemon = site.installation.start();
        site.settle(daemon, &what);
    }
    println!("{reached} of {kills} daemons died");
    assert!(reached * 2 > kills, "{reached} of {kills}: nothing was tested");
}

#[test]
fn an_operator_is_told_what_is_wrong_with_the_cloud() {
    let site = Site::new();
    let works = site.installation.done(&["backend", "test", "kms"]);
    assert!(works.contains("AWS KMS, eu-west-1") && works.contains("ES256"), "{works}");
    assert_eq!(site.emulator.arns("PendingDeletion").len(), 1, "the key that was tried is deleted");
    let cases = [
        ("ListKeys", "AccessDeniedException", "ListKeys: AccessDeniedException"),
        ("CreateKey", "AccessDeniedException", "CreateKey: AccessDeniedException"),
        ("Sign", "ExpiredTokenException", "Sign: ExpiredTokenException"),
        ("CreateKey", "LimitExceededException", "CreateKey: LimitExceededException"),
    ];
    for (operation, code, told) in cases {
        site.proxy.harm_next(operation, u64::MAX, Act::Fail { status: 400, code });
        let (exit, text) = site.installation.refused(&["backend", "test", "kms"]);
        assert!(exit != 0 && text.contains(told), "{text}");
        site.proxy.clear();
    }
    let nobody = Site::with_env(vec![("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_CONFIG_FILE", "/dev/null")]);
    let (_, text) = nobody.installation.refused(&["backend", "test", "kms"]);
    assert!(text.contains("credentials"), "{text}");
    drop(nobody.proxy);
    let output = site.installation.run(&["check-config"]);
    assert!(output.status.success(), "{}", said(&output));
}
