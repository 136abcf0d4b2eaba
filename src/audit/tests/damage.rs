//! Whatever is changed in a log is found.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::audit::{AuditError, Fault, Flaw, Records, Tail};

fn small() -> Options {
    Options { ahead_bytes: 512, ..Options::default() }
}

fn is_found(directory: &Path) -> bool {
    match verify::verify(directory) {
        Err(_) => true,
        Ok(report) => report.tail != Tail::Clean,
    }
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn flaw(directory: &Path) -> Option<(u64, Flaw)> {
    match verify::verify(directory) {
        Err(Fault::Record { line, flaw, .. }) => Some((line, flaw)),
        _ => None,
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = write(directory.path(), &[intent(2), committed(2), signed("a")]);
    assert!(!is_found(directory.path()));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            fs::write(segment(directory.path()), &flipped).unwrap();
            assert!(is_found(directory.path()), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn damage_to_records_that_were_durable_is_refused_at_a_start_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = write(directory.path(), &[intent(2), committed(2), signed("a")]);
    let lines = lines(&bytes);
    let last = bytes.len() - lines.last().unwrap().len();
    for at in (0..last - 1).step_by(3) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x20;
        fs::write(segment(directory.path()), &flipped).unwrap();
        let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        match Audit::open(directory.path(), small(), clock()) {
            Err(AuditError::Damaged(Fault::Record { line: named, .. })) => assert_eq!(named, line, "byte {at}"),
            other => panic!("byte {at}: {other:?}"),
        }
        assert_eq!(fs::read(segment(directory.path())).unwrap(), flipped, "a refused log is left as it is");
    }
}

#[test]
fn every_dropped_repeated_or_moved_record_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = write(directory.path(), &[intent(2), committed(2), signed("a"), signed("b")]);
    let lines = lines(&bytes);
    let check = |what: &str, at: usize, changed: Vec<Vec<u8>>| {
        fs::write(segment(directory.path()), changed.concat()).unwrap();
        let (line, flaw) = flaw(directory.path()).unwrap_or_else(|| panic!("{what} {at}"));
        assert!(matches!(flaw, Flaw::Sequence { .. }), "{what} {at}: {flaw}");
        assert!(Audit::open(directory.path(), small(), clock()).is_err(), "{what} {at}");
        line
    };
    for at in 0..lines.len() {
        let mut repeated = lines.clone();
        repeated.insert(at + 1, lines[at].clone());
        assert_eq!(check("repeated", at, repeated), at as u64 + 2);
        if at + 1 < lines.len() {
            let mut dropped = lines.clone();
            dropped.remove(at);
            assert_eq!(check("dropped", at, dropped), at as u64 + 1);
            let mut moved = lines.clone();
            moved.swap(at, at + 1);
            assert_eq!(check("moved", at, moved), at as u64 + 1);
        }
    }
}

#[test]
fn a_record_of_another_log_is_found() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = write(ours.path(), &[intent(2), signed("a"), signed("b")]);
    let other = write(theirs.path(), &[intent(2), signed("x"), signed("b")]);
    for at in [2, 3] {
        let mut mixed = lines(&bytes);
        mixed[at] = lines(&other)[at].clone();
        fs::write(segment(ours.path()), mixed.concat()).unwrap();
        assert_eq!(flaw(ours.path()), Some((4, Flaw::Chain(4))), "record {at}");
    }
}

#[test]
fn a_missing_segment_is_found_and_an_archived_beginning_can_be_told() {
    let directory = tempfile::tempdir().unwrap();
    let audit = open(directory.path());
    for n in 1..4 {
        runtime().block_on(audit.append(committed(n))).unwrap();
        runtime().block_on(audit.rotate()).unwrap();
    }
    audit.close().unwrap();
    let report = verify::verify(directory.path()).unwrap();
    assert_eq!((report.segments, report.first, report.last), (4, 1, 8));

    let file = |first: u64| directory.path().join(format!("audit-{first:020}.jsonl"));
    let third = fs::read(file(5)).unwrap();
    fs::remove_file(file(5)).unwrap();
    assert_eq!(flaw(directory.path()), Some((1, Flaw::Sequence { expected: 5, found: 7 })));
    fs::write(file(5), [third.as_slice(), b"{}\n"].concat()).unwrap();
    assert_eq!(flaw(directory.path()), Some((3, Flaw::Torn)));
    fs::write(file(5), &third).unwrap();

    fs::remove_file(file(1)).unwrap();
    assert_eq!(flaw(directory.path()), Some((1, Flaw::Sequence { expected: 1, found: 3 })));
    let report = verify::verify_against(directory.path(), &anywhere()).unwrap();
    assert_eq!((report.first, report.last), (3, 8));
    assert_eq!(report.ledger.anchors[&issuer()].revision, Revision::new(3));
}

