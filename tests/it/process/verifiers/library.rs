//! One verifier library at work in a process (or thread) of its own, as in a service that never restarts.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::daemon::{PATIENCE, monotonic, now, sources, until, variable};
use crate::support::http::Address;

/// Whom the tokens are for.
pub const AUDIENCE: &str = "https://api.example.com";

/// A library, as the configuration declares it.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// What the test calls it.
    pub name: &'static str,
    /// The library.
    pub service: &'static str,
    /// For how long it keeps a set, in seconds.
    pub cache: u64,
    /// How many seconds earlier than after `cache` it fetches for the second time.
    pub phase: u64,
    /// What it can verify.
    pub algorithms: &'static [&'static str],
}

/// What a library said of a token.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub id: usize,
    /// Nothing if it accepted.
    pub rejected: Option<String>,
    /// When it was heard: the steady clock, and the wall clock.
    pub at: Duration,
    pub now: i64,
}

/// A library at work.
#[derive(Debug)]
pub struct Running {
    library: Library,
    tokens: Tokens,
    heard: Mutex<Heard>,
}

#[derive(Debug)]
enum Tokens {
    Process { child: Mutex<Child>, stdin: Mutex<ChildStdin> },
    Thread(Sender<Value>),
}

#[derive(Debug)]
struct Heard {
    verdicts: Receiver<Verdict>,
    taken: Vec<Verdict>,
}

impl Library {
    /// Starts it on the JWK Set of the issuer at `url`, to keep each set for `cache` seconds.
    pub fn start(self, url: &str, cache: u64) -> Running {
        let jwks = format!("{url}/.well-known/jwks.json");
        let (sender, verdicts) = channel();
        let tokens = match self.service {
            "jsonwebtoken" => {
                let (tokens, taken) = channel();
                let port = url.split(':').nth(2).and_then(|rest| rest.split('/').next()?.parse().ok());
                let service = Service {
                    address: Address::Tcp(port.expect("a URL with a port")),
                    issuer: url.to_owned(),
                    cache: Duration::from_secs(cache),
                    phase: Duration::from_secs(self.phase),
                    held: None,
                };
                thread::spawn(move || service.serve(&taken, &sender));
                Tokens::Thread(tokens)
            }
            service => {
                let mut command = interpreter(service);
                // No proxy of the machine may come in between.
                command
                    .env_clear()
                    .args([&jwks, url, AUDIENCE, &cache.to_string()])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped());
                let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; {RUN_TEST}"));
                let stdin = Mutex::new(child.stdin.take().expect("a pipe"));
                let stdout = child.stdout.take().expect("a pipe");
                thread::spawn(move || {
                    BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| say(&sender, &line))
                });
                Tokens::Process { child: Mutex::new(child), stdin }
            }
        };
        Running { library: self, tokens, heard: Mutex::new(Heard { verdicts, taken: Vec::new() }) }
    }
}

fn say(sender: &Sender<Verdict>, line: &str) {
    let verdict: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let id = verdict["id"].as_u64().and_then(|id| usize::try_from(id).ok()).expect("a verdict has an id");
    let rejected = (verdict["ok"] != true).then(|| verdict["reason"].to_string());
    // Nobody listens any more when the test is over.
    let _ = sender.send(Verdict { id, rejected, at: monotonic(), now: now() });
}

impl Running {
    pub fn library(&self) -> Library {
        self.library
    }

    /// Hands it a token. Whatever it can't verify by design it is not asked about.
    pub fn show(&self, id: usize, token: &str, algorithm: &str) -> bool {
        if !self.library.algorithms.contains(&algorithm) {
            return false;
        }
        let request = json!({"id": id, "token": token, "alg": algorithm});
        match &self.tokens {
            Tokens::Thread(tokens) => tokens.send(request).expect("the verifier lives"),
            Tokens::Process { stdin, .. } => {
                let mut stdin = stdin.lock().unwrap();
                writeln!(stdin, "{request}").unwrap_or_else(|error| panic!("{}: {error}", self.library.name));
            }
        }
        true
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<Verdict> = heard.verdicts.try_iter().collect();
        heard.taken.extend(new);
        heard
    }

