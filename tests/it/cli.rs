//! The command line as people and scripts meet it. Every text is kept in `cli/*.txt`, to be read by people.

mod access;
mod audit_log;
mod help;
mod program;
mod stub;
#[cfg(feature = "pkcs11")]
mod tokens;
mod views;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Compares `actual` with the text that was found good before.
fn assert_kept(name: &str, actual: &str) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli").join(name);
    if fs::read_to_string(&kept).unwrap_or_default() != actual {
        let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&new, actual).unwrap();
        panic!("texts have changed: read {}, and copy it to {} if they are good", new.display(), kept.display());
    }
}

/// The program with these arguments, in an environment of its own and without a terminal.
fn jwksd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jwksd"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
