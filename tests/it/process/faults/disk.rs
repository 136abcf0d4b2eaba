//! A disk that takes no more, and has space again: nothing is lost, nothing is signed unrecorded, nothing needs
//! a restart.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jwksd::lifecycle::time::Timestamp;
use jwksd::server::api::Issuer;
use serde_json::json;

use crate::support::daemon::{Daemon, Installation, Layout, PATIENCE, monotonic, now, until};
use crate::support::http::{Address, Answer};
use crate::support::one_ring::ask;
use crate::support::traffic::{foreign_key, two_issuers, witnesses};
use crate::support::witness::{Witness, handles};

/// Longer than an active period: a rotation falls due while there is no space.
const FULL_FOR: Duration = Duration::from_secs(7);

/// What is answered if no record can be written.
const UNRECORDED: &[&str] = &["audit_unavailable"];

/// What is answered if besides the store may have failed in the middle of a commit.
const FULL: &[&str] = &["audit_unavailable", "state_unconfirmed", "outcome_unknown", "store_unavailable"];

/// A file system of a few megabytes; unmounted on drop.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Only root may mount; where that is refused, the other test shows the same by a limit of the process.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs"]).arg(directory.path());
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes every byte that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut filler = File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn install(layout: Layout) -> Installation {
    // A segment that is soon full: the log needs new space early.
    let audit = "segment_size = \"48KiB\"".to_owned();
    let installation = Installation::new(Layout { issuers: two_issuers(), audit, ..layout });
    fs::create_dir(installation.path("www")).unwrap();
    installation.init();
    installation
}

#[test]
fn on_a_full_disk_nothing_changes_and_nothing_is_signed_and_space_mends_it() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: this user can't mount a small disk; the test of files that can't grow stands for it");
        return;
    };
    let installation = install(Layout { data: Some(disk.path().join("data")), ..Layout::default() });
    let daemon = installation.start();
    let fill = || drop(disk.fill());
    let free = || fs::remove_file(disk.path().join("filler")).unwrap();
    starve(&installation, daemon, FULL, fill, free);
}

#[test]
fn with_a_full_disk_under_the_audit_log_alone_nothing_changes_either() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: this user can't mount a small disk");
        return;
    };
    let installation = install(Layout { audit_dir: Some(disk.path().join("audit")), ..Layout::default() });
    let daemon = installation.start();
    let fill = || drop(disk.fill());
    let free = || fs::remove_file(disk.path().join("filler")).unwrap();
    starve(&installation, daemon, UNRECORDED, fill, free);
}

#[test]
fn files_that_can_not_grow_are_waited_for_like_a_full_disk() {
    let installation = install(Layout::default());
    // The signal that comes with the limit would end the process; systemd has it ignored as well.
    let mut shell = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_jwksd");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" run", binary]).env_clear().env("JWKSD_CONFIG", installation.config());
    let mut daemon = installation.spawn_as(shell);
    daemon.wait_ready();
    let pid = daemon.pid().to_string();
    let limit = move |limit: &str| {
        let output = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let lift = limit.clone();
    starve(&installation, daemon, FULL, move || limit("0"), move || lift("unlimited"));
}

fn revisions(installation: &Installation) -> Vec<u64> {
    let revision = |name: &str| {
        let issuer: Issuer = installation.admin.get(&format!("/v1/issuers/{name}")).unwrap().read();
        issuer.revision
    };
    ["alpha", "beta"].map(revision).to_vec()
}

/// Signs everywhere; true if every ring signed.
fn sign_all(installation: &Installation, witnesses: &[Witness]) -> bool {
    let rings = ["es256", "eddsa"];
    let signed = witnesses.iter().flat_map(|witness| rings.map(|ring| witness.sign(&installation.signing, ring, 5)));
    signed.filter(|signed| !signed).count() == 0
}

/// Has many tokens signed at once, so that their records need space.
fn use_up(signing: &Address) {
    let one = json!({"claims": {"sub": "alice"}});
    let batch = json!({"requests": vec![one; 50]});
    let answer = signing.post("/v1/issuers/beta/rings/es256/jwt/batch", &batch).expect("the daemon answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn starve(installation: &Installation, mut daemon: Daemon, codes: &[&str], fill: impl Fn(), free: impl Fn()) {
    let witnesses = witnesses();
    let watch = || {
        for witness in &witnesses {
            assert!(witness.poll(&installation.public), "the JWK Set is not served");
            assert!(witness.look(&installation.admin).is_some(), "the operator gets no answer");
            witness.assert_sound();
        }
    };
    let signs = until(PATIENCE, || sign_all(installation, &witnesses).then_some(()));
    assert!(signs.is_some(), "it does not sign before the disk is full");
    watch();
    fill();
    // Unlike the second request to rotate, a second import is one more change.
    let import = || {
        let body = json!({"jwk": foreign_key(), "until": Timestamp::from_second(now() + 30).to_string()});
        installation.admin.post("/v1/issuers/alpha/import", &body).unwrap()
    };
    let refused = |answer: &Answer| answer.status == 503 && codes.contains(&answer.code().as_str());
    // The log has some space that it took ahead; and a short record may find room where a longer one did not.
    let mut last = None;
    let stopped = until(PATIENCE, || {
        watch();
        use_up(&installation.signing);
        let answers = [ask(&installation.signing, "alpha").expect("the daemon answers"), import()];
        let are_refused = answers.iter().all(refused);
        last = Some(answers);
        (are_refused && !sign_all(installation, &witnesses)).then_some(())
    });
    assert!(stopped.is_some(), "it goes on although no record can be written: {last:?}");
    let before = revisions(installation);
    let over = monotonic() + FULL_FOR;
    let mut answers = 0;
    while monotonic() < over {
        watch();
        let answer = ask(&installation.signing, "alpha").expect("the daemon answers");
        assert!(refused(&answer), "{} {}", answer.status, answer.text());
        answers += 1;
    }
    // A rotation has four commits; none gets through.
    let after = revisions(installation);
    assert!(after.iter().zip(&before).all(|(after, before)| *after <= before + 1), "{before:?} became {after:?}");
    assert!(answers > 10 && daemon.is_running());
    free();
    let signs = until(PATIENCE, || sign_all(installation, &witnesses).then_some(()));
    assert!(signs.is_some(), "it does not sign again although there is space");
    let before = after;
    // What failed several times is tried again after as long as all that took, or at the next command.
    let rotates = until(3 * PATIENCE, || {
        watch();
        revisions(installation).iter().zip(&before).all(|(after, before)| after > before).then_some(())
    });
    assert!(rotates.is_some(), "no rotation happens although there is space\n{}", daemon.stderr());
    let agreed = until(PATIENCE, || {
        let held = |witness: &Witness| witness.look(&installation.admin).map(|(_, keys)| handles(&keys.keys));
        let mut held: Vec<String> = witnesses.iter().filter_map(held).flatten().collect();
        held.sort();
        (held == installation.key_files()).then_some(())
    });
    assert!(agreed.is_some(), "the backend holds other keys than the state knows");
    assert!(daemon.stop().success());
    // A start compares the store with the log.
    assert!(installation.start().stop().success());
    installation.done(&["audit", "verify", installation.audit.to_str().unwrap()]);
}
