//! The configuration as operators meet it: every message is in `config_errors.txt`, to be read by people.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use jwksd::access::caller::TokenHash;
use jwksd::access::grant::{Operation, Pattern};
use jwksd::config::secret::Secret;
use jwksd::config::{
    Address, ApiListener, Audit, AuditSignatures, Backend, BackendKind, Config, ConfigErrors, Issuer, Listener, Log,
    Ring, Sealing, SelfVerify,
};
use jwksd::jose::alg::{Algorithm, KeySpec};
use jwksd::jose::jws::Typ;
use jwksd::lifecycle::policy::{Policy, Rotation, Terms};
use jwksd::lifecycle::schedule::{Blackout, Schedule};
use jwksd::lifecycle::time::Span;

/// A good configuration; each case below spoils it at one or two places.
const GOOD: &str = r#"installation = "prod-eu"
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

[issuers.main]
url = "https://id.example.com"

[issuers.main.rings.es256]
algorithm = "ES256"
backend = "soft"

[[grants]]
caller = { uid = 1001 }
allow = ["sign"]

[[grants]]
caller = { gid = 1002 }
allow = ["admin"]
"#;

/// What to look for in [`GOOD`], and what to put there instead.
type Edit = (&'static str, &'static str);

const INSTALLATION: &str = "installation = \"prod-eu\"\n";
const PUBLIC: &str = "{ address = \"127.0.0.1:8080\" }";
const SIGNING: &str = "{ address = \"unix:/run/jwksd/sign.sock\" }";
const SEALING: &str = "sealing_key = { file = \"/etc/jwksd/sealing.key\" }";
const URL: &str = "url = \"https://id.example.com\"";
const RING: &str = "backend = \"soft\"\n";
const CALLER: &str = "{ uid = 1001 }";
const ALLOW: &str = "allow = [\"sign\"]";

