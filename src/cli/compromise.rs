//! `jwksd compromise`: the command for three in the morning.

use std::thread;
use std::time::Duration;

use super::args;
use super::client::{Answer, Client, ClientError, escaped};
use super::context::{Context, Format};
use super::failure::Failure;
use super::keys::{is_standby, name, state};
use super::moment::{absolute, moment, relative};
use super::output;
use super::paint::{BAD, DOUBTFUL, GOOD, TITLE, paint, tame};
use super::table::{Cell, Table};
use crate::ids::IssuerId;
use crate::lifecycle::time::Timestamp;
use crate::server::api::{CompromiseReport, CompromiseRequest, Forgetting, Key, KeyState, Keys, PrivateHalf};

/// Declares a key compromised, once the operator is sure, and stays until it is over or too slow to wait for.
pub fn compromise(args: &args::Compromise, context: Context<'_>) -> Result<(), Failure> {
    let args::Compromise { issuer, kid, reason, activate_unpropagated, yes, daemon } = args;
    if reason.trim().is_empty() {
        return Err(Failure::Usage("--reason is empty; say in a few words what happened".to_owned()));
    }
    let client = Client::new(daemon)?;
    let request = CompromiseRequest {
        kid: kid.to_string(),
        reason: reason.clone(),
        activate_unpropagated: *activate_unpropagated,
    };
    if !yes {
        if !output::is_attended() {
            return Err(Failure::Usage("nobody is there to confirm; without a terminal this takes --yes".to_owned()));
        }
        let keys = match client.get(&format!("/v1/issuers/{issuer}/keys")) {
            Ok(answer) => Some(answer.read()?),
            // Who may declare a compromise may not be one who may look.
            Err(ClientError::Refused(problem)) if problem.status == 403 => None,
            Err(error) => return Err(error.into()),
        };
        confirm(&question(issuer, keys.as_ref(), &request, context.now()))?;
    }
    let answer = client.post(&format!("/v1/issuers/{issuer}/compromise"), &request)?;
    let report = format!("/v1/issuers/{issuer}/compromised/{}", escaped(kid.as_str()));
    let answer = settled(&client, &report, answer, context)?;
    context.show(&answer, render)
}

fn confirm(question: &str) -> Result<(), Failure> {
    let agreed = output::confirm(question);
    match agreed.map_err(|source| Failure::Input { what: "your answer".to_owned(), source })? {
        true => Ok(()),
        false => Err(Failure::Declined),
    }
}

/// What the operator is asked, and what would come of it, as far as `keys` are known.
#[must_use]
pub fn question(issuer: &IssuerId, keys: Option<&Keys>, request: &CompromiseRequest, now: Timestamp) -> String {
    let (what, outlook) = match keys {
        Some(keys) => prospect(keys, request, now),
        None => (String::new(), paint(DOUBTFUL, "No grant lets you see whether a standby is ready.")),
    };
    format!(
        "Declare this key compromised?\n\n  {} of {}{what}\n\nIt leaves the JWK Set, its private half is destroyed, and \
         its tokens will be rejected.\n{outlook}\n{}",
        paint(TITLE, tame(&request.kid)),
        paint(TITLE, issuer),
        paint(BAD, "This can't be undone.")
    )
}

/// What the key is, and what would come of it.
fn prospect(keys: &Keys, request: &CompromiseRequest, now: Timestamp) -> (String, String) {
    match keys.keys.iter().find(|key| key.kid.as_deref() == Some(request.kid.as_str())) {
        Some(key) => {
            let what = tame(&format!(": {}, {}", name(key), state(key, now).1));
            (what, outlook(keys, key, request, now))
        }
        None => {
            let unknown = paint(DOUBTFUL, "The daemon will say that it does not know it.");
            (": not a key of this issuer".to_owned(), unknown)
        }
    }
}

