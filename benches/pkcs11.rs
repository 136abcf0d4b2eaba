//! How fast keys in a token sign through worker processes and through the whole daemon, against bare C_Sign in a
//! loop on the same token with as many threads.
//!
//! Everything that signs is on processor 0: the bare loop, the router with its callers and workers, the daemon with
//! its workers. Only one of them is at work at a time; rounds alternate, and what counts is the ratio within a
//! round. The client of the daemon is on processor 1. Needs taskset and SoftHSM 2.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, reads clocks and stops at the first fault"
)]

mod common;
#[path = "../tests/it/support/tokens.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod tokens;

use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use jwksd::backend::pkcs11::router::{ADMIN_LIMIT, PinSource, Plan, Router, WorkerMetrics};
use jwksd::backend::pkcs11::{Settings, TokenChoice};
use jwksd::backend::{Backend, Generated, Input, KeyRef};
use jwksd::jose::alg::{Algorithm, KeySpec};
use tokio::runtime::{Builder, Runtime};

use common::client::{Bodies, Connection, latency, load};
use common::daemon::{PROGRAM, Site};
use common::figures::{Rounds, percentile, rounds, table};
use common::machine::{CLIENT, SERVER, describe, has, pin_this_thread, process_time, thread_time};
use tokens::{INSTALLATION, LABEL, PIN, SoftToken};

const ROUND: Duration = Duration::from_millis(600);
/// Worker processes, with one thread each; and threads of the bare loop.
const THREADS: usize = 2;
/// Callers at once.
const CALLERS: usize = 32;
/// Requests of the lone caller.
const ALONE: usize = 2_000;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Es256, Algorithm::Rs256];
const VERIFY: [&str; 2] = ["load", "always"];

/// Claims of the usual size.
const BODY: &str = r#"{"claims":{"sub":"8f1d6c1e-0c1f-4bb1-8a53-5a1f3f0a7a11","aud":"https://api.example.com","scope":"read write","client_id":"web"},"ttl":"5m"}"#;
/// Bytes of header and payload of such a token.
const INPUT: usize = 430;

/// Tells a second start of this program from the first, and where the token's files are.
const HOME: &str = "JWKSD_BENCH_HOME";

fn main() {
    if !has(&[("taskset", "util-linux"), ("softhsm2-util", "softhsm2")]) {
        return;
    }
    match std::env::var_os(HOME) {
        // A module finds its token by the environment, which can't be changed once threads run.
        None => {
            let token = SoftToken::softhsm();
            let mut again = Command::new("taskset");
            again.args(["-c", &SERVER.to_string()]).arg(std::env::current_exe().expect("this program"));
            again.args(std::env::args_os().skip(1)).envs(token.env.clone()).env(HOME, token.dir.path());
            let status = again.arg0("taskset").env("JWKSD_BENCH_MODULE", &token.module).status().expect("taskset");
            assert!(status.success(), "{status}");
        }
        Some(home) => measure(std::path::Path::new(&home)),
    }
}

fn measure(home: &std::path::Path) {
    println!("{}\n", describe());
    let module = std::path::PathBuf::from(std::env::var_os("JWKSD_BENCH_MODULE").expect("set by the first start"));
    let site = Site::over(&home.join("site"), "off", &backend(home, &module), &issuers());
    site.init();
    let daemon = site.start();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let inner = Inner::new(&runtime, home, &module);
    for algorithm in ALGORITHMS {
        VERIFY.iter().for_each(|verify| site.wait_for_token(&request(algorithm, verify)));
    }
    std::thread::sleep(Duration::from_secs(1));
    let bare = Bare::open(&module);
    let rounds = rounds(9);
    println!("{CALLERS} callers, {THREADS} threads of the token; {rounds} rounds of {} s\n", ROUND.as_secs_f64());
    let mut rows =
        vec![row!["algorithm", "path", "self_verify", "share of bare", "in processor time", "per second", "bare"]];
    let mut alone = vec![row!["one caller", "path", "p50 µs", "p99 µs", "p50 more than bare"]];
    for (algorithm, key) in ALGORITHMS.into_iter().zip(&inner.keys) {
        let object = bare.object(key);
        let mut through_router = Ratio::default();
        let mut through_http = VERIFY.map(|_| Ratio::default());
        let mut connections = VERIFY.map(|_| connections(&site));
        for _ in 0..rounds {
            let me = std::process::id();
            through_router.push(bare.rate(algorithm, object), busy(me, || inner.rate(&runtime, algorithm, key)));
            for (at, verify) in VERIFY.iter().enumerate() {
                let request = request(algorithm, verify);
                let rate = busy(daemon.id(), || {
                    let load = || load(&mut connections[at], &request, Bodies::Sent, 200, ROUND);
                    from_client(load).expect("tokens").rate
                });
                through_http[at].push(bare.rate(algorithm, object), rate);
            }
        }
        rows.push(through_router.row(algorithm, "router and workers", "-"));
        for (at, verify) in VERIFY.iter().enumerate() {
            rows.push(through_http[at].row(algorithm, "whole daemon", verify));
        }
        let lone = bare.alone(algorithm, object);
        alone.push(row![algorithm, "bare", format!("{:.0}", lone.0), format!("{:.0}", lone.1), "-"]);
        let routed = inner.alone(&runtime, algorithm, key);
        alone.push(lone_row(algorithm, "router and workers", routed, lone));
        let request = request(algorithm, "load");
        let whole = from_client(|| latency(&mut connections[0][0], &request, 200, ALONE)).expect("tokens");
        alone.push(lone_row(algorithm, "whole daemon", whole, lone));
    }
    table(&rows);
    table(&alone);
    drop((inner, daemon));
}

