//! Software keys when the process dies, or the disk takes no more.
//!
//! The victim is this test binary itself, started again for [`victim`] alone.

use std::path::Path;
use std::process::Command;

use jwksd::backend::{Backend, BackendError};

use super::super::{SEALING_KEY, es256, label, open};
use super::{content, home, key, try_open, with_keys};

const VICTIM: &str = "backends::software::crash::victim";
const VICTIM_DIR: &str = "JWKSD_TEST_KEYS";
const VICTIM_ACT: &str = "JWKSD_TEST_ACT";

/// Not a test of its own: what the other tests start in a process that they can do without.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the parent's orders")]
async fn victim() {
    let (Ok(dir), Ok(act)) = (std::env::var(VICTIM_DIR), std::env::var(VICTIM_ACT)) else { return };
    let software = try_open(Path::new(&dir), key(SEALING_KEY)).unwrap();
    let label = label("ring", 1);
    match act.as_str() {
        "generate" => drop(software.generate(&label, es256()).await.unwrap()),
        "destroy" => drop(software.destroy(&software.list().await.unwrap()[0].handle).await.unwrap()),
        "fill" => {
            let text = match software.generate(&label, es256()).await {
                Err(BackendError::Unavailable(text) | BackendError::Refused(text)) => text,
                other => panic!("a full disk took a key: {other:?}"),
            };
            println!("VICTIM {text}");
        }
        other => panic!("{other}?"),
    }
}

fn start(dir: &Path, act: &str, shell: &str) -> Command {
    let mut command = Command::new("sh");
    let me = std::env::current_exe().unwrap();
    command.args(["-c", &format!("{shell} exec \"$0\" --exact {VICTIM} --nocapture")]).arg(me);
    command.env(VICTIM_DIR, dir).env(VICTIM_ACT, act);
    command
}

#[tokio::test]
async fn a_disk_that_takes_no_more_leaves_nothing_half_made() {
    let (home, keys) = home();
    drop(open(&home));
    let before = content(&keys);
    // Without root, this is how a write is made to fail: no file may grow, and the signal for it is ignored.
    let output = start(&keys, "fill", "trap '' XFSZ; ulimit -f 0;").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let named = format!("writing {}/.it.main.ring.v1.json.tmp: File too large", keys.display());
    assert!(said.contains(&named), "{said}");
    assert_eq!(content(&keys), before);
    open(&home).generate(&label("ring", 1), es256()).await.unwrap();
}

#[tokio::test]
async fn half_written_files_are_removed_at_open() {
    let (home, keys, made) = with_keys(1).await;
    let before = content(&keys);
    for name in [".it.main.ring.v2.json.tmp", ".sealing.json.tmp"] {
        std::fs::write(keys.join(name), "{\"format\":").unwrap();
    }
    let software = open(&home);
    assert_eq!(content(&keys), before);
    assert_eq!(software.generate(&label("ring", 1), es256()).await.as_ref(), Ok(&made[0]));
}

#[cfg(feature = "failpoints")]
mod failpoints {
    use super::super::super::{sign, verifies};
    use super::super::key_file;
    use super::*;

    fn kill_at(dir: &Path, act: &str, point: &str) {
        use std::os::unix::process::ExitStatusExt;
        let status = start(dir, act, "").env("JWKSD_FAILPOINT", point).output().unwrap().status;
        assert_eq!(status.signal(), Some(9), "{point}: {status}");
    }

    #[tokio::test]
    async fn a_generation_that_died_anywhere_is_finished_by_the_next() {
        for (point, survives) in [("before", false), ("temp_written", false), ("renamed", true)] {
            let (home, keys) = home();
            kill_at(&keys, "generate", &format!("software.generate.{point}"));
            let found = key_file(&keys, 1).exists().then(|| std::fs::read(key_file(&keys, 1)).unwrap());
            assert_eq!(found.is_some(), survives, "{point}");
            let software = open(&home);
            assert_eq!(software.list().await.unwrap().len(), usize::from(survives), "{point}");
            let made = software.generate(&label("ring", 1), es256()).await.unwrap();
            let signature = sign(&software, &made, es256(), b"input").await.unwrap();
            assert!(verifies(&made, es256(), b"input", &signature), "{point}");
            assert_eq!(content(&keys).len(), 3, "{point}: the key, the sealing and the lock");
            if let Some(bytes) = found {
                assert_eq!(std::fs::read(key_file(&keys, 1)).unwrap(), bytes, "{point}: the key was made anew");
            }
        }
    }

    #[tokio::test]
    async fn a_destruction_that_died_anywhere_is_finished_by_the_next() {
        for (point, survives) in [("before", true), ("after", false)] {
            let (home, keys, made) = with_keys(1).await;
            kill_at(&keys, "destroy", &format!("software.destroy.{point}"));
            assert_eq!(key_file(&keys, 1).exists(), survives, "{point}");
            let software = open(&home);
            software.destroy(&made[0].handle).await.unwrap();
            assert!(!key_file(&keys, 1).exists(), "{point}");
        }
    }
}
