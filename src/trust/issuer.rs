//! One trusted issuer: its keys, kept fresh by a task of its own, and what its tokens come to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::Uri;
use rustls::ClientConfig;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::fetch::{self, FetchError};
use super::metrics::TokenMetrics;
use super::verify::{Expected, Fault, check_header, named_issuer, read, subject};
use crate::access::caller::Subject;
use crate::clock::Clock;
use crate::ids::Kid;
use crate::jose::alg::Algorithm;
use crate::jose::jwk_set;
use crate::jose::verify::Verifier;
use crate::telemetry::chain;

/// Where an issuer's JWK Set is.
#[derive(Debug, Clone)]
pub enum Source {
    /// At a URL, over TLS unless it is on this machine.
    Url(Uri, Option<Arc<ClientConfig>>),
    /// In a file.
    File(PathBuf),
}

/// When keys are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often.
    pub refresh: Duration,
    /// The least time between two fetches, whatever kids are shown.
    pub cool_down: Duration,
    /// For how long keys are used while they can't be fetched.
    pub stale_for: Duration,
}

impl Pace {
    /// The usual cool-down.
    pub const COOL_DOWN: Duration = Duration::from_secs(30);
}

/// One trusted issuer.
#[derive(Debug)]
pub struct TrustedIssuer {
    /// Its name in the configuration.
    pub name: String,
    /// What is demanded of its tokens.
    pub expected: Expected,
    /// Where its keys are.
    pub source: Source,
    /// When they are fetched.
    pub pace: Pace,
    keys: ArcSwapOption<Keys>,
    /// Wakes the task: somebody has shown a kid that we don't know.
    wanted: Notify,
    first: watch::Sender<bool>,
}

#[derive(Debug)]
struct Keys {
    by_name: HashMap<(Kid, Algorithm), Verifier>,
    /// On the monotonic clock.
    fetched_at: Duration,
}

/// What a bearer token came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has not the form of a token that an issuer signs.
    NotAJwt,
    /// It is believed.
    Subject(Arc<Subject>),
    /// It is not.
    Refused(Fault),
    /// It can't be checked: the issuer's keys can't be had, or not for too long.
    Unavailable,
}

/// All trusted issuers.
#[derive(Debug, Clone)]
pub struct TrustedIssuers {
    issuers: Vec<Arc<TrustedIssuer>>,
    clock: Arc<dyn Clock>,
    metrics: TokenMetrics,
}

impl TrustedIssuer {
    /// An issuer whose keys are still to be fetched.
    #[must_use]
    pub fn new(name: String, expected: Expected, source: Source, pace: Pace) -> Self {
        let (first, _) = watch::channel(false);
        let (keys, wanted) = (ArcSwapOption::empty(), Notify::new());
        Self { name, expected, source, pace, keys, wanted, first }
    }

