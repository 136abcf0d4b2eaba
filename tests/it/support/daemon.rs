//! The real `jwksd`, in processes that a test may kill: its files, its listeners, its end.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use jwksd::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal, getuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::http::{Address, Answer, Failure};

/// How long a start, an end or a state that must come may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

const BINARY: &str = env!("CARGO_BIN_EXE_jwksd");

/// The files of one installation. Daemons come and go on it.
#[derive(Debug)]
pub struct Installation {
    root: TempDir,
    env: Vec<(&'static str, &'static str)>,
    pub data: PathBuf,
    pub audit: PathBuf,
    pub public: Address,
    pub signing: Address,
    pub admin: Address,
}

/// What differs from one installation to another.
#[derive(Debug, Default)]
pub struct Layout {
    /// The tables of the issuers; `{public}` in it becomes the address of the public listener, `{root}` the
    /// directory in which everything lies.
    pub issuers: String,
    /// The port of the public listener; a Unix socket without one.
    pub port: Option<u16>,
    /// Keys of the table `audit`.
    pub audit: String,
    /// Where data go instead, for instance onto a small disk.
    pub data: Option<PathBuf>,
    /// Where the audit log goes instead.
    pub audit_dir: Option<PathBuf>,
    /// What every command finds in its environment.
    pub env: Vec<(&'static str, &'static str)>,
}

impl Installation {
    /// Writes the configuration. Nothing is started.
    pub fn new(layout: Layout) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let Layout { issuers, port, audit, data, audit_dir, env } = layout;
        let data = data.unwrap_or(path("data"));
        let this = Self {
            audit: audit_dir.unwrap_or(data.join("audit")),
            data,
            public: port.map_or(Address::Unix(path("public")), Address::Tcp),
            signing: Address::Unix(path("signing")),
            admin: Address::Unix(path("admin")),
            env,
            root,
        };
        this.seal(&[7; 32]);
        this.configure(&issuers, &audit);
        this
    }

    fn configure(&self, issuers: &str, audit: &str) {
        let Self { root, data, audit: audit_dir, public, signing, admin, env: _ } = self;
        let root = root.path().display();
        let issuers = issuers.replace("{public}", &public.to_string()).replace("{root}", &root.to_string());
        let config = format!(
            r#"
installation = "it"
allow_software_keys = true
data.dir = {data:?}
[audit]
dir = {audit_dir:?}
{audit}
[listen]
public = {{ address = "{public}" }}
signing = {{ address = "{signing}" }}
admin = {{ address = "{admin}" }}
[log]
format = "text"
[backends.soft]
kind = "software"
sealing_key = {{ file = "{root}/sealing.key" }}
sign_deadline = "1s"
[[grants]]
caller = {{ uid = {uid} }}
allow = ["sign", "sign_raw", "admin"]
{issuers}
"#,
            uid = getuid().as_raw()
        );
        fs::write(self.config(), config).unwrap();
    }

    /// Puts a sealing key in place.
    pub fn seal(&self, key: &[u8; 32]) {
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(self.path("sealing.key")).unwrap();
        file.write_all(jwksd::jose::base64url::encode(key).as_bytes()).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.path("jwksd.toml")
    }

    /// A path beside the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.data.join("state.redb")
    }

    /// A command of the real binary, without anything of this process's environment that could steer it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(args)
            .env_clear()
            .envs(self.env.clone())
            .env("JWKSD_CONFIG", self.config())
            .env("JWKSD_ADMIN", self.admin.to_string());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command that ends by itself.
    pub fn run(&self, args: &[&str]) -> Output {
        finish(self.command(args))
    }

    /// Runs a command that has to succeed.
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "jwksd {args:?}: {:?}\n{}", output.status, said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that has to be refused, and returns its exit code and what it said.
    pub fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(!output.status.success(), "jwksd {args:?} was not refused\n{}", said(&output));
        (output.status.code().unwrap_or(-1), said(&output))
    }

    pub fn init(&self) {
        self.done(&["init"]);
    }

    /// Starts a daemon, to die at `failpoint` if one is given, and does not wait for it.
    pub fn spawn(&self, failpoint: Option<&str>) -> Daemon {
        let mut command = self.command(&["run"]);
        if let Some(failpoint) = failpoint {
            command.env("JWKSD_FAILPOINT", failpoint);
        }
        self.spawn_as(command)
    }

    /// Starts what becomes a daemon.
    pub fn spawn_as(&self, mut command: Command) -> Daemon {
        let log = self.path("stderr");
        let from = fs::metadata(&log).map_or(0, |log| log.len());
        let file = File::options().append(true).create(true).open(&log).unwrap();
        command.stdout(Stdio::null()).stderr(file);
        Daemon { child: command.spawn().unwrap(), log, from, admin: self.admin.clone() }
    }

    /// Starts a daemon and waits until it is ready.
    pub fn start(&self) -> Daemon {
        let mut daemon = self.spawn(None);
        daemon.wait_ready();
        daemon
    }

    /// The names of the files in the directory of software keys that hold keys, without their suffix.
    pub fn key_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data.join("keys/soft")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut handles: Vec<String> = names
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .filter(|name| name != "sealing")
            .collect();
        handles.sort();
        handles
    }

    /// The segments of the audit log, oldest first.
    pub fn audit_segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.audit).unwrap().map(|entry| entry.unwrap().path());
        let mut segments: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
        segments.sort();
        segments
    }

    /// Every record of the audit log.
    pub fn audit_text(&self) -> String {
        self.audit_segments().iter().map(|segment| fs::read_to_string(segment).unwrap()).collect()
    }
}

