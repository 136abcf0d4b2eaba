//! How fast a JWK Set is served, against nginx with the same bytes as a file.
//!
//! Both servers have one worker on processor 0; the load comes from processor 1. Rounds alternate, and what
//! counts is the ratio within a round. Needs nginx, wrk and taskset.

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

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::client::{self, Bodies, Connection};
use common::daemon::{Daemon, Site, free_address, get};
use common::figures::{Rounds, rounds, table};
use common::machine::{self, CLIENT, SERVER, describe, find, has, pinned};

const ROUND: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 32;

const PATH: &str = "/.well-known/jwks.json";
const ISSUERS: &str = "[issuers.main]\nurl = \"https://id.example.com\"\nverifiers = [\"envoy\"]\n\
    [issuers.main.rings.es256]\nalgorithm = \"ES256\"\nbackend = \"soft\"\n\
    [issuers.main.rings.rs256]\nalgorithm = \"RS256\"\nbackend = \"soft\"\n";

fn main() {
    if !has(&[("taskset", "util-linux"), ("nginx", "nginx-light"), ("wrk", "wrk")]) {
        return;
    }
    println!("{}\n", describe());
    let directory = tempfile::tempdir().expect("a temporary directory");
    let site = Site::new(&directory.path().join("jwksd"), "durable", ISSUERS);
    site.init();
    let daemon = site.start();
    let body = settled(&site);
    let nginx = Nginx::start(&directory.path().join("nginx"), &body);
    let rounds = rounds(15);
    println!("JWK Set of {} bytes; {CONNECTIONS} connections; {rounds} rounds of {} s\n", body.len(), ROUND.as_secs());

    machine::pin_this_thread(CLIENT);
    let servers = [
        Server::new("jwksd", daemon.id(), site.public),
        Server::new("nginx", nginx.worker, nginx.plain),
        Server::new("nginx, open_file_cache", nginx.worker, nginx.cached),
    ];
    for kind in [Kind::Get, Kind::Known, Kind::Head] {
        measure(kind, &servers, rounds);
    }
    println!("resident: jwksd {} KiB", machine::resident(daemon.id()) / 1_024);
}

