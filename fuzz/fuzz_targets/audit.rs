//! No bytes make the reader of audit logs panic, and none that were not written so are sound.
#![no_main]

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use jwksd::audit::verify::{Against, Start, verify, verify_against};
use jwksd::audit::{Digest, last};
use libfuzzer_sys::fuzz_target;

static DIRECTORY: LazyLock<PathBuf> =
    LazyLock::new(|| tempfile::Builder::new().prefix("audit").tempdir_in("/dev/shm").expect("a directory").keep());

/// Lines with the numbers, predecessors and sums that make a chain of them: what is inside is what is tried then.
fn chained(text: &str) -> String {
    let mut log = String::new();
    let mut prev = "0".repeat(64);
    for (before, body) in text.lines().enumerate() {
        let mut line = format!("{{\"seq\":{},\"prev\":\"{prev}\",\"synced\":{before},{body}", before + 1);
        let sum = Digest::of(line.as_bytes()).to_string();
        write!(line, ",\"sum\":\"{}\"}}", &sum[..16]).expect("a text");
        prev = Digest::of(line.as_bytes()).to_string();
        log += &line;
        log.push('\n');
    }
    log
}

fuzz_target!(|bytes: &[u8]| {
    let segment = DIRECTORY.join("audit-00000000000000000001.jsonl");
    let written = match bytes {
        [b'+', body @ ..] => chained(&String::from_utf8_lossy(body)).into_bytes(),
        _ => bytes.to_vec(),
    };
    fs::write(&segment, written).expect("a writable directory");
    let rest = Against { start: Start::Anywhere, ..Against::default() };
    assert!(verify(&DIRECTORY).is_err() || verify_against(&DIRECTORY, &rest).is_ok(), "what is sound as a whole is sound as a rest");
    let _ = last(&DIRECTORY, 3);
});
