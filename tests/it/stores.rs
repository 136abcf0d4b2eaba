//! The contract of a store, run over every one of them, and what the embedded one promises besides.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jwksd::clock::SystemClock;
use jwksd::ids::{CommitId, IssuerId, JwkSetVersion, Revision};
use jwksd::jose::jwk::Jwk;
use jwksd::lifecycle::issuer::{Issuer, IssuerState};
use jwksd::lifecycle::state::Imported;
use jwksd::store::embedded::Embedded;
use jwksd::store::{Committed, Replaced, Store, StoreError};

use crate::support::memory_store::{Fault, MemoryStore};

fn id(name: &str) -> IssuerId {
    IssuerId::new(name).unwrap()
}

/// An issuer whose JWK Set version is `count`: the smallest state that can be told from the next.
fn issuer(name: &str, count: u64) -> Issuer {
    let state = Issuer::new(id(name), false).state().clone();
    Issuer::from_state(IssuerState { jwk_set_version: JwkSetVersion::new(count), ..state }).unwrap()
}

fn count(committed: &Committed) -> u64 {
    committed.issuer.state().jwk_set_version.get()
}

fn commit_id() -> CommitId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    CommitId::new(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes())
}

fn committed(replaced: Result<Replaced, StoreError>) -> Committed {
    match replaced {
        Ok(Replaced::Committed(committed)) => committed,
        other => panic!("{other:?}"),
    }
}

/// What every store does. `make` gives an empty one each time.
async fn conformance(make: impl Fn() -> Arc<dyn Store>) {
    a_record_is_created_once(&*make()).await;
    a_change_needs_the_present_revision(&*make()).await;
    issuers_do_not_touch_each_other(&*make()).await;
    a_vanished_record_is_damage(&*make(), &*make()).await;
    two_writers_lose_no_update(make()).await;
    let store = make();
    let offset = store.server_time().await.unwrap().as_second() - now().as_second();
    assert!(offset.abs() <= 1, "the clocks of store and test are {offset} s apart");
}

fn now() -> jwksd::lifecycle::time::Timestamp {
    jwksd::clock::Clock::now(&SystemClock)
}

async fn a_record_is_created_once(store: &dyn Store) {
    assert_eq!(store.load(&id("main")).await, Ok(None));
    assert_eq!(store.list().await, Ok(vec![]));
    let commit = commit_id();
    let created = store.create(&issuer("main", 7), commit).await.unwrap();
    assert_eq!((created.revision, created.commit_id, count(&created)), (Revision::new(1), commit, 7));
    assert_eq!(store.load(&id("main")).await, Ok(Some(created.clone())));
    let again = store.create(&issuer("main", 8), commit_id()).await;
    assert_eq!(again, Err(StoreError::Exists(id("main"))));
    assert_eq!(store.load(&id("main")).await, Ok(Some(created)));
}

async fn a_change_needs_the_present_revision(store: &dyn Store) {
    let first = store.create(&issuer("main", 1), commit_id()).await.unwrap();
    let commit = commit_id();
    let second = committed(store.replace(&first, &issuer("main", 2), commit).await);
    assert_eq!((second.revision, second.commit_id), (Revision::new(2), commit));
    assert_ne!(second.hash, first.hash);
    assert_eq!(store.load(&id("main")).await, Ok(Some(second.clone())));
    assert_eq!(store.replace(&first, &issuer("main", 3), commit_id()).await, Ok(Replaced::Conflict));
    // The same revision of another history is not the same.
    let other = Committed { hash: first.hash, ..second.clone() };
    assert_eq!(store.replace(&other, &issuer("main", 3), commit_id()).await, Ok(Replaced::Conflict));
    let future = Committed { revision: Revision::new(9), ..second.clone() };
    assert_eq!(store.replace(&future, &issuer("main", 3), commit_id()).await, Ok(Replaced::Conflict));
    assert_eq!(store.load(&id("main")).await, Ok(Some(second)));
}

async fn issuers_do_not_touch_each_other(store: &dyn Store) {
    for name in ["b", "a", "c"] {
        store.create(&issuer(name, 1), commit_id()).await.unwrap();
    }
    let b = store.load(&id("b")).await.unwrap().unwrap();
    committed(store.replace(&b, &issuer("b", 2), commit_id()).await);
    let mut list = store.list().await.unwrap();
    list.sort();
    let expected = [("a", 1), ("b", 2), ("c", 1)].map(|(name, revision)| (id(name), Revision::new(revision)));
    assert_eq!(list, expected);
    assert_eq!(count(&store.load(&id("c")).await.unwrap().unwrap()), 1);
}

