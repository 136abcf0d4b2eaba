//! What only software keys promise: files that survive, and that can't be mistaken for others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{join, join_all};
use jwksd::backend::software::{OpenError, SealingKey, Software};
use jwksd::backend::{Backend, BackendError, Destroyed, Generated, Input, KeyRef};
use jwksd::ids::Handle;
use jwksd::jose::alg::{Algorithm, KeySpec};
use tempfile::TempDir;

use super::{INSTALLATION, SEALING_KEY, es256, label, open, sign, verifies};

mod crash;

fn try_open(dir: &Path, sealing: SealingKey) -> Result<Software, OpenError> {
    Software::open(dir, sealing, INSTALLATION.parse().unwrap())
}

fn key(bytes: [u8; 32]) -> SealingKey {
    SealingKey::from_bytes(&bytes).unwrap()
}

fn passphrase(text: &str) -> SealingKey {
    SealingKey::from_passphrase(text).unwrap()
}

fn home() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let keys = home.path().join("keys");
    (home, keys)
}

/// A home that holds the keys `main.ring.v1` up to `count`, closed.
async fn with_keys(count: u64) -> (TempDir, PathBuf, Vec<Generated>) {
    let (home, keys) = home();
    let software = open(&home);
    let mut made = Vec::new();
    for number in 1..=count {
        made.push(software.generate(&label("ring", number), es256()).await.unwrap());
    }
    (home, keys, made)
}