/// The set once all its keys are there.
fn settled(site: &Site) -> String {
    for _ in 0..600 {
        let body = site.wait_for(PATH);
        if body.matches("\"kid\"").count() == 4 {
            return body;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the keys were not made within a minute");
}

struct Server {
    name: &'static str,
    pid: u32,
    address: SocketAddr,
    etag: String,
}

impl Server {
    fn new(name: &'static str, pid: u32, address: SocketAddr) -> Self {
        let mut connection = Connection::tcp(address).expect("a listening server");
        let (answer, _) = connection.ask(&get(PATH, "")).expect("an answer");
        assert_eq!(answer.status, 200, "{name}");
        let media_type = connection.header("content-type").unwrap_or_default();
        assert_eq!(media_type, "application/jwk-set+json", "{name}");
        Self { name, pid, address, etag: connection.header("etag").expect("a validator") }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Get,
    Known,
    Head,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Known => "GET, If-None-Match, 304",
            Self::Head => "HEAD",
        }
    }

    fn load(self, server: &Server) -> Load {
        match self {
            Self::Get => wrk(server, None),
            Self::Known => wrk(server, Some(&format!("If-None-Match: {}", server.etag))),
            Self::Head => head(server),
        }
    }
}

/// What one server did in one round.
struct Load {
    answers: f64,
    /// Per second.
    rate: f64,
}

fn measure(kind: Kind, servers: &[Server; 3], rounds: usize) {
    let mut rates: [Rounds; 3] = Default::default();
    let mut ratios: [Rounds; 3] = Default::default();
    let mut costs: [Rounds; 3] = Default::default();
    let mut cost_ratios: [Rounds; 3] = Default::default();
    for _ in 0..rounds {
        let round = [0, 1, 2].map(|n| {
            let before = machine::process_time(servers[n].pid);
            let Load { answers, rate } = kind.load(&servers[n]);
            let busy = machine::process_time(servers[n].pid).saturating_sub(before);
            (rate, busy.as_secs_f64() * 1e6 / answers)
        });
        for n in 0..3 {
            rates[n].push(round[n].0);
            ratios[n].push(round[0].0 / round[n].0);
            costs[n].push(round[n].1);
            cost_ratios[n].push(round[n].1 / round[0].1);
        }
    }
    let mut rows = vec![row![kind.name(), "answers per second", "µs each", "jwksd / this", "in processor time"]];
    for (n, server) in servers.iter().enumerate() {
        let ratio = |ratios: &[Rounds; 3]| if n == 0 { "1".to_owned() } else { ratios[n].show(2) };
        rows.push(row![server.name, rates[n].show(0), costs[n].show(2), ratio(&ratios), ratio(&cost_ratios)]);
    }
    table(&rows);
}

fn wrk(server: &Server, header: Option<&str>) -> Load {
    let mut command = pinned(CLIENT, &find("wrk").expect("wrk is there"));
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{}s", ROUND.as_secs())]);
    if let Some(header) = header {
        command.args(["-H", header]);
    }
    let output = command.arg(format!("http://{}{PATH}", server.address)).output().expect("wrk runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{}: {text}", server.name);
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
    let rate = number(text.lines().find_map(|line| line.strip_prefix("Requests/sec:")));
    let answers = number(text.lines().find_map(|line| line.split_once(" requests in ")).map(|(count, _)| count));
    answers.zip(rate).map_or_else(|| panic!("wrk said: {text}"), |(answers, rate)| Load { answers, rate })
}

/// By the client of these benches: wrk waits for the body that an answer to HEAD announces.
fn head(server: &Server) -> Load {
    let connect = |_| Connection::tcp(server.address).expect("a listening server");
    let mut connections: Vec<Connection> = (0..CONNECTIONS).map(connect).collect();
    let request = format!("HEAD {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    let load = client::load(&mut connections, &request, Bodies::Omitted, 200, ROUND).expect("answers");
    Load { answers: load.answers as f64, rate: load.rate }
}

/// One process that serves the same file on two ports, with and without its cache of open files.
struct Nginx {
    plain: SocketAddr,
    cached: SocketAddr,
    /// The process that answers.
    worker: u32,
    _process: Daemon,
}

impl Nginx {
    fn start(directory: &Path, body: &str) -> Self {
        let (plain, cached) = (free_address(), free_address());
        let root = directory.join("www");
        fs::create_dir_all(root.join(".well-known")).expect("a writable directory");
        fs::write(root.join(".well-known/jwks.json"), body).expect("a writable file");
        let here = directory.display();
        // As root, nginx would give up the rights by which it reads a directory of ours.
        let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
        // For a file as small as this, reading is quicker than sendfile: nginx gets the better of the two.
        let text = format!(
            "{user} worker_processes 1; daemon off; pid {here}/pid; error_log {here}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;\n  \
             sendfile off; types {{ }} default_type application/jwk-set+json; root {root};\n  \
             client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;\n  \
             uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;\n  \
             server {{ listen {plain}; open_file_cache off; }}\n  \
             server {{ listen {cached}; open_file_cache max=100 inactive=1h; open_file_cache_valid 1h; }}\n}}\n",
            root = root.display(),
        );
        let config = directory.join("nginx.conf");
        fs::write(&config, text).expect("a writable file");
        let mut command: Command = pinned(SERVER, &find("nginx").expect("nginx is there"));
        let child = command.arg("-p").arg(directory).arg("-c").arg(&config).arg("-e").arg(directory.join("error.log"));
        let process = Daemon::of(child.spawn().expect("nginx starts"));
        for _ in 0..500 {
            if Connection::tcp(plain).is_ok() && Connection::tcp(cached).is_ok() {
                let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.id()));
                let worker = children.ok().and_then(|ids| ids.trim().parse().ok()).expect("one worker");
                return Self { plain, cached, worker, _process: process };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nginx does not listen; see {}", directory.join("error.log").display());
    }
}