async fn a_vanished_record_is_damage(full: &dyn Store, empty: &dyn Store) {
    let first = full.create(&issuer("main", 1), commit_id()).await.unwrap();
    let outcome = empty.replace(&first, &issuer("main", 2), commit_id()).await;
    assert!(matches!(outcome, Err(StoreError::Damaged(_))), "{outcome:?}");
    assert_eq!(empty.load(&id("main")).await, Ok(None));
}

async fn two_writers_lose_no_update(store: Arc<dyn Store>) {
    const EACH: u64 = 1_000;
    store.create(&issuer("main", 0), commit_id()).await.unwrap();
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut done, mut conflicts) = (0, 0);
                while done < EACH {
                    let present = store.load(&id("main")).await.unwrap().unwrap();
                    let next = issuer("main", count(&present) + 1);
                    match store.replace(&present, &next, commit_id()).await.unwrap() {
                        Replaced::Committed(_) => done += 1,
                        Replaced::Conflict => conflicts += 1,
                        Replaced::Unknown(why) => panic!("{why}"),
                    }
                }
                conflicts
            })
        })
        .collect();
    let mut conflicts = 0;
    for writer in writers {
        conflicts += writer.await.unwrap();
    }
    let last = store.load(&id("main")).await.unwrap().unwrap();
    assert_eq!((count(&last), last.revision), (2 * EACH, Revision::new(2 * EACH + 1)), "{conflicts} conflicts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_the_contract() {
    conformance(|| Arc::new(MemoryStore::new(Arc::new(SystemClock)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let made = AtomicU64::new(0);
    conformance(|| {
        let path = directory.path().join(format!("{}.redb", made.fetch_add(1, Ordering::Relaxed)));
        Arc::new(Embedded::create(&path).unwrap())
    })
    .await;
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_the_commit_id() {
    for (fault, is_written) in [(Fault::NotPersisted, false), (Fault::Persisted, true)] {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let first = store.create(&issuer("main", 1), commit_id()).await.unwrap();
        store.fail_next(fault);
        let ours = commit_id();
        let outcome = store.replace(&first, &issuer("main", 2), ours).await;
        assert!(matches!(outcome, Ok(Replaced::Unknown(_))), "{outcome:?}");
        let there = store.load(&id("main")).await.unwrap().unwrap();
        assert_eq!(there.commit_id == ours, is_written);
        committed(store.replace(&there, &issuer("main", 3), commit_id()).await);
    }
}

#[tokio::test]
async fn a_record_of_another_issuer_is_refused() {
    let store = MemoryStore::new(Arc::new(SystemClock));
    store.create(&issuer("main", 1), commit_id()).await.unwrap();
    store.put(&id("other"), store.record(&id("main")).unwrap());
    let loaded = store.load(&id("other")).await;
    assert!(matches!(loaded, Err(StoreError::Damaged(_))), "{loaded:?}");
}

fn path_in(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("state.redb")
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let store = Embedded::create(&path).unwrap();
    let mut present = store.create(&issuer("main", 0), commit_id()).await.unwrap();
    for n in 1..20 {
        present = committed(store.replace(&present, &issuer("main", n), commit_id()).await);
        // A copy of the file as it is now, with the store still open: what a power cut would leave at best.
        let copy = directory.path().join(format!("{n}.redb"));
        fs::copy(&path, &copy).unwrap();
        assert_eq!(Embedded::open(&copy).unwrap().load(&id("main")).await, Ok(Some(present.clone())));
    }
    drop(store);
    let store = Embedded::open(&path).unwrap();
    assert_eq!(store.load(&id("main")).await, Ok(Some(present.clone())));
    assert_eq!(store.load_all(), Ok(vec![present]));
}

#[test]
fn a_store_is_made_only_where_none_is_and_opened_only_where_one_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let refusal = |outcome: Result<Embedded, StoreError>| match outcome {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refusal(Embedded::open(&path)).contains("jwksd init"));
    assert!(!path.exists(), "opening makes no store");
    let store = Embedded::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(refusal(Embedded::create(&path)).contains("there already"));
    assert!(refusal(Embedded::open(&path)).contains("in use by another process"));
    drop(store);
    Embedded::open(&path).unwrap();
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["state.redb"], "nothing temporary stays behind");
}

#[test]
fn a_file_that_is_no_store_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    for bytes in [&b""[..], b"x", &[0; 4_096], &[0xff; 1 << 20]] {
        fs::write(&path, bytes).unwrap();
        let opened = Embedded::open(&path);
        assert!(matches!(opened, Err(StoreError::Damaged(_))), "{} bytes: {opened:?}", bytes.len());
        assert_eq!(fs::read(&path).unwrap(), bytes, "a refused file is left as it is");
    }
    // A database of somebody else's.
    fs::remove_file(&path).unwrap();
    drop(redb::Database::create(&path).unwrap());
    let opened = Embedded::open(&path);
    assert!(matches!(opened, Err(StoreError::Damaged(_))), "{opened:?}");
}

/// Whatever is done to the file, closed or not, a load tells the newest state or nothing, never an older one.
#[tokio::test]
async fn a_damaged_file_is_refused_or_harmless_but_never_silently_old() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let store = Embedded::create(&path).unwrap();
    for name in ["a", "b", "c"] {
        let mut present = store.create(&issuer(name, 0), commit_id()).await.unwrap();
        for n in 1..=5 {
            present = committed(store.replace(&present, &issuer(name, n), commit_id()).await);
        }
    }
    let killed = fs::read(&path).unwrap();
    drop(store);
    let closed = fs::read(&path).unwrap();
    for sound in [killed, closed] {
        let damaged = directory.path().join("damaged.redb");
        let (mut refused, mut harmless) = (0, 0);
        for bytes in damages(&sound) {
            fs::write(&damaged, bytes).unwrap();
            if is_newest_or_refused(&damaged).await { harmless += 1 } else { refused += 1 }
        }
        assert!(refused > 100 && harmless > 0, "{refused} refused, {harmless} harmless");
    }
}

