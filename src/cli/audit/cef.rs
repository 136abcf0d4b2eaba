//! Records in ArcSight's Common Event Format, version 0 of the format.

use serde_json::{Map, Value};

use super::export::{Ending, ending, text, title};
use crate::audit::Record;

/// The record as one line.
///
/// # Source
/// Micro Focus Security ArcSight Common Event Format, version 25, "Header Information" and "Character Encoding".
pub fn event(record: &Record, members: &Map<String, Value>) -> String {
    let name = text(members, "event").unwrap_or("unknown");
    let ending = ending(name, members);
    let severity = match (name, ending) {
        ("rollback_accepted", _) => 8,
        (_, Ending::Failure) => 5,
        (_, Ending::Success | Ending::Unknown) => 2,
    };
    let outcome = match ending {
        Ending::Success => "success",
        Ending::Failure => "failure",
        Ending::Unknown => "unknown",
    };
    let title = title(name, text(members, "what"));
    let mut line = "CEF:0".to_owned();
    for field in ["jwksd", "jwksd", env!("CARGO_PKG_VERSION"), name, &title] {
        line.push('|');
        line.push_str(&header(field));
    }
    line.push_str(&format!("|{severity}|"));
    let mut pairs = vec![
        ("rt", record.at.as_second().saturating_mul(1_000).to_string()),
        ("externalId", record.seq.to_string()),
        ("act", title),
        ("outcome", outcome.to_owned()),
    ];
    for (member, key) in PLAIN {
        pairs.extend(text(members, member).map(|value| (key, value.to_owned())));
    }
    for (member, key, label) in LABELLED {
        if let Some(value) = text(members, member) {
            pairs.extend([(label, member.to_owned()), (key, value.to_owned())]);
        }
    }
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={}", extension(&value))).collect();
    line + &pairs.join(" ")
}

/// Members that have a key of their own in the format.
const PLAIN: [(&str, &str); 4] =
    [("caller", "suser"), ("reason", "reason"), ("detail", "msg"), ("backend", "destinationServiceName")];

/// Members that have none: custom strings, each with its label.
const LABELLED: [(&str, &str, &str); 6] = [
    ("issuer", "cs1", "cs1Label"),
    ("ring", "cs2", "cs2Label"),
    ("kid", "cs3", "cs3Label"),
    ("jti", "cs4", "cs4Label"),
    ("request_id", "cs5", "cs5Label"),
    ("code", "cs6", "cs6Label"),
];

/// In the header, bars and backslashes are escaped; a line's end can't be written there at all.
fn header(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' => out.extend(['\\', c]),
            c if is_break(c) => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// In the extension, equals signs and backslashes are escaped, and line ends are written as `\n` and `\r`.
fn extension(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '=' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if is_break(c) => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// What some reader could take for the end of a line, or act on.
fn is_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}
