//! `jwksd check-config`: every fault, every doubt, and what the durations come to.

use std::path::Path;

use serde_json::{Value, json};

use super::args::CheckConfig;
use super::context::{Context, Format};
use super::failure::Failure;
use super::output;
use super::paint::{DOUBTFUL, GOOD, TITLE, paint, tame};
use super::table::{Cell, Table};
use crate::config::{Config, ConfigErrors, Fault, Issuer, Ring};
use crate::lifecycle::policy::{Rotation, Standby, Terms};
use crate::lifecycle::time::Span;

/// Reads the configuration and says what it comes to.
pub fn check_config(file: &CheckConfig, context: Context<'_>) -> Result<(), Failure> {
    match Config::load(&file.path) {
        Ok(config) => {
            if context.format == Format::Text {
                output::say(&warnings(&config.warnings));
            }
            context.tell(&as_json(&config), |_| render(&file.path, &config))
        }
        Err(errors) => {
            if let (ConfigErrors::Faults(faults), Format::Json) = (&errors, context.format) {
                let faults: Vec<Value> = faults.iter().map(fault_as_json).collect();
                context.tell(&json!({ "valid": false, "faults": faults }), |_| String::new())?;
            }
            Err(errors.into())
        }
    }
}

/// What is allowed but probably not meant.
#[must_use]
pub fn warnings(warnings: &[Fault]) -> String {
    let line = |fault: &Fault| format!("{} {}\n", paint(DOUBTFUL, "warning:"), tame(&fault.to_string()));
    warnings.iter().map(line).collect()
}

/// What the durations of a valid configuration come to, and why.
#[must_use]
pub fn render(path: &Path, config: &Config) -> String {
    let mut text = format!("{} {}", tame(&path.display().to_string()), paint(GOOD, "is valid"));
    text.push_str(&match config.warnings.len() {
        0 => "\n".to_owned(),
        1 => ", with 1 warning\n".to_owned(),
        count => format!(", with {count} warnings\n"),
    });
    for (id, issuer) in &config.issuers {
        text.push_str(&format!("\n{}  {}\n", paint(TITLE, id), tame(issuer.url.as_str())));
        text.push_str(&format!("  verifiers: {}\n", verifiers(issuer)));
        for (name, ring) in &issuer.rings {
            text.push_str(&format!("\n  {}  {}\n", paint(TITLE, name), ring_line(ring)));
            text.push_str(&durations(ring.policy.terms(), issuer));
        }
    }
    text
}

fn verifiers(issuer: &Issuer) -> String {
    if issuer.verifiers.is_empty() {
        return "none declared, so propagation must do for all that are known".to_owned();
    }
    let max_age = issuer.jwks_max_age;
    let names = issuer.verifiers.iter().map(|profile| format!("{} ({})", tame(&profile.name), profile.holds(max_age)));
    names.collect::<Vec<_>>().join(", ")
}

fn ring_line(ring: &Ring) -> String {
    let terms = ring.policy.terms();
    let rotation = match &terms.rotation {
        Rotation::Every(period) => format!("a new signer every {period}"),
        Rotation::Schedule(schedule) => format!("a new signer at \"{}\" (UTC)", schedule.as_str()),
    };
    let standby = match (terms.standby, &ring.standby_backend) {
        (Standby::JustInTime, _) => ", no standby: a compromise stops signing".to_owned(),
        (Standby::Always, Some(backend)) => format!(", standby in {backend}"),
        (Standby::Always, None) => String::new(),
    };
    format!("{} in {}{standby}, {rotation}", ring.key, ring.backend)
}

/// Each computed duration with the sum behind it.
fn durations(terms: &Terms, issuer: &Issuer) -> String {
    let slowest = issuer.verifiers.iter().max_by_key(|profile| profile.holds(issuer.jwks_max_age));
    let mut table = Table::bare().indented(4);
    for Floor { name, value, least, parts } in floors(terms, slowest.map_or("", |profile| &profile.name)) {
        let parts = parts.into_iter().filter(|(_, span)| *span > Span::ZERO);
        let sum = parts.map(|(name, span)| format!("{name} {span}")).collect::<Vec<_>>().join(" + ");
        let why = if value == least { format!("= {sum}") } else { format!("at least {least} = {sum}") };
        table.row([name.into(), Cell::styled(TITLE, &value.to_string()), why.into()]);
    }
    table.render()
}

/// A duration, the least that it may be, and what that is the sum of.
struct Floor<'a> {
    name: &'static str,
    value: Span,
    least: Span,
    parts: Vec<(&'a str, Span)>,
}

fn floors<'a>(terms: &Terms, slowest: &'a str) -> [Floor<'a>; 3] {
    let skew = ("skew", terms.skew);
    [
        Floor {
            name: "propagation",
            value: terms.propagation,
            least: terms.least_propagation(),
            parts: vec![
                (slowest, terms.verifier_cache),
                ("jwks_max_age", terms.jwks_max_age),
                ("publish_for", terms.replicas.publish_for),
                skew,
            ],
        },
        Floor {
            name: "drain",
            value: terms.drain,
            least: terms.least_drain(),
            parts: vec![("sign_for", terms.replicas.sign_for), ("sign_deadline", terms.sign_deadline), skew],
        },
        Floor {
            name: "retention",
            value: terms.retention,
            least: terms.least_retention(),
            parts: vec![("drain", terms.drain), ("token_lifetime_max", terms.token_lifetime_max), skew],
        },
    ]
}

fn fault_as_json(fault: &Fault) -> Value {
    let Fault { origin, line, key, problem } = fault;
    json!({ "origin": origin, "line": line, "key": key, "problem": problem })
}

fn as_json(config: &Config) -> Value {
    let ring = |ring: &Ring| {
        let terms = ring.policy.terms();
        json!({
            "key": ring.key.to_string(),
            "backend": ring.backend.as_str(),
            "propagation": terms.propagation.to_string(),
            "drain": terms.drain.to_string(),
            "retention": terms.retention.to_string(),
            "token_lifetime_max": terms.token_lifetime_max.to_string(),
        })
    };
    let issuer = |issuer: &Issuer| {
        let rings = issuer.rings.iter().map(|(name, tree)| (name.to_string(), ring(tree)));
        let verifiers: Vec<&str> = issuer.verifiers.iter().map(|profile| profile.name.as_str()).collect();
        json!({
            "url": issuer.url.as_str(),
            "verifiers": verifiers,
            "rings": rings.collect::<serde_json::Map<_, _>>(),
        })
    };
    let issuers = config.issuers.iter().map(|(id, tree)| (id.to_string(), issuer(tree)));
    json!({
        "valid": true,
        "warnings": config.warnings.iter().map(fault_as_json).collect::<Vec<_>>(),
        "issuers": issuers.collect::<serde_json::Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::policy::ReplicaBounds;

    #[test]
    fn every_sum_that_is_shown_comes_to_what_the_policy_asks_for() {
        let terms = Terms {
            skew: Span::from_secs(1),
            jwks_max_age: Span::from_secs(20),
            verifier_cache: Span::from_secs(300),
            token_lifetime_max: Span::from_secs(4_000),
            drain: Span::from_secs(50_000),
            sign_deadline: Span::from_secs(600_000),
            replicas: ReplicaBounds { sign_for: Span::from_secs(7_000_000), publish_for: Span::from_secs(80_000_000) },
            ..Terms::default()
        };
        for Floor { name, least, parts, .. } in floors(&terms, "envoy") {
            let sum = parts.into_iter().fold(Span::ZERO, |sum, (_, span)| sum + span);
            assert_eq!(sum, least, "{name}");
        }
    }
}
