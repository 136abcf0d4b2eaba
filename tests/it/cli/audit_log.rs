//! `audit search` and `audit export`: the log read without the daemon, as people, scripts and other systems meet it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jwksd::audit::{Audit, Commit, Digest, Event, Options, Outcome};
use jwksd::clock::SystemClock;
use jwksd::ids::{CommitId, IssuerId, Kid, Revision, RingName};
use serde_json::{Value, json};

use super::{code, jwksd, stderr, stdout};

const KID: &str = "-x7Vb1nM4cL9kJ2hG5fD8sA3pO6iU0yT7rE4wQ1zX9v";

/// What nobody should believe to be a record of its own, a field of its own, or the end of a line.
const HOSTILE: &str = "a|b=c\\d\nCEF:0|x|y|1|z|z|9|act=forged\r\u{2028}\u{7}\"}";

fn issuer(name: &str) -> IssuerId {
    IssuerId::new(name).unwrap()
}

fn signed(ring: &str, jti: &str, caller: &str, outcome: Outcome) -> Event {
    Event::Signed {
        issuer: issuer("main"),
        ring: RingName::new(ring).unwrap(),
        kid: Kid::new(KID).unwrap(),
        jti: Some(jti.to_owned()),
        claims_sha256: Digest::of(b"{}"),
        exp: None,
        caller: caller.to_owned(),
        request_id: Some("01JFHX2Z7Q".to_owned()),
        outcome,
    }
}

fn commit() -> Commit {
    Commit {
        issuer: issuer("main"),
        revision: Revision::new(1),
        commit_id: "00112233445566778899aabbccddeeff".parse::<CommitId>().unwrap(),
        hash: Digest::of(b"1"),
    }
}

/// A log of these events, with the header before them and the end after.
fn log(events: Vec<Event>) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (audit, _) = Audit::open(directory.path(), Options::default(), Arc::new(SystemClock)).unwrap();
        for event in events {
            audit.append(event).await.unwrap();
        }
        audit.close().unwrap();
    });
    let path = directory.path().to_str().unwrap().to_owned();
    (directory, path)
}

fn some() -> Vec<Event> {
    let Commit { issuer: main, revision, commit_id, hash } = commit();
    vec![
        Event::Created { issuer: main.clone(), commit_id, hash },
        signed("es256", "one", "uid:1001", Outcome::Done),
        signed("rs256", "two", "uid:1002", Outcome::Done),
        signed("es256", "three", "uid:1001", Outcome::Failed),
        Event::Refused {
            issuer: Some(main.clone()),
            ring: None,
            code: HOSTILE.to_owned(),
            caller: Some(HOSTILE.to_owned()),
            request_id: None,
        },
        Event::RollbackAccepted {
            issuer: main,
            revision,
            commit_id,
            hash,
            caller: "uid:0".to_owned(),
            reason: "\"jti\":\"one\" is what we looked for".to_owned(),
        },
    ]
}

fn segment(directory: &Path) -> PathBuf {
    let all = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    all.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "jsonl")).unwrap()
}

/// The numbers of the records that a search finds, or its exit code.
fn found(path: &str, arguments: &[&str]) -> Result<Vec<u64>, i32> {
    let output = jwksd(&[&["audit", "search", path, "--json"], arguments].concat()).output().unwrap();
    if code(&output) != 0 {
        return Err(code(&output));
    }
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
    Ok(stdout(&output).lines().map(number).collect())
}

fn export(path: &str, format: &str) -> Vec<String> {
    let output = jwksd(&["audit", "export", path, "--format", format]).output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{format}");
    // Not by `lines`, which would hide a carriage return.
    stdout(&output).strip_suffix('\n').map(|text| text.split('\n').map(str::to_owned).collect()).unwrap_or_default()
}

#[test]
fn a_search_finds_what_it_names_and_nothing_else() {
    let (_directory, path) = log(some());
    let all: Vec<u64> = (1..=8).collect();
    let cases: &[(&[&str], &[u64])] = &[
        (&[], &all),
        (&["--event", "signed"], &[3, 4, 5]),
        (&["--event", "SIGNED"], &[]),
        (&["--event", "signed", "--ring", "es256"], &[3, 5]),
        (&["--caller", "uid:1001"], &[3, 5]),
        (&["--caller", "uid:100"], &[]),
        (&["--caller", HOSTILE], &[6]),
        // Also where another record has the same bytes inside one of its texts.
        (&["--jti", "one"], &[3]),
        (&["--kid", KID, "--outcome", "failed"], &[5]),
        (&["--issuer", "main", "--event", "created"], &[2]),
        (&["--issuer", "other"], &[]),
        (&["--request-id", "01JFHX2Z7Q", "--limit", "1"], &[5]),
        (&["--since", "1h"], &all),
        (&["--until", "1h"], &[]),
        (&["--since", "2100-01-01T00:00:00Z"], &[]),
        (&["--since", "2020-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z", "--event", "stopped"], &[8]),
    ];
    for (arguments, expected) in cases {
        assert_eq!(found(&path, arguments).as_deref(), Ok(*expected), "{arguments:?}");
    }
    assert_eq!(found(&path, &["--since", "yesterday"]), Err(2));
}

