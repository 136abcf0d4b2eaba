//! What people read, from fixed answers at a fixed moment.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use jwksd::app::{Announcement, InitReport, TestReport};
use jwksd::audit::verify::{Report, Trust, Vouched};
use jwksd::audit::{Anchor, Digest, Ledger, Tail};
use jwksd::backend::Probe;
use jwksd::cli::keys::Scope;
use jwksd::cli::plan::Extent;
use jwksd::cli::{
    audit, backend, banner, check_config, compromise, daemon, import, keys, plan, rotate, status, strays,
};
use jwksd::config::Config;
use jwksd::ids::{BackendId, CommitId, IssuerId, Kid, Revision, RingName};
use jwksd::jose::alg::{Algorithm, KeySpec};
use jwksd::lifecycle::policy::{Rotation, Terms};
use jwksd::lifecycle::time::{Span, Timestamp};
use jwksd::server::api;
use serde::de::DeserializeOwned;

use super::assert_kept;

/// The answers, by name, as the daemon gives them.
const ANSWERS: &str = include_str!("answers.json");

fn now() -> Timestamp {
    "2026-12-20T03:00:00Z".parse().unwrap()
}

fn answer<T: DeserializeOwned>(name: &str) -> T {
    let answers: BTreeMap<String, serde_json::Value> = serde_json::from_str(ANSWERS).unwrap();
    serde_json::from_value(answers[name].clone()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Collects texts without their colours and compares them.
#[derive(Default)]
struct Book(String);

impl Book {
    fn page(&mut self, name: &str, text: &str) {
        let plain = anstream::adapter::strip_str(text).to_string();
        for line in plain.lines() {
            assert!(line.chars().count() <= 100 || line.contains("curl"), "{name}: too long: {line}");
            assert_eq!(line, line.trim_end(), "{name}");
        }
        writeln!(self.0, "== {name}\n{plain}").unwrap();
    }
}

#[test]
fn answers_read_well() {
    let mut book = Book::default();
    for name in ["status: all is well", "status: not ready"] {
        book.page(name, &status::render(&answer(name), &answer("issuers")));
    }
    for name in ["whoami: an operator", "whoami: nobody"] {
        book.page(name, &status::render_whoami(&answer(name)));
    }
    for name in ["strays", "strays: a second key", "strays: none"] {
        book.page(name, &strays::render(&answer(name)));
    }
    for name in ["plan: waiting", "plan: due, not propagated", "plan: in trouble"] {
        book.page(name, &plan::render(&answer(name), Extent::Nearest));
    }
    let mut long: api::Plan = answer("plan: waiting");
    long.forecast = long.forecast.into_iter().cycle().take(30).collect();
    let rows = |extent| plan::render(&long, extent).matches("its time has come").count();
    assert_eq!((rows(Extent::Nearest), rows(Extent::All)), (24, 30));
    assert!(plan::render(&long, Extent::Nearest).contains("And 6 more until 2027-03-20T03:00:00Z"));
    let all: api::Keys = answer("keys");
    book.page("keys", &keys::render(&all, now(), Scope::Present));
    book.page("keys --all", &keys::render(&all, now(), Scope::All));
    for name in ["rotate: at once", "rotate: later", "rotate: being made"] {
        book.page(name, &rotate::render(&answer(name), now()));
    }
    book.page("import", &import::render(&answer("import"), now()));
    book.page("import: no end", &import::render(&answer("import: no end"), now()));
    book.page("withdraw", &import::render_withdrawal(&answer("withdraw")));
    let page: api::AuditPage = answer("audit tail");
    book.page("audit tail", &audit::render_records(&page.records));
    assert_kept("answers.txt", &book.0);
}

#[test]
fn at_three_in_the_morning_every_line_counts() {
    let mut book = Book::default();
    let main = IssuerId::new("main").unwrap();
    let keys: api::Keys = answer("keys");
    let request = |kid: &str, activate_unpropagated| api::CompromiseRequest {
        kid: kid.to_owned(),
        reason: "laptop stolen".to_owned(),
        activate_unpropagated,
    };
    let signer = "Qk8r0pYv2m5wT1sZ7uXc3bN6aL9dF4gH8jE0iR2oP5q";
    book.page(
        "question: a standby is ready",
        &compromise::question(&main, Some(&keys), &request(signer, false), now()),
    );
    let early = now() - Span::from_days(40);
    book.page("question: no standby", &compromise::question(&main, Some(&keys), &request(signer, false), early));
    book.page(
        "question: no standby, unpropagated",
        &compromise::question(&main, Some(&keys), &request(signer, true), early),
    );
    let old = "-x7Vb1nM4cL9kJ2hG5fD8sA3pO6iU0yT7rE4wQ1zX9v";
    book.page("question: not the signer", &compromise::question(&main, Some(&keys), &request(old, false), now()));
    book.page("question: not a key", &compromise::question(&main, Some(&keys), &request("typo", false), now()));
    let blind = compromise::question(&main, None, &request(signer, false), now());
    book.page("question: not allowed to look", &blind);
    for name in [
        "compromise: over",
        "compromise: verifiers still hold it",
        "compromise: in the middle",
        "compromise: nothing signs",
        "compromise: a cloud that deletes later",
        "compromise: imported, no verifiers",
    ] {
        book.page(name, &compromise::render(&answer(name), now()));
    }
    assert_kept("compromise.txt", &book.0);
}

#[test]
fn reports_read_well() {
    let mut book = Book::default();
    let main = IssuerId::new("main").unwrap();
    let anchor = Anchor { revision: Revision::new(42), commit_id: CommitId::new([7; 16]), hash: Digest([7; 32]) };
    let mut report = Report {
        segments: 1,
        first: 1,
        last: 4_711,
        hash: Digest([0xab; 32]),
        is_stopped: true,
        tail: Tail::Clean,
        ledger: Ledger { anchors: [(main.clone(), anchor)].into(), intents: Vec::new() },
        checkpoints: 0,
        vouched: None,
        trust: Trust::Beside,
    };
    let directory = Path::new("/var/lib/jwksd/audit");
    book.page("audit verify", &audit::render_report(directory, &report));
    report.checkpoints = 12;
    report.vouched = Some(Vouched {
        installation: "prod-eu".parse().unwrap(),
        seq: 4_700,
        at: now(),
        kid: Kid::new("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs").unwrap(),
    });
    book.page("audit verify: checkpoints", &audit::render_report(directory, &report));
    report.trust = Trust::Pinned;
    report.first = 1_000;
    report.segments = 3;
    report.is_stopped = false;
    report.tail = Tail::Torn { file: "audit-00000000000000004000.jsonl".to_owned(), line: 712, bytes: 120 };
    report.ledger.intents.push(jwksd::audit::Commit {
        issuer: main.clone(),
        revision: Revision::new(43),
        commit_id: CommitId::new([8; 16]),
        hash: Digest([8; 32]),
    });
    book.page("audit verify --rest: torn", &audit::render_report(directory, &report));

    let other = IssuerId::new("other").unwrap();
    let report = InitReport { store_created: true, created: vec![main.clone(), other.clone()], present: Vec::new() };
    book.page("init: new", &daemon::render_init(&report));
    let report = InitReport { store_created: false, created: Vec::new(), present: vec![main.clone(), other] };
    book.page("init: again", &daemon::render_init(&report));
    book.page("accept-rollback", &daemon::render_rollback(&main, Revision::new(41)));

    let facts = vec![("firmware".to_owned(), "2.6.1".to_owned())];
    let probe = Probe { summary: "SoftHSM v2, token jwksd".to_owned(), facts };
    let signed = vec![KeySpec::new(Algorithm::Es256, None).unwrap(), KeySpec::new(Algorithm::Rs256, None).unwrap()];
    let name = BackendId::new("hsm").unwrap();
    book.page("backend test", &backend::render(&name, &TestReport { probe, signed }));
    assert_kept("reports.txt", &book.0);
}

#[test]
fn a_newcomer_is_told_what_to_try() {
    let terms = Terms {
        rotation: Rotation::Every(Span::from_secs(40)),
        propagation: Span::from_secs(15),
        drain: Span::from_secs(10),
        retention: Span::from_secs(41),
        ..Terms::default()
    };
    let address = |port: u16| ([127, 0, 0, 1], port).into();
    let announcement = Announcement {
        data: "./jwksd-dev".into(),
        public: address(8080),
        signing: address(8081),
        admin: address(8082),
        issuer: IssuerId::new("dev").unwrap(),
        url: "http://127.0.0.1:8080".to_owned(),
        ring: RingName::new("es256").unwrap(),
        terms,
    };
    let mut book = Book::default();
    book.page("dev", &banner::render(&announcement, "target/release/jwksd"));
    assert_kept("dev.txt", &book.0);
}

#[test]
fn a_configuration_is_told_with_its_sums() {
    let mut book = Book::default();
    let config = Config::parse(CONFIG, "jwksd.toml").unwrap();
    book.page("check-config", &check_config::render(Path::new("jwksd.toml"), &config));
    assert_kept("check_config.txt", &book.0);
}

#[test]
fn what_others_wrote_can_not_steer_the_terminal() {
    let mut keys: api::Keys = answer("keys");
    for key in &mut keys.keys {
        key.compromised = Some("\u{1b}[2J\u{202e}evil\r\nline".to_owned());
    }
    let text = keys::render(&keys, now(), Scope::All);
    let plain = anstream::adapter::strip_str(&text).to_string();
    assert!(plain.contains("\u{fffd}[2J\u{fffd}evil\u{fffd}\u{fffd}line"), "{plain}");
    assert!(!text.contains("\u{1b}[2J") && !text.contains('\r') && !text.contains('\u{202e}'));
}

const CONFIG: &str = r#"
installation = "prod-eu"
allow_software_keys = true

[data]
dir = "/var/lib/jwksd"

[listen]
public = { address = "127.0.0.1:8080" }
signing = { address = "unix:/run/jwksd/sign.sock" }
admin = { address = "unix:/run/jwksd/admin.sock" }

[backends.soft]
kind = "software"
sealing_key = { file = "/etc/jwksd/sealing.key" }

[backends.other]
kind = "software"
sealing_key = { file = "/etc/jwksd/other.key" }

[issuers.main]
url = "https://id.example.com"
verifiers = ["envoy", "spring-security"]

[issuers.main.rings.es256]
algorithm = "ES256"
backend = "soft"
standby_backend = "other"

[issuers.main.rings.rs256]
algorithm = "RS256"
backend = "soft"
schedule = "0 3 1 * *"
propagation = "2d"
retention = "3d"

[issuers.partners]
url = "https://id.example.com/partners"

[issuers.partners.rings.es256]
algorithm = "ES256"
backend = "soft"

[[grants]]
caller = { uid = 1001 }
allow = ["sign"]

[[grants]]
caller = { gid = 1002 }
allow = ["admin"]
"#;
