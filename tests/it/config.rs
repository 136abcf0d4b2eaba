//! The configuration as operators meet it: every message is in `config_errors.txt`, to be read by people.

mod aws;
mod cases;
mod gcp;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use jwksd::access::caller::TokenHash;
use jwksd::access::grant::{Operation, Pattern};
use jwksd::access::rules::Rules;
use jwksd::config::secret::Secret;
use jwksd::config::{
    Address, ApiListener, Audit, AuditSignatures, Backend, BackendKind, Checkpoints, ClientAuth, Config, ConfigErrors,
    Isolation, Issuer, JwksSource, Listener, Log, MinVersion, Pkcs11, Ring, Sealing, SelfVerify, Tls, TlsClients,
    TokenChoice, TrustedIssuer,
};
use jwksd::jose::alg::{Algorithm, KeySpec};
use jwksd::lifecycle::policy::{Policy, Rotation, Terms};
use jwksd::lifecycle::schedule::{Blackout, Schedule};
use jwksd::lifecycle::time::Span;

use cases::{ALLOW, BROKEN, CALLER, DOUBTFUL, Edit, GOOD, RING, SEALING, URL};

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
    let tables =
        ["[data]", "[store]", "[audit]", "[runtime]", "[limits]", "[log]", "[backends.soft]", "[issuers.main]"];
    let rest = ["[issuers.main.publish]", "[issuers.main.rings.es256]", "[[grants]]"];
    for table in listeners.iter().chain(&tables).chain(&rest) {
        let from = text.find(&format!("\n{table}\n")).unwrap() + 1;
        let section = &text[from + 1..];
        let section = &section[..section.find("\n[").unwrap_or(section.len())];
        for key in spoiled(table, &format!("\n{table}")) {
            let named =
                section.lines().any(|line| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} = ")));
            // Sub-tables stand for themselves; the mode of a TCP listener is refused.
            let exempt = ["rings", "publish", "claims", "create"].contains(&key.as_str())
                || (key == "mode" && !section.contains("unix:"));
            assert!(named || exempt, "{table} does not name {key}");
        }
    }
    for key in ["policy", "description", "multi_region", "tags", "alias_prefix"] {
        let (_, section) = text.split_once("#     [backends.kms.create]").unwrap();
        assert!(section.split("\n[").next().unwrap().contains(&format!("\n#     {key} = ")), "{key}");
    }
    for key in ["url", "jwks_url", "jwks_file", "ca", "audience", "algorithms", "refresh", "stale_for"] {
        let (_, section) = text.split_once("[trusted_issuers.k8s]").unwrap();
        assert!(section.split("[[grants]]").next().unwrap().contains(&format!("\n#     {key} = ")), "{key}");
    }
    for key in ["aud", "sub", "typ", "max_ttl", "require", "forbid", "values", "max_size"] {
        let (_, section) = text.split_once("#     [grants.claims]").unwrap();
        assert!(section.split("[[grants]]").next().unwrap().contains(&format!("\n#     {key} = ")), "{key}");
    }
    for inline in [
        "file = ",
        "credential = ",
        "env = ",
        "uid = ",
        "gid = ",
        "spiffe = ",
        "dns = ",
        "token_sha256 = ",
        "loopback = ",
    ] {
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
    assert_eq!(config.limits, jwksd::config::Limits::default());
    assert_eq!(config.listen.public, Listener::public(address("127.0.0.1:8080")));
    assert_eq!(config.listen.signing, ApiListener::signing(socket("/run/jwksd/sign.sock")));
    assert_eq!(config.listen.admin, ApiListener::admin(socket("/run/jwksd/admin.sock")));
    assert_eq!(config.listen.metrics, Some(Listener::metrics(address("127.0.0.1:9464"))));
    let BackendKind::Software(sealing) = &config.backends["soft"].kind else { panic!("no software backend") };
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
fn trusted_issuers_are_kept_with_their_defaults() {
    let trusted = "[trusted_issuers.k8s]\nurl = \"https://k\"\naudience = [\"a\", \"b\"]\njwks_url = \"https://k/jwks\"\n[issuers.main]";
    let caller = "{ issuer = \"k8s\", sub = \"system:serviceaccount:prod:*\" }";
    let config = parse(&edited(&[("[issuers.main]", trusted), (CALLER, caller)]));
    let issuer = TrustedIssuer {
        url: "https://k".to_owned(),
        jwks: JwksSource::Url { url: "https://k/jwks".to_owned(), ca: None },
        audiences: vec!["a".to_owned(), "b".to_owned()],
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
        refresh: Span::from_mins(5),
        stale_for: Span::from_hours(24),
    };
    assert_eq!(config.trusted_issuers["k8s"], issuer);
    let sub = "system:serviceaccount:prod:*".parse().unwrap();
    assert_eq!(config.grants[0].caller, Pattern::Subject { issuer: "k8s".to_owned(), sub });
}

#[test]
fn the_configuration_of_a_token_holds_no_doubts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/pkcs11.toml");
    let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.warnings, []);
    let BackendKind::Pkcs11(token) = &config.backends["hsm"].kind else { panic!("no token") };
    let (module, pin) = ("/usr/lib/softhsm/libsofthsm2.so".into(), Secret::Credential("hsm-pin".to_owned()));
    assert_eq!(**token, Pkcs11::new(module, TokenChoice::Label("jwksd".to_owned()), pin));
    // Keys outside this process are watched unless somebody says otherwise.
    assert!(config.issuers["main"].rings.values().all(|ring| ring.self_verify == SelfVerify::Always));
}

