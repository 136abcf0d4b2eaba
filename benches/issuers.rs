//! What ten thousand issuers cost: start, memory, idling, and the rotation of one among the many.
//!
//! State lives in memory (`/dev/shm`, if there), so that the figures are the daemon's and not the disk's.
//! Needs taskset. Takes some minutes, most of it to make the keys.

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

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use common::client::Connection;
use common::daemon::{Daemon, Site, get};
use common::figures::{Rounds, table};
use common::machine::{CLIENT, describe, has, pin_this_thread, process_ticks, process_time, resident};

const MANY: usize = 10_000;
const STARTS: usize = 7;
const IDLE: Duration = Duration::from_secs(20);
const ROTATING: Duration = Duration::from_secs(40);

fn main() {
    if !has(&[("taskset", "util-linux")]) {
        return;
    }
    println!("{}\n", describe());
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let directory = directory.expect("a temporary directory");
    let site = |name: &str, issuers: String| Site::new(&directory.path().join(name), "durable", &issuers);
    let (one, ten, many) = (site("one", issuers(1)), site("ten", issuers(10)), site("many", issuers(MANY)));
    pin_this_thread(CLIENT);
    generate(&one, 1);
    generate(&ten, 10);
    generate(&many, MANY);
    starts_and_memory(&one, &many);

    // The same data, and one more issuer whose key lives for seconds.
    let (ten, many) = (site("ten", issuers(10) + BUSY), site("many", issuers(MANY) + BUSY));
    rotations(&ten, &many);
}

fn issuers(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let _ = write!(
            text,
            "[issuers.i{n}]\nurl = \"https://id.example.com/i{n}\"\n\
             [issuers.i{n}.rings.es256]\nalgorithm = \"ES256\"\nbackend = \"soft\"\n"
        );
    }
    text
}

/// Rotates every four seconds.
const BUSY: &str = "[issuers.busy]\nurl = \"https://id.example.com/busy\"\njwks_max_age = \"1s\"\nskew = \"1s\"\n\
    [issuers.busy.rings.es256]\nalgorithm = \"ES256\"\nbackend = \"soft\"\nactive_period = \"4s\"\n\
    propagation = \"2s\"\ntoken_lifetime_max = \"1s\"\ndrain = \"3s\"\n";

fn path(n: usize) -> String {
    format!("/i{n}/.well-known/jwks.json")
}

