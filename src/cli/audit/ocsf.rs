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
    let product = json!({ "name": "jwksd", "vendor_name": "jwksd", "version": env!("CARGO_PKG_VERSION") });
    let common = [
        ("category_uid", 6.into()),
        ("category_name", "Application Activity".into()),
        ("class_uid", class.into()),
        ("class_name", if class == API_ACTIVITY { "API Activity" } else { "Application Lifecycle" }.into()),
        ("activity_id", activity.into()),
        ("activity_name", activity_name.into()),
        ("type_uid", (class * 100 + activity).into()),
        ("severity_id", if name == "rollback_accepted" { 4 } else { 1 }.into()),
        ("status_id", status.into()),
        ("status", status_name.into()),
        ("time", record.at.as_second().saturating_mul(1_000).into()),
        ("message", title(name, what).into()),
        (
            "metadata",
            json!({
                "version": "1.6.0",
                "product": product,
                "log_name": "audit",
                "event_code": name,
                "uid": record.hash.to_string(),
                "sequence": record.seq,
            }),
        ),
        ("raw_data", record.line.clone().into()),
    ];
    let own = if class == API_ACTIVITY { call(&title(name, what), members) } else { vec![("app", product)] };
    common.into_iter().chain(own).map(|(attribute, value)| (attribute.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// What the class API Activity has beyond the others.
fn call(operation: &str, members: &Map<String, Value>) -> Vec<(&'static str, Value)> {
    let caller = text(members, "caller");
    let actor = match caller {
        Some(caller) => json!({ "user": { "name": caller } }),
        None => json!({ "app_name": "jwksd" }),
    };
    let api = match text(members, "request_id") {
        Some(request) => {
            json!({ "operation": operation, "service": { "name": "jwksd" }, "request": { "uid": request } })
        }
        None => json!({ "operation": operation, "service": { "name": "jwksd" } }),
    };
    let mut all = vec![("actor", actor), ("src_endpoint", json!({ "name": caller.unwrap_or("jwksd") })), ("api", api)];
    for (member, attribute) in [("code", "status_code"), ("reason", "status_detail"), ("detail", "status_detail")] {
        all.extend(text(members, member).map(|value| (attribute, value.into())));
    }
    let resources = resources(members);
    if !resources.is_empty() {
        all.push(("resources", resources.into()));
    }
    all
}

const API_ACTIVITY: i64 = 6_003;
const LIFECYCLE: i64 = 6_002;

fn class(event: &str, what: Option<&str>) -> (i64, i64, &'static str) {
    match (event, what) {
        ("started", _) => (LIFECYCLE, 3, "Start"),
        ("stopped", _) => (LIFECYCLE, 4, "Stop"),
        ("segment" | "checkpoint" | "tail_cut", _) => (LIFECYCLE, 99, "Other"),
        ("signed" | "signed_digest" | "created", _) | ("act" | "act_done", Some("generate")) => {
            (API_ACTIVITY, 1, "Create")
        }
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
