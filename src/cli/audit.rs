//! `jwksd audit`: the log, checked without the daemon or read through it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::{self, Daemon};
use super::client::Client;
use super::context::Context;
use super::failure::Failure;
use super::moment::absolute;
use super::paint::{BAD, DOUBTFUL, GOOD, PAST, PLAIN, TITLE, paint, tame};
use super::table::{Cell, Table};
use crate::audit::verify::{Report, verify, verify_rest};
use crate::audit::{Fault, Tail};
use crate::server::api::{AuditPage, AuditRecord};

/// Checks a log, or reads its end.
pub fn audit(args: &args::Audit, context: Context<'_>) -> Result<(), Failure> {
    match args {
        args::Audit::Verify { directory, rest: false } => check(directory, verify(directory), context),
        args::Audit::Verify { directory, rest: true } => check(directory, verify_rest(directory), context),
        args::Audit::Tail { lines, daemon } => tail(*lines, daemon, context),
    }
}

fn check(directory: &Path, report: Result<Report, Fault>, context: Context<'_>) -> Result<(), Failure> {
    let report = report.map_err(|source| Failure::Audit { directory: directory.to_owned(), source })?;
    context.tell(&as_json(&report), |_| render_report(directory, &report))
}

fn tail(lines: u16, daemon: &Daemon, context: Context<'_>) -> Result<(), Failure> {
    let answer = Client::new(daemon)?.get(&format!("/v1/audit?limit={lines}"))?;
    context.show(&answer, |page: &AuditPage, _| render_records(&page.records))
}

fn as_json(report: &Report) -> Value {
    let Report { segments, first, last, hash, is_stopped, tail, ledger } = report;
    let anchors = ledger.anchors.iter().map(|(issuer, anchor)| (issuer.to_string(), json!(anchor.revision.get())));
    let torn = match tail {
        Tail::Clean => Value::Null,
        Tail::Torn { file, line, bytes } => json!({ "file": file, "line": line, "bytes": bytes }),
    };
    json!({
        "sound": true,
        "segments": segments,
        "first": first,
        "last": last,
        "hash": hash.to_string(),
        "stopped": is_stopped,
        "torn_tail": torn,
        "revisions": anchors.collect::<Map<String, Value>>(),
        "open_intents": ledger.intents.len(),
    })
}

/// What a sound log holds.
#[must_use]
pub fn render_report(directory: &Path, report: &Report) -> String {
    let Report { segments, first, last, hash, is_stopped, tail, ledger } = report;
    let mut table = Table::bare().indented(2);
    let files = if *segments == 1 { "1 segment".to_owned() } else { format!("{segments} segments") };
    table.row(["Records".into(), format!("{first} to {last}, in {files}").into()]);
    if *first > 1 {
        table.row(["Before".into(), Cell::styled(DOUBTFUL, "older segments are not here; they were not checked")]);
    }
    table.row(["Last hash".into(), hash.to_string().into()]);
    let ended = match (tail, is_stopped) {
        (Tail::Torn { file, line, bytes }, _) => Cell::styled(
            DOUBTFUL,
            &format!("in the middle of a record that nobody was told of ({bytes} bytes, {file}:{line})"),
        ),
        (Tail::Clean, true) => "the daemon stopped in good order".into(),
        (Tail::Clean, false) => "the daemon runs, or was killed".into(),
    };
    table.row(["End".into(), ended]);
    for (issuer, anchor) in &ledger.anchors {
        table.row(["Issuer".into(), format!("{issuer} at revision {}", anchor.revision).into()]);
    }
    for intent in &ledger.intents {
        let text = format!("{} revision {}: not known whether it was stored", intent.issuer, intent.revision);
        table.row(["Open".into(), Cell::styled(DOUBTFUL, &text)]);
    }
    format!(
        "{} {}\n\n{}\n  Keep record {last} and its hash elsewhere: a later log must still hold them.\n",
        tame(&directory.display().to_string()),
        paint(GOOD, "is sound"),
        table.render()
    )
}

/// The records of a page, one after the other.
#[must_use]
pub fn render_records(records: &[AuditRecord]) -> String {
    if records.is_empty() {
        return "There are no records.\n".to_owned();
    }
    let mut table = Table::new(["RECORD", "AT", "EVENT", "FACTS"]);
    for record in records {
        let members = serde_json::from_str::<Map<String, Value>>(record.record.get()).unwrap_or_default();
        let event = members.get("event").and_then(Value::as_str).unwrap_or("?");
        let cell = Cell::styled(style(event), &event.replace('_', " "));
        table.row([record.seq.to_string().into(), absolute(record.at.0).into(), cell, facts(&members).into()]);
    }
    table.render()
}

fn style(event: &str) -> anstyle::Style {
    match event {
        "refused" | "abandoned" | "tail_cut" => DOUBTFUL,
        "rollback_accepted" => BAD,
        "started" | "stopped" | "created" | "act_done" => TITLE,
        "intent" | "act" | "segment" => PAST,
        _ => PLAIN,
    }
}

/// What people look for; the chain's own members and digests are for programs.
fn facts(members: &Map<String, Value>) -> String {
    let rank = |name: &str| LOOKED_FOR.iter().position(|known| *known == name);
    let is_hidden = |name: &str| HIDDEN.contains(&name);
    let mut facts: Vec<(&String, &Value)> = members.iter().filter(|(name, _)| !is_hidden(name)).collect();
    facts.sort_by_key(|(name, _)| (rank(name).unwrap_or(LOOKED_FOR.len()), name.as_str()));
    let texts = facts.into_iter().map(|(name, value)| match value {
        Value::String(text) if text.contains(' ') => format!("{name}={value}"),
        Value::String(text) => format!("{name}={text}"),
        _ => format!("{name}={value}"),
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// In this order, before whatever else there is.
const LOOKED_FOR: [&str; 8] = ["issuer", "ring", "version", "what", "outcome", "caller", "reason", "revision"];
const HIDDEN: [&str; 12] = [
    "seq",
    "prev",
    "synced",
    "at",
    "event",
    "sum",
    "hash",
    "commit_id",
    "claims_sha256",
    "sha256",
    "anchors",
    "intents",
];
