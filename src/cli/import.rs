//! `jwksd import` and `jwksd withdraw`: public keys of another issuer, and their end.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;

use super::args;
use super::client::{Client, escaped};
use super::context::Context;
use super::failure::Failure;
use super::moment::moment;
use super::paint::{BAD, TITLE, paint, tame};
use crate::lifecycle::time::Timestamp;
use crate::server::api::{ImportReport, ImportRequest, Moment, WithdrawReport};

/// Has keys of another issuer published.
pub fn import(args: &args::Import, context: Context<'_>) -> Result<(), Failure> {
    let args::Import { issuer, file, until, daemon } = args;
    let import = parse(&read(file)?, &name(file))?;
    let until = until.map(|until| Moment(until.seen_from(context.now())));
    let (jwk, jwks) = match import {
        Import::Key(json) => (Some(json), None),
        Import::Set(json) => (None, Some(json)),
    };
    let request = ImportRequest { jwk, jwks, until, reason: None };
    let answer = Client::new(daemon)?.post(&format!("/v1/issuers/{issuer}/import"), &request)?;
    context.show(&answer, render)
}

/// Has an imported key withdrawn.
pub fn withdraw(args: &args::Withdraw, context: Context<'_>) -> Result<(), Failure> {
    let args::Withdraw { issuer, kid, daemon } = args;
    let path = format!("/v1/issuers/{issuer}/imported/{}", escaped(kid.as_str()));
    let answer = Client::new(daemon)?.delete(&path)?;
    context.show(&answer, |report, _| render_withdrawal(report))
}

/// What is published now.
#[must_use]
pub fn render(report: &ImportReport, now: Timestamp) -> String {
    let ImportReport { issuer, revision, jwk_set_version, kids, published, until } = report;
    let count = if kids.len() == 1 { "1 key".to_owned() } else { format!("{} keys", kids.len()) };
    let mut text = format!(
        "{}: {count} imported, in JWK Set version {jwk_set_version} (revision {revision}).\n\n",
        paint(TITLE, tame(issuer))
    );
    for kid in kids {
        text.push_str(&format!("  {}\n", tame(kid)));
    }
    text.push('\n');
    text.push_str(&match until {
        Some(at) => format!("To be withdrawn {}.\n", moment(at.0, now)),
        None => format!("Listed until you say so: jwksd withdraw {} KID\n", tame(issuer)),
    });
    text.push_str(&pending(*published));
    text
}

/// What is to be known if verifiers can't fetch it yet.
fn pending(published: bool) -> String {
    if published {
        return String::new();
    }
    let text = "NOT PUBLISHED EVERYWHERE YET: the daemon tries on, and its log says what is in the way.";
    format!("\n{}\n", paint(BAD, text))
}

/// What is published no more.
#[must_use]
pub fn render_withdrawal(report: &WithdrawReport) -> String {
    let WithdrawReport { issuer, revision, jwk_set_version, kid, published } = report;
    format!(
        "{}: {} is withdrawn since JWK Set version {jwk_set_version} (revision {revision}).\n{}",
        paint(TITLE, tame(issuer)),
        tame(kid),
        pending(*published)
    )
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = match file == Path::new("-") {
        true => {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text).map(|_| text)
        }
        false => fs::read_to_string(file),
    };
    text.map_err(|source| Failure::Input { what: name(file), source })
}

/// The daemon judges the keys; here only what must not be sent is refused.
fn parse(text: &str, name: &str) -> Result<Import, Failure> {
    let refused = |why: &str| Failure::Usage(format!("{name} is not a JWK or a JWK Set: {why}"));
    let json = serde_json::from_str::<Box<RawValue>>(text).map_err(|error| refused(&error.to_string()))?;
    let value = serde_json::from_str::<Value>(json.get()).map_err(|error| refused(&error.to_string()))?;
    let members = value.as_object().ok_or_else(|| refused("it is not a JSON object"))?;
    let set = members.get("keys").and_then(Value::as_array);
    let keys = set.map_or_else(|| vec![&value], |keys| keys.iter().collect());
    if keys.into_iter().any(|key| PRIVATE.iter().any(|member| key.get(*member).is_some())) {
        return Err(Failure::Usage(format!(
            "{name} holds a private key; it was not sent: import takes public halves only"
        )));
    }
    Ok(if members.contains_key("keys") { Import::Set(json) } else { Import::Key(json) })
}

/// What is to be imported, byte for byte.
enum Import {
    Key(Box<RawValue>),
    Set(Box<RawValue>),
}

/// Members of RFC 7518, section 6, that only the owner of a key may see, and `priv` of RFC 9964.
const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