    /// Fetches the keys now, then again and again until the task is dropped.
    ///
    /// After a failure it is tried sooner, at intervals that grow to the usual one. An unknown kid brings the next
    /// fetch forward, but not closer than the cool-down to the last.
    async fn keep(&self, clock: &dyn Clock, metrics: &TokenMetrics) {
        let mut failures = 0_u32;
        loop {
            match self.fetch().await {
                Ok(by_name) => {
                    if failures > 0 {
                        info!(trusted_issuer = self.name, "JWK Set fetched again");
                    }
                    failures = 0;
                    self.keys.store(Some(Arc::new(Keys { by_name, fetched_at: clock.monotonic() })));
                    metrics.fetched(&self.name, clock.now().as_second());
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    metrics.failed(&self.name);
                    warn!(trusted_issuer = self.name, error, "JWK Set of a trusted issuer could not be fetched");
                }
            }
            self.first.send_replace(true);
            let Pace { refresh, cool_down, stale_for: _ } = self.pace;
            let pause = match failures {
                0 => refresh,
                _ => (cool_down / 10 * 2_u32.saturating_pow(failures.min(10))).min(refresh),
            };
            let cool_down = cool_down.min(pause);
            sleep(cool_down).await;
            tokio::select! {
                () = sleep(pause.saturating_sub(cool_down)) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    async fn fetch(&self) -> Result<HashMap<(Kid, Algorithm), Verifier>, String> {
        let text = match &self.source {
            Source::Url(url, tls) => fetch::url(url, tls.as_ref()).await,
            Source::File(path) => fetch::file(path).await,
        };
        let text = text.map_err(|error: FetchError| chain(&error))?;
        let keys = jwk_set::parse_for(&text, &self.expected.algorithms).map_err(|error| chain(&error))?;
        if keys.is_empty() {
            return Err("the JWK Set has no key for the algorithms that are allowed".to_owned());
        }
        Ok(keys.iter().map(|key| ((key.kid().clone(), key.alg()), Verifier::new(key))).collect())
    }

    /// The keys that may still be used; whoever comes before the first fetch is over waits for it.
    async fn keys(&self, clock: &dyn Clock) -> Option<Arc<Keys>> {
        if self.keys.load().is_none() {
            let mut first = self.first.subscribe();
            // Whether it came or not, what counts is what is there.
            let _ = timeout(FIRST_WITHIN, first.wait_for(|done| *done)).await;
        }
        let keys = self.keys.load_full()?;
        (clock.monotonic().saturating_sub(keys.fetched_at) <= self.pace.stale_for).then_some(keys)
    }
}

/// How long a request waits for the first fetch.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

impl TrustedIssuers {
    /// The issuers of the configuration; each `iss` once.
    #[must_use]
    pub fn new(issuers: Vec<TrustedIssuer>, clock: Arc<dyn Clock>, metrics: TokenMetrics) -> Self {
        Self { issuers: issuers.into_iter().map(Arc::new).collect(), clock, metrics }
    }

    /// Keeps every issuer's keys fresh until `stop` completes.
    pub async fn keep(self, stop: impl Future<Output = ()>) {
        let Self { issuers, clock, metrics } = &self;
        let all = issuers.iter().map(|issuer| issuer.keep(&**clock, metrics));
        tokio::select! {
            () = stop => {}
            _ = futures_util::future::join_all(all), if !issuers.is_empty() => {}
        }
    }

    /// Whom `token` names, if it can be believed.
    pub async fn judge(&self, token: &str) -> Verdict {
        if self.issuers.is_empty() || token.bytes().filter(|b| *b == b'.').count() != 2 {
            return Verdict::NotAJwt;
        }
        let verdict = self.verdict(token).await;
        match &verdict {
            Verdict::Refused(fault) => self.metrics.refused(fault.reason()),
            Verdict::Unavailable => self.metrics.refused("keys_unavailable"),
            Verdict::NotAJwt | Verdict::Subject(_) => {}
        }
        verdict
    }

    async fn verdict(&self, token: &str) -> Verdict {
        let token = match read(token) {
            Ok(token) => token,
            Err(fault) => return Verdict::Refused(fault),
        };
        let iss = named_issuer(&token);
        let issuer = self.issuers.iter().find(|issuer| Some(&issuer.expected.iss) == iss.as_ref());
        let Some(issuer) = issuer else { return Verdict::Refused(Fault::Issuer) };
        if let Err(fault) = check_header(&token, &issuer.expected) {
            return Verdict::Refused(fault);
        }
        let Some(kid) = token.kid() else { return Verdict::Refused(Fault::Key) };
        let Some(keys) = issuer.keys(&*self.clock).await else { return Verdict::Unavailable };
        let Some(key) = keys.by_name.get(&(kid.clone(), token.alg())) else {
            issuer.wanted.notify_one();
            return Verdict::Refused(Fault::Key);
        };
        match subject(&token, key, &issuer.expected, self.clock.now()) {
            Ok(sub) => Verdict::Subject(Arc::new(Subject { issuer: issuer.name.clone(), sub })),
            Err(fault) => Verdict::Refused(fault),
        }
    }
}
