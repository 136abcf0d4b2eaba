//! `jwksd audit search`: the records that somebody looks for, out of the files alone.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;

use super::select::Selection;
use super::{damaged, render_records};
use crate::audit::{Record, Records};
use crate::cli::args::AuditSearch;
use crate::cli::context::unwritten;
use crate::cli::context::{Context, Format};
use crate::cli::failure::Failure;
use crate::server::api::{AuditRecord, Moment};

/// Prints the newest records that are sought. Every record that is read is checked on the way.
pub fn search(args: &AuditSearch, context: Context<'_>) -> Result<(), Failure> {
    let AuditSearch { directory, sought, limit } = args;
    let selection = Selection::of(sought, context.now());
    let (found, left_out) = newest(directory, &selection, usize::from(*limit))?;
    match context.format {
        Format::Json => lines(&found).map_err(unwritten),
        Format::Text => {
            let mut text = render_records(&found.into_iter().filter_map(shown).collect::<Vec<_>>());
            if left_out > 0 {
                text.push_str(&format!("{left_out} older ones are not shown: --limit, or jwksd audit export\n"));
            }
            context.print(&text)
        }
    }
}

/// The newest `limit` of them, oldest first, and how many there are before these.
fn newest(directory: &Path, selection: &Selection, limit: usize) -> Result<(VecDeque<Record>, u64), Failure> {
    let mut found = VecDeque::new();
    let mut left_out = 0;
    for record in Records::of_archive(directory).map_err(damaged(directory))? {
        let record = record.map_err(damaged(directory))?;
        if !selection.takes(&record) {
            continue;
        }
        found.push_back(record);
        if found.len() > limit {
            found.pop_front();
            left_out += 1;
        }
    }
    Ok((found, left_out))
}

fn lines(found: &VecDeque<Record>) -> io::Result<()> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    for record in found {
        writeln!(stdout, "{}", record.line)?;
    }
    stdout.flush()
}

fn shown(record: Record) -> Option<AuditRecord> {
    let Record { seq, hash, at, event: _, line } = record;
    // A line that the reader has taken is JSON.
    let record = serde_json::value::RawValue::from_string(line).ok()?;
    Some(AuditRecord { seq, at: Moment(at), hash: hash.to_string(), record })
}