#[test]
fn everything_that_can_be_said_of_a_token_is_kept() {
    let keys = "kind = \"pkcs11\"\nmodule = \"/m.so\"\ntoken = { serial = \"4f2a\" }\npin = { env = \"PIN\" }\n\
                module_args = \"a='b'\"\nworkers = 3\nthreads = 8\nhang_limit = \"1s\"";
    let edits = [("kind = \"software\"", keys), (SEALING, ""), (RING, "backend = \"soft\"\nself_verify = \"load\"\n")];
    let config = parse(&edited(&edits));
    assert_eq!(config.issuers["main"].rings["es256"].self_verify, SelfVerify::Load);
    let BackendKind::Pkcs11(token) = &config.backends["soft"].kind else { panic!("no token") };
    let default = Pkcs11::new("/m.so".into(), TokenChoice::Serial("4f2a".to_owned()), Secret::Env("PIN".to_owned()));
    let module_args = Some("a='b'".to_owned());
    let expected = Pkcs11 { module_args, workers: 3, threads: 8, hang_limit: Span::from_secs(1), ..default };
    assert_eq!(**token, expected);
    let slot = keys.replace("serial = \"4f2a\"", "slot = 7").replace("workers = 3", "isolation = \"none\"");
    let text = GOOD.replacen("kind = \"software\"", &slot, 1).replacen(SEALING, "", 1);
    let BackendKind::Pkcs11(token) = &parse(&text).backends["soft"].kind else { panic!("no token") };
    assert_eq!((&token.token, token.isolation), (&TokenChoice::Slot(7), Isolation::None));
}

#[test]
fn checkpoints_are_kept_with_their_defaults() {
    let checkpoints = |keys: &str| {
        let spare = "[backends.spare]\nkind = \"software\"\npassphrase = { env = \"P\" }\n";
        let text =
            format!("[audit]\nsegment_age = \"2h\"\ncheckpoints = {{ backend = \"spare\"{keys} }}\n{spare}[listen]");
        let config = parse(&GOOD.replacen("[listen]", &text, 1));
        assert_eq!((config.audit.segment_age, config.warnings), (Span::from_hours(2), Vec::new()));
        config.audit.checkpoints.unwrap()
    };
    let key = |algorithm| KeySpec::new(algorithm, None).unwrap();
    let plain =
        Checkpoints { backend: "spare".parse().unwrap(), key: key(Algorithm::Es256), every: Span::from_hours(1) };
    assert_eq!(checkpoints(""), plain);
    let said = Checkpoints { key: key(Algorithm::Ps256), every: Span::from_mins(5), ..plain };
    assert_eq!(checkpoints(", algorithm = \"PS256\", every = \"5m\""), said);
}

#[test]
fn the_rules_of_a_grant_are_kept() {
    let rules = |keys: &str| {
        let grant = format!("{ALLOW}\n[grants.claims]\n{keys}");
        parse(&GOOD.replacen(ALLOW, &grant, 1)).grants[0].rules.clone()
    };
    assert_eq!(rules(""), Rules::default());
    let said = "aud = \"a\"\nsub = [\"user:*\", \"root\"]\ntyp = \"at+jwt\"\nmax_ttl = \"5m\"\nrequire = \"c\"\n\
                forbid = [\"x\", \"y\"]\nvalues = { t = \"blue\", n = 7, b = true }\nmax_size = \"4KiB\"";
    let values = [("b", true.into()), ("n", 7.into()), ("t", "blue".into())];
    let expected = Rules {
        aud: Some(vec!["a".to_owned()]),
        sub: Some(vec!["user:*".parse().unwrap(), "root".parse().unwrap()]),
        typ: Some(vec!["at+jwt".parse().unwrap()]),
        max_ttl: Some(Span::from_mins(5)),
        require: vec!["c".to_owned()],
        forbid: vec!["x".to_owned(), "y".to_owned()],
        values: values.map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value)).into(),
        max_size: Some(4_096),
    };
    assert_eq!(rules(said), expected);
}

#[test]
fn tls_is_kept_with_its_defaults() {
    let tls = |keys: &str| {
        let public = format!("{{ address = \"0.0.0.0:8443\", tls = {{ cert = \"/c\", key = \"/k\"{keys} }} }}");
        parse(&GOOD.replacen(cases::PUBLIC, &public, 1)).listen.public.tls.unwrap()
    };
    let (cert, key) = (PathBuf::from("/c"), PathBuf::from("/k"));
    let plain = Tls { cert, key, min_version: MinVersion::Tls13, clients: None };
    assert_eq!(tls(""), plain);
    let clients = TlsClients { ca: "/ca".into(), auth: ClientAuth::Required, crls: Vec::new() };
    assert_eq!(tls(", client_ca = \"/ca\""), Tls { clients: Some(clients), ..plain.clone() });
    let clients = TlsClients { ca: "/ca".into(), auth: ClientAuth::Optional, crls: vec!["/a".into(), "/b".into()] };
    let said =
        ", min_version = \"1.2\", client_ca = \"/ca\", client_auth = \"optional\", client_crls = [\"/a\", \"/b\"]";
    assert_eq!(tls(said), Tls { min_version: MinVersion::Tls12, clients: Some(clients), ..plain });
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
