//! The program as scripts meet it: exit codes, streams, and what it asks of the daemon.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::thread;

use jwksd::audit::{Audit, Event, Options};
use jwksd::clock::SystemClock;
use serde_json::json;

use super::stub::{Asked, Reply, Stub, serve};
use super::{assert_kept, code, jwksd, stderr, stdout};

const KEYS: &str = r#"{"issuer":"main","jwk_set_version":1,"keys":[]}"#;
const KID: &str = "-x7Vb1nM4cL9kJ2hG5fD8sA3pO6iU0yT7rE4wQ1zX9v";

fn problem(status: u16, code: &str, detail: &str) -> Reply {
    let kind = format!("urn:jwksd:problem:{code}");
    let body = json!({
        "type": kind, "title": "t", "status": status, "detail": detail, "code": code, "request_id": "01JFHX2Z7Q",
    });
    Reply::Json(status, body.to_string())
}

/// Runs a command against a daemon that answers so.
fn ask(arguments: &[&str], replies: Vec<Reply>) -> (Output, Vec<Asked>) {
    let stub = Stub::new(replies);
    let output = jwksd(arguments).env("JWKSD_ADMIN", stub.address.to_string()).output().unwrap();
    (output, stub.asked())
}

#[test]
fn every_complaint_says_what_to_do_and_has_its_exit_code() {
    let no_daemon = ["--admin", "unix:/nonexistent/admin.sock"];
    let keys = ["keys", "main"];
    let rotate = ["rotate", "main", "es256"];
    let mut cases: Vec<(&str, Output)> = Vec::new();
    let mut answered = |name, arguments: &[&str], reply| cases.push((name, ask(arguments, vec![reply]).0));
    answered("not found", &keys, problem(404, "unknown_issuer", "there is no issuer main"));
    answered("not known", &keys, problem(401, "unauthenticated", "no grant names this caller"));
    answered("not allowed", &rotate, problem(403, "forbidden", "uid:1003 may not rotate main/es256"));
    answered("conflict", &rotate, problem(409, "rotation_under_way", "main/es256 is rotating already"));
    answered("broken", &rotate, problem(503, "store_unavailable", "the store did not take the change"));
    answered("slow", &rotate, problem(503, "outcome_unknown", "it takes longer than expected and goes on"));
    answered("another server", &keys, Reply::Json(404, "404 page not found".to_owned()));
    answered("another version", &keys, Reply::Json(200, r#"{"hello":"world"}"#.to_owned()));
    answered("silence after a question", &keys, Reply::Silence);
    answered("silence after a change", &rotate, Reply::Silence);
    let mut alone = |name, arguments: &[&str]| cases.push((name, jwksd(arguments).output().unwrap()));
    alone("no daemon", &[&keys[..], &no_daemon].concat());
    alone("no such issuer name", &["keys", "Main"]);
    alone("no such address", &["keys", "--admin", "/run/jwksd/admin.sock"]);
    alone("TLS", &["keys", "--admin", "https://keys.example.com"]);
    alone("no such command", &["rotaet"]);
    alone("no such duration", &["plan", "--for", "3x"]);
    alone("no such moment", &["import", "main", "-", "--until", "soon"]);
    alone("no kid", &["compromise", "main", "--reason", "leaked"]);
    alone("no reason", &["compromise", "main", KID]);
    alone("empty reason", &["compromise", "main", KID, "--yes", "--reason", " "]);
    alone("nobody to confirm", &["compromise", "main", KID, "--reason", "leaked"]);
    alone("no such token file", &["keys", "--token-file", "/nonexistent/token"]);
    alone("no such file", &["import", "main", "/nonexistent/jwks.json"]);
    alone("nothing to import", &["import", "main", "-"]);
    alone("no configuration", &["run", "--config", "/nonexistent/jwksd.toml"]);
    alone("no audit log", &["audit", "verify", "/nonexistent/audit"]);
    let mut actual = String::new();
    for (name, output) in &cases {
        assert_eq!(stdout(output), "", "{name}");
        // The stub's port is another one each time.
        let said = stderr(output);
        let said: Vec<&str> = said.split("127.0.0.1:").collect();
        let said: Vec<String> = said
            .iter()
            .enumerate()
            .map(|(n, part)| match part.find(|c: char| !c.is_ascii_digit()) {
                Some(end) if n > 0 && end > 4 => format!("127.0.0.1:PORT{}", &part[end..]),
                _ if n > 0 => format!("127.0.0.1:{part}"),
                _ => (*part).to_owned(),
            })
            .collect();
        writeln!(actual, "== {name}: {}\n{}", code(output), said.concat()).unwrap();
    }
    assert_kept("complaints.txt", &actual);
}

#[test]
fn a_configuration_that_is_wrong_is_told_line_by_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("jwksd.toml"), "installation = \"Prod\"\nlisten = 1\n").unwrap();
    for arguments in [["check-config", "jwksd.toml"], ["run", "-cjwksd.toml"], ["init", "-cjwksd.toml"]] {
        let output = jwksd(&arguments).current_dir(&directory).output().unwrap();
        assert_eq!((code(&output), stdout(&output).as_str()), (3, ""));
        let said = stderr(&output);
        assert!(said.contains("\njwksd.toml:1: installation: "), "{said}");
        assert!(said.trim_end().ends_with("in the configuration"), "{said}");
    }
    let output = jwksd(&["check-config", "jwksd.toml", "--json"]).current_dir(&directory).output().unwrap();
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((code(&output), &json["valid"], &json["faults"][0]["line"]), (3, &json!(false), &json!(null)));
}