fn lone_row(algorithm: Algorithm, path: &str, (p50, p99): (f64, f64), bare: (f64, f64)) -> Vec<String> {
    row![algorithm, path, format!("{p50:.0}"), format!("{p99:.0}"), format!("{:.0}", p50 - bare.0)]
}

/// Calls `work` on a thread on the client's processor.
fn from_client<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            pin_this_thread(CLIENT);
            work()
        });
        client.join().expect("a client that ends")
    })
}

fn connections(site: &Site) -> Vec<Connection> {
    (0..CALLERS).map(|_| Connection::unix(&site.signing).expect("a listening daemon")).collect()
}

fn spec(algorithm: Algorithm) -> KeySpec {
    KeySpec::new(algorithm, None).expect("a key of the usual size")
}

/// The daemon's backend.
fn backend(home: &std::path::Path, module: &std::path::Path) -> String {
    let pin = home.join("pin");
    std::fs::write(&pin, PIN).expect("a writable file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&pin, mode).expect("a file of ours");
    format!(
        "[backends.hsm]\nkind = \"pkcs11\"\nmodule = \"{}\"\ntoken = \"{LABEL}\"\npin = {{ file = \"{}\" }}\n\
         workers = {THREADS}\nthreads = 1\n",
        module.display(),
        pin.display()
    )
}

fn issuers() -> String {
    let mut text = "[issuers.main]\nurl = \"https://id.example.com\"\nmax_keys = 20\n".to_owned();
    for algorithm in ALGORITHMS {
        for verify in VERIFY {
            let name = ring(algorithm, verify);
            text += &format!(
                "[issuers.main.rings.{name}]\nalgorithm = \"{algorithm}\"\nbackend = \"hsm\"\n\
                 self_verify = \"{verify}\"\nstandby = \"just-in-time\"\n"
            );
        }
    }
    text
}

fn ring(algorithm: Algorithm, verify: &str) -> String {
    format!("{}-{verify}", algorithm.name().to_lowercase())
}

fn request(algorithm: Algorithm, verify: &str) -> Vec<u8> {
    let (ring, length) = (ring(algorithm, verify), BODY.len());
    format!(
        "POST /v1/issuers/main/rings/{ring}/jwt HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{BODY}"
    )
    .into_bytes()
}

/// The module in this process.
struct Bare {
    module: Pkcs11,
    slot: Slot,
    anchor: Session,
}

impl Bare {
    fn open(path: &std::path::Path) -> Self {
        let module = Pkcs11::new(path).expect("a module");
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("C_Initialize");
        let slots = module.get_slots_with_token().expect("slots");
        let is_ours = |slot: &Slot| module.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == LABEL);
        let slot = slots.into_iter().find(is_ours).expect("the token");
        let anchor = module.open_rw_session(slot).expect("a session");
        anchor.login(UserType::User, Some(&AuthPin::new(PIN.into()))).expect("a login");
        Self { module, slot, anchor }
    }

    fn object(&self, key: &Generated) -> ObjectHandle {
        let id = key.handle.as_str().split('.').next().expect("an id");
        let id = u128::from_str_radix(id, 16).expect("an id").to_be_bytes();
        let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id.to_vec())];
        self.anchor.find_objects(&template).expect("objects")[0]
    }

    /// What all threads come to.
    fn rate(&self, algorithm: Algorithm, object: ObjectHandle) -> Rate {
        let begun = Instant::now();
        let count = |session: Session| {
            let (mut count, start) = (0_u64, thread_time());
            while begun.elapsed() < ROUND {
                sign(&session, algorithm, object);
                count += 1;
            }
            (count, thread_time().saturating_sub(start))
        };
        let (count, busy) = std::thread::scope(|scope| {
            let session = |_| self.module.open_rw_session(self.slot).expect("a session");
            let threads: Vec<_> = (0..THREADS).map(session).map(|session| scope.spawn(|| count(session))).collect();
            let counts = threads.into_iter().map(|thread| thread.join().expect("a loop that ends"));
            counts.fold((0, Duration::ZERO), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        });
        Rate {
            per_second: count as f64 / begun.elapsed().as_secs_f64(),
            micros: busy.as_secs_f64() * 1e6 / count as f64,
        }
    }

    fn alone(&self, algorithm: Algorithm, object: ObjectHandle) -> (f64, f64) {
        let time = |_| {
            let begun = Instant::now();
            sign(&self.anchor, algorithm, object);
            begun.elapsed().as_secs_f64() * 1e6
        };
        let mut times: Vec<f64> = (0..ALONE).map(time).collect();
        (percentile(&mut times, 0.5), percentile(&mut times, 0.99))
    }
}

