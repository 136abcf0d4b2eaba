//! Records as events of the Open Cybersecurity Schema Framework, version 1.6.
//!
//! What asks for something or changes something is API Activity (6003); what tells of the daemon and its log is
//! Application Lifecycle (6002). The record itself is kept whole in `raw_data`, so that nothing is lost.

use serde_json::{Map, Value, json};

use super::export::{Ending, ending, text, title};
use crate::audit::Record;

/// The record as an event.
pub fn event(record: &Record, members: &Map<String, Value>) -> Value {
    let name = text(members, "event").unwrap_or("unknown");
    let what = text(members, "what");
    let (class, activity, activity_name) = class(name, what);
    let (status, status_name) = match ending(name, members) {
        Ending::Success => (1, "Success"),
        Ending::Failure => (2, "Failure"),
        Ending::Unknown => (0, "Unknown"),
    };
    let mut event = json!({
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": class,
        "class_name": if class == API_ACTIVITY { "API Activity" } else { "Application Lifecycle" },
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": class * 100 + activity,
        "severity_id": if name == "rollback_accepted" { 4 } else { 1 },
        "status_id": status,
        "status": status_name,
        "time": record.at.as_second().saturating_mul(1_000),
        "message": title(name, what),
        "metadata": {
            "version": "1.6.0",
            "product": { "name": "jwksd", "vendor_name": "jwksd", "version": env!("CARGO_PKG_VERSION") },
            "log_name": "audit",
            "event_code": name,
            "uid": record.hash.to_string(),
            "sequence": record.seq,
        },
        "raw_data": record.line,
    });
    if class == LIFECYCLE {
        event["app"] = json!({ "name": "jwksd", "vendor_name": "jwksd", "version": env!("CARGO_PKG_VERSION") });
        return event;
    }
    let caller = text(members, "caller");
    event["actor"] = match caller {
        Some(caller) => json!({ "user": { "name": caller } }),
        None => json!({ "app_name": "jwksd" }),
    };
    event["src_endpoint"] = json!({ "name": caller.unwrap_or("jwksd") });
    event["api"] = json!({ "operation": title(name, what), "service": { "name": "jwksd" } });
    if let Some(request) = text(members, "request_id") {
        event["api"]["request"] = json!({ "uid": request });
    }
    let details = [("code", "status_code"), ("reason", "status_detail"), ("detail", "status_detail")];
    for (member, attribute) in details {
        if let Some(value) = text(members, member) {
            event[attribute] = json!(value);
        }
    }
    let resources = resources(members);
    if !resources.is_empty() {
        event["resources"] = resources.into();
    }
    event
}

const API_ACTIVITY: i64 = 6_003;
const LIFECYCLE: i64 = 6_002;

fn class(event: &str, what: Option<&str>) -> (i64, i64, &'static str) {
    match (event, what) {
        ("started", _) => (LIFECYCLE, 3, "Start"),
        ("stopped", _) => (LIFECYCLE, 4, "Stop"),
        ("segment" | "checkpoint" | "tail_cut", _) => (LIFECYCLE, 99, "Other"),
        ("signed" | "created", _) | ("act" | "act_done", Some("generate")) => (API_ACTIVITY, 1, "Create"),
        ("act" | "act_done", Some("destroy")) => (API_ACTIVITY, 4, "Delete"),
        ("intent" | "committed" | "abandoned" | "rollback_accepted", _) => (API_ACTIVITY, 3, "Update"),
        _ => (API_ACTIVITY, 99, "Other"),
    }
}

/// What it was done to: each of these that the record names.
fn resources(members: &Map<String, Value>) -> Vec<Value> {
    let of = |member: &str, kind: &str, attribute: &str| {
        let value = text(members, member)?;
        Some(json!({ "type": kind, attribute: value }))
    };
    let all = [
        of("issuer", "issuer", "name"),
        of("ring", "key ring", "name"),
        of("kid", "key", "uid"),
        of("label", "key label", "name"),
        of("backend", "backend", "name"),
        of("jti", "token", "uid"),
    ];
    all.into_iter().flatten().collect()
}