#[test]
fn a_program_gets_the_answer_as_it_came() {
    let (output, asked) = ask(&["keys", "main", "--json"], vec![Reply::Json(200, KEYS.to_owned())]);
    assert_eq!((code(&output), stdout(&output), stderr(&output)), (0, format!("{KEYS}\n"), String::new()));
    assert_eq!(asked[0].line, "GET /v1/issuers/main/keys HTTP/1.1");
}

#[test]
fn keys_of_all_issuers_come_one_document_per_line() {
    let issuer = |name: &str| {
        json!({"issuer": name, "url": "u", "jwks_uri": "j", "revision": 1, "jwk_set_version": 1, "keys": 1,
               "jwks_max_age": "5m", "verifiers": [], "rings": [], "imported": 0})
    };
    let issuers = Reply::Json(200, json!({"issuers": [issuer("a"), issuer("b")]}).to_string());
    let keys = || Reply::Json(200, KEYS.to_owned());
    let (output, asked) = ask(&["--json", "keys"], vec![issuers, keys(), keys()]);
    assert_eq!(stdout(&output), format!("{KEYS}\n{KEYS}\n"));
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines[1..], ["GET /v1/issuers/a/keys HTTP/1.1", "GET /v1/issuers/b/keys HTTP/1.1"]);
}

#[test]
fn a_status_that_is_not_ready_is_an_exit_code() {
    let status = |ready: bool| {
        let readiness = json!({"ready": ready, "reasons": [], "issuers": []});
        let status = json!({"version": "1", "installation": "x", "now": "2026-12-20T03:00:00Z",
                            "started_at": "2026-12-20T03:00:00Z", "clock_jump_seconds": 0, "readiness": readiness});
        Reply::Json(200, status.to_string())
    };
    for (ready, expected) in [(true, 0), (false, 1)] {
        let (output, _) = ask(&["status", "--json"], vec![status(ready)]);
        assert_eq!((code(&output), stderr(&output).as_str()), (expected, ""));
    }
}

#[test]
fn a_compromise_is_watched_until_it_is_over() {
    let report = |is_over: bool| {
        let mut report = json!({"issuer": "main", "ring": "es256", "kid": KID, "reason": "leaked", "revision": 2,
            "declared_at": "2026-12-20T03:00:00Z", "jwk_set_version": 2, "verifiers": [], "private_half": "held",
            "signer": {"version": 2, "kid": "k", "activated_at": "2026-12-20T03:00:00Z",
                       "rotate_at": "2027-12-20T03:00:00Z"}});
        if is_over {
            report["withdrawal_seen_at"] = json!("2026-12-20T03:00:01Z");
            report["private_half"] = json!("destroyed");
            report["flush_key"] = json!({"version": 3, "kid": "f", "published": true});
        }
        Reply::Json(200, report.to_string())
    };
    let arguments = ["compromise", "main", KID, "--reason", "leaked", "--yes"];
    let (output, asked) = ask(&arguments, vec![report(false), report(true)]);
    assert_eq!((code(&output), asked.len()), (0, 2));
    assert!(stdout(&output).contains("destroyed") && !stdout(&output).contains("Not over yet"));
    assert_eq!(asked[0].line, "POST /v1/issuers/main/compromise HTTP/1.1");
    let body: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(body, json!({"kid": KID, "reason": "leaked", "activate_unpropagated": false}));
    assert_eq!(asked[1].line, format!("GET /v1/issuers/main/compromised/{KID} HTTP/1.1"));
}

#[test]
fn every_command_asks_for_what_it_says() {
    let cases: [(&[&str], &str); 9] = [
        (&["status"], "GET /v1/status"),
        (&["whoami"], "GET /v1/whoami"),
        (&["plan"], "GET /v1/plan?for=365d"),
        (&["plan", "main", "--for", "90m"], "GET /v1/issuers/main/plan?for=1h30m"),
        (&["audit", "tail", "-n5"], "GET /v1/audit?limit=5"),
        (&["rotate", "main", "es256", "--reason", "drill"], "POST /v1/issuers/main/rings/es256/rotate"),
        (&["withdraw", "main", "../a?b#c%"], "DELETE /v1/issuers/main/imported/%2E%2E%2Fa%3Fb%23c%25"),
        (&["withdraw", "main", KID], "DELETE /v1/issuers/main/imported/-x7Vb1nM4cL9kJ2hG5fD8sA3pO6iU0yT7rE4wQ1zX9v"),
        (&["keys", "main", "--all"], "GET /v1/issuers/main/keys"),
    ];
    for (arguments, expected) in cases {
        let (output, asked) = ask(arguments, vec![problem(403, "not_granted", "no grant lets you do this here")]);
        assert_eq!((code(&output), asked[0].line.as_str()), (1, format!("{expected} HTTP/1.1").as_str()));
    }
}

