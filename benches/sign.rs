//! How fast tokens are signed over a Unix socket, against bare signing with the same library and key type.
//!
//! The daemon has one worker, and all its threads are on processor 0; so is the bare loop, while the daemon
//! idles. The client is on processor 1. Rounds alternate, and what counts is the ratio within a round.
//! Needs taskset.

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

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256};

use common::client::{Bodies, Connection, latency, load};
use common::daemon::{Daemon, Site};
use common::figures::{Rounds, rounds, table};
use common::machine::{CLIENT, SERVER, describe, has, pin_this_thread, process_time, thread_time};

const ROUND: Duration = Duration::from_millis(600);
const BARE: Duration = Duration::from_millis(300);
const CONNECTIONS: usize = 64;
/// Requests of the lone caller.
const ALONE: usize = 3_000;

const ALGORITHMS: [&str; 3] = ["ES256", "Ed25519", "RS256"];
const AUDITS: [&str; 3] = ["off", "async", "durable"];

/// Claims of the usual size.
const BODY: &str = r#"{"claims":{"sub":"8f1d6c1e-0c1f-4bb1-8a53-5a1f3f0a7a11","aud":"https://api.example.com","scope":"read write","client_id":"web"},"ttl":"5m"}"#;

fn main() {
    if !has(&[("taskset", "util-linux")]) {
        return;
    }
    println!("{}\n", describe());
    let directory = tempfile::tempdir().expect("a temporary directory");
    let sites = AUDITS.map(|audit| Site::new(&directory.path().join(audit), audit, &issuers()));
    let daemons: Vec<Daemon> = sites
        .iter()
        .map(|site| {
            site.init();
            site.start()
        })
        .collect();
    for site in &sites {
        for ring in rings() {
            site.wait_for_token(&request(&ring));
        }
    }
    // What follows a start, such as making standbys of RSA, is over by then.
    std::thread::sleep(Duration::from_secs(3));
    let rounds = rounds(11);
    println!("{CONNECTIONS} connections; {rounds} rounds of {} s\n", ROUND.as_secs_f64());
    pin_this_thread(CLIENT);
    let mut throughput = vec![row![
        "algorithm",
        "audit",
        "self_verify",
        "daemon / bare",
        "in processor time",
        "of that without audit",
        "tokens per second",
        "µs per token",
        "µs bare",
        "client %"
    ]];
    let mut alone = vec![row!["one caller", "audit", "self_verify", "p50 µs", "p99 µs"]];
    for algorithm in ALGORITHMS {
        let pair = Pair::generate(algorithm);
        let cases = AUDITS.iter().enumerate().map(|(n, _)| (n, "load")).chain([(0, "always")]);
        let mut cases: Vec<Case<'_>> =
            cases.map(|(n, verify)| Case::new(&sites[n], &daemons[n], n, algorithm, verify)).collect();
        for _ in 0..rounds {
            let mut without = f64::NAN;
            for case in &mut cases {
                let rate = case.round(&pair);
                // Without audit comes first.
                if without.is_nan() {
                    without = rate;
                }
                case.share.push(rate / without);
            }
        }
        for case in &mut cases {
            throughput.push(case.row());
            alone.push(case.latency());
        }
    }
    table(&throughput);
    table(&alone);
}

fn rings() -> Vec<String> {
    let names = ALGORITHMS.iter().flat_map(|algorithm| ["load", "always"].map(|verify| ring(algorithm, verify)));
    names.collect()
}

fn ring(algorithm: &str, verify: &str) -> String {
    format!("{}-{verify}", algorithm.to_lowercase())
}

fn issuers() -> String {
    let mut text = "[issuers.main]\nurl = \"https://id.example.com\"\nmax_keys = 20\n".to_owned();
    for algorithm in ALGORITHMS {
        for verify in ["load", "always"] {
            let name = ring(algorithm, verify);
            text += &format!(
                "[issuers.main.rings.{name}]\nalgorithm = \"{algorithm}\"\nbackend = \"soft\"\n\
                 self_verify = \"{verify}\"\nstandby = \"just-in-time\"\n"
            );
        }
    }
    text
}

fn request(ring: &str) -> Vec<u8> {
    let length = BODY.len();
    format!(
        "POST /v1/issuers/main/rings/{ring}/jwt HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{BODY}"
    )
    .into_bytes()
}