#[rustfmt::skip]
const BROKEN: &[(&str, &[Edit])] = &[
    // Not TOML.
    ("text without quotes", &[("\"prod-eu\"", "prod-eu")]),
    ("the same key twice", &[(INSTALLATION, "installation = \"a\"\ninstallation = \"b\"\n")]),
    ("a table that is not closed", &[("[data]", "[data")]),
    ("two syntax errors", &[("\"prod-eu\"", "prod-eu"), ("kind = \"software\"", "kind = ")]),
    // Unknown and misplaced keys.
    ("misspelt key", &[("installation", "instalation")]),
    ("misspelt table", &[("[data]", "[date]")]),
    ("misspelt issuers", &[("[issuers.main]", "[issuer.main]"), ("[issuers.main.rings.es256]", "[issuer.main.rings.es256]")]),
    ("unknown key without a likeness", &[("[data]", "colour = 1\n[data]")]),
    ("half of a key", &[(RING, "backend = \"soft\"\nperiod = \"30d\"\n")]),
    ("issuer key in a ring", &[(RING, "backend = \"soft\"\nskew = \"1m\"\n")]),
    ("ring key in an issuer", &[(URL, "url = \"https://id.example.com\"\nretention = \"2h\"")]),
    ("top-level key below a table", &[("allow_software_keys = true\n", ""), ("dir = ", "allow_software_keys = true\ndir = ")]),
    ("TLS before its time", &[(PUBLIC, "{ address = \"0.0.0.0:8443\", tls = { cert = \"c\", key = \"k\" } }")]),
    ("PKCS#11 before its time", &[("kind = \"software\"", "kind = \"pkcs11\"\nmodule = \"/usr/lib/p11.so\"")]),
    // Values of the wrong kind.
    ("number for a text", &[("\"prod-eu\"", "7")]),
    ("number for a duration", &[(RING, "backend = \"soft\"\ndrain = 600\n")]),
    ("number for a size", &[(SIGNING, "{ address = \"unix:/run/jwksd/sign.sock\", max_body = 65536 }")]),
    ("text for a number", &[(URL, "url = \"https://id.example.com\"\nmax_keys = \"6\"")]),
    ("text for a switch", &[("allow_software_keys = true", "allow_software_keys = \"true\"")]),
    ("text for a table", &[("[data]\ndir = \"/var/lib/jwksd\"", "data = \"/var/lib/jwksd\"")]),
    ("text for a listener", &[(PUBLIC, "\"127.0.0.1:8080\"")]),
    ("table for a list", &[("\n[[grants]]\ncaller = { gid = 1002 }\nallow = [\"admin\"]\n", ""), ("[[grants]]", "[grants]")]),
    ("list for a table", &[("[data]", "[[data]]")]),
    ("list for a listener", &[(PUBLIC, "[\"127.0.0.1:8080\"]")]),
    ("date for a table", &[("[data]\ndir = \"/var/lib/jwksd\"", "data = 2026-01-01")]),
    ("number for tables", &[("[backends.soft]\nkind = \"software\"\nsealing_key = { file = \"/etc/jwksd/sealing.key\" }\n", ""), ("[data]", "backends = 5\n[data]")]),
    ("text for a list", &[(ALLOW, "allow = \"sign\"")]),
    ("date without quotes", &[(RING, "backend = \"soft\"\nblackouts = [{ from = 2026-12-20T00:00:00Z, to = \"2027-01-02T00:00:00Z\" }]\n")]),
    ("secret in place of its source", &[(SEALING, "sealing_key = \"hunter2\"")]),
    // Single values.
    ("installation that is no name", &[("prod-eu", "Prod_EU")]),
    ("relative data directory", &[("/var/lib/jwksd", "./data")]),
    ("store of a later release", &[("[listen]", "[store]\nkind = \"postgres\"\n[listen]")]),
    ("audit settings", &[("[listen]", "[audit]\nsignatures = \"sync\"\nsegment_size = \"16M\"\n[listen]")]),
    ("no workers", &[("[listen]", "[runtime]\nworkers = 0\n[listen]")]),
    ("log settings", &[("[listen]", "[log]\nformat = \"xml\"\nlevel = \"verbose\"\n[listen]")]),
    ("log directive", &[("[listen]", "[log]\nlevel = \"jwksd=loud\"\n[listen]")]),
    ("duration without a unit", &[(RING, "backend = \"soft\"\ndrain = \"600\"\n")]),
    ("duration that is too long", &[(RING, "backend = \"soft\"\nactive_period = \"101y\"\nretention = \"40000d\"\n")]),
    ("cron expression of six fields", &[(RING, "backend = \"soft\"\nschedule = \"0 0 3 1 * *\"\n")]),
    ("cron expression that never comes", &[(RING, "backend = \"soft\"\nschedule = \"0 0 30 2 *\"\n")]),
    ("algorithm in lower case", &[("\"ES256\"", "\"es256\"")]),
    ("algorithm none", &[("\"ES256\"", "\"none\"")]),
    ("modulus for an elliptic curve", &[("\"ES256\"", "\"ES256\"\nrsa_bits = 2048")]),
    ("odd modulus", &[("\"ES256\"", "\"RS256\"\nrsa_bits = 1024")]),
    ("type that is no media type", &[(RING, "backend = \"soft\"\ntyp = \"a b\"\n")]),
    ("standby and self_verify", &[(RING, "backend = \"soft\"\nstandby = \"never\"\nself_verify = \"off\"\n")]),
    // Absent keys.
    ("no installation", &[(INSTALLATION, "")]),
    ("nothing at all", &[(GOOD, "")]),
    ("no data directory", &[("dir = \"/var/lib/jwksd\"\n", "")]),
    ("no signing listener", &[("signing = { address = \"unix:/run/jwksd/sign.sock\" }\n", "")]),
    ("listener without an address", &[(PUBLIC, "{ max_connections = 5 }")]),
    ("backend without a kind", &[("kind = \"software\"\n", "")]),
    ("backend without a seal", &[(SEALING, "")]),
    ("issuer without a URL", &[(URL, "")]),
    ("issuer without a ring", &[("[issuers.main.rings.es256]\nalgorithm = \"ES256\"\nbackend = \"soft\"\n", "")]),
    ("ring without anything", &[("algorithm = \"ES256\"\nbackend = \"soft\"\n", "")]),
    ("grant without anything", &[("caller = { uid = 1001 }\nallow = [\"sign\"]\n", "")]),
    // Listeners.
    ("plain HTTP for everybody", &[(PUBLIC, "{ address = \"0.0.0.0:8443\" }")]),
    ("plain HTTP denied", &[(PUBLIC, "{ address = \"[::]:8443\", plain_http = false }")]),
    ("host name for an address", &[(PUBLIC, "{ address = \"localhost:8080\" }")]),
    ("relative socket", &[(SIGNING, "{ address = \"unix:sign.sock\" }")]),
    ("socket with two slashes", &[(SIGNING, "{ address = \"unix:///run/jwksd/sign.sock\" }")]),
    ("long socket", &[("/run/jwksd/sign.sock", "/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/s")]),
    ("mode of a TCP listener", &[(PUBLIC, "{ address = \"127.0.0.1:8080\", mode = \"0660\" }")]),
    ("mode that is none", &[(SIGNING, "{ address = \"unix:/run/jwksd/sign.sock\", mode = \"660\" }")]),
    ("one address for two", &[(PUBLIC, "{ address = \"0.0.0.0:8080\", plain_http = true }"), (SIGNING, "{ address = \"127.0.0.1:8080\" }")]),
    ("request time-out shorter than a signature", &[(SIGNING, "{ address = \"unix:/run/jwksd/sign.sock\", request_timeout = \"10s\" }")]),
    ("signature longer than the default time-out", &[("kind = \"software\"", "kind = \"software\"\nsign_deadline = \"45s\"")]),
    ("no time for a request", &[(PUBLIC, "{ address = \"127.0.0.1:8080\", request_timeout = \"0s\" }")]),
    // Backends and secrets.
    ("software keys without consent", &[("allow_software_keys = true", "")]),
    ("two seals", &[(SEALING, "sealing_key = { file = \"/a\" }\npassphrase = { env = \"P\" }")]),
    ("secret from nowhere", &[(SEALING, "sealing_key = { }")]),
    ("secret from two places", &[(SEALING, "sealing_key = { file = \"/a\", env = \"P\" }")]),
    ("secret of an unknown kind", &[(SEALING, "sealing_key = { value = \"hunter2\" }")]),
    ("secret in place of a variable", &[(SEALING, "passphrase = { env = \"hunter2!\" }")]),
    ("secret in place of a credential", &[(SEALING, "passphrase = { credential = \"hunter2 hunter2\" }")]),
    ("backend that is no name", &[("[backends.soft]", "[backends.Soft]")]),
    // Issuers.
    ("issuer that is no name", &[("[issuers.main]", "[issuers.\"main.eu\"]"), ("[issuers.main.rings.es256]", "[issuers.\"main.eu\".rings.es256]")]),
    ("ring that is no name", &[("rings.es256]", "rings.ES256]")]),
    ("issuer over plain http", &[(URL, "url = \"http://id.example.com\"")]),
    ("issuer with a trailing slash", &[(URL, "url = \"https://id.example.com/\"")]),
    ("issuer with a query", &[(URL, "url = \"https://id.example.com/?a=1\"")]),
    ("issuer with a password", &[(URL, "url = \"https://me:hunter2@id.example.com\"")]),
    ("issuer in capitals", &[(URL, "url = \"https://ID.example.com\"")]),
    ("issuer with a port out of range", &[(URL, "url = \"https://id.example.com:84430\"")]),
    ("issuer with percent signs", &[(URL, "url = \"https://id.example.com/a%20b\"")]),
    ("issuer with the path of its documents", &[(URL, "url = \"https://id.example.com/.well-known/jwks.json\"")]),
    ("two issuers without a path", &[("[[grants]]", "[issuers.two]\nurl = \"https://two.example.com\"\nrings.a = { algorithm = \"ES256\", backend = \"soft\" }\n[[grants]]")]),
    ("two issuers with one path", &[(URL, "url = \"https://id.example.com/a\""), ("[[grants]]", "[issuers.two]\nurl = \"https://two.example.com/a\"\nrings.a = { algorithm = \"ES256\", backend = \"soft\" }\n[[grants]]")]),
    ("misspelt verifier", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"envoi\"]")]),
    ("unheard-of verifier", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"frobnicator\"]")]),
    ("verifier without a cache", &[(URL, "url = \"https://id.example.com\"\nverifiers = [{ name = \"in-house\" }]")]),
    ("verifier with a misspelt key", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"envoy\", { name = \"in-house\", cash = \"2h\" }]")]),
    ("verifier that is a number", &[(URL, "url = \"https://id.example.com\"\nverifiers = [5, \"envoy\"]")]),
    ("verifier that is a date", &[(URL, "url = \"https://id.example.com\"\nverifiers = [2026-01-01]")]),
    ("verifier declared twice", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"envoy\", { name = \"envoy\", cache = \"1h\" }]")]),
    ("verifiers that are a text", &[(URL, "url = \"https://id.example.com\"\nverifiers = \"envoy\"")]),
    ("no max-age", &[(URL, "url = \"https://id.example.com\"\njwks_max_age = \"0s\"")]),
    ("limit beyond what verifiers read", &[(URL, "url = \"https://id.example.com\"\nmax_bytes = \"1MiB\"")]),
    ("publisher without a directory", &[("[issuers.main.rings.es256]", "[issuers.main.publish]\n[issuers.main.rings.es256]")]),
    ("publisher with odd directories", &[("[issuers.main.rings.es256]", "[issuers.main.publish]\ndirectory = [\"/srv/www\", \"www\", \"/srv/www\", 5]\n[issuers.main.rings.es256]")]),
    ("publisher with a number", &[("[issuers.main.rings.es256]", "[issuers.main.publish]\ndirectory = 5\n[issuers.main.rings.es256]")]),
    ("set that nobody reads", &[(RING, "backend = \"soft\"\nactive_period = \"27h\"\nretention = \"500d\"\n")]),
    // Rings.
    ("unknown backend", &[("backend = \"soft\"", "backend = \"sofd\"")]),
    ("unknown backends", &[("backend = \"soft\"", "backend = \"hsm-a\"\nstandby_backend = \"hsm-b\"")]),
    ("standby in the same backend", &[(RING, "backend = \"soft\"\nstandby_backend = \"soft\"\n")]),
    ("period and schedule", &[(RING, "backend = \"soft\"\nactive_period = \"30d\"\nschedule = \"0 3 1 * *\"\n")]),
    ("retention too short", &[(RING, "backend = \"soft\"\nretention = \"1h\"\n")]),
    ("drain too short", &[(RING, "backend = \"soft\"\ndrain = \"5s\"\n")]),
    ("propagation shorter than a cache", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"microsoft-owin\"]"), (RING, "backend = \"soft\"\npropagation = \"10m\"\n")]),
    ("default propagation shorter than max-age", &[(URL, "url = \"https://id.example.com\"\njwks_max_age = \"2d\"")]),
    ("period shorter than propagation", &[(RING, "backend = \"soft\"\nactive_period = \"1d\"\n")]),
    ("schedule faster than propagation", &[(RING, "backend = \"soft\"\nschedule = \"0 3 * * *\"\n")]),
    ("every duration at once", &[(RING, "backend = \"soft\"\npropagation = \"5m\"\ndrain = \"1s\"\nretention = \"1m\"\nactive_period = \"5m\"\n")]),
    ("tokens without a life", &[(RING, "backend = \"soft\"\ntoken_lifetime_max = \"0s\"\n")]),
    ("blackout that ends before it begins", &[(RING, "backend = \"soft\"\nblackouts = [{ from = \"2027-01-02T00:00:00Z\", to = \"2026-12-20T00:00:00Z\" }]\n")]),
    ("half a blackout", &[(RING, "backend = \"soft\"\nblackouts = [{ from = \"2027-01-02T00:00:00Z\" }, { opens = \"0 0 * * *\", to = \"2026-12-20T00:00:00Z\" }]\n")]),
    ("blackout that outlasts its return", &[(RING, "backend = \"soft\"\nblackouts = [{ opens = \"0 16 * * 5\", lasts = \"8d\" }]\n")]),
    ("blackouts without a gap", &[(RING, "backend = \"soft\"\nblackouts = [{ opens = \"0 0 * * *\", lasts = \"12h\" }, { opens = \"0 12 * * *\", lasts = \"12h\" }]\n")]),
    ("blackout that is a day", &[(RING, "backend = \"soft\"\nblackouts = [{ from = \"2026-12-20\", to = \"new year\" }]\n")]),
    // Grants.
    ("caller of two kinds", &[(CALLER, "{ uid = 1001, gid = 1002 }")]),
    ("caller of no kind", &[(CALLER, "{ }")]),
    ("caller by name", &[(CALLER, "{ uid = \"idp\" }")]),
    ("caller that is no id", &[(CALLER, "{ uid = -1 }")]),
    ("caller of a later release", &[(CALLER, "{ spiffe = \"spiffe://example.org/idp\" }")]),
    ("token in place of its hash", &[(CALLER, "{ token_sha256 = \"hunter2\" }")]),
    ("caller who may not", &[(CALLER, "{ loopback = false }")]),
    ("unknown operation", &[(ALLOW, "allow = [\"sing\", \"destroy\"]")]),
    ("nothing allowed", &[(ALLOW, "allow = []")]),
    ("unknown issuer in a grant", &[(ALLOW, "allow = [\"sign\"]\nissuer = \"mian\"")]),
    ("unknown ring in a grant", &[(ALLOW, "allow = [\"sign\"]\nissuer = \"main\"\nring = \"rs256\"")]),
    ("ring without its issuer", &[(ALLOW, "allow = [\"sign\"]\nring = \"es256\"")]),
    // All at once, in the order of the lines.
    ("faults everywhere", &[("prod-eu", "Prod"), ("\"software\"", "\"hsm\""), ("backend = \"soft\"", "backend = \"hard\"\nretention = 5\ndrian = \"1s\""), ("uid = 1001", "uid = 1001, x = 1"), ("\"sign\"", "\"sign\", 5")]),
];