#[test]
fn what_is_imported_goes_out_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    fs::write(&file, r#"{ "keys" : [ {"kty":"EC", "n":1.0} ] }"#).unwrap();
    let report =
        json!({"issuer": "main", "revision": 2, "jwk_set_version": 2, "kids": ["a"], "published": true}).to_string();
    let arguments = ["import", "main", file.to_str().unwrap(), "--until", "2027-01-15T00:00:00Z"];
    let (output, asked) = ask(&arguments, vec![Reply::Json(200, report)]);
    assert_eq!(code(&output), 0);
    let expected = r#"{"jwks":{ "keys" : [ {"kty":"EC", "n":1.0} ] },"until":"2027-01-15T00:00:00Z"}"#;
    assert_eq!(asked[0].body, expected);
}

#[test]
fn a_private_key_is_not_even_sent() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwk.json");
    let key = r#"{"kty":"EC","crv":"P-256","x":"A","y":"B","d":"c2VjcmV0"}"#;
    for text in [key.to_owned(), format!(r#"{{"keys":[{key}]}}"#)] {
        fs::write(&file, text).unwrap();
        // Nobody listens there: had it been tried, the exit code would say so.
        let output = jwksd(&["import", "main", file.to_str().unwrap()]).output().unwrap();
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains("holds a private key; it was not sent") && !stderr(&output).contains("c2Vj"));
    }
}

#[test]
fn a_token_is_shown_to_the_daemon_and_to_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let arguments = ["keys", "main", "--token-file", file.to_str().unwrap()];
    fs::write(&file, "s3cret-token\n").unwrap();
    let (output, asked) = ask(&arguments, vec![problem(401, "unauthenticated", "no grant names this caller")]);
    assert!(asked[0].headers.contains(&"authorization: Bearer s3cret-token".to_owned()));
    assert!(!stderr(&output).contains("s3cret"));

    fs::write(&file, "two words\r\nX-Injected: 1").unwrap();
    let output = jwksd(&arguments).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("holds no bearer token") && !stderr(&output).contains("Injected"));
}

#[test]
fn a_socket_is_asked_like_an_address() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let stub = Stub::unix(&path, vec![Reply::Json(200, KEYS.to_owned())]);
    let output = jwksd(&["keys", "main", "--admin", &format!("unix:{}", path.display())]).output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    assert!(stub.join().unwrap()[0].headers.contains(&"host: localhost".to_owned()));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (listener, address) = Stub::listener();
    let mut child = jwksd(&["keys", "main"]).env("JWKSD_ADMIN", address.to_string()).spawn().unwrap();
    // Gone before the answer comes.
    drop(child.stdout.take());
    let stub = thread::spawn(move || serve(|| listener.accept().unwrap().0, vec![Reply::Json(200, KEYS.to_owned())]));
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    stub.join().unwrap();
    for arguments in [&["--help"][..], &["man"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = jwksd(arguments).stdout(Stdio::from(writer)).output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    for (choice, is_coloured) in [("auto", false), ("never", false), ("always", true)] {
        let (output, _) = ask(&["keys", "main", "--color", choice], vec![Reply::Json(200, KEYS.to_owned())]);
        assert_eq!(stdout(&output).contains('\u{1b}'), is_coloured, "{choice}");
    }
}

#[test]
fn an_audit_log_is_sound_or_the_exit_code_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (audit, _) = Audit::open(directory.path(), Options::default(), Arc::new(SystemClock)).unwrap();
        let code = "unknown_ring".to_owned();
        let refused = Event::Refused { issuer: None, ring: None, code, caller: None, request_id: None };
        audit.append(refused).await.unwrap();
        audit.close().unwrap();
    });
    let arguments = ["audit", "verify", directory.path().to_str().unwrap()];
    let output = jwksd(&arguments).output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    assert!(stdout(&output).contains("is sound") && stdout(&output).contains("stopped in good order"));
    let output = jwksd(&[&arguments[..], &["--json"]].concat()).output().unwrap();
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&json["sound"], &json["first"], &json["last"]), (&json!(true), &json!(1), &json!(3)));

    let segment = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|e| e == "jsonl")).unwrap();
    let text = fs::read_to_string(&segment).unwrap();
    fs::File::create(&segment).unwrap().write_all(text.replace("unknown_ring", "unknown_king").as_bytes()).unwrap();
    let output = jwksd(&arguments).output().unwrap();
    assert_eq!((code(&output), stdout(&output).as_str()), (6, ""));
    assert!(stderr(&output).contains(".jsonl:2: the record was damaged"), "{}", stderr(&output));
}
