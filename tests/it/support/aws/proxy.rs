//! A proxy before the emulator: what the emulator allows and AWS does not is refused here, and faults come on demand.

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::wire::{Message, ask, pass};

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Act {
    /// It is answered with an error, and never made.
    Fail { status: u16, code: &'static str },
    /// The connection ends before it is made.
    HangUp,
    /// It is made, and its answer is lost.
    Lose,
    /// It is made, and instead of an answer comes a reset.
    Reset,
    /// It is made, and its answer is cut in the middle.
    Cut,
    /// It is made late.
    Delay(Duration),
    /// Its answer carries this signature of another input, or another answer's key.
    Forge,
    /// Its answer names another key.
    Rename,
    /// The process dies before it is made.
    KillBefore,
    /// The process dies when it is made, before the answer.
    KillAfter,
    /// An index of tags that has not come so far: nothing is found.
    Blind,
}

/// Which calls are harmed.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The operation; every one without it.
    pub operation: Option<&'static str>,
    /// So many calls go well before.
    pub skip: u64,
    /// So many are harmed.
    pub times: u64,
    pub act: Act,
}

/// A running proxy. Dropped, it takes no further connections.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    calls: Mutex<Vec<String>>,
    /// The access key whose credentials have run out.
    worn_out: Mutex<String>,
    /// The process that a rule kills.
    victim: AtomicU32,
    is_over: AtomicBool,
}

impl Proxy {
    /// Starts a proxy before the emulator on `upstream`.
    pub fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let (mine, theirs) = (Self { port, shared: Arc::clone(&shared) }, shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&theirs));
                // A connection that breaks is what some of the tests want.
                thread::spawn(move || drop(serve(stream, upstream, &shared)));
            }
        });
        mine
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Harms calls from now on; the first rule that fits counts.
    pub fn harm(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// Harms the next `times` calls of an operation.
    pub fn harm_next(&self, operation: &'static str, times: u64, act: Act) {
        self.harm(Rule { operation: Some(operation), skip: 0, times, act });
    }

    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Refuses who comes with this access key from now on.
    pub fn wear_out(&self, access_key: &str) {
        access_key.clone_into(&mut lock(&self.shared.worn_out));
    }

    pub fn set_victim(&self, pid: u32) {
        self.shared.victim.store(pid, Ordering::SeqCst);
    }

    /// The operations that were called since the last time.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.calls))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, upstream: u16, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = Message::read(&mut reader)? {
        let target = request.header("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let act = shared.act(&operation);
        let answer = match &act {
            Some(Act::Fail { status, code }) => Message::error(*status, code, "as the test wants it"),
            None if shared.is_worn_out(&request) => Message::error(400, "ExpiredTokenException", "it has run out"),
            Some(Act::HangUp) => return stream.shutdown(Shutdown::Both),
            Some(Act::KillBefore) => {
                shared.kill();
                return Ok(());
            }
            Some(Act::Blind) => Message::json(200, &json!({"ResourceTagMappingList": [], "PaginationToken": ""})),
            Some(Act::Delay(delay)) => {
                thread::sleep(*delay);
                strict(&operation, &request, upstream)?
            }
            _ => strict(&operation, &request, upstream)?,
        };
        let bytes = match act {
            Some(Act::Lose) => return stream.shutdown(Shutdown::Both),
            // Closed without lingering, a connection is reset.
            Some(Act::Reset) => return Ok(set_socket_linger(&stream, Some(Duration::ZERO))?),
            Some(Act::KillAfter) => {
                shared.kill();
                return Ok(());
            }
            Some(Act::Cut) => {
                let bytes = answer.bytes();
                stream.write_all(&bytes[..bytes.len() - answer.body.len() / 2])?;
                return stream.shutdown(Shutdown::Both);
            }
            Some(Act::Forge) => changed(&answer, |body| {
                let signature = STANDARD.decode(body["Signature"].as_str().unwrap()).unwrap();
                // Still two numbers in DER, or as long as before: only who verifies can tell.
                let mut signature = signature;
                *signature.last_mut().unwrap() ^= 1;
                body["Signature"] = STANDARD.encode(signature).into();
            }),
            Some(Act::Rename) => changed(&answer, |body| {
                let other = body["KeyId"].as_str().unwrap().replace(|c: char| c.is_ascii_digit(), "0");
                body["KeyId"] = other.into();
            }),
            _ => answer.bytes(),
        };
        stream.write_all(&bytes)?;
    }
    Ok(())
}

fn changed(answer: &Message, change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    change(&mut body);
    Message::json(answer.status, &body).bytes()
}

/// Has the emulator answer, unless AWS would refuse: AWS KMS API reference, Sign, GetPublicKey, ScheduleKeyDeletion.
fn strict(operation: &str, request: &Message, upstream: u16) -> io::Result<Message> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let refused = |code, text: &str| Ok(Message::error(400, code, text));
    if operation == "Sign" && body["MessageType"] == "RAW" {
        let length = STANDARD.decode(body["Message"].as_str().unwrap_or_default()).unwrap_or_default().len();
        if !(1..=4_096).contains(&length) {
            return refused("ValidationException", "message must have a length of 1 to 4096");
        }
    }
    if ["GetPublicKey", "ScheduleKeyDeletion", "DisableKey", "TagResource"].contains(&operation) {
        let described = ask(upstream, "TrentService.DescribeKey", &json!({"KeyId": body["KeyId"]}))?;
        let described: Value = serde_json::from_slice(&described.body).unwrap_or_default();
        match described["KeyMetadata"]["KeyState"].as_str() {
            Some("PendingDeletion") => return refused("KMSInvalidStateException", "the key is pending deletion"),
            Some("Disabled") if operation == "GetPublicKey" => return refused("DisabledException", "it is disabled"),
            _ => {}
        }
    }
    pass(upstream, request)
}

impl Shared {
    fn act(&self, operation: &str) -> Option<Act> {
        lock(&self.calls).push(operation.to_owned());
        let mut rules = lock(&self.rules);
        let rule =
            rules.iter_mut().find(|rule| rule.operation.is_none_or(|wanted| wanted == operation) && rule.times > 0)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.act.clone())
    }

    fn is_worn_out(&self, request: &Message) -> bool {
        let scope = request.header("authorization").and_then(|value| value.split("Credential=").nth(1));
        scope.and_then(|scope| scope.split('/').next()) == Some(&**lock(&self.worn_out))
    }

    fn kill(&self) {
        let pid = i32::try_from(self.victim.load(Ordering::SeqCst)).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
}
