//! The audit log's tail.

use std::path::Path;

use axum::Extension;
use axum::extract::{RawQuery, State};
use serde_json::value::RawValue;

use super::strict::Reply;
use super::{Shared, not_granted};
use crate::access::grant::Operation;
use crate::audit::{Fault, Record, Records, last};
use crate::server::api::{self, Moment};
use crate::server::problem::{Code, Refusal};
use crate::signer::Asker;

/// A part of the audit log: the records after `after`, or else the last ones.
#[utoipa::path(get, path = "/v1/audit", tag = "read",
    params(
        ("after" = Option<u64>, Query, description = "The number of the last record that is known already"),
        ("limit" = Option<usize>, Query, description = "How many records at most: 1 to 1000, 100 if absent"),
    ),
    responses(
        (status = 200, description = "The records, oldest first", body = api::AuditPage),
        (status = "4XX", description = "Not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 500, description = "The log is damaged", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn audit(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Reply<api::AuditPage>, Refusal> {
    if !shared.parts.access.grants.allow(&asker.caller, Operation::Audit, None, None) {
        return Err(not_granted());
    }
    let Page { after, limit } = Page::parse(query.as_deref().unwrap_or_default())?;
    let directory = shared.parts.audit_dir.clone();
    let read = tokio::task::spawn_blocking(move || read(&directory, after, limit)).await;
    let read = read.map_err(|error| Code::Internal.refusal("the log could not be read").because(&error))?;
    let (records, more) = read.map_err(|fault| {
        Code::Internal.refusal("the audit log can't be read; run `jwksd audit verify`").because(&fault).for_operator()
    })?;
    let records = records.into_iter().map(shown).collect::<Result<_, _>>()?;
    Ok(Reply::ok(api::AuditPage { records, more }))
}

#[derive(Debug, PartialEq, Eq)]
struct Page {
    after: Option<u64>,
    limit: usize,
}

impl Page {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let mut page = Self { after: None, limit: 100 };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let unusable =
                || Code::Parameter.refusal("after: a record's number; limit: 1 to 1000; nothing else is known");
            match pair.split_once('=') {
                Some(("after", number)) => page.after = Some(number.parse().map_err(|_| unusable())?),
                Some(("limit", number)) => page.limit = number.parse().map_err(|_| unusable())?,
                _ => return Err(unusable()),
            }
            if !(1..=1_000).contains(&page.limit) {
                return Err(unusable());
            }
        }
        Ok(page)
    }
}

/// The records, and whether there are later ones. Blocks on the disk.
fn read(directory: &Path, after: Option<u64>, limit: usize) -> Result<(Vec<Record>, bool), Fault> {
    let Some(after) = after else { return last(directory, limit).map(|(records, _)| (records, false)) };
    let (newest, _) = last(directory, 1)?;
    let missing = newest.last().map_or(0, |newest| newest.seq.saturating_sub(after));
    let mut records = match usize::try_from(missing) {
        Ok(0) => Vec::new(),
        // Near the end only the last segments are read.
        Ok(missing) if missing <= NEAR => last(directory, missing)?.0,
        _ => {
            let later =
                Records::of_archive(directory)?.skip_while(|record| record.as_ref().is_ok_and(|r| r.seq <= after));
            later.take(limit + 1).collect::<Result<_, _>>()?
        }
    };
    records.retain(|record| record.seq > after);
    let more = records.len() > limit;
    records.truncate(limit);
    Ok((records, more))
}

const NEAR: usize = 20_000;

fn shown(record: Record) -> Result<api::AuditRecord, Refusal> {
    let Record { seq, hash, at, event: _, line } = record;
    let unreadable = |error| Code::Internal.refusal("a record is not JSON").because(&error);
    let record = RawValue::from_string(line).map_err(unreadable)?;
    Ok(api::AuditRecord { seq, at: Moment(at), hash: hash.to_string(), record })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded() {
        assert_eq!(Page::parse(""), Ok(Page { after: None, limit: 100 }));
        assert_eq!(Page::parse("after=7&limit=1000"), Ok(Page { after: Some(7), limit: 1_000 }));
        for bad in ["limit=0", "limit=1001", "limit=x", "after=-1", "from=1", "after"] {
            assert_eq!(Page::parse(bad).map_err(|refusal| refusal.code), Err("parameter"), "{bad}");
        }
    }
}