fn finish(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // What these commands say fits into a pipe, so that waiting before reading can't hang.
    let ended = until(PATIENCE, || child.try_wait().unwrap());
    if ended.is_none() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    assert!(ended.is_some(), "{command:?} did not end\n{}", said(&output));
    output
}

/// Both streams of a command.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// One running daemon. Dropped, it is killed and reaped; a failing test then shows what it logged.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// Where its part of the log begins.
    from: u64,
    admin: Address,
}

impl Daemon {
    /// Waits until the daemon says that it is ready.
    pub fn wait_ready(&mut self) {
        let ready = until(PATIENCE, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended before it was ready: {status}");
            }
            is_ready(&self.admin).then_some(())
        });
        assert!(ready.is_some(), "the daemon was not ready in time");
    }

    /// Its end, if it has come within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        until(patience, || self.child.try_wait().unwrap())
    }

    /// Its end, which must come by itself.
    pub fn ended(&mut self) -> ExitStatus {
        self.wait(PATIENCE).expect("the daemon did not end")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends it as a power cut would, as far as the process is concerned.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// What it has logged.
    pub fn stderr(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let from = usize::try_from(self.from).unwrap_or(usize::MAX);
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.stderr();
            let lines: Vec<&str> = log.lines().collect();
            println!("-- stderr of the daemon, its last lines --");
            lines[lines.len().saturating_sub(LOG_LINES)..].iter().for_each(|line| println!("{line}"));
        }
    }
}

/// How much of a daemon's log a failing test shows.
const LOG_LINES: usize = 60;

fn is_ready(admin: &Address) -> bool {
    let status = |answer: Answer| -> Option<Value> { serde_json::from_slice(&answer.body).ok() };
    match admin.get("/v1/status") {
        Ok(answer) if answer.status == 200 => status(answer).is_some_and(|status| status["readiness"]["ready"] == true),
        Ok(_) | Err(Failure::Unreachable(_) | Failure::Broken(_)) => false,
    }
}

/// Asks again and again until there is an answer, or `patience` is over.
pub fn until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = monotonic() + patience;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if monotonic() >= deadline {
            return None;
        }
        pause(Duration::from_millis(10));
    }
}

/// Lets others run. Nothing may depend on its length.
pub fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// Time since an arbitrary start.
pub fn monotonic() -> Duration {
    SystemClock.monotonic()
}

/// The wall clock, in whole seconds.
pub fn now() -> i64 {
    SystemClock.now().as_second()
}

/// A TCP port that nobody has now, from below those that the system hands out to clients.
pub fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let ports = (first..32_000).chain(20_000..first);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.into_iter().find(is_free).expect("a free port")
}

/// Whether a variable of the test run's environment is set, and to what.
#[expect(clippy::disallowed_methods, reason = "how the test run is told how long it may be")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The directory with the sources.
pub fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
