//! What a daemon refuses to start on, what it says then, and that it has touched nothing.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use jwksd::server::api::{Issuer, Keys};
use rustix::process::Signal;
use serde_json::json;

use super::{installed, sign};
use crate::support::daemon::{Installation, Layout, PATIENCE, until};
use crate::support::one_ring::issuer;

/// The exit code of an operation that was refused.
const REFUSED: i32 = 1;

/// The exit code of a damaged audit log.
const DAMAGED: i32 = 6;

/// What the refusal of `jwksd run` says; a panic is no refusal.
fn refusal(installation: &Installation, code: i32) -> String {
    let (found, said) = installation.refused(&["run"]);
    assert_eq!(found, code, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn assert_says(said: &str, parts: &[&str]) {
    let missing: Vec<&&str> = parts.iter().filter(|part| !said.contains(**part)).collect();
    assert!(missing.is_empty(), "{missing:?} is not in:\n{said}");
}

/// The kids that sign and those that are published.
fn state(installation: &Installation) -> (Vec<String>, u64) {
    let issuer: Issuer = installation.admin.get("/v1/issuers/main").unwrap().read();
    let keys: Keys = installation.admin.get("/v1/issuers/main/keys").unwrap().read();
    (keys.keys.into_iter().filter_map(|key| key.kid).collect(), issuer.revision)
}

/// Runs until the second key waits, and ends in good order.
fn run_once(installation: &Installation) -> (Vec<String>, u64) {
    let daemon = installation.start();
    let ready = until(PATIENCE, || {
        let issuer: Issuer = installation.admin.get("/v1/issuers/main").ok()?.read();
        issuer.rings[0].standby_ready.then_some(())
    });
    assert!(ready.is_some(), "there is no standby");
    assert_eq!(sign(&installation.signing).status, 200);
    let state = state(installation);
    assert!(daemon.stop().success());
    state
}

#[test]
fn of_two_daemons_on_one_directory_the_second_is_refused_and_the_first_goes_on() {
    let installation = installed();
    let mut daemon = installation.start();
    let (code, said) = installation.refused(&["run"]);
    assert_eq!(code, REFUSED);
    assert_says(&said, &["another process listens on unix:"]);
    // With listeners of its own it comes as far as the data.
    let config = fs::read_to_string(installation.config()).unwrap();
    let root = installation.path("").to_string_lossy().into_owned();
    let other = ["public", "signing", "admin"].iter().fold(config, |config, name| {
        config.replace(&format!("unix:{root}{name}\""), &format!("unix:{root}{name}-2\""))
    });
    let path = installation.path("second.toml");
    fs::write(&path, other).unwrap();
    let (code, said) = installation.refused(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(code, REFUSED);
    assert_says(&said, &["in use by another process", installation.audit.to_str().unwrap()]);
    assert!(daemon.is_running());
    assert_eq!(sign(&installation.signing).status, 200);
    assert!(installation.done(&["status"]).contains("main"), "the socket of the first was taken away");
    for command in [&["init"][..], &["accept-rollback", "main", "--reason", "drill"]] {
        let (code, said) = installation.refused(command);
        assert_eq!(code, REFUSED);
        assert_says(&said, &["in use by another process"]);
    }
    assert!(daemon.stop().success());
}

#[test]
fn a_missing_store_is_not_a_first_start() {
    let installation = installed();
    run_once(&installation);
    fs::rename(installation.store(), installation.path("elsewhere")).unwrap();
    let said = refusal(&installation, REFUSED);
    assert_says(&said, &[installation.store().to_str().unwrap(), "does not exist", "jwksd init"]);
    assert!(!installation.store().exists(), "the refusal made a store");
    // Whoever follows that advice for a store that was lost is told so, rather than given new keys.
    let (code, said) = installation.refused(&["init"]);
    assert_eq!(code, REFUSED, "{said}");
    assert_says(&said, &["issuer main", "restore", "nothing was created"]);
    assert!(!installation.store().exists(), "init made a store");
    fs::rename(installation.path("elsewhere"), installation.store()).unwrap();
    assert!(installation.start().stop().success());
}

#[test]
fn a_store_that_lost_a_part_is_refused_or_unharmed() {
    let installation = installed();
    let before = run_once(&installation);
    let whole = fs::read(installation.store()).unwrap();
    let mut refusals = 0;
    let mut check = |damaged: &[u8], what: &str, must_refuse: bool| {
        fs::write(installation.store(), damaged).unwrap();
        let mut daemon = installation.spawn(None);
        let ended = until(PATIENCE, || {
            let status = daemon.wait(std::time::Duration::ZERO);
            let is_up = installation.admin.get("/v1/issuers/main").is_ok();
            (status.is_some() || is_up).then_some(status)
        });
        match ended.expect("the daemon neither starts nor ends") {
            Some(status) => {
                let said = daemon.stderr();
                assert_eq!(status.code(), Some(REFUSED), "{what}: {said}");
                assert_says(&said, &["state.redb"]);
                assert!(!said.contains("panicked"), "{what}: {said}");
                let kept = fs::read(installation.store()).unwrap();
                assert!(kept == damaged, "{what}: the refusal changed the file");
                refusals += 1;
            }
            None => {
                assert!(!must_refuse, "{what}: the daemon started on a damaged store");
                let (kids, revision) = state(&installation);
                assert!(
                    kids == before.0 && revision >= before.1,
                    "{what}: started with other keys: {kids:?} {revision}"
                );
                daemon.kill();
            }
        }
    };
    let mut flipped = whole.clone();
    let record = before.0[0].as_bytes();
    let places: Vec<usize> = (0..whole.len() - record.len()).filter(|at| whole[*at..].starts_with(record)).collect();
    assert!(!places.is_empty(), "the record is not where the test looks for it");
    places.iter().for_each(|at| flipped[*at] ^= 1);
    check(&flipped, "every copy of the record", true);
    check(&[], "an empty file", true);
    check(&whole[..whole.len() / 2], "the first half", true);
    check(&vec![0; whole.len()], "zeros", true);
    for part in 0..16 {
        let mut flipped = whole.clone();
        let at = whole.len() * (2 * part + 1) / 32;
        flipped[at..].iter_mut().take(64).for_each(|byte| *byte ^= 0xff);
        check(&flipped, &format!("64 bytes at {at}"), false);
    }
    println!("{refusals} of 20 damaged stores were refused, the others were right");
    fs::write(installation.store(), &whole).unwrap();
    assert!(installation.start().stop().success(), "the undamaged store opens again");
}

#[test]
fn a_store_from_a_backup_is_refused_until_its_loss_is_accepted() {
    let installation = Installation::new(Layout { issuers: issuer("soft", "2s"), ..Layout::default() });
    installation.init();
    let (_, old) = run_once(&installation);
    fs::copy(installation.store(), installation.path("backup")).unwrap();
    let daemon = installation.start();
    let rotated = installation.admin.post("/v1/issuers/main/rings/es256/rotate", &json!({"reason": "drill"})).unwrap();
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let (kids, new) = state(&installation);
    assert!(daemon.stop().success());
    assert!(new > old && !kids.is_empty());
    fs::copy(installation.path("backup"), installation.store()).unwrap();
    let said = refusal(&installation, REFUSED);
    assert_says(
        &said,
        &[&format!("revision {old}"), "jwksd accept-rollback --config FILE main --reason TEXT", "issuer main"],
    );
    // The stop may have committed once more: the newest revision is named, whatever it is.
    assert!((new..new + 5).any(|revision| said.contains(&format!("has seen {revision} "))), "{said}");
    let (code, said) = installation.refused(&["accept-rollback", "main", "--reason", " "]);
    assert_eq!(code, 2, "{said}");
    // Whatever it dies at, the loss is not accepted before that is on record.
    let points: &[&str] = &["audit.written", "store.commit.before", "store.commit.after"];
    for point in if cfg!(feature = "failpoints") { points } else { &[] } {
        let mut command = installation.command(&["accept-rollback", "main", "--reason", "drill"]);
        command.env("JWKSD_FAILPOINT", point);
        let status = installation.spawn_as(command).ended();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{point}: {status}");
        assert_says(&refusal(&installation, REFUSED), &["accept-rollback", "issuer main"]);
    }
    installation.done(&["accept-rollback", "main", "--reason", "restored after a drill"]);
    let daemon = installation.start();
    assert_eq!(sign(&installation.signing).status, 200);
    assert!(daemon.stop().success());
    let (code, said) = installation.refused(&["accept-rollback", "main", "--reason", "again"]);
    assert_eq!(code, REFUSED);
    assert_says(&said, &["was not rolled back"]);
}

#[test]
fn after_an_accepted_rollback_no_jwk_set_has_the_number_of_a_lost_one() {
    let publish = "\n[issuers.main.publish]\ndirectory = \"{root}/www\"\n";
    let issuers = issuer("soft", "2s").replace("\n[issuers.main.rings", &format!("{publish}[issuers.main.rings"));
    let installation = Installation::new(Layout { issuers, ..Layout::default() });
    fs::create_dir(installation.path("www")).unwrap();
    installation.init();
    run_once(&installation);
    fs::copy(installation.store(), installation.path("backup")).unwrap();
    let daemon = installation.start();
    let rotate = |before: u64| {
        let path = "/v1/issuers/main/rings/es256/rotate";
        let answer = installation.admin.post(path, &json!({"reason": "drill"})).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let signer = until(PATIENCE, || {
            let issuer: Issuer = installation.admin.get("/v1/issuers/main").ok()?.read();
            let ring = &issuer.rings[0];
            ring.signer.as_ref().map(|signer| signer.version).filter(|version| *version > before && ring.standby_ready)
        });
        signer.expect("the ring does not rotate")
    };
    let newest = |version: u64| {
        let served = installation.public.get("/main/.well-known/jwks.json").unwrap();
        let file = fs::read(installation.path("www/main/.well-known/jwks.json")).unwrap();
        let served_version: u64 = served.header("jwk-set-version").unwrap().parse().unwrap();
        assert_eq!(served.body, file, "the directory holds another set than the one that is served");
        assert!(served_version >= version, "JWK Set {served_version} was served after {version}");
        served_version
    };
    let signer = rotate(1);
    rotate(signer);
    let mut seen = newest(1);
    assert!(daemon.stop().success());
    // The second time it also passes over the sets that were made after the first.
    for _ in 0..2 {
        fs::copy(installation.path("backup"), installation.store()).unwrap();
        refusal(&installation, REFUSED);
        installation.done(&["accept-rollback", "main", "--reason", "restored after a drill"]);
        let daemon = installation.start();
        // The restored state remembers keys that were destroyed since: an operator has to say that they are gone.
        let issuer: Issuer = installation.admin.get("/v1/issuers/main").unwrap().read();
        let (next, signer) = (issuer.rings[0].next.clone().unwrap(), issuer.rings[0].signer.clone().unwrap());
        for kid in [next.kid.unwrap(), signer.kid] {
            let body = json!({"kid": kid, "reason": "lost with the restored backup"});
            let answer = installation.admin.post("/v1/issuers/main/compromise", &body).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let signs = until(PATIENCE, || (sign(&installation.signing).status == 200).then_some(()));
        assert!(signs.is_some(), "the ring does not sign any more");
        // Verifiers and caches in between have seen the numbers up to this one, and their contents.
        seen = newest(seen + 1);
        let old = installation.public.get(&format!("/main/.well-known/jwks/{}.json", 2)).unwrap();
        assert_eq!(
            (old.status, old.code()),
            (410, "jwk_set_forgotten".to_owned()),
            "what a lost set held is not known"
        );
        assert!(daemon.stop().success());
    }
}

#[test]
fn a_store_without_its_audit_log_is_refused() {
    let installation = installed();
    run_once(&installation);
    fs::rename(&installation.audit, installation.path("elsewhere")).unwrap();
    let said = refusal(&installation, REFUSED);
    assert_says(&said, &["issuer main", "audit log", "jwksd accept-rollback --config FILE main --reason TEXT"]);
    // A second try must not take the log that the first one began for the old one.
    assert_says(&refusal(&installation, REFUSED), &["issuer main", "audit log"]);
    fs::remove_dir_all(&installation.audit).unwrap();
    fs::rename(installation.path("elsewhere"), &installation.audit).unwrap();
    assert!(installation.start().stop().success(), "with the log back all is well");
}

/// Changes the segment and expects `run` and `audit verify` to name the line.
fn check_tampered(installation: &Installation, segment: &Path, line: usize, change: impl Fn(&mut Vec<String>)) {
    let whole = fs::read_to_string(segment).unwrap();
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(segment, lines.join("\n") + "\n").unwrap();
    let place = format!("{}:{line}", segment.file_name().unwrap().to_str().unwrap());
    assert_says(&refusal(installation, DAMAGED), &[&place]);
    let (code, said) = installation.refused(&["audit", "verify", installation.audit.to_str().unwrap()]);
    assert_eq!(code, DAMAGED, "{said}");
    assert_says(&said, &[&place]);
    fs::write(segment, whole).unwrap();
}

#[test]
fn a_changed_audit_log_is_refused_with_file_and_line() {
    let installation = installed();
    run_once(&installation);
    let segments = installation.audit_segments();
    let segment = segments.last().unwrap();
    let lines = fs::read_to_string(segment).unwrap().lines().count();
    assert!(lines > 8, "{lines} lines");
    check_tampered(&installation, segment, 4, |lines| lines[3] = lines[3].replacen("\"at\":\"2", "\"at\":\"3", 1));
    check_tampered(&installation, segment, 3, |lines| drop(lines.remove(2)));
    check_tampered(&installation, segment, 5, |lines| lines.swap(4, 5));
    check_tampered(&installation, segment, 6, |lines| lines.insert(5, lines[4].clone()));
    // Whole records cut off the end leave a sound log; but the store is witness that there was more.
    let whole = fs::read_to_string(segment).unwrap();
    let kept: Vec<&str> = whole.lines().take(lines / 2).collect();
    fs::write(segment, kept.join("\n") + "\n").unwrap();
    assert_says(&refusal(&installation, REFUSED), &["issuer main", "audit log"]);
    fs::write(segment, whole).unwrap();
    assert!(installation.start().stop().success(), "the log as it was written is taken");
}

#[test]
fn a_wrong_sealing_key_opens_and_changes_nothing() {
    let installation = installed();
    let (kids, _) = run_once(&installation);
    let files = installation.key_files();
    installation.seal(&[8; 32]);
    let said = refusal(&installation, REFUSED);
    assert_says(&said, &["backend soft", "does not open", "keys/soft"]);
    fs::remove_file(installation.path("sealing.key")).unwrap();
    assert_says(&refusal(&installation, REFUSED), &["backend soft", "sealing.key"]);
    assert_eq!(installation.key_files(), files);
    installation.seal(&[7; 32]);
    assert_eq!(run_once(&installation).0, kids, "the keys are as they were");
}
