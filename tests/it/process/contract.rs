//! The running daemon is what its OpenAPI documents say: schemathesis makes requests from them, right and wrong ones.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::daemon::{PATIENCE, sources, until, variable};
use crate::support::http::Address;

/// Generated requests for each operation.
const EXAMPLES: &str = "25";
const EXAMPLES_LONG: &str = "1000";

/// What must hold of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";

/// Names that there are, so that requests get further than to a 404. Half of the requests stray from them.
const PARAMETERS: &str = "[parameters]\n\"path.issuer\" = \"dev\"\n\"path.ring\" = \"es256\"\n";

struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).unwrap();
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.0.wait();
    }
}

/// The first of three ports in a row that are free.
fn ports() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (20_000..32_000).step_by(3).find(|first| (*first..first + 3).all(is_free)).expect("free ports")
}

#[test]
fn no_request_is_answered_with_what_the_documents_do_not_say() {
    let program = sources().join("target/verifiers/venv/bin/schemathesis");
    assert!(program.exists(), "{} is missing; ./test installs it", program.display());
    let directory = tempfile::tempdir().unwrap();
    let first = ports();
    let address = |n: u16| format!("127.0.0.1:{}", first + n);
    let log = directory.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_jwksd"));
    command.args(["dev", "--public", &address(0), "--signing", &address(1), "--admin", &address(2), "--data"]);
    command.arg(directory.path().join("data")).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    let mut dev = Dev(command.stderr(File::create(&log).unwrap()).spawn().unwrap());
    let admin = Address::Tcp(first + 2);
    let is_ready = || admin.get("/readyz").is_ok_and(|answer| answer.status == 200).then_some(());
    assert!(until(PATIENCE, is_ready).is_some(), "{}", fs::read_to_string(&log).unwrap());

    let parameters = directory.path().join("schemathesis.toml");
    fs::write(&parameters, PARAMETERS).unwrap();
    let examples = if variable("JWKSD_LONG").is_some() { EXAMPLES_LONG } else { EXAMPLES };
    for listener in 1..=2 {
        let url = format!("http://{}", address(listener));
        let mut command = Command::new(&program);
        command.current_dir(directory.path()).arg("--config-file").arg(&parameters).args(["run", "--url", &url]);
        command.args([&format!("{url}/openapi.json"), "--max-examples", examples, "--checks", CHECKS, "--no-color"]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let tested = said.lines().find(|line| line.contains(" generated, ")).unwrap_or_default();
        println!("{url}: {}", tested.trim());
    }
    assert!(dev.0.try_wait().unwrap().is_none(), "the daemon ended: {}", fs::read_to_string(&log).unwrap());
}
