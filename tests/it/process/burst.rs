//! Many commands at once, on a machine in good health: nothing may be taken for trouble.

use std::thread;
use std::time::Duration;

use jwksd::lifecycle::time::Timestamp;
use serde_json::json;

use crate::support::daemon::{Installation, Layout, PATIENCE, now, until};
use crate::support::traffic::{foreign_key, two_issuers, witnesses};

#[test]
fn a_burst_of_commands_puts_off_no_rotation_and_logs_no_error() {
    let installation = Installation::new(Layout { issuers: two_issuers(), ..Layout::default() });
    std::fs::create_dir(installation.path("www")).unwrap();
    installation.init();
    let daemon = installation.start();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..12).for_each(|_| import(&installation)));
        }
    });
    let witness = &witnesses()[0];
    let version = |ring: &str| {
        let (issuer, _) = witness.look(&installation.admin)?;
        issuer.rings.iter().find(|found| found.ring == ring)?.signer.as_ref().map(|signer| signer.version)
    };
    for _ in 0..2 {
        let before = version("es256").unwrap();
        // The active period is 5 s; the rest is for a machine that has other things to do.
        let rotated = until(Duration::from_secs(15), || version("es256").filter(|version| *version > before));
        assert!(rotated.is_some(), "the ring does not rotate any more");
    }
    let set = installation.public.get("/alpha/.well-known/jwks.json").unwrap();
    let is_out = until(PATIENCE, || {
        let file = std::fs::read(installation.path("www/alpha/.well-known/jwks.json")).unwrap();
        let set = installation.public.get("/alpha/.well-known/jwks.json").ok()?;
        (file == set.body).then_some(())
    });
    assert!(is_out.is_some() && set.status == 200, "the directory holds another set than the one that is served");
    let log = daemon.stderr();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains(" ERROR ") || line.contains(" WARN ")).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(daemon.stop().success());
}

fn import(installation: &Installation) {
    let body =
        json!({"jwk": foreign_key(), "until": Timestamp::from_second(now() + 20).to_string(), "reason": "drill"});
    let answer = installation.admin.post("/v1/issuers/alpha/import", &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}