/// Makes the records and the keys, standbys included.
fn generate(site: &Site, count: usize) {
    let begun = Instant::now();
    site.init();
    let records = begun.elapsed();
    let _daemon = site.start();
    site.wait_for(&path(0));
    let mut connection = Connection::tcp(site.public).expect("a listening daemon");
    for n in 0..count {
        while has_both_keys(&mut connection, n) != Some(true) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    println!(
        "{count} issuers: records {:.1} s, keys {:.1} s",
        records.as_secs_f64(),
        (begun.elapsed() - records).as_secs_f64()
    );
}

fn has_both_keys(connection: &mut Connection, n: usize) -> Option<bool> {
    let (answer, body) = connection.ask(&get(&path(n), "")).ok()?;
    (answer.status == 200).then(|| body.matches("\"kid\"").count() == 2)
}

/// Asks for every set until each is served.
fn wait_for_all(site: &Site, count: usize) {
    let mut connection = Connection::tcp(site.public).expect("a listening daemon");
    for n in 0..count {
        while !connection.ask(&get(&path(n), "")).is_ok_and(|(answer, _)| answer.status == 200) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn starts_and_memory(one: &Site, many: &Site) {
    let mut times: [[Rounds; 3]; 2] = Default::default();
    let mut memory: [Rounds; 2] = Default::default();
    let mut idle = [0; 2];
    for start in 0..STARTS {
        for (at, (site, count)) in [(one, 1), (many, MANY)].into_iter().enumerate() {
            let daemon = site.start();
            site.wait_for(&path(count - 1));
            times[at][0].push(daemon.begun.elapsed().as_secs_f64() * 1e3);
            wait_for_all(site, count);
            times[at][1].push(daemon.begun.elapsed().as_secs_f64() * 1e3);
            settle(&daemon);
            times[at][2].push(process_time(daemon.id()).as_secs_f64() * 1e3);
            memory[at].push(resident(daemon.id()) as f64 / 1_024.0);
            if start == STARTS - 1 {
                let before = process_ticks(daemon.id());
                std::thread::sleep(IDLE);
                idle[at] = process_ticks(daemon.id()) - before;
            }
        }
    }
    let mut rows = vec![row!["start", "1 issuer", format!("{MANY} issuers")]];
    for (n, name) in
        ["first set served, ms", "every set fetched, ms", "processor time of the start, ms"].iter().enumerate()
    {
        rows.push(row![name, times[0][n].show(0), times[1][n].show(0)]);
    }
    rows.push(row!["resident, KiB", memory[0].show(0), memory[1].show(0)]);
    let share = |ticks: u64| format!("{:.2} %", ticks as f64 / IDLE.as_secs_f64());
    rows.push(row![format!("processor while idle, over {} s", IDLE.as_secs()), share(idle[0]), share(idle[1])]);
    table(&rows);
    let each = (memory[1].median() - memory[0].median()) / (MANY - 1) as f64;
    println!("resident per issuer: {each:.1} KiB\n");
}

/// Waits until the start has nothing left to do.
fn settle(daemon: &Daemon) {
    loop {
        let before = process_time(daemon.id());
        std::thread::sleep(Duration::from_millis(500));
        if process_time(daemon.id()).saturating_sub(before) < Duration::from_millis(5) {
            return;
        }
    }
}

/// Two daemons side by side, so that whatever else the machine does meets both.
fn rotations(ten: &Site, many: &Site) {
    let mut counts: [Rounds; 2] = Default::default();
    let mut costs: [Rounds; 2] = Default::default();
    let mut ratio = Rounds::default();
    let sites = [ten, many];
    let daemons = sites.map(|site| {
        site.init();
        site.start()
    });
    for (site, daemon) in sites.iter().zip(&daemons) {
        site.wait_for("/busy/.well-known/jwks.json");
        settle_roughly(daemon);
    }
    for _ in 0..3 {
        let before = [0, 1].map(|n| (version(sites[n]), process_time(daemons[n].id())));
        std::thread::sleep(ROTATING);
        let cost = [0, 1].map(|n| {
            let sets = version(sites[n]) - before[n].0;
            let busy = process_time(daemons[n].id()).saturating_sub(before[n].1);
            counts[n].push(sets);
            busy.as_secs_f64() * 1e6 / sets
        });
        costs[0].push(cost[0]);
        costs[1].push(cost[1]);
        ratio.push(cost[1] / cost[0]);
    }
    let mut rows = vec![row!["one issuer that rotates, among", "10", MANY.to_string()]];
    rows.push(row![format!("JWK Sets in {} s", ROTATING.as_secs()), counts[0].show(0), counts[1].show(0)]);
    rows.push(row!["processor time per JWK Set, µs", costs[0].show(0), costs[1].show(0)]);
    rows.push(row!["ratio", "1", ratio.show(2)]);
    table(&rows);
}

/// A daemon with a busy issuer is never quite at rest.
fn settle_roughly(daemon: &Daemon) {
    for _ in 0..120 {
        let before = process_time(daemon.id());
        std::thread::sleep(Duration::from_secs(1));
        if process_time(daemon.id()).saturating_sub(before) < Duration::from_millis(50) {
            return;
        }
    }
    panic!("the daemon does not come to rest");
}

/// The version of the busy issuer's set: two more for each rotation.
fn version(site: &Site) -> f64 {
    let mut connection = Connection::tcp(site.public).expect("a listening daemon");
    connection.ask(&get("/busy/.well-known/jwks.json", "")).expect("an answer");
    connection.header("jwk-set-version").and_then(|version| version.parse().ok()).expect("a version")
}