/// As the daemon has a token sign, and no more.
fn sign(session: &Session, algorithm: Algorithm, object: ObjectHandle) {
    let input = [b'x'; INPUT];
    let signature = match algorithm {
        Algorithm::Es256 => session.sign(&Mechanism::Ecdsa, object, digest(&SHA256, &input).as_ref()),
        _ => session.sign(&Mechanism::Sha256RsaPkcs, object, &input),
    };
    black_box(signature.expect("a signature"));
}

/// The router in this process.
struct Inner {
    router: Arc<Router>,
    keys: Vec<Generated>,
}

impl Inner {
    fn new(runtime: &Runtime, home: &std::path::Path, module: &std::path::Path) -> Self {
        let settings = Settings {
            module: module.to_owned(),
            module_args: None,
            token: TokenChoice::Label(LABEL.to_owned()),
            installation: INSTALLATION.to_owned(),
            workers: THREADS,
            threads: 1,
        };
        let plan = Plan {
            program: PROGRAM.into(),
            settings,
            pin: PinSource(Arc::new(|| Ok(tokens::pin()))),
            gate: home.join("gate"),
            hang_limit: Duration::from_secs(2),
            admin_limit: ADMIN_LIMIT,
        };
        runtime.block_on(async {
            let router = Router::start("hsm".parse().expect("a name"), plan, &WorkerMetrics::default());
            let router = router.expect("a router");
            let mut keys = Vec::new();
            for (number, algorithm) in (1..).zip(ALGORITHMS) {
                let label = format!("{INSTALLATION}/bench.bench.v{number}").parse().expect("a label");
                keys.push(router.generate(&label, spec(algorithm)).await.expect("a key"));
            }
            Self { router: Arc::new(router), keys }
        })
    }

    /// Signatures per second of all callers.
    fn rate(&self, runtime: &Runtime, algorithm: Algorithm, key: &Generated) -> f64 {
        runtime.block_on(async {
            let begun = Instant::now();
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| {
                    let (router, handle) = (Arc::clone(&self.router), key.handle.clone());
                    tokio::spawn(async move {
                        let mut count = 0_u64;
                        while begun.elapsed() < ROUND {
                            let key = KeyRef { handle: &handle, spec: spec(algorithm) };
                            router
                                .sign(key, Input::Message(&[b'x'; INPUT]), Duration::from_secs(10))
                                .await
                                .expect("a signature");
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            let mut count = 0;
            for caller in callers {
                count += caller.await.expect("a caller that ends");
            }
            count as f64 / begun.elapsed().as_secs_f64()
        })
    }

    fn alone(&self, runtime: &Runtime, algorithm: Algorithm, key: &Generated) -> (f64, f64) {
        runtime.block_on(async {
            let mut times = Vec::with_capacity(ALONE);
            for _ in 0..ALONE {
                let begun = Instant::now();
                let key = KeyRef { handle: &key.handle, spec: spec(algorithm) };
                let signed = self.router.sign(key, Input::Message(&[b'x'; INPUT]), Duration::from_secs(10)).await;
                black_box(signed.expect("a signature"));
                times.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            (percentile(&mut times, 0.5), percentile(&mut times, 0.99))
        })
    }
}

/// How fast something was, and what processor time one signature took.
#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    micros: f64,
}

/// Does `work`, which comes to so many signatures per second, on the part of a process and of those that it has started.
fn busy(pid: u32, work: impl FnOnce() -> f64) -> Rate {
    let (begun, before) = (Instant::now(), family_time(pid));
    let per_second = work();
    let (elapsed, busy) = (begun.elapsed().as_secs_f64(), family_time(pid).saturating_sub(before).as_secs_f64());
    Rate { per_second, micros: busy * 1e6 / (per_second * elapsed) }
}

fn family_time(pid: u32) -> Duration {
    let processes = std::fs::read_dir("/proc").expect("procfs").flatten();
    let parent = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(1)?.parse().ok())
    };
    let ids = processes.filter_map(|entry| entry.file_name().into_string().ok()?.parse().ok());
    ids.filter(|id| *id == pid || parent(id) == Some(pid)).map(process_time).sum()
}

/// What came of the rounds of one path.
#[derive(Default)]
struct Ratio {
    share: Rounds,
    /// The same in processor time: true also while others use the processor.
    busy_share: Rounds,
    rate: Rounds,
    bare: Rounds,
}

impl Ratio {
    fn push(&mut self, bare: Rate, rate: Rate) {
        self.share.push(rate.per_second / bare.per_second);
        self.busy_share.push(bare.micros / rate.micros);
        self.rate.push(rate.per_second);
        self.bare.push(bare.per_second);
    }

    fn row(&self, algorithm: Algorithm, path: &str, verify: &str) -> Vec<String> {
        let (share, busy_share) = (self.share.show(2), self.busy_share.show(2));
        row![algorithm, path, verify, share, busy_share, self.rate.show(0), self.bare.show(0)]
    }
}
