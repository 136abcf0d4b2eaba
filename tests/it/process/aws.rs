//! The daemon with keys in AWS KMS: killed at every call of making one, told what is wrong, and what it leaves behind.

use crate::support::aws::{Act, CREDENTIALS, Emulator, Proxy, REGION, Rule};
use crate::support::daemon::{Daemon, Installation, Layout, said, variable};
use crate::support::dice::Dice;
use crate::support::one_ring::issuer;

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
        let issuers = format!("{}sign_deadline = \"3s\"{}", backend(&proxy), issuer("kms", "6h"));
        let installation = Installation::new(Layout { issuers, env, ..Layout::default() });
        Self { emulator, proxy, installation }
    }

    /// Lets the daemon finish and ends it: the account holds the keys that it knows, the signer and its standby, and
    /// nothing else.
    fn settle(&self, daemon: Daemon, what: &str) {
        let known = Vec::from_iter(self.installation.settle(daemon, what));
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
    calm.installation.both_known("nothing has happened");
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
        reached += u64::from(site.installation.dies_on_the_way(&mut daemon));
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
