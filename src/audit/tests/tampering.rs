//! The proof that nothing can be changed in a log without being found: a thousand records over several segments, with
//! checkpoints in the log and one that was kept elsewhere, changed in every way that leaves a trace.
//!
//! All of it is done in memory, and each verification goes on from the record before the change: what stands before it
//! is read by the same code and comes to the same. `whole` proves that, by starting over.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

use super::fake_disk::FakeDisk;
use super::*;
use crate::audit::check::Check;
use crate::audit::line::{Link, seal};
use crate::audit::open::open as open_disk;
use crate::audit::reader::{Place, Records, Source};
use crate::audit::scan::{Record, first_of};
use crate::audit::verify::{Against, Trust, begin, go_on, verify_source};
use crate::audit::writer::Draft;
use crate::audit::{Checkpoint, Fault, Flaw, Head, Tail};
use crate::jose::alg::Algorithm;
use crate::jose::jwk::{Jwk, PublicKey};
use crate::jose::jws::append_signature;

type Files = BTreeMap<String, Vec<u8>>;

/// A key that signs checkpoints.
pub struct Key {
    pair: EcdsaKeyPair,
    pub jwk: Jwk,
}

impl Key {
    pub fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(der.as_ref()).unwrap();
        Self { pair, jwk: Jwk::with_thumbprint(Algorithm::Es256, key).unwrap() }
    }

    pub fn checkpoint(&self, Head { seq, hash }: Head) -> String {
        let checkpoint = Checkpoint { installation: "prod".parse().unwrap(), seq, hash, at: clock().now() };
        let mut jws = checkpoint.signing_input(Algorithm::Es256, self.jwk.kid()).unwrap();
        let signature = self.pair.sign(&SystemRandom::new(), jws.as_bytes()).unwrap();
        append_signature(&mut jws, signature.as_ref());
        jws
    }
}

/// Files in memory, some of which were changed.
#[derive(Debug, Clone)]
struct Memory {
    base: Arc<Files>,
    /// No bytes: the file is gone.
    changed: BTreeMap<String, Option<Vec<u8>>>,
}

