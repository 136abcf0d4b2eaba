//! AWS KMS without AWS: ministack, an emulator that others wrote, and before it a proxy as strict as the documentation,
//! which does harm as it is told.

mod proxy;
mod wire;

use std::fs::File;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::daemon::{PATIENCE, free_port, sources, until, variable};
pub use proxy::{Act, Proxy, Rule};
pub use wire::ask;

/// A running emulator, without keys. Dropped, it ends.
pub struct Emulator {
    child: Child,
    pub port: u16,
    _home: TempDir,
}

impl Emulator {
    pub fn start() -> Self {
        let program = sources().join("target/aws/venv/bin/ministack");
        assert!(program.exists(), "{} is missing; run ./test", program.display());
        let home = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let port = free_port();
            let log = File::create(home.path().join("log")).unwrap();
            // Also if this process is killed; and without these switches it would listen beyond loopback.
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL"]).arg(&program).env_clear().env("HOME", home.path());
            command.env("PATH", "/usr/bin:/bin").env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
            command.env("SERVICES", "kms,tagging").env("IOT_MTLS_ENABLED", "0").env("SFTP_ENABLED", "0");
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let mut child = command.spawn().unwrap();
            let ready = until(PATIENCE, || {
                let ended = child.try_wait().unwrap().is_some();
                let answers = ask(port, "TrentService.ListKeys", &json!({})).is_ok_and(|answer| answer.status == 200);
                (ended || answers).then_some(!ended)
            });
            if ready == Some(true) {
                return Self { child, port, _home: home };
            }
            // Somebody took the port meanwhile.
            drop(child.kill());
            child.wait().unwrap();
        }
        panic!("the emulator does not start: {}", std::fs::read_to_string(home.path().join("log")).unwrap());
    }

    /// Makes a call of KMS as somebody else would.
    pub fn call(&self, operation: &str, body: &Value) -> Value {
        let answer = ask(self.port, &format!("TrentService.{operation}"), body).unwrap();
        assert_eq!(answer.status, 200, "{operation} {body}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    /// What there is: the metadata of every key.
    pub fn keys(&self) -> Vec<Value> {
        let keys = self.call("ListKeys", &json!({}));
        let keys = keys["Keys"].as_array().unwrap().iter();
        keys.map(|key| self.call("DescribeKey", &json!({"KeyId": key["KeyArn"]}))["KeyMetadata"].clone()).collect()
    }

    /// The ARNs of the keys in that state.
    pub fn arns(&self, state: &str) -> Vec<String> {
        let keys = self.keys().into_iter().filter(|key| key["KeyState"] == state);
        let mut arns: Vec<String> = keys.map(|key| key["Arn"].as_str().unwrap().to_owned()).collect();
        arns.sort();
        arns
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the SDK finds in the environment of a process that is to have credentials.
pub const CREDENTIALS: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
    ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
    // Or the SDK asks a machine of the cloud for them, which is not there.
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/dev/null"),
];

pub const REGION: &str = "eu-west-1";

/// Runs the ignored test `name` of this binary in a process that has credentials, and fails as it does: the SDK takes
/// them from the environment, and a process has only one.
pub fn with_credentials(name: &str) {
    with_env(name, &CREDENTIALS);
}

/// The same with credentials that are somewhere else.
pub fn with_env(name: &str, env: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]).envs(env.iter().copied());
    let output = child.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{name} in a process of its own:\n{text}");
    if variable("JWKSD_LONG").is_some() {
        println!("{text}");
    }
}
