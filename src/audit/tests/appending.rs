//! Many writers, one log.

use std::collections::BTreeMap;

use super::fake_disk::{FakeDisk, Trouble};
use super::*;
use crate::audit::{AuditError, Records, Signatures};

/// Receipts by number, of `writers` that append `each` records one after the other.
async fn many(audit: &Audit, writers: usize, each: usize) -> BTreeMap<u64, String> {
    let write = |writer| {
        let audit = audit.clone();
        async move {
            let mut receipts = Vec::new();
            for n in 0..each {
                let jti = format!("{writer}-{n}");
                let receipt = audit.append(signed(&jti)).await.unwrap();
                receipts.push((receipt.seq.unwrap(), jti));
            }
            receipts
        }
    };
    let writers: Vec<_> = (0..writers).map(|writer| tokio::spawn(write(writer))).collect();
    let mut all = BTreeMap::new();
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    all
}

fn two_workers() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

#[test]
fn sixty_four_writers_make_one_chain_and_each_receipt_is_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let (audit, opened) = Audit::open(directory.path(), options, clock()).unwrap();
    assert!(opened.is_new);
    let receipts = two_workers().block_on(many(&audit, 64, 20));
    audit.close().unwrap();
    assert_eq!(receipts.len(), 64 * 20);
    let mut on_disk = BTreeMap::new();
    for record in Records::open(directory.path()).unwrap() {
        let record = record.unwrap();
        if let Event::Signed { jti, .. } = record.event {
            on_disk.insert(record.seq, jti.unwrap());
        }
    }
    assert_eq!(on_disk, receipts);
    let report = verify::verify(directory.path()).unwrap();
    assert!(report.segments > 2 && report.is_stopped);
}

#[test]
fn a_log_is_written_by_one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let audit = open(directory.path());
    let second = Audit::open(directory.path(), Options::default(), clock());
    assert!(matches!(second, Err(AuditError::Locked)), "{second:?}");
    audit.close().unwrap();
    open(directory.path());
}

#[test]
fn directory_and_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data/audit");
    let _audit = open(&directory);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&segment(&directory))), (0o700, 0o600));
}

#[test]
fn after_closing_nothing_is_appended() {
    let directory = tempfile::tempdir().unwrap();
    let audit = open(directory.path());
    let clone = audit.clone();
    audit.close().unwrap();
    assert!(matches!(runtime().block_on(clone.append(committed(1))), Err(AuditError::Closed)));
    assert!(matches!(clone.close(), Err(AuditError::Closed)));
}

#[test]
fn a_full_queue_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { queue: 0, ..Options::default() };
    let (audit, _) = Audit::open(directory.path(), options, clock()).unwrap();
    let answers: Vec<_> = (0..500).map(|n| audit.append(signed(&n.to_string()))).collect();
    let runtime = runtime();
    let mut answers = answers.into_iter().map(|answer| runtime.block_on(answer));
    assert!(answers.any(|answer| matches!(answer, Err(AuditError::Busy))));
}

#[test]
fn a_mode_that_does_not_wait_is_named_first_and_loses_nothing_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { signatures: Signatures::Async, ..Options::default() };
    let (audit, _) = Audit::open(directory.path(), options.clone(), clock()).unwrap();
    let runtime = runtime();
    for n in 0..100 {
        assert_eq!(runtime.block_on(audit.append(signed(&n.to_string()))).unwrap().seq, None);
    }
    assert!(runtime.block_on(audit.append(committed(1))).unwrap().seq.is_some());
    audit.close().unwrap();
    let first = Records::open(directory.path()).unwrap().next().unwrap().unwrap();
    assert!(first.line.contains(r#""signatures":"async""#), "{}", first.line);
    assert_eq!(verify::verify(directory.path()).unwrap().last, 103);

    // Another mode begins another segment, so that the first record tells the truth about all that follow.
    write(directory.path(), &[signed("x")]);
    assert_eq!(verify::verify(directory.path()).unwrap().segments, 2);
}

#[test]
fn a_record_taken_on_trust_is_written_once_the_disk_is_well_again() {
    let disk = FakeDisk::default();
    let options = Options { signatures: Signatures::Async, ..Options::default() };
    let (audit, _) = Audit::open_on(Box::new(disk.clone()), options, clock()).unwrap();
    let runtime = runtime();
    disk.trouble(Some(Trouble::Full));
    runtime.block_on(audit.append(signed("trusted"))).unwrap();
    assert!(runtime.block_on(audit.append(committed(1))).is_err());
    let distrusted = runtime.block_on(audit.append(signed("waits")));
    assert!(matches!(distrusted, Err(AuditError::Unavailable { .. })), "{distrusted:?}");
    disk.trouble(None);
    runtime.block_on(audit.append(committed(1))).unwrap();
    audit.close().unwrap();
    let text = String::from_utf8(disk.files().into_values().next().unwrap()).unwrap();
    assert_eq!((text.matches("\"trusted\"").count(), text.matches("\"waits\"").count()), (1, 0));
}

/// `cargo test --release --lib group_commit -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn group_commit_is_measured() {
    for (writers, each) in [(1, 2_000), (8, 2_000), (64, 2_000)] {
        for ahead_bytes in [0, Options::default().ahead_bytes] {
            let directory = tempfile::tempdir().unwrap();
            let options = Options { ahead_bytes, ..Options::default() };
            let (audit, _) = Audit::open(directory.path(), options, clock()).unwrap();
            let start = std::time::Instant::now();
            two_workers().block_on(many(&audit, writers, each));
            let rate = (writers * each) as f64 / start.elapsed().as_secs_f64();
            audit.close().unwrap();
            let start = std::time::Instant::now();
            let report = verify::verify(directory.path()).unwrap();
            println!(
                "{writers} writers, {ahead_bytes} B ahead: {rate:.0}/s, {:.0} µs mean; {} records verified in {:?}",
                writers as f64 / rate * 1e6,
                report.last,
                start.elapsed()
            );
        }
    }
}
