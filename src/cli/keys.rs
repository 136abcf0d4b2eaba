//! `jwksd keys`: every key, its state, and what comes next for it.

use super::args;
use super::client::{Client, ClientError};
use super::context::{Context, Format};
use super::failure::Failure;
use super::moment::moment;
use super::paint::{BAD, COMING, DOUBTFUL, GOOD, PAST, PLAIN, TITLE, paint, tame};
use super::plan::NO_ISSUER;
use super::table::{Cell, Table};
use crate::lifecycle::time::Timestamp;
use crate::server::api::{Issuers, Key, KeyState, Keys, Moment, PrivateHalf};

/// Which keys are worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of which something is left.
    Present,
    /// All that are remembered.
    All,
}

/// Asks for the keys of one issuer, or of all: then as one JSON document per line.
pub fn keys(args: &args::Keys, context: Context<'_>) -> Result<(), Failure> {
    let client = Client::new(&args.daemon)?;
    let scope = if args.all { Scope::All } else { Scope::Present };
    let issuers = match &args.issuer {
        Some(issuer) => vec![issuer.to_string()],
        None => names(&client)?,
    };
    if issuers.is_empty() && context.format == Format::Text {
        return context.print(NO_ISSUER);
    }
    for (n, issuer) in issuers.iter().enumerate() {
        let answer = client.get(&format!("/v1/issuers/{issuer}/keys"))?;
        let gap = if n == 0 { "" } else { "\n" };
        context.show(&answer, |keys: &Keys, now| format!("{gap}{}", render(keys, now, scope)))?;
    }
    Ok(())
}

fn names(client: &Client) -> Result<Vec<String>, ClientError> {
    let issuers: Issuers = client.get("/v1/issuers")?.read()?;
    Ok(issuers.issuers.into_iter().map(|issuer| issuer.issuer).collect())
}

/// The keys of one issuer.
#[must_use]
pub fn render(keys: &Keys, now: Timestamp, scope: Scope) -> String {
    let Keys { issuer, jwk_set_version, keys } = keys;
    let listed = keys.iter().filter(|key| key.listed).count();
    let mut text = format!("{}, JWK Set version {jwk_set_version} with ", paint(TITLE, tame(issuer)));
    text.push_str(&if listed == 1 { "1 key\n\n".to_owned() } else { format!("{listed} keys\n\n") });
    let is_shown = |key: &&Key| scope == Scope::All || !is_gone(key);
    let mut table = Table::new(["KEY", "STATE", "KID", "NEXT"]).indented(2);
    for key in keys.iter().filter(is_shown) {
        let (style, state) = state(key, now);
        let kid = key.kid.as_deref().unwrap_or("-");
        table.row([name(key).into(), Cell::styled(style, state), kid.into(), next(key, now)]);
    }
    text.push_str(&table.render());
    let hidden = keys.iter().filter(|key| !is_shown(key)).count();
    if hidden > 0 {
        let (verb, object) = if hidden == 1 { ("is", "it") } else { ("are", "them") };
        text.push_str(&format!("\n  {hidden} more {verb} gone; --all lists {object}\n"));
    }
    text
}

/// Whether nothing is left of it: neither in the JWK Set nor in a backend.
fn is_gone(key: &Key) -> bool {
    match key.state {
        KeyState::Destroyed => true,
        KeyState::Imported => key.withdrawn_at.is_some(),
        KeyState::Compromised => key.private_half == PrivateHalf::Foreign && key.withdrawn_at.is_some(),
        _ => false,
    }
}

/// `es256 v7`; an imported key has no ring.
pub fn name(key: &Key) -> String {
    match (&key.ring, key.version) {
        (Some(ring), Some(version)) => format!("{ring} v{version}"),
        _ => "-".to_owned(),
    }
}

/// The word for its state, and the colour of the word.
pub fn state(key: &Key, now: Timestamp) -> (anstyle::Style, &'static str) {
    match key.state {
        KeyState::Reserved => (PAST, "reserved"),
        KeyState::PreActive if is_standby(key, now) => (COMING, "standby"),
        KeyState::PreActive => (COMING, "pre-active"),
        KeyState::Active => (GOOD, "active"),
        KeyState::Deactivated => (DOUBTFUL, "deactivated"),
        KeyState::Compromised => (BAD, "compromised"),
        KeyState::Destroyed => (PAST, "destroyed"),
        KeyState::Imported => (PLAIN, "imported"),
    }
}

/// Whether it can take over now and no verifier notices.
pub fn is_standby(key: &Key, now: Timestamp) -> bool {
    key.state == KeyState::PreActive && key.may_sign_at.is_some_and(|at| at.0 <= now)
}

/// What comes next for a key, or what came last.
fn next(key: &Key, now: Timestamp) -> Cell {
    let at = |word: &str, at: Option<Moment>| at.map(|at| format!("{word} {}", moment(at.0, now)));
    let is_held = key.private_half == PrivateHalf::Held;
    let text = match key.state {
        KeyState::Reserved => at("reserved", key.reserved_at),
        KeyState::PreActive if is_standby(key, now) => at("became ready", key.may_sign_at),
        KeyState::PreActive => at("may sign", key.may_sign_at).or(Some("publication not seen yet".to_owned())),
        KeyState::Active if key.requested_at.is_some() => Some("rotates once the next key may sign".to_owned()),
        KeyState::Active => at("rotates", key.rotate_at),
        KeyState::Deactivated if is_held => at("private half goes", key.destroy_private_at),
        KeyState::Deactivated => at("withdrawn", key.withdrawn_at).or_else(|| at("leaves the set", key.withdraw_at)),
        KeyState::Compromised if is_held => Some("PRIVATE HALF NOT DESTROYED YET".to_owned()),
        KeyState::Compromised | KeyState::Destroyed => at("withdrawn", key.withdrawn_at),
        KeyState::Imported => at("withdrawn", key.withdrawn_at)
            .or_else(|| at("leaves the set", key.withdraw_at))
            .or(Some("stays until you withdraw it".to_owned())),
    };
    let mut text = text.unwrap_or_default();
    if let Some(why) = &key.compromised {
        text.push_str(&format!(", compromised: \"{why}\""));
    }
    let is_bad = key.state == KeyState::Compromised && is_held;
    Cell::styled(if is_bad { BAD } else { PLAIN }, &text)
}
