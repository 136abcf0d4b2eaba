//! How a daemon ends in good order, and what it says after it was frozen.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::{JWT, installed};
use crate::support::daemon::{Installation, Layout, PATIENCE, pause, until};
use crate::support::dice::Dice;
use crate::support::http::{Failure, read_answer, request};
use crate::support::traffic::{Traffic, two_issuers, witnesses};
use crate::support::witness::Witness;

#[test]
fn sigterm_answers_what_is_under_way_takes_nothing_new_and_says_so_at_last() {
    let installation = installed();
    let mut daemon = installation.start();
    let bytes = request("POST", JWT, br#"{"claims": {"sub": "alice"}}"#);
    let (first, rest) = bytes.split_at(bytes.len() - 5);
    let mut wire = installation.signing.connect().unwrap();
    wire.write_all(first).unwrap();
    // The head is read before the body: once a later request is answered, the daemon knows of this one.
    assert_eq!(super::sign(&installation.signing).status, 200);
    daemon.signal(Signal::TERM);
    let closed =
        until(PATIENCE, || matches!(installation.signing.get("/"), Err(Failure::Unreachable(_))).then_some(()));
    assert!(closed.is_some(), "new connections are still taken after SIGTERM");
    assert!(daemon.is_running(), "it ended with a request under way");
    wire.write_all(rest).unwrap();
    let answer = read_answer(&mut *wire).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let status = daemon.ended();
    assert_eq!(status.code(), Some(0), "{}", daemon.stderr());
    let report = installation.done(&["audit", "verify", "--json", installation.audit.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["stopped"], &report["torn_tail"]), (&Value::Bool(true), &Value::Null), "{report}");
    let jti = answer.read::<jwksd::server::api::Token>().jti;
    assert!(installation.audit_text().contains(&jti), "the last token is not in the log");
}

#[test]
fn a_request_that_never_ends_does_not_keep_the_daemon() {
    let installation = installed();
    let mut daemon = installation.start();
    let bytes = request("POST", JWT, br#"{"claims": {"sub": "alice"}}"#);
    let mut wire = installation.signing.connect().unwrap();
    wire.write_all(&bytes[..bytes.len() - 5]).unwrap();
    assert_eq!(super::sign(&installation.signing).status, 200);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().code(), Some(0), "{}", daemon.stderr());
    drop(wire);
}

#[test]
fn sigterm_at_any_moment_of_the_start_ends_it_at_once() {
    let installation = installed();
    for delay in (0..200).step_by(20) {
        let mut daemon = installation.spawn(None);
        pause(Duration::from_millis(delay));
        daemon.signal(Signal::TERM);
        let status = daemon.wait(Duration::from_secs(5)).expect("SIGTERM was lost");
        // Before the daemon catches it, the signal itself ends the process; there is nothing to drain yet.
        let is_clean = status.success() || status.signal() == Some(Signal::TERM.as_raw());
        assert!(is_clean, "after {delay} ms: {status}\n{}", daemon.stderr());
    }
    assert!(installation.start().stop().success());
    installation.done(&["audit", "verify", installation.audit.to_str().unwrap()]);
}

#[test]
fn a_daemon_that_was_frozen_gives_no_wrong_answer_when_it_wakes() {
    let installation = Installation::new(Layout { issuers: two_issuers(), ..Layout::default() });
    std::fs::create_dir(installation.path("www")).unwrap();
    installation.init();
    let mut daemon = installation.start();
    let (witnesses, is_over) = (witnesses(), AtomicBool::new(false));
    thread::scope(|scope| {
        let traffic = Traffic { installation: &installation, witnesses: &witnesses, is_over: &is_over };
        let _end = traffic.start(scope, Dice::new(1));
        let busy = |count: u64| {
            let busy = until(PATIENCE, || {
                let tokens = |witness: &Witness| witness.tally().get("jwt").copied().unwrap_or(0);
                witnesses.iter().all(|witness| tokens(witness) >= count).then_some(())
            });
            assert!(busy.is_some(), "there is no traffic");
        };
        busy(50);
        daemon.signal(Signal::STOP);
        // Longer than active period, drain, retention and every token: all of it is overdue at once.
        pause(Duration::from_secs(20));
        daemon.signal(Signal::CONT);
        let before = witnesses.iter().map(|witness| witness.tally().get("jwt").copied().unwrap_or(0)).max();
        busy(before.unwrap_or(0) + 150);
        assert!(daemon.is_running(), "{}", daemon.stderr());
    });
    let rotated = until(PATIENCE, || {
        witnesses.iter().for_each(|witness| drop(witness.look(&installation.admin)));
        witnesses.iter().all(Witness::has_rotated).then_some(())
    });
    assert!(rotated.is_some(), "an acknowledged rotation never happened");
    witnesses.iter().for_each(Witness::assert_sound);
    assert!(daemon.stop().success());
    let log = installation.audit_text();
    let unrecorded: Vec<String> = witnesses.iter().flat_map(Witness::jtis).filter(|jti| !log.contains(jti)).collect();
    assert!(unrecorded.is_empty(), "tokens without a record in the audit log: {unrecorded:?}");
}
