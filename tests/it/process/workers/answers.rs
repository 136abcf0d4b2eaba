//! A module that answers nonsense.

use std::time::Duration;

use pkcs11_shim::{Act, CODES, Function, Rule};

use super::Site;
use crate::support::daemon::variable;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_code_a_signature_fails_with_the_next_one_succeeds() {
    let site = Site::new().await;
    let load = site.load_of(300);
    load.signs(50).await;
    let all = CODES.into_iter().zip([Function::SignInit, Function::Sign].into_iter().cycle());
    let step = if variable("JWKSD_LONG").is_some() { 1 } else { 3 };
    for (code, function) in all.step_by(step) {
        // One fault at a time: with both workers away, callers wait.
        site.whole().await;
        let harmed = site.shimmed.control.harmed();
        site.shimmed.harm(&[function], Act::Return(code), 1);
        while site.shimmed.control.harmed() == harmed {
            load.go_on(Duration::from_millis(1)).await;
        }
        load.signs(3).await;
    }
    site.whole().await;
    let tally = load.end().await;
    assert_eq!(tally.failures(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_at_random_from_every_call_are_survived() {
    let site = Site::new().await;
    let load = site.load_of(300);
    load.signs(50).await;
    // All but the login: what that answers may be about the PIN, and is believed.
    let functions: Vec<Function> = Function::ALL.into_iter().filter(|function| *function != Function::Login).collect();
    let rule = Rule { functions: &functions, act: Act::ReturnAny, skip: 0, times: u64::MAX, per_mille: 5 };
    site.shimmed.control.set(rule);
    load.go_on(Duration::from_secs(4)).await;
    site.shimmed.control.clear();
    load.signs(300).await;
    site.whole().await;
    let tally = load.end().await;
    assert!(tally.signed > 500, "{tally:?}");
    assert!(site.lost_in_all() > 3, "nothing was tested");
}
