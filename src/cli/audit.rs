//! `jwksd audit`: the log, checked without the daemon or read through it.

mod cef;
mod export;
mod ocsf;
mod search;
mod select;

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::{self, Daemon};
use super::client::Client;
use super::context::Context;
use super::failure::Failure;
use super::moment::absolute;
use super::paint::{BAD, DOUBTFUL, GOOD, PAST, PLAIN, TITLE, paint, tame};
use super::table::{Cell, Table};
use crate::audit::verify::{Against, Report, Start, Trust, verify_against};
use crate::audit::{Fault, Tail};
use crate::jose::jwk::Jwk;
use crate::jose::jwk_set;
use crate::server::api::{self, AuditPage, AuditRecord, CheckpointRequest};
use crate::telemetry::chain;

/// Checks a log, or reads it.
pub fn audit(args: &args::Audit, context: Context<'_>) -> Result<(), Failure> {
    match args {
        args::Audit::Verify(args) => check(args, context),
        args::Audit::Tail { lines, daemon } => tail(*lines, daemon, context),
        args::Audit::Search(args) => search::search(args, context),
        args::Audit::Export(args) => export::export(args, context),
        args::Audit::Checkpoint(daemon) => checkpoint(daemon, context),
    }
}

fn check(args: &args::AuditVerify, context: Context<'_>) -> Result<(), Failure> {
    let args::AuditVerify { directory, rest, keys, checkpoints } = args;
    let mut against = Against { start: if *rest { Start::Anywhere } else { Start::First }, ..Against::default() };
    for path in keys {
        against.keys.extend(read_keys(path)?);
    }
    for path in checkpoints {
        against.checkpoints.extend(read_checkpoints(path)?);
    }
    let report = verify_against(directory, &against);
    let report = report.map_err(damaged(directory))?;
    context.tell(&as_json(&report), |_| render_report(directory, &report))
}

/// A log that is not what was written.
fn damaged(directory: &Path) -> impl Fn(Fault) -> Failure {
    let directory = directory.to_owned();
    move |source| Failure::Audit { directory: directory.clone(), source }
}

/// A JWK, or a JWK Set as it lies beside the log.
fn read_keys(path: &Path) -> Result<Vec<Jwk>, Failure> {
    let text = read(path)?;
    let one = Jwk::parse(&text).map(|jwk| vec![jwk]);
    let keys = one.or_else(|error| jwk_set::parse(&text).map_err(|_| error));
    keys.map_err(|error| Failure::Usage(format!("{}: no JWK and no JWK Set: {}", path.display(), chain(&error))))
}

/// Checkpoints, one a line, each with a name for people.
fn read_checkpoints(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let text = read(path)?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err(Failure::Usage(format!("{}: no checkpoint in it", path.display())));
    }
    let name =
        |n: usize| if lines.len() == 1 { path.display().to_string() } else { format!("{}:{}", path.display(), n + 1) };
    Ok(lines.iter().enumerate().map(|(n, line)| (name(n), (*line).to_owned())).collect())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::Input { what: path.display().to_string(), source })
}

fn checkpoint(daemon: &Daemon, context: Context<'_>) -> Result<(), Failure> {
    let answer = Client::new(daemon)?.post("/v1/audit/checkpoint", &CheckpointRequest {})?;
    // The bare checkpoint: what is printed is what is kept in a file.
    context.show(&answer, |made: &api::Checkpoint, _| tame(&made.jws))
}

fn tail(lines: u16, daemon: &Daemon, context: Context<'_>) -> Result<(), Failure> {
    let answer = Client::new(daemon)?.get(&format!("/v1/audit?limit={lines}"))?;
    context.show(&answer, |page: &AuditPage, _| render_records(&page.records))
}

fn as_json(report: &Report) -> Value {
    let Report { segments, first, last, hash, is_stopped, tail, ledger, checkpoints, vouched, trust } = report;
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
        "checkpoints": checkpoints,
        "vouched": vouched.as_ref().map(|vouched| {
            json!({ "record": vouched.seq, "at": absolute(vouched.at), "kid": vouched.kid.as_str() })
        }),
        "key_pinned": *trust == Trust::Pinned,
        "revisions": anchors.collect::<Map<String, Value>>(),
        "open_intents": ledger.intents.len(),
    })
}

/// What a sound log holds.
#[must_use]
pub fn render_report(directory: &Path, report: &Report) -> String {
    let Report { segments, first, last, hash, is_stopped, tail, ledger, checkpoints, vouched, trust } = report;
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
    let vouching = match vouched {
        None => Cell::styled(DOUBTFUL, "none: an end that was cut off, or a log written anew, would not be seen"),
        Some(vouched) => {
            let after = last.saturating_sub(vouched.seq);
            format!(
                "{checkpoints} in the log; record {} of {} is vouched for, {after} came later",
                vouched.seq,
                absolute(vouched.at)
            )
            .into()
        }
    };
    table.row(["Checkpoints".into(), vouching]);
    match (vouched, trust) {
        (Some(vouched), Trust::Pinned) => table.row(["Key".into(), format!("{}, as given", vouched.kid).into()]),
        (Some(vouched), Trust::Beside) => {
            let text = format!("{}, from beside the log; give --key, or it proves little", vouched.kid);
            table.row(["Key".into(), Cell::styled(DOUBTFUL, &text)]);
        }
        (None, _) => {}
    }
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
        "started" | "stopped" | "checkpoint" | "created" | "act_done" => TITLE,
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
const HIDDEN: [&str; 13] = [
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
    "jws",
];