#[rustfmt::skip]
const DOUBTFUL: &[(&str, &[Edit])] = &[
    ("more keys than verifiers like", &[(RING, "backend = \"soft\"\nactive_period = \"2d\"\nretention = \"10d\"\n")]),
    ("more bytes than verifiers like", &[("\"ES256\"", "\"RS256\"\nrsa_bits = 4096"), (URL, "url = \"https://id.example.com\"\nmax_bytes = \"2KiB\"")]),
    ("backend without a ring", &[("[issuers.main]", "[backends.spare]\nkind = \"software\"\npassphrase = { env = \"P\" }\n[issuers.main]")]),
    ("discovery without RS256", &[(URL, "url = \"https://id.example.com\"\nopenid_configuration = true")]),
    ("user ids without a socket", &[(SIGNING, "{ address = \"127.0.0.1:8081\" }"), ("{ address = \"unix:/run/jwksd/admin.sock\" }", "{ address = \"127.0.0.1:8082\" }")]),
    ("nobody may sign", &[("[\"sign\"]", "[\"read\"]")]),
    ("nobody may act", &[("[\"admin\"]", "[\"read\"]")]),
    ("loopback without TCP", &[(CALLER, "{ loopback = true }")]),
];

fn edited(edits: &[Edit]) -> String {
    edits.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "nothing to edit: {from:?}");
        text.replacen(from, to, 1)
    })
}

