//! How fast keys in Google Cloud KMS sign through the whole daemon, against Google's own client in a bare loop, on the
//! same server, with as many calls at once.
//!
//! The bare loop and the daemon are on processor 0, one at a time; the server, which is the double of the tests, and
//! the daemon's callers are on processor 1. Once the server answers as fast as it can, so that processor time is what
//! is compared; once after ten milliseconds, as a cloud in the same region may. Needs taskset.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, reads clocks and stops at the first fault"
)]

#[path = "../tests/it/support/cloud_kms/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod cloud_kms;
mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use google_cloud_auth::credentials::anonymous;
use google_cloud_kms_v1::client::KeyManagementService;
use google_cloud_kms_v1::model::Digest;
use tokio::runtime::Builder;

use cloud_kms::{CloudKms, Fault, KEY_RING, Method, State};
use common::client::{Bodies, Connection, latency, load};
use common::daemon::Site;
use common::figures::{Rounds, percentile, rounds, table};
use common::machine::{CLIENT, SERVER, describe, has, pin_this_thread};

const ROUND: Duration = Duration::from_millis(600);
/// Calls at once.
const CALLERS: usize = 32;
/// Requests of the lone caller.
const ALONE: usize = 500;
/// How long the server takes.
const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(10)];
const VERIFY: [&str; 2] = ["load", "always"];

/// Claims of the usual size.
const BODY: &str = r#"{"claims":{"sub":"8f1d6c1e-0c1f-4bb1-8a53-5a1f3f0a7a11","aud":"https://api.example.com","scope":"read write","client_id":"web"},"ttl":"5m"}"#;
/// Bytes of header and payload of such a token.
const INPUT: [u8; 430] = [b'x'; 430];

fn main() {
    if !has(&[("taskset", "util-linux")]) {
        return;
    }
    println!("{}\n", describe());
    // Its threads stay where the one that starts them is.
    pin_this_thread(CLIENT);
    let cloud = CloudKms::start();
    let home = tempfile::tempdir().expect("a directory");
    let site = Site::over(&home.path().join("site"), "off", &backend(&cloud), &issuers());
    site.init();
    let daemon = site.start();
    VERIFY.iter().for_each(|verify| site.wait_for_token(&request(verify)));
    std::thread::sleep(Duration::from_secs(1));
    let key = cloud.versions(State::Enabled).into_iter().next().expect("a key");
    let rounds = rounds(9);
    println!("ES256, {CALLERS} calls at once; {rounds} rounds of {} s\n", ROUND.as_secs_f64());
    let mut rows = vec![row!["server takes", "self_verify", "share of bare", "per second", "bare"]];
    let mut alone = vec![row!["one caller, server takes", "path", "p50 µs", "p99 µs", "p50 more than bare"]];
    for delay in DELAYS {
        cloud.recover();
        if !delay.is_zero() {
            cloud.fail_always(Method::Sign, Fault::Slow(delay));
        }
        let mut connections = VERIFY.map(|_| connections(&site));
        let mut rates = VERIFY.map(|_| (Rounds::default(), Rounds::default(), Rounds::default()));
        for _ in 0..rounds {
            for (at, verify) in VERIFY.iter().enumerate() {
                let bare = bare(&cloud, &key, ROUND);
                let tokens =
                    load(&mut connections[at], &request(verify), Bodies::Sent, 200, ROUND).expect("tokens").rate;
                rates[at].0.push(tokens / bare);
                rates[at].1.push(tokens);
                rates[at].2.push(bare);
            }
        }
        let told = format!("{} ms", delay.as_millis());
        for (verify, (share, tokens, bare)) in VERIFY.iter().zip(&mut rates) {
            rows.push(row![told, verify, share.show(2), tokens.show(0), bare.show(0)]);
        }
        let lone = bare_alone(&cloud, &key);
        alone.push(row![told, "bare", format!("{:.0}", lone.0), format!("{:.0}", lone.1), "-"]);
        for (connections, verify) in connections.iter_mut().zip(VERIFY) {
            let (p50, p99) = latency(&mut connections[0], &request(verify), 200, ALONE).expect("tokens");
            let path = format!("whole daemon, self_verify = {verify}");
            alone.push(row![told, path, format!("{p50:.0}"), format!("{p99:.0}"), format!("{:.0}", p50 - lone.0)]);
        }
    }
    table(&rows);
    table(&alone);
    drop(daemon);
}

/// Signatures per second of Google's client alone.
fn bare(cloud: &CloudKms, key: &str, time: Duration) -> f64 {
    on_the_servers_processor(async || {
        let client = client(cloud).await;
        let begun = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (client, key) = (client.clone(), key.to_owned());
                tokio::spawn(async move {
                    let mut count = 0_u64;
                    while begun.elapsed() < time {
                        sign(&client, &key).await;
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

fn bare_alone(cloud: &CloudKms, key: &str) -> (f64, f64) {
    on_the_servers_processor(async || {
        let client = client(cloud).await;
        sign(&client, key).await;
        let mut times = Vec::with_capacity(ALONE);
        for _ in 0..ALONE {
            let begun = Instant::now();
            sign(&client, key).await;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        (percentile(&mut times, 0.5), percentile(&mut times, 0.99))
    })
}

fn on_the_servers_processor<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            pin_this_thread(SERVER);
            Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work())
        });
        thread.join().expect("a loop that ends")
    })
}

async fn client(cloud: &CloudKms) -> KeyManagementService {
    let builder = KeyManagementService::builder().with_endpoint(cloud.endpoint());
    builder.with_credentials(anonymous::Builder::new().build()).build().await.expect("a client")
}

/// As anybody would who has Google's client, and no more.
async fn sign(client: &KeyManagementService, key: &str) {
    let hash = Digest::new().set_sha256(digest(&SHA256, &INPUT).as_ref().to_vec());
    black_box(client.asymmetric_sign().set_name(key).set_digest(hash).send().await.expect("a signature"));
}

fn connections(site: &Site) -> Vec<Connection> {
    (0..CALLERS).map(|_| Connection::unix(&site.signing).expect("a listening daemon")).collect()
}

/// The daemon's backend.
fn backend(cloud: &CloudKms) -> String {
    format!(
        "[backends.kms]\nkind = \"gcp-kms\"\nkey_ring = \"{KEY_RING}\"\nendpoint = \"{}\"\ncredentials = \
         \"anonymous\"\nsign_rate = 1000000\nwrite_rate = 100\n",
        cloud.endpoint()
    )
}

fn issuers() -> String {
    let mut text = "[issuers.main]\nurl = \"https://id.example.com\"\nmax_keys = 20\n".to_owned();
    for verify in VERIFY {
        text += &format!(
            "[issuers.main.rings.{verify}]\nalgorithm = \"ES256\"\nbackend = \"kms\"\nself_verify = \"{verify}\"\n\
             standby = \"just-in-time\"\n"
        );
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
