//! A changed configuration that meets a publisher which is away.

use std::fs;

use super::{calm, sign};
use crate::support::daemon::{Installation, Layout, PATIENCE, until};

#[test]
fn a_changed_configuration_is_adopted_though_its_web_root_is_away() {
    let publish = "[issuers.main.publish]\ndirectory = \"{root}/web\"\n";
    let installation = Installation::new(Layout { issuers: calm() + publish, ..Layout::default() });
    let (web, away) = (installation.path("web"), installation.path("away"));
    fs::create_dir(&web).unwrap();
    installation.init();
    let daemon = installation.start();
    // The signer's set and then the standby's: after that nothing is due.
    let last = web.join("main/.well-known/jwks/2.json");
    assert!(until(PATIENCE, || last.exists().then_some(())).is_some(), "{}", daemon.stderr());
    assert!(daemon.stop().success());
    fs::rename(&web, &away).unwrap();
    let config = fs::read_to_string(installation.config()).unwrap();
    let changed = config.replace("token_lifetime_max = \"5s\"", "token_lifetime_max = \"4s\"");
    assert_ne!(changed, config);
    fs::write(installation.config(), changed).unwrap();
    let daemon = installation.start();
    assert_eq!(sign(&installation.signing).status, 200);
    // Once the directory is back it is given the set, though the set has not changed.
    fs::create_dir(&web).unwrap();
    let set = web.join("main/.well-known/jwks.json");
    let there = until(PATIENCE, || fs::read(&set).ok());
    assert_eq!(there, Some(fs::read(away.join("main/.well-known/jwks.json")).unwrap()));
    assert!(daemon.stop().success());
}
