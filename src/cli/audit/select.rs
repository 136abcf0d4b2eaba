//! Which records are meant, for a search or an export.

use serde_json::{Map, Value};

use crate::audit::Record;
use crate::cli::args::{Between, Sought};
use crate::lifecycle::time::Timestamp;

/// Members that a record must have, and the time that it must be of.
#[derive(Debug)]
pub struct Selection {
    /// Member, value, and the two as they stand in a line.
    members: Vec<(&'static str, String, String)>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Selection {
    /// Everything between two moments, as seen from `now`.
    pub fn between(between: &Between, now: Timestamp) -> Self {
        let Between { since, until } = between;
        let (since, until) = (since.map(|since| since.seen_from(now)), until.map(|until| until.seen_from(now)));
        Self { members: Vec::new(), since, until }
    }

    /// What is sought, as seen from `now`.
    pub fn of(sought: &Sought, now: Timestamp) -> Self {
        let Sought { event, issuer, ring, kid, jti, caller, request_id, outcome, between } = sought;
        let wanted = [
            ("event", event.clone()),
            ("issuer", issuer.as_ref().map(ToString::to_string)),
            ("ring", ring.as_ref().map(ToString::to_string)),
            ("kid", kid.as_ref().map(ToString::to_string)),
            ("jti", jti.clone()),
            ("caller", caller.clone()),
            ("request_id", request_id.clone()),
            ("outcome", outcome.map(|outcome| outcome.name().to_owned())),
        ];
        let member = |(name, value): (&'static str, Option<String>)| {
            let value = value?;
            let line = format!("\"{name}\":{}", Value::from(value.as_str()));
            Some((name, value, line))
        };
        Self { members: wanted.into_iter().filter_map(member).collect(), ..Self::between(between, now) }
    }

    /// Whether a record is one of those that are meant.
    pub fn takes(&self, record: &Record) -> bool {
        if self.since.is_some_and(|since| record.at < since) || self.until.is_some_and(|until| record.at >= until) {
            return false;
        }
        // Nearly every record is told apart by its bytes alone; the rest is looked at member by member, since the
        // same bytes may stand deeper inside.
        if !self.members.iter().all(|(_, _, line)| record.line.contains(line.as_str())) {
            return false;
        }
        self.members.is_empty() || {
            let members: Map<String, Value> = serde_json::from_str(&record.line).unwrap_or_default();
            self.members.iter().all(|(name, value, _)| members.get(*name).and_then(Value::as_str) == Some(value))
        }
    }
}
