//! Starts the listeners over the built parts.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{self as tree, ApiListener};
use crate::server::admin::{self, Admin};
use crate::server::health::Monitor;
use crate::server::jwks::Jwks;
use crate::server::listen::{Units, renew, serve};
use crate::server::sign::admission::{Limits, Share};
use crate::server::sign::{self, Signing};

use super::listen::{Listeners, endpoints};
use super::{App, ended, named, settings};

/// Spawns one part per listener; each ends once `stopped` says so and its requests are answered.
pub(super) fn spawn(parts: &mut JoinSet<&'static str>, app: &App, listeners: Listeners, stopped: &watch::Receiver<()>) {
    let renewing = renew(endpoints(&listeners), app.certificates.clone(), ended(stopped.clone()));
    parts.spawn(named("renewal of certificates", renewing));
    let Listeners { public, signing, admin, metrics: monitored } = listeners;
    let units = if app.access.grants.name_units() { Units::Asked } else { Units::Ignored };
    let (signing, admin) = (signing.with_units(units), admin.with_units(units));
    parts.spawn(named("keys of trusted issuers", app.access.trusted.clone().keep(ended(stopped.clone()))));
    let metrics = &app.rotator.metrics;
    let counters = |name| app.connections.of(name);

    let jwks = Jwks::new(&app.rotator.places, Arc::clone(&app.clock), metrics);
    let service = move |_| jwks.clone();
    parts.spawn(named("public listener", serve(public, counters("public"), service, ended(stopped.clone()))));

    let limits = signing_settings(&app.config.listen.signing, &app.config.limits);
    let api = Signing::new(
        Arc::clone(&app.signer),
        &app.rotator.places,
        app.access.clone(),
        Arc::clone(&app.clock),
        Arc::clone(metrics),
        limits,
    );
    let service = move |peer| api.connection(peer);
    parts.spawn(named("signing listener", serve(signing, counters("signing"), service, ended(stopped.clone()))));

    let api = Admin::new(admin::Parts {
        installation: app.config.installation.clone(),
        started_at: app.clock.now(),
        rotator: Arc::clone(&app.rotator),
        access: app.access.clone(),
        health: Arc::clone(&app.health),
        metrics: Arc::clone(metrics),
        audit_dir: app.config.audit.dir.clone(),
        checkpointer: app.checkpointer.clone(),
        verifiers: settings::verifiers(&app.config),
        settings: admin_settings(&app.config.listen.admin),
    });
    let service = move |peer| api.connection(peer);
    parts.spawn(named("admin listener", serve(admin, counters("admin"), service, ended(stopped.clone()))));

    if let Some(listener) = monitored {
        let monitor = Monitor::new(Arc::clone(&app.health));
        let service = move |_| monitor.clone();
        let serving = serve(listener, counters("metrics"), service, ended(stopped.clone()));
        parts.spawn(named("metrics listener", serving));
    }
}

fn admin_settings(listener: &ApiListener) -> admin::Settings {
    let within = listener.listener.request_timeout.as_duration();
    let default = admin::Settings::default();
    admin::Settings {
        body: usize::try_from(listener.max_body).unwrap_or(usize::MAX),
        in_flight: listener.max_concurrency,
        body_within: default.body_within.min(within / 2),
        within,
    }
}

fn signing_settings(listener: &ApiListener, limits: &tree::Limits) -> sign::Settings {
    let tree::Limits { caller, ring } = limits;
    let share = |share: &tree::Share| Share { rate: share.rate, at_once: share.concurrency };
    let body = usize::try_from(listener.max_body).unwrap_or(usize::MAX);
    let within = listener.listener.request_timeout.as_duration();
    let default = sign::Settings::default();
    sign::Settings {
        body,
        batch_body: default.batch_body.max(body),
        in_flight: listener.max_concurrency,
        limits: Limits { caller: share(caller), ring: share(ring), ..default.limits },
        body_within: default.body_within.min(within / 2),
        within,
        ..default
    }
}