impl Source for Memory {
    fn path(&self) -> PathBuf {
        PathBuf::from("memory")
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let is_there = |name: &&String| self.changed.get(*name).is_none_or(Option::is_some);
        Ok(self.base.keys().filter(is_there).cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let bytes = self.changed.get(name).cloned().unwrap_or_else(|| self.base.get(name).cloned());
        bytes.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Sound,
    /// The place, and what is wrong there.
    Found(Place, Option<Flaw>),
}

/// One record, and what a verification knows before it reads it.
struct At {
    record: Record,
    place: Place,
    /// Where its line begins and ends in the file.
    range: std::ops::Range<usize>,
    before: (Check, Records),
}

struct Log {
    files: Arc<Files>,
    key: Key,
    against: Against,
    records: Vec<At>,
}

/// A thousand records in groups of one to four, a checkpoint in each hundred, and one that vouches for the last.
fn log() -> Log {
    let options = Options { segment_bytes: 16 << 10, ahead_bytes: 512, ..Options::default() };
    let disk = FakeDisk::default();
    let key = Key::new();
    let now = clock().now();
    let (mut writer, _) = open_disk(Box::new(disk.clone()), options, now).unwrap();
    let mut n = 0;
    while writer.seq() < RECORDS {
        n += 1;
        let room = usize::try_from((RECORDS - writer.seq()).min(n % 4 + 1)).unwrap();
        let mut events = vec![signed(&format!("a-{n}")), intent(n + 1), committed(n + 1), signed(&format!("b-{n}"))];
        if n.is_multiple_of(40) {
            let kid = key.jwk.kid().clone();
            events.insert(0, Event::Checkpoint { kid, jws: key.checkpoint(writer.head()) });
        }
        events.truncate(room);
        let drafts: Vec<Draft> = events.into_iter().map(|event| Draft::new(now, event).unwrap()).collect();
        writer.write(&drafts, now).unwrap();
    }
    writer.trim().unwrap();
    let checkpoints = vec![("kept.jws".to_owned(), key.checkpoint(writer.head()))];
    let against = Against { keys: vec![key.jwk.clone()], checkpoints, ..Against::default() };
    let files = Arc::new(disk.files());
    let source = Memory { base: Arc::clone(&files), changed: BTreeMap::new() };
    let (mut check, mut reader, _) = begin(Arc::new(source), &against).unwrap();
    let mut records: Vec<At> = Vec::new();
    loop {
        let before = (check.clone(), reader.clone());
        let Some(record) = reader.next() else { break };
        let record = record.unwrap();
        check.take(&record).unwrap();
        let place = reader.place();
        let start = records.last().filter(|last| last.place.file == place.file).map_or(0, |last| last.range.end);
        let range = start..start + record.line.len() + 1;
        records.push(At { record, place, range, before });
    }
    Log { files, key, against, records }
}

const RECORDS: u64 = 1_000;

impl Log {
    fn memory(&self, changed: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) -> Memory {
        Memory { base: Arc::clone(&self.files), changed: changed.into_iter().collect() }
    }

    /// The file of record `at`, changed.
    fn edited(&self, at: usize, edit: impl FnOnce(&mut Vec<u8>)) -> Memory {
        let file = &self.records[at].place.file;
        let mut bytes = self.files[file].clone();
        edit(&mut bytes);
        self.memory([(file.clone(), Some(bytes))])
    }

    /// What a verification finds that goes on from record `at`, before which nothing was changed.
    fn from(&self, at: usize, memory: Memory) -> Outcome {
        let (mut check, records) = self.records[at].before.clone();
        let mut records = records.over(Arc::new(memory));
        let verified = go_on(&mut check, &mut records, true);
        outcome(verified, || records.tail())
    }

    /// What a verification of the whole finds.
    fn whole(&self, memory: Memory) -> Outcome {
        let report = verify_source(Arc::new(memory), &self.against);
        let tail = report.as_ref().map_or(Tail::Clean, |report| report.tail.clone());
        outcome(report.map(|_| ()), || tail)
    }

    fn bytes(&self, at: usize) -> &[u8] {
        let At { place, range, .. } = &self.records[at];
        &self.files[&place.file][range.clone()]
    }

    /// Where damage to record `at` is to be found. Of the last group, only the checkpoint that was kept elsewhere knows
    /// that it was whole, and it names the end that is left.
    fn place_of(&self, at: usize, found: &Outcome) -> &Place {
        let is_cut = matches!(found, Outcome::Found(_, None));
        &self.records[if is_cut { at - 1 } else { at }].place
    }

    fn is_last_of_segment(&self, at: usize) -> bool {
        self.records.get(at + 1).is_none_or(|next| next.place.line == 1)
    }
}

fn outcome(verified: Result<(), Fault>, tail: impl FnOnce() -> Tail) -> Outcome {
    match (verified, tail()) {
        (Ok(()), Tail::Clean) => Outcome::Sound,
        (Ok(()), Tail::Torn { file, line, .. }) => Outcome::Found(Place { file, line }, None),
        (Err(Fault::Record { file, line, flaw }), _) => Outcome::Found(Place { file, line }, Some(flaw)),
        (Err(Fault::CutOff { file, line, .. }), _) => Outcome::Found(Place { file: file.into(), line }, None),
        (Err(fault), _) => panic!("{fault}"),
    }
}

fn is_found_at(found: &Outcome, place: &Place, what: &str) {
    assert!(matches!(found, Outcome::Found(there, _) if there == place), "{what}: {found:?}, not at {place:?}");
}

fn after(place: &Place, lines: u64) -> Place {
    Place { line: place.line + lines, ..place.clone() }
}

#[expect(clippy::disallowed_methods, reason = "how the test run is told how long it may be")]
fn is_long() -> bool {
    std::env::var_os("JWKSD_LONG").is_some()
}

#[test]
fn the_log_that_is_tampered_with_is_sound_as_it_is() {
    let log = log();
    assert_eq!(log.records.len() as u64, RECORDS);
    assert!(log.files.len() > 20, "{} segments", log.files.len());
    let report = verify_source(Arc::new(log.memory([])), &log.against).unwrap();
    assert!(report.checkpoints >= 9, "{}", report.checkpoints);
    assert_eq!((report.vouched.unwrap().seq, report.trust), (RECORDS, Trust::Pinned));
}

#[test]
fn every_flipped_byte_of_a_thousand_records_is_found_where_it_is() {
    let log = log();
    let (step, masks): (usize, &[u8]) = if is_long() { (1, &[0x01, 0x20, 0x80, 0xff]) } else { (17, &[0x01]) };
    let mut probes = 0_usize;
    for at in (0..log.records.len()).step_by(step) {
        let range = &log.records[at].range;
        for (byte, mask) in range.clone().flat_map(|byte| masks.iter().map(move |mask| (byte, mask))) {
            let memory = log.edited(at, |bytes| bytes[byte] ^= mask);
            let found = log.from(at, memory.clone());
            is_found_at(&found, log.place_of(at, &found), &format!("record {at}, byte {byte}, mask {mask:x}"));
            probes += 1;
            if probes.is_multiple_of(997) {
                assert_eq!(log.whole(memory), found, "record {at}, byte {byte}");
            }
        }
    }
    assert!(probes > 20_000, "{probes}");
}

#[test]
fn every_dropped_record_is_found_where_it_was() {
    let log = log();
    for at in 0..log.records.len() {
        let At { place, range, .. } = &log.records[at];
        let memory = log.edited(at, |bytes| drop(bytes.drain(range.clone())));
        let found = log.from(at, memory.clone());
        let expected = match log.records.get(at + 1) {
            None => &log.records[at - 1].place,
            Some(next) if next.place.line == 1 => &next.place,
            Some(_) => place,
        };
        // A segment of which nothing is left has lost its header first of all.
        is_found_at(&found, expected, &format!("dropped {at}"));
        if at.is_multiple_of(97) {
            assert_eq!(log.whole(memory), found, "dropped {at}");
        }
    }
}

#[test]
fn every_pair_of_neighbours_that_changed_places_is_found() {
    let log = log();
    for at in 0..log.records.len() - 1 {
        let (here, next) = (&log.records[at], &log.records[at + 1]);
        let (first, second) = (log.bytes(at).to_vec(), log.bytes(at + 1).to_vec());
        let memory = if log.is_last_of_segment(at) {
            let mut left = log.files[&here.place.file].clone();
            left.splice(here.range.clone(), second);
            let mut right = log.files[&next.place.file].clone();
            right.splice(next.range.clone(), first);
            log.memory([(here.place.file.clone(), Some(left)), (next.place.file.clone(), Some(right))])
        } else {
            let swapped = [second, first].concat();
            log.edited(at, |bytes| drop(bytes.splice(here.range.start..next.range.end, swapped)))
        };
        is_found_at(&log.from(at, memory), &here.place, &format!("swapped {at}"));
    }
}

#[test]
fn a_record_inserted_or_repeated_anywhere_is_found() {
    let log = log();
    let count = log.records.len();
    let step = if is_long() { 1 } else { 251 };
    for at in 0..count {
        let At { place, range, before, record } = &log.records[at];
        let insert = |line: &[u8]| log.edited(at, |bytes| drop(bytes.splice(range.start..range.start, line.to_vec())));
        let copies = (0..count).step_by(step).chain([at.saturating_sub(1), at, (at + 1).min(count - 1)]);
        for copy in copies {
            // The first of two that are the same stands where it belongs.
            let expected = if copy == at { after(place, 1) } else { place.clone() };
            is_found_at(&log.from(at, insert(log.bytes(copy))), &expected, &format!("{copy} before {at}"));
        }
        let found = log.from(at, insert(b"{}\n"));
        is_found_at(&found, log.place_of(at, &found), &format!("nonsense before {at}"));
        // One that is made to fit: number, predecessor and sum are right, so that the next one is not.
        let link = before.0.newest.map_or(Link::ORIGIN, |(seq, hash, _)| Link { seq, hash });
        let mut forged = Vec::new();
        let draft = Draft::new(clock().now(), signed("forged")).unwrap();
        seal(&mut forged, link, link.seq, &draft.body);
        let is_header = first_of(&place.file) == Some(record.seq);
        // In the place of the last one it is what the checkpoint contradicts.
        let expected = if is_header || at == count - 1 { place.clone() } else { after(place, 1) };
        is_found_at(&log.from(at, insert(&forged)), &expected, &format!("forged before {at}"));
    }
}

#[test]
fn every_end_that_was_cut_off_is_found_by_the_checkpoint_that_was_kept() {
    let log = log();
    for kept in 1..log.records.len() {
        let At { place, range, .. } = &log.records[kept - 1];
        let gone = log.files.keys().filter(|file| **file > place.file).map(|file| (file.clone(), None));
        let left = log.files[&place.file][..range.end].to_vec();
        let memory = log.memory(gone.chain([(place.file.clone(), Some(left))]));
        let found = log.from(kept - 1, memory.clone());
        assert_eq!(found, Outcome::Found(place.clone(), None), "{kept} records left");
        if kept.is_multiple_of(97) {
            assert_eq!(log.whole(memory), found, "{kept} records left");
        }
    }
}

#[test]
fn a_log_that_was_written_anew_is_found_by_the_next_checkpoint() {
    let log = log();
    let is_checkpoint = |at: &&At| matches!(at.record.event, Event::Checkpoint { .. });
    for changed in (1..log.records.len()).step_by(if is_long() { 1 } else { 37 }) {
        // What speaks of commits is found sooner, by the next segment's header.
        if !matches!(log.records[changed].record.event, Event::Signed { .. }) {
            continue;
        }
        let files = rewritten(&log, changed);
        let memory = Memory { base: Arc::new(files), changed: BTreeMap::new() };
        // That of a checkpoint is about the last record of the group before.
        let is_after = |at: &&At| is_checkpoint(at) && at.record.seq > changed as u64 + 1;
        let by = log.records.iter().find(is_after).or(log.records.last()).unwrap();
        match log.from(changed, memory) {
            Outcome::Found(place, Some(Flaw::Contradicted { .. })) => assert_eq!(place, by.place, "{changed}"),
            other => panic!("{changed}: {other:?}"),
        }
    }
}

/// The log with another record at `changed`, and everything after it chained anew.
fn rewritten(log: &Log, changed: usize) -> Files {
    let mut files = Files::new();
    let mut link = Link::ORIGIN;
    for (n, at) in log.records.iter().enumerate() {
        let event = if n == changed { signed("another") } else { at.record.event.clone() };
        let draft = Draft::new(at.record.at, event).unwrap();
        let bytes = files.entry(at.place.file.clone()).or_default();
        if n < changed {
            bytes.extend_from_slice(log.bytes(n));
            link = Link { seq: at.record.seq, hash: at.record.hash };
        } else {
            link = seal(bytes, link, link.seq, &draft.body);
        }
    }
    files
}

#[test]
fn what_is_added_to_the_end_is_shown_as_not_vouched_for() {
    let log = log();
    let last = log.records.last().unwrap();
    let mut bytes = log.files[&last.place.file].clone();
    let link = Link { seq: last.record.seq, hash: last.record.hash };
    seal(&mut bytes, link, link.seq, &Draft::new(clock().now(), signed("added")).unwrap().body);
    let memory = log.memory([(last.place.file.clone(), Some(bytes))]);
    let report = verify_source(Arc::new(memory), &log.against).unwrap();
    assert_eq!((report.last, report.vouched.unwrap().seq), (RECORDS + 1, RECORDS));
}

#[test]
fn a_checkpoint_of_another_key_is_none() {
    let log = log();
    let mut against = log.against.clone();
    against.keys = vec![Key::new().jwk];
    let refused = verify_source(Arc::new(log.memory([])), &against).unwrap_err();
    assert!(matches!(refused, Fault::Checkpoint { .. }), "{refused}");
    against.checkpoints.clear();
    let refused = verify_source(Arc::new(log.memory([])), &against).unwrap_err();
    assert!(refused.to_string().contains("which is not among the keys"), "{refused}");
    // Nor is one without a key: that would be the way to have a log written anew pass.
    against.keys.clear();
    let refused = verify_source(Arc::new(log.memory([])), &against).unwrap_err();
    assert!(refused.to_string().contains("which is not among the keys"), "{refused}");
    against.keys = vec![log.key.jwk.clone()];
    assert!(verify_source(Arc::new(log.memory([])), &against).is_ok());
}