    /// Waits until it has said so much.
    pub fn wait_for(&self, count: usize) {
        let said = until(PATIENCE, || (self.heard().taken.len() >= count).then_some(()));
        assert!(said.is_some(), "{} has not said {count} verdicts", self.library.name);
    }

    /// Everything that it has said since the last call.
    pub fn verdicts(&self) -> Vec<Verdict> {
        std::mem::take(&mut self.heard().taken)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Tokens::Process { child, .. } = &mut self.tokens {
            let child = child.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A service in Rust: `jsonwebtoken`, and a set that is fetched when its time is over and at no other time.
struct Service {
    address: Address,
    issuer: String,
    cache: Duration,
    phase: Duration,
    held: Option<(Duration, JwkSet)>,
}

impl Service {
    fn serve(mut self, tokens: &Receiver<Value>, verdicts: &Sender<Verdict>) {
        for request in tokens {
            let checked = self.check(&request);
            let verdict = match checked {
                Ok(()) => json!({"id": request["id"], "ok": true}),
                Err(reason) => json!({"id": request["id"], "ok": false, "reason": reason}),
            };
            say(verdicts, &verdict.to_string());
        }
    }

    fn check(&mut self, request: &Value) -> Result<(), String> {
        let text = |name: &str| request[name].as_str().unwrap_or_default();
        let (token, algorithm) = (text("token"), text("alg"));
        let issuer = self.issuer.clone();
        let fault = |error: jsonwebtoken::errors::Error| error.to_string();
        let kid = jsonwebtoken::decode_header(token).map_err(fault)?.kid.ok_or("no kid")?;
        let jwk = self.current()?.find(&kid).ok_or("unknown kid")?;
        let mut validation = Validation::new(algorithm.parse().map_err(fault)?);
        validation.leeway = 0;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&issuer]);
        let key = DecodingKey::from_jwk(jwk).map_err(fault)?;
        jsonwebtoken::decode::<Value>(token, &key, &validation).map(|_| ()).map_err(fault)
    }

    fn current(&mut self) -> Result<&JwkSet, String> {
        let is_over = self.held.as_ref().is_none_or(|(fetched, _)| monotonic() - *fetched >= self.cache);
        if is_over {
            let path = self.issuer.split_once("//").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
            let path = format!("{}/.well-known/jwks.json", path.unwrap_or_default());
            let answer = self.address.get(&path).map_err(|failure| failure.to_string())?;
            let set = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            // A set that is younger than it is taken for is held for less long.
            let phase = std::mem::take(&mut self.phase);
            self.held = Some((monotonic().saturating_sub(phase), set));
        }
        self.held.as_ref().map(|(_, set)| set).ok_or_else(|| "no set".to_owned())
    }
}

const RUN_TEST: &str = "run ./test, which installs the verifier libraries";

fn tools() -> PathBuf {
    sources().join("target/verifiers")
}

/// Fails with what to do if the libraries are not installed.
pub fn require_interpreters() {
    let tools = tools();
    for needed in ["node_modules/jose", "venv/bin/python"] {
        assert!(tools.join(needed).exists(), "{} is missing; {RUN_TEST}", tools.join(needed).display());
    }
    // Node finds a library only beside the script.
    std::fs::copy(sources().join("tests/verifiers/jose.mjs"), tools.join("jose.mjs")).unwrap();
}

fn interpreter(library: &str) -> Command {
    if library == "jose" {
        let mut command = Command::new(node());
        command.arg(tools().join("jose.mjs"));
        return command;
    }
    let mut command = Command::new(tools().join("venv/bin/python"));
    command.arg(sources().join(format!("tests/verifiers/{library}_client.py")));
    command
}

/// The Node of the test run's choice, or the first on the path: the child gets no path to look along.
fn node() -> PathBuf {
    if let Some(node) = variable("JWKSD_TEST_NODE") {
        return node.into();
    }
    let path = variable("PATH").unwrap_or_default();
    let found = path.split(':').map(|directory| PathBuf::from(directory).join("node")).find(|node| node.exists());
    found.unwrap_or_else(|| panic!("there is no node on the path; {RUN_TEST}"))
}
