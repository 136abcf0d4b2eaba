//! A crash at any instant loses nothing that was acknowledged, and never leaves a log that can't be opened.

use proptest::prelude::*;

use super::fake_disk::{FakeDisk, Trouble};
use super::*;
use crate::audit::disk::Disk;
use crate::audit::open::open;
use crate::audit::scan::{Scan, first_of};
use crate::audit::writer::{Draft, Writer};
use crate::audit::{AuditError, Record};

/// Small, so that a few records fill a segment, and fewer the space made ahead.
fn options() -> Options {
    Options { segment_bytes: 1_500, ahead_bytes: 700, ..Options::default() }
}

fn now() -> Timestamp {
    clock().now()
}

fn reopened(disk: &FakeDisk) -> Result<Writer, AuditError> {
    open(Box::new(disk.clone()), options(), now()).map(|(writer, _)| writer)
}

/// Every record of every segment, checked across segments.
fn records(disk: &FakeDisk) -> Vec<Record> {
    let mut link = None;
    let mut all = Vec::new();
    for (name, bytes) in disk.files() {
        let Some(first) = first_of(&name) else { continue };
        let mut scan = Scan::new(bytes, first, link);
        all.extend(scan.by_ref().map(Result::unwrap));
        link = scan.link();
    }
    all
}

fn jtis(disk: &FakeDisk) -> Vec<String> {
    let jti = |record: Record| match record.event {
        Event::Signed { jti, .. } => jti,
        _ => None,
    };
    records(disk).into_iter().filter_map(jti).collect()
}

fn drafts(group: usize, size: usize) -> Vec<(String, Draft)> {
    let name = |n| format!("{group}-{n}");
    (0..size).map(|n| (name(n), Draft::new(now(), signed(&name(n))).unwrap())).collect()
}

/// A cheap source of coins that a failing case can name by its seed.
fn coins(mut seed: u64) -> impl FnMut() -> bool {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 63 == 1
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Fail(Trouble, usize),
    Rotate(Option<Trouble>),
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let trouble =
        prop::sample::select(vec![Trouble::Full, Trouble::SyncForgets, Trouble::SyncLies, Trouble::DirectorySync]);
    prop_oneof![
        4 => (1_usize..5).prop_map(Step::Write),
        2 => (trouble.clone(), 1_usize..5).prop_map(|(trouble, size)| Step::Fail(trouble, size)),
        1 => prop::option::of(trouble).prop_map(Step::Rotate),
        2 => any::<u64>().prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn whatever_fails_the_acknowledged_records_are_there_in_order(steps in prop::collection::vec(step(), 1..25)) {
        let mut disk = FakeDisk::default();
        let mut writer = reopened(&disk).unwrap();
        let mut acknowledged: Vec<String> = Vec::new();
        for (n, step) in steps.iter().enumerate() {
            let write = |writer: &mut Writer, size| {
                let (names, drafts): (Vec<_>, Vec<_>) = drafts(n, size).into_iter().unzip();
                writer.write(&drafts, now()).map(|first| (first, names))
            };
            match step {
                Step::Write(size) => {
                    let (first, names) = write(&mut writer, *size).unwrap();
                    let on_disk = records(&disk);
                    prop_assert_eq!(on_disk.len() as u64, first + *size as u64 - 1);
                    acknowledged.extend(names);
                }
                Step::Fail(trouble, size) => {
                    disk.trouble(Some(*trouble));
                    // Without a rotation the directory is not touched, and all goes well.
                    acknowledged.extend(write(&mut writer, *size).map(|(_, names)| names).unwrap_or_default());
                    disk.trouble(None);
                }
                Step::Rotate(trouble) => {
                    disk.trouble(*trouble);
                    prop_assert!(writer.rotate(now()).is_ok() || trouble.is_some());
                    disk.trouble(None);
                }
                Step::Crash(seed) => {
                    disk = disk.crash(coins(*seed));
                    writer = reopened(&disk).unwrap();
                }
            }
            let written = jtis(&disk);
            let mut rest = written.iter();
            for name in &acknowledged {
                prop_assert!(rest.any(|there| there == name), "{} is lost or out of order after {:?}", name, step);
            }
        }
    }

    /// The cut itself, the record of it and a first start are interrupted too.
    #[test]
    fn a_crash_while_recovering_from_a_crash_changes_nothing(seeds in prop::collection::vec(any::<u64>(), 1..6)) {
        let disk = FakeDisk::default();
        let mut writer = reopened(&disk).unwrap();
        writer.write(&[Draft::new(now(), committed(5)).unwrap()], now()).unwrap();
        disk.trouble(Some(Trouble::Full));
        let (names, lost): (Vec<_>, Vec<_>) = drafts(0, 4).into_iter().unzip();
        prop_assert!(writer.write(&lost, now()).is_err());
        let mut disk = disk;
        for seed in seeds {
            disk = disk.crash(coins(seed));
            disk.trouble(Some(Trouble::SyncForgets));
            let _ = reopened(&disk);
            disk.trouble(None);
        }
        let writer = reopened(&disk).unwrap();
        prop_assert_eq!(writer.ledger.anchors[&issuer()].revision, Revision::new(5));
        // Of a group that nobody was told of, any beginning may have reached the disk.
        prop_assert!(names.starts_with(&jtis(&disk)), "{:?}", jtis(&disk));
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_the_log_goes_on_once_there_is_space() {
    let disk = FakeDisk::default();
    let (audit, _) = Audit::open_on(Box::new(disk.clone()), options(), clock()).unwrap();
    let runtime = runtime();
    runtime.block_on(audit.append(committed(2))).unwrap();
    for trouble in [Trouble::Full, Trouble::SyncForgets, Trouble::SyncLies] {
        disk.trouble(Some(trouble));
        for _ in 0..3 {
            let answer = runtime.block_on(audit.append(signed("refused")));
            assert!(matches!(answer, Err(AuditError::Unavailable { .. })), "{trouble:?}: {answer:?}");
        }
        disk.trouble(None);
        runtime.block_on(audit.append(signed("taken"))).unwrap();
    }
    audit.close().unwrap();
    assert_eq!(jtis(&disk), ["taken"; 3]);
}

#[test]
fn a_lost_durable_record_stops_the_log_for_good() {
    let disk = FakeDisk::default();
    let mut writer = reopened(&disk).unwrap();
    writer.write(&[Draft::new(now(), committed(2)).unwrap()], now()).unwrap();
    disk.trouble(Some(Trouble::SyncForgets));
    assert!(writer.write(&[Draft::new(now(), committed(3)).unwrap()], now()).is_err());
    disk.trouble(None);
    let name = disk.names().unwrap().remove(0);
    let mut file = disk.open(&name, crate::audit::disk::How::Existing).unwrap();
    file.write_at(b"#", 450).unwrap();
    for _ in 0..2 {
        let answer = writer.write(&[Draft::new(now(), committed(3)).unwrap()], now());
        assert!(matches!(answer, Err(AuditError::Damaged(_))), "{answer:?}");
    }
}
