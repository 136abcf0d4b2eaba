//! The commands that are the daemon, or do its work while it is stopped.

use serde_json::json;

use super::args::{AcceptRollback, ConfigFile, Dev};
use super::banner;
use super::check_config::warnings;
use super::context::Context;
use super::failure::Failure;
use super::output;
use super::paint::{DOUBTFUL, GOOD, paint};
use super::table::{Cell, Table};
use crate::app::{self, DevOptions, InitReport};
use crate::config::Config;
use crate::ids::{IssuerId, Revision};

/// Runs until it is told to stop.
pub fn run(file: &ConfigFile) -> Result<(), Failure> {
    Ok(app::run(Config::load(&file.path)?)?)
}

/// Runs without a configuration, and tells what to try.
pub fn dev(args: &Dev, program: &str) -> Result<(), Failure> {
    let Dev { data, public, signing, admin } = args.clone();
    let options = DevOptions { data, public, signing, admin };
    // To standard error, where the log goes too: standard output stays free for nothing at all.
    let announce = |announcement: &app::Announcement| output::say(&banner::render(announcement, program));
    Ok(app::dev(&options, announce)?)
}

/// Creates what the configuration names and is not there yet.
pub fn init(file: &ConfigFile, context: Context<'_>) -> Result<(), Failure> {
    let config = Config::load(&file.path)?;
    output::say(&warnings(&config.warnings));
    let report = app::init(&config)?;
    let InitReport { store_created, created, present } = &report;
    let names = |ids: &[IssuerId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let json = json!({ "store_created": store_created, "created": names(created), "present": names(present) });
    context.tell(&json, |_| render_init(&report))
}

/// Takes an older state for the truth.
pub fn accept_rollback(args: &AcceptRollback, context: Context<'_>) -> Result<(), Failure> {
    let AcceptRollback { config, issuer, reason } = args;
    if reason.trim().is_empty() {
        return Err(Failure::Usage("--reason is empty; say in a few words what happened".to_owned()));
    }
    let config = Config::load(&config.path)?;
    let revision = app::accept_rollback(&config, issuer, reason)?;
    let json = json!({ "issuer": issuer.as_str(), "revision": revision.get() });
    context.tell(&json, |_| render_rollback(issuer, revision))
}

/// What was created, and what was there.
#[must_use]
pub fn render_init(report: &InitReport) -> String {
    let InitReport { store_created, created, present } = report;
    let mut table = Table::bare();
    if *store_created {
        table.row(["the store".into(), Cell::styled(GOOD, "created")]);
    }
    for issuer in created {
        table.row([issuer.to_string().into(), Cell::styled(GOOD, "created")]);
    }
    for issuer in present {
        table.row([issuer.to_string().into(), "was there already, and is left as it is".into()]);
    }
    let mut text = table.render();
    if created.is_empty() {
        text.push_str("\nThere was nothing to create.\n");
    } else {
        text.push_str("\nNext: jwksd run, with the same configuration. It makes the first keys.\n");
    }
    text
}

/// What was accepted.
#[must_use]
pub fn render_rollback(issuer: &IssuerId, revision: Revision) -> String {
    format!(
        "{issuer}: revision {revision} is {} from now on; it is in the audit log.\n\
         Start the daemon, compare `jwksd keys {issuer}` with what verifiers hold, and declare again\n\
         whatever was compromised since that backup.\n",
        paint(DOUBTFUL, "accepted as the newest")
    )
}