#[test]
fn a_search_by_people_shows_nothing_that_acts_on_a_terminal_and_says_what_it_left_out() {
    let (_directory, path) = log(some());
    let output = jwksd(&["audit", "search", &path, "--limit", "3"]).output().unwrap();
    let text = stdout(&output);
    assert!(text.contains("rollback accepted") && text.contains("5 older ones are not shown"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let output = jwksd(&["audit", "search", &path, "--jti", "nobody"]).output().unwrap();
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "There are no records.\n"));
}

#[test]
fn what_is_exported_as_lines_is_the_log_itself() {
    let (directory, path) = log(some());
    let log = fs::read_to_string(segment(directory.path())).unwrap();
    let log: Vec<&str> = log.lines().filter(|line| !line.starts_with('\0')).collect();
    assert_eq!(export(&path, "jsonl"), log);
}

#[test]
fn a_log_of_which_little_or_nothing_is_there() {
    let (directory, path) = log(Vec::new());
    assert_eq!(found(&path, &["--event", "signed"]), Ok(Vec::new()));
    for format in ["jsonl", "ocsf", "cef"] {
        assert_eq!(export(&path, format).len(), 2, "the header and the end");
    }
    // Without a segment it is no log, and that is no success.
    fs::remove_file(segment(directory.path())).unwrap();
    for command in [&["audit", "search", &path][..], &["audit", "export", &path, "--format", "cef"]] {
        let output = jwksd(command).output().unwrap();
        assert_eq!((code(&output), stdout(&output).as_str()), (5, ""));
        assert!(stderr(&output).contains("no audit segment in"), "{}", stderr(&output));
    }
}

#[test]
fn a_damaged_log_is_exported_up_to_the_damage_and_the_exit_code_says_so() {
    let (directory, path) = log(some());
    let segment = segment(directory.path());
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replace("\"jti\":\"two\"", "\"jti\":\"twe\"")).unwrap();
    for format in ["jsonl", "ocsf", "cef"] {
        let output = jwksd(&["audit", "export", &path, "--format", format]).output().unwrap();
        assert_eq!((code(&output), stdout(&output).lines().count()), (6, 3), "{format}");
        assert!(stderr(&output).contains(".jsonl:4: the record was damaged"), "{}", stderr(&output));
    }
    // A search has no part that could be shown: what it looks for may be what was damaged.
    assert_eq!(found(&path, &["--jti", "one"]), Err(6));
    assert_eq!(found(&path, &[]), Err(6));
}

#[test]
fn every_ocsf_event_has_what_its_class_requires() {
    let (_directory, path) = log(some());
    let lines = export(&path, "jsonl");
    let events: Vec<Value> = export(&path, "ocsf").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), lines.len());
    for (event, line) in events.iter().zip(&lines) {
        let number = |name: &str| event[name].as_i64().unwrap_or_else(|| panic!("{name} of {event}"));
        // Base event: https://schema.ocsf.io/1.6.0/base_event
        assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
        assert_eq!(number("category_uid"), number("class_uid") / 1_000);
        assert!((0..=6).contains(&number("severity_id")) && (0..=2).contains(&number("status_id")));
        assert!((1_700_000_000_000..5_000_000_000_000).contains(&number("time")), "milliseconds");
        assert_eq!(event["metadata"]["version"], "1.6.0");
        assert!(event["metadata"]["product"]["name"].is_string());
        assert!(event["metadata"]["product"]["vendor_name"].is_string());
        assert_eq!(event["raw_data"], **line, "the record itself, whole");
        let object = |name: &str| event[name].as_object().is_some_and(|members| !members.is_empty());
        match number("class_uid") {
            // https://schema.ocsf.io/1.6.0/classes/api_activity
            6_003 => {
                assert!([1, 2, 3, 4, 99].contains(&number("activity_id")));
                assert!(object("actor") && event["src_endpoint"]["name"].is_string());
                assert!(event["api"]["operation"].is_string(), "{event}");
                let known = |one: &Value| one["name"].is_string() || one["uid"].is_string();
                assert!(event["resources"].as_array().is_none_or(|all| !all.is_empty() && all.iter().all(known)));
            }
            // https://schema.ocsf.io/1.6.0/classes/application_lifecycle
            6_002 => assert!([3, 4, 99].contains(&number("activity_id")) && event["app"]["name"].is_string()),
            other => panic!("class {other}"),
        }
    }
    let signed = &events[2];
    assert_eq!((&signed["class_name"], &signed["activity_name"]), (&json!("API Activity"), &json!("Create")));
    assert_eq!(signed["actor"]["user"]["name"], "uid:1001");
    assert_eq!(signed["api"]["request"]["uid"], "01JFHX2Z7Q");
    assert!(signed["resources"].as_array().unwrap().contains(&json!({ "type": "key", "uid": KID })));
    let statuses: Vec<&str> = events.iter().map(|event| event["status"].as_str().unwrap()).collect();
    assert_eq!((statuses[2], statuses[4], statuses[5]), ("Success", "Failure", "Failure"));
    assert_eq!(events[6]["severity_id"], 4, "a rollback that was accepted is high");
    assert_eq!(events[7]["type_uid"], 600_204, "the daemon stopped");
}