#[test]
fn a_segment_of_a_newer_format_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let newer = b"{\"format\":2,\"links\":[]}\n".to_vec();
    fs::write(segment(directory.path()), &newer).unwrap();
    match Audit::open(directory.path(), small(), clock()) {
        Err(AuditError::Damaged(Fault::Record { flaw, .. })) => assert_eq!(flaw, Flaw::Format { found: 2, known: 1 }),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(segment(directory.path())).unwrap(), newer);
}

#[test]
fn a_torn_tail_is_cut_at_every_offset_and_nothing_acknowledged_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = write(directory.path(), &[committed(2), intent(3)]);
    let whole: usize = lines(&bytes).iter().take(3).map(Vec::len).sum();
    for garbage in [&b""[..], &[0; 40], b"\n", b"{\"seq\":9}\n"] {
        for end in whole..bytes.len() - 1 {
            fs::write(segment(directory.path()), [&bytes[..end], garbage].concat()).unwrap();
            let is_torn = end > whole || garbage.iter().any(|byte| *byte != 0);
            let (audit, opened) = Audit::open(directory.path(), small(), clock()).unwrap();
            assert_eq!(opened.cut.is_some(), is_torn, "{end} {garbage:?}");
            assert_eq!(opened.anchors[&issuer()].revision, Revision::new(2));
            assert_eq!(opened.intents.len(), 1);
            assert_eq!(opened.seq, if is_torn { 4 } else { 3 });
            audit.close().unwrap();
            let records: Vec<_> = Records::open(directory.path()).unwrap().map(Result::unwrap).collect();
            assert_eq!(matches!(records[3].event, Event::TailCut { .. }), is_torn);
            assert_eq!(records.last().unwrap().event, Event::Stopped {});
        }
    }
}

#[test]
fn a_tail_made_of_beginnings_of_records_takes_no_longer_than_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = write(directory.path(), &[committed(2)]);
    // If every beginning were read to the end, these would be 10^13 bytes.
    bytes.extend(b"{\"seq\":".repeat(1 << 20));
    fs::write(segment(directory.path()), &bytes).unwrap();
    let (done, verified) = std::sync::mpsc::channel();
    let directory = directory.path().to_owned();
    std::thread::spawn(move || done.send(verify::verify(&directory).unwrap().tail));
    let tail = verified.recv_timeout(Duration::from_secs(60)).expect("one look at each line");
    assert!(matches!(tail, Tail::Torn { bytes, .. } if bytes == 7 << 20), "{tail:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Only what a cut took is missing afterwards, and the anchors tell how far the log goes.
    #[test]
    fn a_log_cut_short_anywhere_keeps_what_the_cut_left(count in 1_u64..12, cut in 0.0_f64..1.0) {
        let directory = tempfile::tempdir().unwrap();
        let events: Vec<_> = (1..=count).map(committed).collect();
        let bytes = write(directory.path(), &events);
        let header = lines(&bytes)[0].len();
        let end = header + ((bytes.len() - header) as f64 * cut) as usize;
        fs::write(segment(directory.path()), &bytes[..end]).unwrap();
        let left = bytes[..end].iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
        let (_, opened) = Audit::open(directory.path(), small(), clock()).unwrap();
        let anchor = opened.anchors.get(&issuer()).map_or(0, |anchor| anchor.revision.get());
        prop_assert_eq!(anchor, left.min(count));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(segment(directory.path()), &bytes).unwrap();
        prop_assert!(is_found(directory.path()));
    }
}
