//! A daemon of its own: a configuration in a directory that goes with it, one process, ended by its id.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getuid, kill_process};

use super::client::Connection;
use super::machine;

/// The daemon that cargo has built beside this bench.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_jwksd");

/// The longest that a start may take.
const START_MAX: Duration = Duration::from_secs(120);

/// A configuration, its data, its addresses.
pub struct Site {
    pub directory: PathBuf,
    pub public: SocketAddr,
    pub metrics: SocketAddr,
    pub signing: PathBuf,
    /// What the daemon finds in its environment, beside what is there.
    pub environment: &'static [(&'static str, &'static str)],
    config: PathBuf,
}

impl Site {
    /// Writes a configuration into `directory`. `audit` is `durable`, `async` or `off`; `issuers` are TOML tables
    /// whose rings use the backend `soft`.
    pub fn new(directory: &Path, audit: &str, issuers: &str) -> Self {
        fs::create_dir_all(directory).expect("a writable directory");
        let key = directory.join("sealing.key");
        let mut file = fs::OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&key).expect("a writable file");
        file.write_all(&[b'5'; 64]).expect("a writable file");
        let backend = format!(
            "[backends.soft]\nkind = \"software\"\nsign_deadline = \"1s\"\nsealing_key = {{ file = \"{}\" }}\n",
            key.display()
        );
        Self::over(directory, audit, &backend, issuers)
    }

    /// The same over other backends, given as TOML tables.
    pub fn over(directory: &Path, audit: &str, backends: &str, issuers: &str) -> Self {
        let directory = directory.to_owned();
        fs::create_dir_all(&directory).expect("a writable directory");
        let (public, metrics) = (free_address(), free_address());
        let (signing, admin) = (directory.join("sign.sock"), directory.join("admin.sock"));
        let text = format!(
            "installation = \"bench\"\nallow_software_keys = true\n\
             [data]\ndir = \"{data}\"\n[audit]\nsignatures = \"{audit}\"\n[runtime]\nworkers = 1\n\
             [listen.public]\naddress = \"{public}\"\n[listen.signing]\naddress = \"unix:{signing}\"\n\
             [listen.admin]\naddress = \"unix:{admin}\"\n[listen.metrics]\naddress = \"{metrics}\"\n\
             [log]\nlevel = \"error\"\nformat = \"text\"\n{backends}\
             [[grants]]\ncaller = {{ uid = {uid} }}\nallow = [\"sign\"]\n{issuers}",
            data = directory.join("data").display(),
            signing = signing.display(),
            admin = admin.display(),
            uid = getuid().as_raw(),
        );
        let config = directory.join("jwksd.toml");
        fs::write(&config, text).expect("a writable file");
        Self { directory, public, metrics, signing, environment: &[], config }
    }

    /// Makes the store and the issuers.
    pub fn init(&self) {
        let mut command = Command::new(PROGRAM);
        let output = command
            .arg("init")
            .arg("--config")
            .arg(&self.config)
            .envs(self.environment.iter().copied())
            .output()
            .expect("the daemon's program");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "jwksd init: {said}");
    }

    /// Starts the daemon on the server's processor.
    pub fn start(&self) -> Daemon {
        let mut command = machine::pinned(machine::SERVER, Path::new(PROGRAM));
        command
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null());
        let begun = Instant::now();
        Daemon { child: command.spawn().expect("taskset and the daemon's program"), begun }
    }

    /// Waits until `path` is answered with 200 on the public listener.
    pub fn wait_for(&self, path: &str) -> String {
        let request = get(path, "");
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            let asked = Connection::tcp(self.public).and_then(|mut connection| connection.ask(&request));
            match asked {
                Ok((answer, body)) if answer.status == 200 => return body,
                _ => std::thread::sleep(Duration::from_micros(500)),
            }
        }
        panic!("{path} was not served within {START_MAX:?}");
    }

    /// Waits until a token is signed, so that nothing of a start is left to do.
    pub fn wait_for_token(&self, request: &[u8]) {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < START_MAX {
            match Connection::unix(&self.signing).and_then(|mut connection| connection.ask(request)) {
                Ok((answer, _)) if answer.status == 200 => return,
                Ok((answer, body)) => last = format!("{}: {body}", answer.status),
                Err(error) => last = error.to_string(),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no token within {START_MAX:?}: {last}");
    }
}

/// A GET request with more header lines, each with its line end.
pub fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

/// An address on loopback that nobody has at the moment.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address")
}

/// A running process; ended when this is dropped.
pub struct Daemon {
    child: Child,
    pub begun: Instant,
}

impl Daemon {
    /// Any other server, to be ended in the same way.
    pub fn of(child: Child) -> Self {
        Self { child, begun: Instant::now() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        for _ in 0..1_000 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