const PAGE: usize = 4_096;

/// Every bit of the file's head, one bit in three bytes of the two commit slots, one at every stride after
/// them; and each page in use zeroed, cut off, or copied over another.
fn damages(sound: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let used = sound.iter().rposition(|byte| *byte != 0).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.to_vec();
        change(&mut bytes);
        bytes
    };
    let header = (0..64 * 8).map(move |bit| with(&|bytes| bytes[bit / 8] ^= 1 << (bit % 8)));
    let strided = (64..320).step_by(3).chain((320..used).step_by(523));
    let strided = strided.map(move |at| with(&|bytes| bytes[at] ^= 1 << (at % 8)));
    let in_use = (0..used / PAGE).filter(|page| sound[page * PAGE..][..PAGE].iter().any(|byte| *byte != 0));
    let pages = in_use.flat_map(move |page| {
        let at = page * PAGE;
        let over = (at + 2 * PAGE).min(sound.len() - PAGE);
        [
            with(&|bytes| bytes[at..at + PAGE].fill(0)),
            with(&|bytes| bytes.truncate(at)),
            with(&|bytes| bytes.copy_within(at..at + PAGE, over)),
        ]
    });
    header.chain(strided).chain(pages)
}

async fn is_newest_or_refused(path: &Path) -> bool {
    let Ok(store) = Embedded::open(path) else { return false };
    let mut is_whole = true;
    for name in ["a", "b", "c"] {
        match store.load(&id(name)).await {
            Ok(Some(there)) => assert_eq!(count(&there), 5, "silently old"),
            Ok(None) => panic!("silently gone"),
            Err(_) => is_whole = false,
        }
    }
    is_whole
}

/// An issuer with three keys in its JWK Set.
fn grown(name: &str) -> Issuer {
    let state = issuer(name, 3).state().clone();
    let imported = (1..=3).map(|n| Imported {
        // RFC 7517, appendix A.1.
        jwk: Jwk::parse(&format!(
            r#"{{"kty":"EC","kid":"kid-{n}","use":"sig","alg":"ES256","crv":"P-256",
            "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}}"#
        ))
        .unwrap(),
        imported_at: now(),
        withdraw_at: None,
        listed_from: JwkSetVersion::new(n),
        withdrawn: None,
        withdrawal_seen_at: None,
        compromised: None,
    });
    Issuer::from_state(IssuerState { imported: imported.collect(), ..state }).unwrap()
}

/// `cargo test --release --test it ten_thousand -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
async fn ten_thousand_issuers_are_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let store = Embedded::create(&path).unwrap();
    let start = std::time::Instant::now();
    for n in 0..10_000 {
        store.create(&grown(&format!("issuer-{n}")), commit_id()).await.unwrap();
    }
    println!("10,000 commits: {:?}", start.elapsed());
    drop(store);
    let start = std::time::Instant::now();
    let store = Embedded::open(&path).unwrap();
    println!("open: {:?}", start.elapsed());
    assert_eq!(store.load_all().unwrap().len(), 10_000);
    println!("open and load_all: {:?}", start.elapsed());
}