/// Takes a line of CEF apart as its specification says: seven fields of the header, then keys and values.
fn parse_cef(line: &str) -> (Vec<String>, Vec<(String, String)>) {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while fields.len() <= 7 {
        match chars.next().unwrap_or_else(|| panic!("seven bars in {line}")) {
            '\\' => fields.last_mut().unwrap().push(chars.next().unwrap()),
            '|' => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields.pop();
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut text = String::new();
    let mut chars = chars.peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().unwrap() {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                c => text.push(c),
            },
            '=' => {
                // The key is the last word before an equals sign that is not escaped.
                let (value, key) = text.rsplit_once(' ').map_or(("", text.as_str()), |(value, key)| (value, key));
                let key = key.to_owned();
                if let Some(last) = pairs.last_mut() {
                    last.1 = value.to_owned();
                }
                pairs.push((key, String::new()));
                text = String::new();
            }
            c => text.push(c),
        }
    }
    pairs.last_mut().unwrap().1 = text;
    (fields, pairs)
}

#[test]
fn nothing_that_a_caller_says_breaks_out_of_its_cef_field() {
    let (_directory, path) = log(some());
    let lines = export(&path, "cef");
    assert_eq!(lines.len(), 8, "one line for each record: {lines:?}");
    let keys = [
        "rt",
        "externalId",
        "act",
        "outcome",
        "suser",
        "reason",
        "msg",
        "destinationServiceName",
        "cs1Label",
        "cs1",
        "cs2Label",
        "cs2",
        "cs3Label",
        "cs3",
        "cs4Label",
        "cs4",
        "cs5Label",
        "cs5",
        "cs6Label",
        "cs6",
    ];
    for (n, line) in lines.iter().enumerate() {
        assert!(line.chars().all(|c| !c.is_control() && c != '\u{2028}'), "{line:?}");
        let (header, pairs) = parse_cef(line);
        assert_eq!((&header[0][..], &header[1][..], &header[2][..]), ("CEF:0", "jwksd", "jwksd"));
        assert!(header[6].parse::<u8>().unwrap() <= 10, "{header:?}");
        assert!(pairs.iter().all(|(key, _)| keys.contains(&key.as_str())), "{pairs:?}");
        assert_eq!(pairs[1], ("externalId".to_owned(), (n + 1).to_string()));
    }
    let (header, pairs) = parse_cef(&lines[5]);
    assert_eq!((&header[4][..], &header[5][..], &header[6][..]), ("refused", "refused", "5"));
    // What can be written is read back as it was; a bell and an exotic line end are blanks.
    let expected = HOSTILE.replace(['\u{2028}', '\u{7}'], " ");
    let value = |key: &str| pairs.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str());
    assert_eq!(
        (value("suser"), value("cs6"), value("outcome")),
        (Some(&expected[..]), Some(&expected[..]), Some("failure"))
    );
    let (_, pairs) = parse_cef(&lines[2]);
    let has = |key: &str, value: &str| pairs.contains(&(key.to_owned(), value.to_owned()));
    assert!(has("cs3Label", "kid") && has("cs3", KID) && has("suser", "uid:1001") && has("outcome", "success"));
}
