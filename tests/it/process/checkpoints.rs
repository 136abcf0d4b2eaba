//! The audit log of a daemon that signs checkpoints: what an operator keeps elsewhere, and what it is good for.

use std::fs;

use super::faults::{calm, sign};
use crate::support::daemon::{Installation, Layout, PATIENCE, until};

/// The exit code of a log that did not verify.
const DAMAGED: i32 = 6;

#[test]
fn a_log_that_was_cut_off_or_written_anew_is_found_by_what_was_kept_elsewhere() {
    let audit = "checkpoints = { backend = \"soft\" }".to_owned();
    let installation = Installation::new(Layout { issuers: calm(), audit, ..Layout::default() });
    installation.init();
    let daemon = installation.start();
    let (beside, key) = (installation.audit.join("checkpoint.jws"), installation.audit.join("checkpoint-key.json"));
    assert!(until(PATIENCE, || beside.exists().then_some(())).is_some(), "no checkpoint was made at the start");
    let lines = |log: &str| log.lines().filter(|line| line.contains("checkpoint of the audit log made")).count();
    assert_eq!(lines(&daemon.stderr()), 1);
    assert_eq!(sign(&installation.signing).status, 200);

    let (kept, pinned) = (installation.path("kept.jws"), installation.path("pinned.json"));
    fs::write(&kept, installation.done(&["audit", "checkpoint"])).unwrap();
    fs::copy(&key, &pinned).unwrap();
    assert_eq!(sign(&installation.signing).status, 200);
    // The key is nobody's version, and no stray for that.
    assert!(!installation.done(&["strays", "--json"]).contains("jwksd.audit"));
    assert!(daemon.stop().success());

    let directory = installation.audit.to_str().unwrap();
    let (kept, pinned) = (kept.to_str().unwrap(), pinned.to_str().unwrap());
    let verify = ["audit", "verify", directory, "--key", pinned, "--checkpoint", kept];
    let report: serde_json::Value =
        serde_json::from_str(&installation.done(&[&verify[..], &["--json"]].concat())).unwrap();
    // Made at the start, on demand, and before the end, after which comes the word that the daemon has stopped.
    assert_eq!((&report["checkpoints"], &report["key_pinned"]), (&3.into(), &true.into()));
    assert_eq!(report["vouched"]["record"].as_u64().unwrap() + 2, report["last"].as_u64().unwrap());

    let segment = installation.audit.join("audit-00000000000000000001.jsonl");
    let whole = fs::read_to_string(&segment).unwrap();
    let all: Vec<&str> = whole.lines().collect();
    let cut = all.iter().position(|line| line.contains("\"event\":\"signed\"")).unwrap();
    fs::write(&segment, all[..cut].join("\n") + "\n").unwrap();
    let refused = |args: &[&str]| {
        let (code, said) = installation.refused(args);
        assert_eq!(code, DAMAGED, "{said}");
        said
    };
    let said = refused(&verify);
    let place = format!("audit-00000000000000000001.jsonl:{cut}: the log ends here with record {cut}, but {kept}");
    assert!(said.contains(&place) && said.contains("hint: keep the log as it is"), "{said}");
    // Whoever cuts off the end and forgets the file beside it is found without anything else.
    assert!(refused(&["audit", "verify", directory]).contains("but checkpoint.jws vouches for"));
    fs::remove_file(&beside).unwrap();
    installation.done(&["audit", "verify", directory]);

    fs::write(&segment, &whole).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(refused(&["audit", "verify", directory]).contains("which is not among the keys"));
}