/// Whether signing goes on without the key.
fn outlook(keys: &Keys, key: &Key, request: &CompromiseRequest, now: Timestamp) -> String {
    if key.state != KeyState::Active {
        return "It is not the signer: signing goes on as before.".to_owned();
    }
    let mut siblings = keys.keys.iter().filter(|other| other.ring == key.ring);
    match siblings.find(|other| is_standby(other, now)) {
        Some(standby) => format!("Signing goes on: {} {} at once.", tame(&name(standby)), paint(GOOD, "takes over")),
        None if request.activate_unpropagated => {
            paint(BAD, "NO STANDBY IS READY: the next key signs although some verifiers may not know it yet.")
        }
        None => paint(
            BAD,
            "NO STANDBY IS READY: NOTHING SIGNS until verifiers can know the next key.\n\
             To sign sooner and have some tokens rejected: --activate-unpropagated",
        ),
    }
}

/// Looks again until nothing is left to be waited for, or for some seconds.
fn settled(client: &Client, path: &str, mut answer: Answer, context: Context<'_>) -> Result<Answer, ClientError> {
    for n in 0..TRIES {
        // An answer that is not readable was still an answer: it must not be lost for a program.
        match answer.read::<CompromiseReport>() {
            Ok(report) if is_moving(&report, context.now()) => {}
            Err(error) if context.format == Format::Text => return Err(error),
            _ => return Ok(answer),
        }
        if n == 0 && context.format == Format::Text {
            output::say("Declared. Waiting some seconds for what follows from it ...");
        }
        thread::sleep(PAUSE);
        match client.get(path) {
            Ok(newer) => answer = newer,
            // The declaration stands. What became of it is told by the answer that we have.
            Err(_) => return Ok(answer),
        }
    }
    Ok(answer)
}

/// Whether the next answer may soon say more than this one.
fn is_moving(report: &CompromiseReport, now: Timestamp) -> bool {
    let has_flush_key = report.flush_key.as_ref().is_some_and(|key| key.published);
    let is_between_keys = match (&report.ring, &report.signer) {
        (None, _) => false,
        (Some(_), Some(_)) => !has_flush_key,
        // Once a moment is known, it is told; it may be a day away.
        (Some(_), None) => report.resumes_at.is_none_or(|at| at.0 <= now),
    };
    report.withdrawal_seen_at.is_none() || report.private_half == PrivateHalf::Held || is_between_keys
}

/// Whether the key can still do harm, or signing is interrupted.
fn is_open(report: &CompromiseReport) -> bool {
    let signs = report.ring.is_none() || report.signer.is_some();
    report.withdrawal_seen_at.is_none() || report.private_half == PrivateHalf::Held || !signs
}

/// What became of the key, and from when on whom it can no longer hurt.
#[must_use]
pub fn render(report: &CompromiseReport, now: Timestamp) -> String {
    let place = match &report.ring {
        Some(ring) => format!("{}/{ring}", report.issuer),
        None => report.issuer.clone(),
    };
    let mut text = format!("{} {}\n", paint(BAD, "COMPROMISED"), paint(TITLE, tame(&report.kid)));
    text.push_str(&format!("{}, declared {}\n\n", tame(&place), moment(report.declared_at.0, now)));
    let mut table = Table::bare().indented(2);
    table.row(["Signing".into(), signing(report, now)]);
    table.row(["JWK Set".into(), publication(report, now)]);
    table.row(["Private half".into(), private_half(report, now)]);
    if report.ring.is_some() {
        table.row(["New key".into(), flush_key(report)]);
    }
    table.row(["Reason".into(), format!("\"{}\"", report.reason).into()]);
    text.push_str(&table.render());
    text.push('\n');
    text.push_str(&forgetting(report, now));
    if is_open(report) {
        text.push_str(&format!(
            "\n{} Repeat the same command to see how far it is.\n",
            paint(DOUBTFUL, "Not over yet.")
        ));
        if report.signer.is_none() && report.resumes_at.is_some_and(|at| at.0 > now) {
            text.push_str("To sign sooner and have some tokens rejected, repeat it with --activate-unpropagated.\n");
        }
    }
    text
}

fn signing(report: &CompromiseReport, now: Timestamp) -> Cell {
    match (&report.signer, report.resumes_at, &report.ring) {
        (_, _, None) => "this key never signed here".into(),
        (Some(signer), _, _) => {
            let since = moment(signer.activated_at.0, now);
            Cell::styled(GOOD, &format!("goes on: v{} signs, activated {since}", signer.version))
        }
        (None, Some(at), _) if at.0 > now => {
            Cell::styled(BAD, &format!("NOTHING SIGNS; it resumes {}", moment(at.0, now)))
        }
        (None, Some(_), _) => Cell::styled(BAD, "NOTHING SIGNS; the next key takes over at this moment"),
        (None, None, _) => Cell::styled(BAD, "NOTHING SIGNS; a new key is being made and published"),
    }
}