fn refusal(text: &str) -> String {
    match Config::parse(text, "jwksd.toml") {
        Ok(_) => "(no fault)".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn every_message_is_the_one_that_people_have_read() {
    let mut actual = String::new();
    let cases = BROKEN.iter().map(|(name, edits)| (name, refusal(&edited(edits))));
    let warnings = |edits: &[Edit]| {
        let config = Config::parse(&edited(edits), "jwksd.toml").unwrap_or_else(|errors| panic!("{errors}"));
        config.warnings.iter().map(|fault| format!("warning: {fault}")).collect::<Vec<_>>().join("\n")
    };
    let doubtful = DOUBTFUL.iter().map(|(name, edits)| (name, warnings(edits)));
    for (name, messages) in cases.chain(doubtful) {
        writeln!(actual, "== {name}\n{messages}\n").unwrap();
    }
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config_errors.txt");
    if fs::read_to_string(&kept).unwrap_or_default() != actual {
        let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config_errors.txt");
        fs::write(&new, &actual).unwrap();
        panic!("the messages have changed: read {}, and copy it to {} if they are good", new.display(), kept.display());
    }
}

/// The example as it is, and the example with every commented default in force.
fn example() -> (String, String) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.toml")).unwrap();
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    let defaults = text.lines().map(uncommented).collect::<Vec<_>>().join("\n");
    (text, defaults)
}

fn parse(text: &str) -> Config {
    Config::parse(text, "example.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_example_is_a_configuration_without_doubts() {
    let config = parse(&example().0);
    assert_eq!(config.warnings, []);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.toml");
    assert_eq!(Config::load(&path).unwrap(), config);
}

#[test]
fn the_commented_defaults_of_the_example_are_the_defaults() {
    let (text, defaults) = example();
    assert_ne!(text, defaults);
    assert_eq!(parse(&text), parse(&defaults));
}

#[test]
fn the_example_names_every_key() {
    let (text, _) = example();
    let spoiled = |table: &str, after: &str| {
        let keys = refusal(&text.replacen(after, &format!("{after}\nqqqqqq = 1"), 1));
        let known = keys.split_once("known here are ").unwrap_or_else(|| panic!("{table}: {keys}")).1.to_owned();
        known.lines().next().unwrap().split(", ").map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let listeners = ["[listen.public]", "[listen.signing]", "[listen.admin]", "[listen.metrics]"];
    let tables = ["[data]", "[store]", "[audit]", "[runtime]", "[log]", "[backends.soft]", "[issuers.main]"];
    let rest = ["[issuers.main.publish]", "[issuers.main.rings.es256]", "[[grants]]"];
    for table in listeners.iter().chain(&tables).chain(&rest) {
        let from = text.find(&format!("\n{table}\n")).unwrap() + 1;
        let section = &text[from + 1..];
        let section = &section[..section.find("\n[").unwrap_or(section.len())];
        for key in spoiled(table, &format!("\n{table}")) {
            let named =
                section.lines().any(|line| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} = ")));
            // Sub-tables stand for themselves; the mode of a TCP listener is refused.
            let exempt = ["rings", "publish"].contains(&key.as_str()) || (key == "mode" && !section.contains("unix:"));
            assert!(named || exempt, "{table} does not name {key}");
        }
    }
    for inline in ["file = ", "credential = ", "env = ", "uid = ", "gid = ", "token_sha256 = ", "loopback = "] {
        assert!(text.contains(&format!("{{ {inline}")), "{inline}");
    }
    for verifier in jwksd::lifecycle::verifiers::names() {
        assert!(text.contains(&format!(" {verifier}")), "{verifier}");
    }
}

#[test]
fn the_example_says_what_the_tree_holds() {
    let config = parse(&example().0);
    let address = |text: &str| Address::Tcp(text.parse().unwrap());
    let socket = |path: &str| Address::Unix(path.into());
    assert_eq!(config.audit, Audit::in_data_dir(Path::new("/var/lib/jwksd")));
    assert_eq!(config.audit.signatures, AuditSignatures::Durable);
    assert_eq!(config.log, Log::default());
    assert_eq!(config.workers, None);
    assert_eq!(config.listen.public, Listener::public(address("127.0.0.1:8080")));
    assert_eq!(config.listen.signing, ApiListener::signing(socket("/run/jwksd/sign.sock")));
    assert_eq!(config.listen.admin, ApiListener::admin(socket("/run/jwksd/admin.sock")));
    assert_eq!(config.listen.metrics, Some(Listener::metrics(address("127.0.0.1:9464"))));
    let BackendKind::Software(sealing) = &config.backends["soft"].kind;
    assert_eq!(*sealing, Sealing::Key(Secret::File("/etc/jwksd/sealing.key".into())));
    assert_eq!(config.backends["soft"], Backend::new(BackendKind::Software(sealing.clone())));
    let key = KeySpec::new(Algorithm::Es256, None).unwrap();
    let ring = Ring::new(key, "soft".parse().unwrap(), Policy::new(Terms::default()).unwrap());
    let mut issuer = Issuer::new("https://id.example.com".parse().unwrap());
    issuer.directories = vec!["/srv/www".into()];
    issuer.rings.insert("es256".parse().unwrap(), ring);
    assert_eq!(config.issuers["main"], issuer);
    assert_eq!(config.grants[0].caller, Pattern::Uid(1001));
    assert_eq!(config.grants[1].allow, BTreeSet::from(Operation::ADMIN));
}

#[test]
fn declared_verifiers_decide_the_propagation() {
    let ring = |edits: &[Edit]| parse(&edited(edits)).issuers["main"].rings["es256"].policy.terms().clone();
    let declared = "url = \"https://id.example.com\"\nverifiers = [\"envoy\", { name = \"in-house\", cache = \"2h\" }]";
    assert_eq!(ring(&[]).propagation, Span::from_hours(26));
    let terms = ring(&[(URL, declared)]);
    assert_eq!((terms.verifier_cache, terms.propagation), (Span::from_hours(2), Span::from_secs(7_560)));
    assert_eq!(
        ring(&[(URL, declared), (RING, "backend = \"soft\"\npropagation = \"3h\"\n")]).propagation,
        Span::from_hours(3)
    );
}

#[test]
fn the_deadline_that_drain_covers_is_that_of_the_slower_backend() {
    let spare =
        "[backends.spare]\nkind = \"software\"\nsign_deadline = \"20s\"\npassphrase = { env = \"P\" }\n[issuers.main]";
    let edits = [("[issuers.main]", spare), (RING, "backend = \"soft\"\nstandby_backend = \"spare\"\n")];
    let ring = &parse(&edited(&edits)).issuers["main"].rings["es256"];
    assert_eq!(ring.policy.terms().sign_deadline, Span::from_secs(20));
    assert_eq!(ring.standby_backend.as_ref().map(ToString::to_string).as_deref(), Some("spare"));
}

#[test]
fn everything_that_can_be_said_is_kept() {
    let ring = "backend = \"soft\"\nrsa_bits = 3072\nschedule = \"0 3 1 * *\"\nself_verify = \"always\"\ntyp = \"at+jwt\"\n\
                raw_signatures = false\nblackouts = [{ opens = \"0 16 * * 5\", lasts = \"64h\" }]\n";
    let edits = [
        ("\"ES256\"", "\"RS256\""),
        (RING, ring),
        (CALLER, "{ token_sha256 = \"00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00fF\" }"),
    ];
    let config = parse(&edited(&edits));
    let ring = &config.issuers["main"].rings["es256"];
    let opens = Schedule::new("0 16 * * 5").unwrap();
    assert_eq!(ring.key.to_string(), "RS256 with 3072 bits");
    assert_eq!(ring.policy.terms().rotation, Rotation::Schedule(Schedule::new("0 3 1 * *").unwrap()));
    assert_eq!(ring.policy.terms().blackouts, [Blackout::Recurring { opens, lasts: Span::from_hours(64) }]);
    assert_eq!((ring.self_verify, ring.typ.as_str(), ring.raw_signatures), (SelfVerify::Always, "at+jwt", false));
    let Pattern::Token(TokenHash(hash)) = &config.grants[0].caller else { panic!("{:?}", config.grants[0].caller) };
    assert_eq!(hash[..2], [0x00, 0xff]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let absent = tempfile::tempdir().unwrap().path().join("jwksd.toml");
    let error = Config::load(&absent).unwrap_err();
    assert!(matches!(error, ConfigErrors::Unreadable { .. }));
    assert_eq!(error.to_string(), format!("reading the configuration {}", absent.display()));
}

#[test]
fn no_message_repeats_what_may_be_a_secret() {
    let kept = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config_errors.txt")).unwrap();
    assert!(!kept.contains("hunter2"));
}

#[test]
fn a_typ_of_the_configuration_is_one_that_tokens_can_carry() {
    for typ in ["JWT", "at+jwt", "application/x.y_z-1", &"x".repeat(64), "", "a b", "a&b", "é", &"x".repeat(65)] {
        let ring = format!("backend = \"soft\"\ntyp = {typ:?}\n");
        let accepted = Config::parse(&GOOD.replacen(RING, &ring, 1), "jwksd.toml").is_ok();
        assert_eq!(accepted, typ.parse::<Typ>().is_ok(), "{typ:?}");
    }
}

#[test]
fn whatever_is_done_to_the_example_somebody_says_what_is_wrong() {
    let (_, text) = example();
    let lines: Vec<&str> = text.lines().collect();
    let wrong = [
        "5",
        "\"\"",
        "\"x\"",
        "true",
        "[]",
        "[5]",
        "{}",
        "{ x = 1 }",
        "2026-01-01",
        "1.5",
        "[[\"x\"]]",
        "\"0s\"",
        "-1",
        "nan",
    ];
    for (number, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with(['#', ' '])) else { continue };
        let replaced = wrong.iter().map(|value| format!("{key} = {value}"));
        for new in
            replaced.chain(["".to_owned(), key.to_owned(), format!("{line}\n{line}"), format!("{line}\nx{line}")])
        {
            let mut spoiled = lines.clone();
            spoiled[number] = &new;
            if let Err(errors) = Config::parse(&spoiled.join("\n"), "jwksd.toml") {
                let ConfigErrors::Faults(faults) = &errors else { panic!("{errors}") };
                assert!(!faults.is_empty() && !errors.to_string().contains("please report"), "{new}: {errors}");
                let lines: Vec<usize> = faults.iter().map(|fault| fault.line.unwrap_or(0)).collect();
                assert!(lines.is_sorted(), "{new}: {errors}");
            }
        }
    }
}
