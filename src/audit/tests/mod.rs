//! The log under damage, crashes, failing disks and many writers.

mod appending;
mod crashes;
mod damage;
mod fake_disk;
mod tampering;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Audit, Commit, Digest, Event, Options, Outcome, verify};
use crate::clock::Clock;
use crate::ids::{CommitId, IssuerId, Kid, Revision, RingName};
use crate::jose::hash::{HashFunction, MessageDigest};
use crate::lifecycle::time::Timestamp;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(Still)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn issuer() -> IssuerId {
    IssuerId::new("main").unwrap()
}

fn intent(revision: u64) -> Event {
    Event::Intent {
        issuer: issuer(),
        revision: Revision::new(revision),
        commit_id: CommitId::new([7; 16]),
        hash: Digest([8; 32]),
        what: "activated".to_owned(),
        ring: Some("es256".parse().unwrap()),
        version: Some(revision),
        kid: revision.is_multiple_of(2).then(|| "k".to_owned()),
        caller: Some("uid 1001".to_owned()),
        request_id: None,
        reason: None,
    }
}

fn committed(revision: u64) -> Event {
    Event::Committed {
        issuer: issuer(),
        revision: Revision::new(revision),
        commit_id: CommitId::new([7; 16]),
        hash: Digest([8; 32]),
    }
}

fn signed(jti: &str) -> Event {
    Event::Signed {
        issuer: issuer(),
        ring: RingName::new("es256").unwrap(),
        kid: Kid::new("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs").unwrap(),
        jti: Some(jti.to_owned()),
        claims_sha256: Digest([9; 32]),
        exp: Some(Timestamp::from_second(1_800_000_300)),
        caller: "spiffe://example.org/login".to_owned(),
        request_id: Some("0192f3".to_owned()),
        outcome: Outcome::Done,
    }
}

fn anywhere() -> verify::Against {
    verify::Against { start: verify::Start::Anywhere, ..verify::Against::default() }
}

fn open(directory: &Path) -> Audit {
    Audit::open(directory, Options::default(), clock()).unwrap().0
}

/// Writes `events` one by one, closes the log, and returns the only segment's bytes.
fn write(directory: &Path, events: &[Event]) -> Vec<u8> {
    let audit = open(directory);
    for event in events {
        runtime().block_on(audit.append(event.clone())).unwrap();
    }
    audit.close().unwrap();
    std::fs::read(segment(directory)).unwrap()
}

fn segment(directory: &Path) -> std::path::PathBuf {
    directory.join("audit-00000000000000000001.jsonl")
}

#[test]
fn every_event_is_read_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let events = every_event();
    write(directory.path(), &events);
    let records: Vec<_> = super::Records::open(directory.path()).unwrap().map(Result::unwrap).collect();
    let read: Vec<_> = records.iter().skip(1).map(|record| record.event.clone()).collect();
    let expected: Vec<_> = events.into_iter().chain([Event::Stopped {}]).collect();
    assert_eq!(read, expected);
    for record in &records {
        assert!(serde_json::from_str::<serde_json::Value>(&record.line).unwrap().is_object());
    }
    let report = verify::verify(directory.path()).unwrap();
    assert!(report.is_stopped);
    assert_eq!(report.ledger.intents, Vec::<Commit>::new());
}

#[test]
fn the_last_records_are_found_across_segments() {
    let directory = tempfile::tempdir().unwrap();
    let audit = open(directory.path());
    for n in 0..6 {
        runtime().block_on(audit.append(signed(&n.to_string()))).unwrap();
        runtime().block_on(audit.rotate()).unwrap();
    }
    let (records, tail) = super::last(directory.path(), 4).unwrap();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [10, 11, 12, 13]);
    assert_eq!(tail, super::Tail::Clean);
    assert_eq!(super::last(directory.path(), 99).unwrap().0.len(), 13);
}

fn every_event() -> Vec<Event> {
    use crate::ids::{BackendId, InstallationId, VersionId};
    let ring = RingName::new("es256").unwrap();
    let version = VersionId::new(3);
    let backend = BackendId::new("hsm").unwrap();
    let label: crate::ids::Label = "prod/main.es256.v3".parse().unwrap();
    let what = super::Act::Generate;
    vec![
        Event::Started {
            version: "0.1.0".to_owned(),
            installation: InstallationId::new("prod").unwrap(),
            signatures: super::Signatures::Durable,
        },
        Event::Created { issuer: issuer(), commit_id: CommitId::new([1; 16]), hash: Digest([2; 32]) },
        Event::SignedDigest {
            issuer: issuer(),
            ring: ring.clone(),
            kid: Kid::new("k").unwrap(),
            digest: MessageDigest::of(HashFunction::Sha384, b"a message"),
            caller: "uid:1001".to_owned(),
            request_id: None,
            outcome: Outcome::Done,
        },
        intent(2),
        Event::Abandoned { issuer: issuer(), revision: Revision::new(2), commit_id: CommitId::new([7; 16]) },
        intent(2),
        committed(2),
        Event::Act {
            what,
            issuer: issuer(),
            ring: ring.clone(),
            version,
            backend: backend.clone(),
            label: label.clone(),
            caller: None,
            request_id: None,
            reason: Some("left by a test".to_owned()),
        },
        Event::ActDone {
            what,
            issuer: issuer(),
            ring,
            version,
            backend,
            label,
            outcome: Outcome::Unknown,
            detail: Some("token \"a\"\nnot present".to_owned()),
        },
        signed("a"),
        Event::Refused {
            issuer: None,
            ring: None,
            code: "lifetime-too-long".to_owned(),
            caller: None,
            request_id: Some("r1".to_owned()),
        },
        Event::RollbackAccepted {
            issuer: issuer(),
            revision: Revision::new(1),
            commit_id: CommitId::new([1; 16]),
            hash: Digest([2; 32]),
            caller: "uid 0".to_owned(),
            reason: "restored from the backup of 2026-12-19".to_owned(),
        },
        Event::TailCut { bytes: 17, sha256: Digest([3; 32]) },
        Event::Stopped {},
    ]
}
