//! `jwksd audit export`: the log in the words of other systems, record by record.

use std::io::{self, BufWriter, Write};

use serde_json::{Map, Value};

use super::select::Selection;
use super::{cef, damaged, ocsf};
use crate::audit::{Record, Records};
use crate::cli::args::{AuditExport, ExportFormat};
use crate::cli::context::Context;
use crate::cli::context::unwritten;
use crate::cli::failure::Failure;

/// Writes every record between two moments, one a line. What was written before a fault is sound.
pub fn export(args: &AuditExport, context: Context<'_>) -> Result<(), Failure> {
    let AuditExport { directory, format, between } = args;
    let selection = Selection::between(between, context.now());
    let mut stdout = BufWriter::new(io::stdout().lock());
    for record in Records::of_archive(directory).map_err(damaged(directory))? {
        let record = match record {
            Ok(record) => record,
            Err(fault) => {
                stdout.flush().map_err(unwritten)?;
                return Err(damaged(directory)(fault));
            }
        };
        if selection.takes(&record) {
            let line = told(*format, &record);
            stdout.write_all(line.as_bytes()).and_then(|()| stdout.write_all(b"\n")).map_err(unwritten)?;
        }
    }
    stdout.flush().map_err(unwritten)
}

fn told(format: ExportFormat, record: &Record) -> String {
    // A line that the reader has taken is a JSON object.
    let members = || serde_json::from_str::<Map<String, Value>>(&record.line).unwrap_or_default();
    match format {
        ExportFormat::Jsonl => record.line.clone(),
        ExportFormat::Ocsf => ocsf::event(record, &members()).to_string(),
        ExportFormat::Cef => cef::event(record, &members()),
    }
}

/// A member that is a text.
pub(super) fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name).and_then(Value::as_str)
}

/// What a record tells of, in a few words.
pub(super) fn title(event: &str, what: Option<&str>) -> String {
    match what {
        Some(what) => format!("{} {}", event.replace('_', " "), what.replace('_', " ")),
        None => event.replace('_', " "),
    }
}

/// How a record's matter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Success,
    Failure,
    Unknown,
}

/// As far as the record says so: most tell of what was done.
pub(super) fn ending(event: &str, members: &Map<String, Value>) -> Ending {
    match (event, text(members, "outcome")) {
        (_, Some("failed")) | ("refused" | "abandoned", _) => Ending::Failure,
        (_, Some("unknown")) | ("intent" | "act", _) => Ending::Unknown,
        _ => Ending::Success,
    }
}