fn key_file(keys: &Path, number: u64) -> PathBuf {
    keys.join(format!("{INSTALLATION}.main.ring.v{number}.json"))
}

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[tokio::test]
async fn keys_are_there_after_a_restart() {
    let (home, _, made) = with_keys(2).await;
    let software = open(&home);
    for (number, key) in (1..).zip(&made) {
        let signature = sign(&software, key, es256(), b"input").await.unwrap();
        assert!(verifies(key, es256(), b"input", &signature));
        assert_eq!(software.generate(&label("ring", number), es256()).await.as_ref(), Ok(key));
    }
    assert_eq!(software.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_passphrase_opens_what_it_has_sealed() {
    let (_home, keys) = home();
    let software = try_open(&keys, passphrase("correct horse battery\n")).unwrap();
    let made = software.generate(&label("ring", 1), es256()).await.unwrap();
    drop(software);
    let wrong = try_open(&keys, passphrase("correct horse batterie")).unwrap_err();
    assert!(matches!(wrong, OpenError::WrongKey { .. }), "{wrong:?}");
    let software = try_open(&keys, passphrase("correct horse battery")).unwrap();
    sign(&software, &made, es256(), b"input").await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_not_ours_to_open_is_left_as_it_is() {
    let (_home, keys, _) = with_keys(1).await;
    let before = content(&keys);
    let refused = |sealing, installation: &str| {
        let error = Software::open(&keys, sealing, installation.parse().unwrap()).unwrap_err().to_string();
        error.replace(&keys.display().to_string(), "DIR")
    };
    assert_eq!(
        refused(key([8; 32]), INSTALLATION),
        "the sealing secret given does not open DIR; give the one that these keys were sealed with \
         (no key was touched or made)"
    );
    assert_eq!(
        refused(passphrase("correct horse battery"), INSTALLATION),
        "DIR is sealed with a key, but a passphrase was given; configure the same kind of secret as before"
    );
    assert_eq!(
        refused(key(SEALING_KEY), "other"),
        "DIR belongs to installation it, not other; set `installation = \"it\"`, or use another directory"
    );
    assert_eq!(content(&keys), before);

    fs::write(keys.join("sealing.json"), br#"{"format":2}"#).unwrap();
    assert_eq!(
        refused(key(SEALING_KEY), INSTALLATION),
        "DIR/sealing.json can't be used (it has format 2, this release reads format 1); restore it from a backup"
    );
    fs::remove_file(keys.join("sealing.json")).unwrap();
    assert_eq!(
        refused(key(SEALING_KEY), INSTALLATION),
        "DIR holds keys but no sealing.json; restore that file from the same backup as the keys: \
         a new one would not open them"
    );
    assert!(!keys.join("sealing.json").exists());

    fs::set_permissions(&keys, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(refused(key(SEALING_KEY), INSTALLATION), "DIR is open to every user (mode 755); run `chmod 700` on it");
}

#[test]
fn two_daemons_never_share_a_directory() {
    let (home, keys) = home();
    let first = open(&home);
    let second = try_open(&keys, key(SEALING_KEY)).unwrap_err();
    assert_eq!(
        second.to_string().replace(&keys.display().to_string(), "DIR"),
        "another process has DIR open; stop it first: of two daemons on one key directory, \
         one would go on signing with keys that the other has destroyed"
    );
    drop(first);
    try_open(&keys, key(SEALING_KEY)).unwrap();
}

#[tokio::test]
async fn files_are_for_the_daemon_alone() {
    let (_home, keys, _) = with_keys(1).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keys), 0o700);
    for path in content(&keys).keys() {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn files_that_changed_places_are_refused_by_name() {
    let (home, keys, made) = with_keys(2).await;
    let (one, two, aside) = (key_file(&keys, 1), key_file(&keys, 2), keys.join("aside"));
    fs::rename(&one, &aside).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(&aside, &two).unwrap();
    let software = open(&home);
    for key in &made {
        let Err(BackendError::Mismatch(text)) = sign(&software, key, es256(), b"input").await else {
            panic!("signed with another version's key")
        };
        assert!(text.contains(&format!("{}.json holds the key it/main.ring.v", key.handle)), "{text}");
    }
    let generated = software.generate(&label("ring", 1), es256()).await;
    assert!(matches!(generated, Err(BackendError::Mismatch(_))), "{generated:?}");
}

#[tokio::test]
async fn the_label_inside_a_file_is_sealed_with_it() {
    let (home, keys, made) = with_keys(1).await;
    let forged = fs::read_to_string(key_file(&keys, 1)).unwrap().replace("ring.v1", "ring.v2");
    fs::write(key_file(&keys, 2), forged).unwrap();
    let generated = open(&home).generate(&label("ring", 2), es256()).await;
    let Err(BackendError::Refused(text)) = &generated else { panic!("{generated:?}, made {made:?}") };
    assert!(text.contains("ring.v2.json does not open"), "{text}");
}

#[tokio::test]
async fn a_key_file_of_another_directory_is_refused() {
    let ((_home, keys), (_other_home, other)) = (home(), home());
    for dir in [&keys, &other] {
        let software = try_open(dir, passphrase("correct horse battery")).unwrap();
        software.generate(&label("ring", 1), es256()).await.unwrap();
    }
    fs::copy(key_file(&other, 1), key_file(&keys, 1)).unwrap();
    let software = try_open(&keys, passphrase("correct horse battery")).unwrap();
    let Err(BackendError::Refused(text)) = software.generate(&label("ring", 1), es256()).await else {
        panic!("a stranger's key was taken")
    };
    assert!(text.contains("was sealed in another directory"), "{text}");
}

#[tokio::test]
async fn a_changed_byte_is_noticed_and_never_makes_a_new_key() {
    let (home, keys, made) = with_keys(1).await;
    let path = key_file(&keys, 1);
    let whole = fs::read(&path).unwrap();
    let mut software = open(&home);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        match software.generate(&label("ring", 1), es256()).await {
            // A blank that became another blank is all that may change.
            Ok(generated) => {
                assert!(whole[at].is_ascii_whitespace(), "byte {at}");
                assert_eq!(generated, made[0], "byte {at}");
                drop(software);
                software = open(&home);
            }
            Err(BackendError::Refused(text) | BackendError::Mismatch(text)) => {
                assert!(text.starts_with(&path.display().to_string()), "byte {at}: {text}");
            }
            Err(other) => panic!("byte {at}: {other:?}"),
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "byte {at}: the file was rewritten");
    }
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let torn = software.generate(&label("ring", 1), es256()).await;
    assert!(matches!(torn, Err(BackendError::Refused(_))), "{torn:?}");
}

#[tokio::test]
async fn strangers_files_are_neither_listed_nor_touched() {
    let (home, keys, _) = with_keys(1).await;
    for name in ["notes.txt", "it.main.ring.v01.json", "other.main.ring.v1.json", "a.json"] {
        fs::write(keys.join(name), "not ours").unwrap();
    }
    let software = open(&home);
    assert_eq!(software.list().await.unwrap().len(), 1);
    let foreign = software.destroy(&Handle::new("other.main.ring.v1")).await;
    assert!(matches!(foreign, Err(BackendError::Refused(_))), "{foreign:?}");
    // A handle of another backend: to call it destroyed would leave that key alive for ever.
    let foreign = software.destroy(&Handle::new("arn:aws:kms:eu-west-1:1:key/x")).await;
    assert!(matches!(foreign, Err(BackendError::Refused(_))), "{foreign:?}");
    assert_eq!(content(&keys).len(), 7, "4 strangers, 1 key, the sealing and the lock");
}

#[tokio::test]
async fn an_unmounted_directory_is_unavailable_and_not_empty() {
    let (home, keys, made) = with_keys(1).await;
    let software = open(&home);
    fs::rename(&keys, home.path().join("elsewhere")).unwrap();
    fs::create_dir(&keys).unwrap();
    let unavailable = |error: BackendError| matches!(error, BackendError::Unavailable(_));
    assert!(unavailable(sign(&software, &made[0], es256(), b"input").await.unwrap_err()));
    assert!(unavailable(software.destroy(&made[0].handle).await.unwrap_err()));
    assert!(unavailable(software.generate(&label("ring", 2), es256()).await.unwrap_err()));
    assert!(unavailable(software.list().await.unwrap_err()));
    assert!(unavailable(software.probe().await.unwrap_err()));
    assert!(content(&keys).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_opened_while_it_is_destroyed_stays_destroyed() {
    let (home, _, made) = with_keys(50).await;
    let software = open(&home);
    for key in &made {
        let (_, destroyed) = join(sign(&software, key, es256(), b"input"), software.destroy(&key.handle)).await;
        assert_eq!(destroyed, Ok(Destroyed::Done));
        let signed = sign(&software, key, es256(), b"input").await;
        assert!(matches!(signed, Err(BackendError::NotFound(_))), "{}: {signed:?}", key.handle);
    }
}

#[tokio::test]
async fn a_signature_that_has_no_time_is_not_waited_for() {
    let (home, _) = home();
    let software = open(&home);
    let spec = KeySpec::new(Algorithm::Rs256, None).unwrap();
    let key = software.generate(&label("rsa", 1), spec).await.unwrap();
    let signed = software.sign(KeyRef { handle: &key.handle, spec }, Input::Message(b"input"), Duration::ZERO).await;
    let text = "it.main.rsa.v1 did not sign within 0 ms".to_owned();
    assert_eq!(signed, Err(BackendError::Unavailable(text)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rsa_signatures_at_once_are_each_right() {
    let (home, _) = home();
    let software = open(&home);
    let spec = KeySpec::new(Algorithm::Ps256, None).unwrap();
    let key = software.generate(&label("rsa", 1), spec).await.unwrap();
    let inputs: Vec<String> = (0..64).map(|number| format!("input {number}")).collect();
    let signed = join_all(inputs.iter().map(|input| sign(&software, &key, spec, input.as_bytes()))).await;
    for (input, signature) in inputs.iter().zip(signed) {
        assert!(verifies(&key, spec, input.as_bytes(), &signature.unwrap()), "{input}");
    }
}

#[tokio::test]
async fn nothing_secret_shows_in_debug() {
    let (home, _) = home();
    let software = open(&home);
    let key = software.generate(&label("ring", 1), es256()).await.unwrap();
    sign(&software, &key, es256(), b"input").await.unwrap();
    let text = format!("{software:?}");
    assert!(text.contains("Material(ES256, redacted)") && text.contains("Sealer(redacted)"), "{text}");
    assert!(!text.contains("7, 7, 7"), "{text}");
}
