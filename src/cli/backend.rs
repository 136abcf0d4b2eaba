//! `jwksd backend`: a backend of the configuration, tried without the daemon.

use serde_json::{Map, Value, json};

use super::args;
use super::context::Context;
use super::failure::Failure;
use super::paint::{GOOD, paint, tame};
use super::table::Table;
use crate::app::{self, AppError, TestReport};
use crate::config::Config;
use crate::ids::BackendId;

/// Does what is asked of a backend.
pub fn backend(args: &args::Backend, context: Context<'_>) -> Result<(), Failure> {
    match args {
        args::Backend::Test { name, config } => test(name, config, context),
        args::Backend::Unlock { name, config } => unlock(name, config, context),
    }
}

/// Lets a PIN be tried again.
fn unlock(name: &BackendId, config: &args::ConfigFile, context: Context<'_>) -> Result<(), Failure> {
    let latched = app::unlock_backend(&Config::load(&config.path)?, name)?;
    context.tell(&json!({ "backend": name.as_str(), "was_latched": latched }), |_| {
        let was = if latched { "unlocked; the PIN will be tried again" } else { "was not locked; nothing was changed" };
        format!("{} {was}\n", tame(name.as_str()))
    })
}

/// Tries a backend with keys that are thrown away.
fn test(name: &BackendId, config: &args::ConfigFile, context: Context<'_>) -> Result<(), Failure> {
    let config = Config::load(&config.path)?;
    let report = app::test_backend(&config, name).map_err(|error| match error {
        source @ AppError::BackendTest { .. } => Failure::Backend { backend: name.clone(), source },
        error => error.into(),
    })?;
    context.tell(&as_json(name, &report), |_| render(name, &report))
}

fn as_json(name: &BackendId, report: &TestReport) -> Value {
    let TestReport { probe, signed } = report;
    let facts = probe.facts.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    json!({
        "backend": name.as_str(),
        "summary": probe.summary,
        "facts": facts.collect::<Map<_, _>>(),
        "signed": signed.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// What the backend is, and what it did.
#[must_use]
pub fn render(name: &BackendId, report: &TestReport) -> String {
    let TestReport { probe, signed } = report;
    let mut table = Table::bare().indented(2);
    table.row(["Backend".into(), probe.summary.as_str().into()]);
    for (name, value) in &probe.facts {
        table.row([name.as_str().into(), value.as_str().into()]);
    }
    for spec in signed {
        let text = format!("{spec}: a key was made, signed, its signature verified, and it was destroyed");
        table.row(["Tried".into(), text.into()]);
    }
    format!("{} {}\n\n{}", tame(name.as_str()), paint(GOOD, "works"), table.render())
}