fn publication(report: &CompromiseReport, now: Timestamp) -> Cell {
    let version = report.jwk_set_version;
    match report.withdrawal_seen_at {
        Some(at) => {
            let seen = moment(at.0, now);
            Cell::styled(GOOD, &format!("without the key since version {version}, published {seen}"))
        }
        None => Cell::styled(BAD, &format!("version {version} without the key is NOT PUBLISHED YET")),
    }
}

fn private_half(report: &CompromiseReport, now: Timestamp) -> Cell {
    match (report.private_half, report.gone_at) {
        (PrivateHalf::Destroyed, Some(at)) if at.0 > now => {
            let gone = moment(at.0, now);
            Cell::styled(GOOD, &format!("disabled, can't sign any more; deleted for good {gone}"))
        }
        (PrivateHalf::Destroyed, _) => Cell::styled(GOOD, "destroyed"),
        (PrivateHalf::Foreign, _) => Cell::styled(DOUBTFUL, "not ours: whoever has it can go on signing with it"),
        (PrivateHalf::Held | PrivateHalf::Perhaps, _) => {
            Cell::styled(BAD, "NOT DESTROYED YET; the daemon keeps trying, its log says why")
        }
    }
}

fn flush_key(report: &CompromiseReport) -> Cell {
    match &report.flush_key {
        Some(key) if key.published => {
            format!("v{} is published, so that verifiers that meet it fetch again", key.version).into()
        }
        Some(key) => format!("v{} is made, not published yet", key.version).into(),
        None if report.signer.is_none() => "follows once signing has resumed".into(),
        None => "is being made".into(),
    }
}

fn forgetting(report: &CompromiseReport, now: Timestamp) -> String {
    if report.verifiers.is_empty() {
        return "  The configuration declares no verifiers for this issuer, so nobody can say when they drop the key:\n  \
                each does when its cache of the JWK Set ends.\n"
            .to_owned();
    }
    let mut table = Table::new(["VERIFIER", "HAS DROPPED THE KEY"]).indented(2);
    for Forgetting { verifier, dropped_at, when } in &report.verifiers {
        let when = match dropped_at {
            Some(at) if at.0 <= now => Cell::styled(GOOD, &moment(at.0, now)),
            Some(at) => Cell::styled(DOUBTFUL, &moment(at.0, now)),
            None => Cell::styled(BAD, when),
        };
        table.row([verifier.as_str().into(), when]);
    }
    if report.withdrawal_seen_at.is_none() {
        return format!("{}\n  No moment is known before the set without the key is published.\n", table.render());
    }
    format!("{}\n{}", table.render(), verdict(&report.verifiers, now))
}

/// What goes into the incident's log.
fn verdict(verifiers: &[Forgetting], now: Timestamp) -> String {
    let open: Vec<String> = verifiers.iter().filter(|v| v.dropped_at.is_none()).map(|v| tame(&v.verifier)).collect();
    let who = if open.is_empty() { "EVERY DECLARED VERIFIER" } else { "EVERY OTHER VERIFIER" };
    let closed = verifiers.iter().filter_map(|v| v.dropped_at).max().map(|last| match last.0 <= now {
        true => format!("  {}\n", paint(GOOD, format!("{who} HAS DROPPED THE KEY."))),
        false => {
            let by = format!("{who} HAS DROPPED THE KEY BY {} ({}).", absolute(last.0), relative(last.0, now));
            format!("  {}\n", paint(TITLE, by))
        }
    });
    if open.is_empty() {
        return closed.unwrap_or_default();
    }
    let uncertain = format!("NO MOMENT IS CERTAIN FOR {}.", open.join(", "));
    let remedy = "A restart makes a verifier fetch anew.";
    format!("  {} {remedy}\n{}", paint(BAD, uncertain), closed.unwrap_or_default())
}

const PAUSE: Duration = Duration::from_secs(1);
/// So often, before the operator gets what is known so far.
const TRIES: usize = 10;
