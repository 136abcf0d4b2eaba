//! How fast keys in a cloud sign through the whole daemon, against the cloud's own client in a bare loop, on the same
//! server, with as many calls at once.
//!
//! The bare loop and the daemon are on processor 0, one at a time; the server, which stands for the cloud, and the
//! daemon's callers are on processor 1. Once the server answers as fast as it can, so that processor time is what is
//! compared; once after ten milliseconds, as a cloud in the same region may. The share in processor time counts only
//! what the bare loop and the daemon use themselves, so it holds also where server or callers are what is waited for.

use std::future::Future;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::client::{Bodies, Connection, latency, load};
use super::daemon::Site;
use super::figures::{Rounds, percentile, rounds, table};
use super::machine::{CLIENT, SERVER, describe, has, pin_this_thread, process_time, thread_time};
use crate::row;

/// The kinds of ring that are compared.
const VERIFY: [&str; 2] = ["load", "always"];
const ROUND: Duration = Duration::from_millis(600);
/// Calls at once.
const CALLERS: usize = 32;
/// Requests of the lone caller.
const ALONE: usize = 500;
/// How long the server takes.
const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(10)];

/// Claims of the usual size.
const BODY: &str = r#"{"claims":{"sub":"8f1d6c1e-0c1f-4bb1-8a53-5a1f3f0a7a11","aud":"https://api.example.com","scope":"read write","client_id":"web"},"ttl":"5m"}"#;
/// Bytes of header and payload of such a token.
pub const INPUT: [u8; 430] = [b'x'; 430];

/// What stands for a cloud, with P-256 keys, and the cloud's own client.
pub trait Cloud: Sized {
    /// As anybody would have it, and no more.
    type Client: Clone + Send + Sync + 'static;
    /// Starts the server, on the processor of the calling thread.
    fn start() -> Self;
    /// The table of the backend `kms`. What we would not let through of ourselves must not be the limit.
    fn backend(&self) -> String;
    /// What the daemon needs in its environment.
    fn environment() -> &'static [(&'static str, &'static str)];
    /// How long a signature takes from now on, beside the work.
    fn delay(&self, delay: Duration);
    /// A key that the daemon has had made.
    fn key(&self) -> String;
    /// Where the server is.
    fn endpoint(&self) -> String;
    /// A client of the server there.
    fn client(endpoint: String) -> impl Future<Output = Self::Client> + Send;
    /// Signs [`INPUT`].
    fn sign(client: &Self::Client, key: &str) -> impl Future<Output = ()> + Send;
}

/// Starts it all and prints the figures.
pub fn compare<C: Cloud>() {
    if !has(&[("taskset", "util-linux")]) {
        return;
    }
    println!("{}\n", describe());
    // Its threads stay where the one that starts them is.
    pin_this_thread(CLIENT);
    let cloud = C::start();
    let home = tempfile::tempdir().expect("a directory");
    let mut site = Site::over(&home.path().join("site"), "off", &cloud.backend(), &issuers());
    site.environment = C::environment();
    site.init();
    let daemon = site.start();
    VERIFY.iter().for_each(|verify| site.wait_for_token(&request(verify)));
    std::thread::sleep(Duration::from_secs(1));
    let bare = Bare::<C> { endpoint: cloud.endpoint(), key: cloud.key(), of: PhantomData };
    let rounds = rounds(9);
    println!("ES256, {CALLERS} calls at once; {rounds} rounds of {} s\n", ROUND.as_secs_f64());
    let mut rows = vec![row!["server takes", "self_verify", "share of bare", "in time", "per second", "bare"]];
    let mut alone = vec![row!["one caller, server takes", "path", "p50 µs", "p99 µs", "p50 more than bare"]];
    for delay in DELAYS {
        cloud.delay(delay);
        let mut connections = VERIFY.map(|_| connections(&site));
        let mut figures = VERIFY.map(|_| [(); 4].map(|()| Rounds::default()));
        for _ in 0..rounds {
            for (at, verify) in VERIFY.iter().enumerate() {
                let bare = bare.load();
                let before = process_time(daemon.id());
                let tokens = load(&mut connections[at], &request(verify), Bodies::Sent, 200, ROUND).expect("tokens");
                let each = process_time(daemon.id()).saturating_sub(before).as_secs_f64() / tokens.answers as f64;
                let values = [tokens.rate / bare.rate, bare.each / each, tokens.rate, bare.rate];
                figures[at].iter_mut().zip(values).for_each(|(figure, value)| figure.push(value));
            }
        }
        let told = format!("{} ms", delay.as_millis());
        for (verify, [share, time, tokens, bare]) in VERIFY.iter().zip(&figures) {
            rows.push(row![told, verify, share.show(2), time.show(2), tokens.show(0), bare.show(0)]);
        }
        let lone = bare.alone();
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

/// The cloud's client alone.
struct Bare<C> {
    endpoint: String,
    key: String,
    of: PhantomData<fn() -> C>,
}

/// What came of it.
struct Signed {
    /// Signatures per second.
    rate: f64,
    /// Seconds of processor time for each.
    each: f64,
}

impl<C: Cloud> Bare<C> {
    fn load(&self) -> Signed {
        self.on_the_servers_processor(async |client| {
            let (begun, time) = (Instant::now(), thread_time());
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| {
                    let (client, key) = (client.clone(), self.key.clone());
                    tokio::spawn(async move {
                        let mut count = 0_u64;
                        while begun.elapsed() < ROUND {
                            C::sign(&client, &key).await;
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
            let used = thread_time().saturating_sub(time).as_secs_f64();
            Signed { rate: count as f64 / begun.elapsed().as_secs_f64(), each: used / count as f64 }
        })
    }

    /// The median and the 99th of a hundred, in microseconds, of a caller alone.
    fn alone(&self) -> (f64, f64) {
        self.on_the_servers_processor(async |client| {
            let mut times = Vec::with_capacity(ALONE);
            for _ in 0..ALONE {
                let begun = Instant::now();
                C::sign(&client, &self.key).await;
                times.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            (percentile(&mut times, 0.5), percentile(&mut times, 0.99))
        })
    }

    /// With a client that has its connection.
    fn on_the_servers_processor<T: Send>(&self, work: impl AsyncFnOnce(C::Client) -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                pin_this_thread(SERVER);
                Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
                    let client = C::client(self.endpoint.clone()).await;
                    C::sign(&client, &self.key).await;
                    work(client).await
                })
            });
            thread.join().expect("a loop that ends")
        })
    }
}

fn connections(site: &Site) -> Vec<Connection> {
    (0..CALLERS).map(|_| Connection::unix(&site.signing).expect("a listening daemon")).collect()
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
