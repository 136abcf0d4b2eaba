//! Google's Cloud KMS, as far as its documentation says how it behaves: a server on loopback for the official client.
//!
//! Where the documentation is strict, so is this: every version starts as PENDING_GENERATION, only an ENABLED one signs
//! or shows its public half, a name is never free again. It lives in the test's process and so outlives any daemon.

mod keys;
mod routes;
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jwksd::clock::{Clock, SystemClock};

use keys::Secret;

/// A method of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    KeyRing,
    CreateKeyRing,
    CreateKey,
    Key,
    ListKeys,
    Version,
    UpdateVersion,
    Destroy,
    PublicKey,
    Sign,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers with this status and this code, and does nothing.
    Status(u16, &'static str),
    /// The connection ends without an answer, and nothing was done.
    Reset,
    /// It is done, and the connection ends without an answer.
    Lost,
    /// It is done, and the connection ends in the middle of the answer.
    Cut,
    /// It is done after so long.
    Slow(Duration),
    /// The answer's checksum is wrong.
    Checksum,
    /// The answer says that the request's checksum was not looked at.
    Unverified,
    /// The answer names another key.
    OtherName,
    /// The signature is wrong, and its checksum right.
    Signature,
}

/// When in a call something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was done yet.
    Before,
    /// It is done, and nobody has been told.
    After,
}

/// The states of a version, with the numbers that the service gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Enabled = 1,
    Disabled = 2,
    Destroyed = 3,
    DestroyScheduled = 4,
    PendingGeneration = 5,
    GenerationFailed = 8,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::Destroyed => "DESTROYED",
            Self::DestroyScheduled => "DESTROY_SCHEDULED",
            Self::PendingGeneration => "PENDING_GENERATION",
            Self::GenerationFailed => "GENERATION_FAILED",
        }
    }
}

/// The service. It ends when it is dropped.
pub struct CloudKms {
    project: Arc<Mutex<Project>>,
    server: server::Server,
}

impl fmt::Debug for CloudKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloudKms at {}", self.endpoint())
    }
}

impl CloudKms {
    /// Starts it with one key ring, [`KEY_RING`].
    pub fn start() -> Self {
        let mut project = Project::default();
        project.rings.push(KEY_RING.to_owned());
        let project = Arc::new(Mutex::new(project));
        Self { server: server::Server::start(&project), project }
    }

    /// Where it is reached.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The next `times` calls of this method that have no such order yet go wrong so.
    pub fn fail(&self, method: Method, fault: Fault, times: usize) {
        let mut project = self.project();
        project.next.entry(method).or_default().extend(std::iter::repeat_n(fault, times));
    }

    /// Every call of this method goes wrong so, until [`CloudKms::recover`].
    pub fn fail_always(&self, method: Method, fault: Fault) {
        self.project().standing.insert(method, fault);
    }

    /// All is well again.
    pub fn recover(&self) {
        let mut project = self.project();
        project.next.clear();
        project.standing.clear();
        project.trap = None;
    }

    /// Does something at the call after `skip` more calls of any method; that call has no answer.
    pub fn trap(&self, skip: u64, moment: Moment, act: impl FnOnce() + Send + 'static) {
        self.project().trap = Some(Trap { skip, moment, act: Box::new(act) });
    }

    /// How many calls of this method there were, whatever came of them.
    pub fn calls(&self, method: Method) -> u64 {
        self.project().calls.get(&method).copied().unwrap_or(0)
    }

    /// How many calls there were of all methods.
    pub fn calls_of_all(&self) -> u64 {
        self.project().calls.values().sum()
    }

    /// The names of all versions in this state.
    pub fn versions(&self, state: State) -> Vec<String> {
        let project = self.project();
        let versions = project.keys.iter().flat_map(|(name, key)| {
            key.versions.iter().map(move |(number, version)| (format!("{name}/cryptoKeyVersions/{number}"), version))
        });
        versions.filter(|(_, version)| version.state == state).map(|(name, _)| name).collect()
    }

    /// The names of all keys, whatever became of their versions.
    pub fn keys(&self) -> Vec<String> {
        self.project().keys.keys().cloned().collect()
    }

    /// What an operator does behind our back: puts a version into another state.
    pub fn set_state(&self, version: &str, state: State) {
        let mut project = self.project();
        let version = project.version(version).expect("a version of that name");
        version.state = state;
        version.destroy_time = (state == State::DestroyScheduled).then(|| keys::rfc3339(project_time() + 86_400));
    }

    /// What an operator does behind our back: changes a key.
    pub fn tamper(&self, key: &str, change: impl FnOnce(&mut Key)) {
        change(self.project().keys.get_mut(key).expect("a key of that name"));
    }

    /// Takes the key rings away, as if they had never been made.
    pub fn forget_rings(&self) {
        self.project().rings.clear();
    }

    /// The next `times` generations fail.
    pub fn fail_generations(&self, times: u32) {
        self.project().failing = times;
    }

    fn project(&self) -> MutexGuard<'_, Project> {
        self.project.lock().unwrap()
    }
}

/// The one key ring that is there from the start.
pub const KEY_RING: &str = "projects/it/locations/europe-west1/keyRings/jwksd";

/// Everything in the service, and what it is told to do wrong.
#[derive(Default)]
struct Project {
    rings: Vec<String>,
    keys: BTreeMap<String, Key>,
    calls: BTreeMap<Method, u64>,
    next: BTreeMap<Method, VecDeque<Fault>>,
    standing: BTreeMap<Method, Fault>,
    trap: Option<Trap>,
    failing: u32,
}

struct Trap {
    skip: u64,
    moment: Moment,
    act: Box<dyn FnOnce() + Send>,
}

/// A CryptoKey.
#[derive(Debug, Clone)]
pub struct Key {
    pub purpose: i64,
    pub algorithm: i64,
    pub protection: i64,
    pub labels: BTreeMap<String, String>,
    destroy_after: i64,
    versions: BTreeMap<u32, Version>,
}

impl Key {
    /// The one version that the tests care about.
    pub fn first(&mut self) -> &mut Version {
        self.versions.get_mut(&1).expect("a first version")
    }
}

/// A CryptoKeyVersion.
#[derive(Debug, Clone)]
pub struct Version {
    algorithm: i64,
    protection: i64,
    state: State,
    /// How many more times it is looked at before it is generated.
    looks: u32,
    secret: Arc<Secret>,
    destroy_time: Option<String>,
    /// When somebody brought the key material along.
    pub import_time: Option<String>,
}

impl Project {
    /// Counts the call; says what is to go wrong with it.
    fn enter(&mut self, method: Method) -> (Option<Fault>, Option<Trap>) {
        *self.calls.entry(method).or_default() += 1;
        let trap = match self.trap.take() {
            Some(Trap { skip: 0, moment, act }) => Some(Trap { skip: 0, moment, act }),
            Some(trap) => {
                self.trap = Some(Trap { skip: trap.skip - 1, ..trap });
                None
            }
            None => None,
        };
        let next = self.next.get_mut(&method).and_then(VecDeque::pop_front);
        (next.or_else(|| self.standing.get(&method).copied()), trap)
    }

    fn version(&mut self, name: &str) -> Option<&mut Version> {
        let (key, number) = name.split_once("/cryptoKeyVersions/")?;
        self.keys.get_mut(key)?.versions.get_mut(&number.parse().ok()?)
    }
}

fn project_time() -> i64 {
    SystemClock.now().as_second()
}

/// How often a new version is looked at before it is there.
const LOOKS: u32 = 2;