/// A key pair in this process.
enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(rsa::KeyPair),
}

impl Pair {
    fn generate(algorithm: &str) -> Self {
        match algorithm {
            "ES256" => Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")),
            "Ed25519" => Self::Ed25519(Ed25519KeyPair::generate().expect("a key")),
            _ => Self::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key")),
        }
    }

    /// Signs an input as long as that of the daemon's tokens, in a loop on its processor. Returns signatures
    /// per second, and the processor time of one in microseconds.
    fn rate(&self) -> (f64, f64) {
        let input = [b'x'; INPUT];
        let random = SystemRandom::new();
        std::thread::scope(|scope| {
            let loops = scope.spawn(|| {
                pin_this_thread(SERVER);
                let (begun, start) = (Instant::now(), thread_time());
                let mut count = 0_u64;
                while begun.elapsed() < BARE {
                    match self {
                        Self::Ecdsa(pair) => drop(black_box(pair.sign(&random, &input))),
                        Self::Ed25519(pair) => drop(black_box(pair.try_sign(&input))),
                        Self::Rsa(pair) => {
                            let mut signature = [0; 256];
                            pair.sign(&RSA_PKCS1_SHA256, &random, &input, &mut signature).expect("a signature");
                            black_box(signature);
                        }
                    }
                    count += 1;
                }
                let busy = thread_time().saturating_sub(start).as_secs_f64();
                (count as f64 / begun.elapsed().as_secs_f64(), busy * 1e6 / count as f64)
            });
            loops.join().expect("a loop that ends")
        })
    }
}

/// Bytes of header and payload of such a token.
const INPUT: usize = 430;

struct Case<'a> {
    names: [String; 3],
    daemon: &'a Daemon,
    connections: Vec<Connection>,
    request: Vec<u8>,
    /// Tokens per second against bare signatures per second.
    ratio: Rounds,
    /// The same per second of processor time: true also while others use the processor.
    busy_ratio: Rounds,
    /// Tokens per second against those without audit in the same round.
    share: Rounds,
    rate: Rounds,
    /// Microseconds of processor time for a token, and for a bare signature.
    token: Rounds,
    bare: Rounds,
    client: Rounds,
}

impl<'a> Case<'a> {
    fn new(site: &Site, daemon: &'a Daemon, audit: usize, algorithm: &str, verify: &str) -> Self {
        let connect = |_| Connection::unix(&site.signing).expect("a listening daemon");
        Self {
            names: [algorithm.to_owned(), AUDITS[audit].to_owned(), verify.to_owned()],
            daemon,
            connections: (0..CONNECTIONS).map(connect).collect(),
            request: request(&ring(algorithm, verify)),
            ratio: Rounds::default(),
            busy_ratio: Rounds::default(),
            share: Rounds::default(),
            rate: Rounds::default(),
            token: Rounds::default(),
            bare: Rounds::default(),
            client: Rounds::default(),
        }
    }

    /// Returns tokens per second.
    fn round(&mut self, pair: &Pair) -> f64 {
        let before = process_time(self.daemon.id());
        let loaded = load(&mut self.connections, &self.request, Bodies::Sent, 200, ROUND).expect("tokens");
        let busy = process_time(self.daemon.id()).saturating_sub(before).as_secs_f64();
        let token = busy * 1e6 / loaded.answers as f64;
        let (rate, bare) = pair.rate();
        self.ratio.push(loaded.rate / rate);
        self.busy_ratio.push(bare / token);
        self.rate.push(loaded.rate);
        self.token.push(token);
        self.bare.push(bare);
        self.client.push(loaded.client * 100.0);
        loaded.rate
    }

    fn row(&self) -> Vec<String> {
        let [algorithm, audit, verify] = &self.names;
        row![
            algorithm,
            audit,
            verify,
            self.ratio.show(2),
            self.busy_ratio.show(2),
            self.share.show(2),
            self.rate.show(0),
            self.token.show(1),
            self.bare.show(1),
            self.client.show(0)
        ]
    }

    fn latency(&mut self) -> Vec<String> {
        let (p50, p99) = latency(&mut self.connections[0], &self.request, 200, ALONE).expect("tokens");
        let [algorithm, audit, verify] = &self.names;
        row![algorithm, audit, verify, format!("{p50:.0}"), format!("{p99:.0}")]
    }
}
