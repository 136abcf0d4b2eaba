//! `jwksd status` and `jwksd whoami`: how the daemon is, and what it thinks of us.

use super::args::Daemon;
use super::client::Client;
use super::context::{Context, Format};
use super::failure::Failure;
use super::moment::{absolute, moment, relative};
use super::paint::{BAD, GOOD, TITLE, paint, tame};
use super::table::{Cell, Table};
use crate::lifecycle::time::Timestamp;
use crate::server::api::{Issuers, Ring, Status, WhoAmI};

/// Asks how the daemon is. Not being ready is a failure.
pub fn status(daemon: &Daemon, context: Context<'_>) -> Result<(), Failure> {
    let client = Client::new(daemon)?;
    let answer = client.get("/v1/status")?;
    let status: Status = answer.read()?;
    match context.format {
        Format::Json => context.show(&answer, |_: &Status, _| String::new())?,
        Format::Text => {
            let issuers: Issuers = client.get("/v1/issuers")?.read()?;
            context.print(&render(&status, &issuers))?;
        }
    }
    if status.readiness.ready { Ok(()) } else { Err(Failure::NotReady) }
}

/// Asks who we are.
pub fn whoami(daemon: &Daemon, context: Context<'_>) -> Result<(), Failure> {
    let answer = Client::new(daemon)?.get("/v1/whoami")?;
    context.show(&answer, |who: &WhoAmI, _| render_whoami(who))
}

/// The daemon and all its rings, by its own clock.
#[must_use]
pub fn render(status: &Status, issuers: &Issuers) -> String {
    let now = status.now.0;
    let verdict = if status.readiness.ready { paint(GOOD, "ready") } else { paint(BAD, "NOT READY") };
    let installation = paint(TITLE, tame(&status.installation));
    let version = tame(&status.version);
    let mut text = format!("{installation} is {verdict}; jwksd {version}, ");
    text.push_str(&format!("started {}\n", moment(status.started_at.0, now)));
    for line in complaints(status) {
        text.push_str(&format!("  {} {line}\n", paint(BAD, "!")));
    }
    let mut table = Table::new(["RING", "SIGNER", "SINCE", "ROTATES", "NEXT"]).indented(2);
    for issuer in &issuers.issuers {
        for ring in &issuer.rings {
            let name = format!("{}/{}", issuer.issuer, ring.ring);
            let [signer, since, rotates] = signer(ring, now);
            table.row([name.into(), signer, since, rotates, next(ring, now)]);
        }
    }
    text.push_str(&format!("\n{}", table.render()));
    text
}

/// What keeps the daemon from its work, and what else looks wrong.
fn complaints(status: &Status) -> Vec<String> {
    let mut lines: Vec<String> = status.readiness.reasons.iter().map(|reason| tame(reason)).collect();
    for issuer in &status.readiness.issuers {
        let name = tame(&issuer.issuer);
        if issuer.served.is_none() {
            lines.push(format!("{name}: no JWK Set is served"));
        }
        lines.extend(issuer.without_signer.iter().map(|ring| format!("{name}/{}: nothing signs", tame(ring))));
    }
    match status.clock_jump_seconds {
        -5..=5 => {}
        jump => {
            let way = if jump > 0 { "ahead" } else { "back" };
            lines.push(format!("the machine's clock jumped {} s {way} since the start", jump.unsigned_abs()));
        }
    }
    lines
}

fn signer(ring: &Ring, now: Timestamp) -> [Cell; 3] {
    match &ring.signer {
        Some(signer) => {
            let since = relative(signer.activated_at.0, now);
            [Cell::styled(GOOD, &format!("v{}", signer.version)), since.into(), rotation(ring, signer.rotate_at.0, now)]
        }
        None => [Cell::styled(BAD, "none"), "-".into(), "-".into()],
    }
}

fn rotation(ring: &Ring, rotate_at: Timestamp, now: Timestamp) -> Cell {
    match ring.requested_at {
        Some(_) => Cell::styled(TITLE, "as soon as it can"),
        None => format!("{}, {}", absolute(rotate_at), relative(rotate_at, now)).into(),
    }
}

fn next(ring: &Ring, now: Timestamp) -> Cell {
    match &ring.next {
        None => "-".into(),
        Some(next) if ring.standby_ready => Cell::styled(GOOD, &format!("v{}, standby", next.version)),
        Some(next) => match (next.may_sign_at, &next.kid) {
            (Some(at), _) => format!("v{}, ready {}", next.version, relative(at.0, now)).into(),
            (None, Some(_)) => format!("v{}, not seen yet", next.version).into(),
            (None, None) => format!("v{}, being made", next.version).into(),
        },
    }
}

/// Who we are to the daemon.
#[must_use]
pub fn render_whoami(who: &WhoAmI) -> String {
    let mut text = format!("The daemon takes you for {}.\n", paint(TITLE, tame(&who.caller)));
    if who.allowed.is_empty() {
        text.push_str("No grant of its configuration names you: you may do nothing here.\n");
        return text;
    }
    let mut table = Table::new(["AT", "YOU MAY"]).indented(2);
    for allowed in &who.allowed {
        let place = match (&allowed.issuer, &allowed.ring) {
            (None, _) => "everywhere".to_owned(),
            (Some(issuer), None) => issuer.clone(),
            (Some(issuer), Some(ring)) => format!("{issuer}/{ring}"),
        };
        table.row([place.into(), allowed.operations.join(", ").into()]);
    }
    text.push_str(&format!("\n{}", table.render()));
    text
}
