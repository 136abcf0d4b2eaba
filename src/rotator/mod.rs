//! Looks at the state, does at most one action, records the fact, looks again.
//!
//! Every change goes through [`Committer`]; effects happen between two commits, outside any lock, so
//! that a backend that hangs holds up neither an operator's command nor another issuer.

mod commit;
mod effect;
mod gauges;
mod intent;
mod queue;
mod run;
mod strays;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::backend::BackendError;
use crate::clock::SteadyClock;
use crate::failpoint::failpoint;
use crate::ids::{IssuerId, JwkSetVersion, VersionId};
use crate::lifecycle::event::{Event, Fact};
use crate::lifecycle::plan::{Action, Due, Outlook, Plan};
use crate::lifecycle::time::{Span, Timestamp};
use crate::publish::{Publication, PublishError, Publisher};
use crate::snapshot::{Place, Places, Snapshot};
use crate::store::Committed;
use crate::telemetry::{Metrics, chain};

pub use commit::{Cause, CommitError, Committer};
pub use effect::{EffectError, Effector};
use gauges::Gauges;
pub use intent::{Change, Intent, IntentError, announce};
pub use queue::Wakes;
pub use run::run;
pub use strays::{Stray, StrayError, Strays, Why};

/// How many actions one tick does at most before others get their turn.
const ACTIONS_PER_TICK: u32 = 16;

/// How long one publisher may take.
const PUBLISH_WITHIN: Duration = Duration::from_secs(10);

/// The longest that a failing action is left alone.
const BACKOFF_MAX: Span = Span::from_mins(5);

/// Everything that changes the state of issuers.
#[derive(Debug)]
pub struct Rotator {
    /// What readers see.
    pub places: Arc<Places>,
    /// How changes become durable.
    pub committer: Committer,
    /// How keys are made and destroyed.
    pub effector: Effector,
    /// Where each issuer's set is put besides the daemon's own listener.
    pub publishers: HashMap<IssuerId, Vec<Arc<dyn Publisher>>>,
    /// The clock by which transitions are decided.
    pub clock: SteadyClock,
    /// Who is told to look at an issuer.
    pub wakes: Wakes,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    desks: HashMap<IssuerId, Mutex<Desk>>,
    gauges: Gauges,
    /// Whether the daemon is about to stop: what is under way is finished, and nothing more begun.
    stops: AtomicBool,
}

/// What is remembered of one issuer between ticks. Its lock is held for commits, never for effects.
#[derive(Debug, Default)]
struct Desk {
    /// Failed actions: when to try again, and how often they failed.
    deferred: BTreeMap<Action, Timestamp>,
    failures: BTreeMap<Action, u32>,
    /// The set that every publisher has taken since the start.
    handed_out: Option<JwkSetVersion>,
}

/// Why a tick ended early.
#[derive(Debug, Error)]
pub enum TickError {
    /// A change was not committed.
    #[error("issuer {issuer}: {event} was not committed")]
    Commit {
        /// Whose.
        issuer: IssuerId,
        /// What was to be recorded.
        event: &'static str,
        /// Why.
        #[source]
        source: CommitError,
    },
    /// The set is not out everywhere.
    #[error("issuer {issuer}: JWK Set {version} is not published")]
    Publish {
        /// Whose.
        issuer: IssuerId,
        /// Which set.
        version: JwkSetVersion,
        /// Why.
        #[source]
        source: PublishError,
    },
    /// No such issuer.
    #[error("there is no issuer {0}")]
    UnknownIssuer(IssuerId),
}

impl Rotator {
    /// A rotator over the issuers of `places`.
    #[must_use]
    pub fn new(
        places: Arc<Places>,
        committer: Committer,
        effector: Effector,
        publishers: HashMap<IssuerId, Vec<Arc<dyn Publisher>>>,
        clock: SteadyClock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let desks = places.iter().map(|(id, _)| (id.clone(), Mutex::default())).collect();
        let gauges = Gauges::new(&places, &metrics);
        Self {
            places,
            committer,
            effector,
            publishers,
            clock,
            wakes: Wakes::default(),
            metrics,
            desks,
            gauges,
            stops: AtomicBool::new(false),
        }
    }

    /// What happens next to `issuer`, and what the rest waits for, as it stands now.
    ///
    /// # Errors
    /// [`TickError::UnknownIssuer`].
    pub async fn plan(&self, issuer: &IssuerId) -> Result<Plan, TickError> {
        let (place, desk) = self.desk(issuer)?;
        let desk = desk.lock().await;
        let state = Arc::clone(&place.state());
        let outlook = Outlook { now: self.now_of(&state), deferred: &desk.deferred };
        Ok(state.issuer().plan(&place.settings.policy, outlook))
    }

    /// Now, as the moments of `state` are told.
    #[must_use]
    pub fn now_of(&self, state: &Snapshot) -> Timestamp {
        self.clock.now_by(state.issuer().state().clock)
    }

    /// Records a fact that came from outside, and publishes what follows from it at once.
    ///
    /// # Errors
    /// [`TickError`]; on [`TickError::Publish`] the fact is committed, and publication is tried again.
    pub async fn record(&self, issuer: &IssuerId, fact: Fact, cause: &Cause) -> Result<Committed, TickError> {
        let (place, desk) = self.desk(issuer)?;
        let committed = {
            let _desk = desk.lock().await;
            self.commit(place, fact, cause).await
        };
        // Also after an error: if the commit's fate is not known, the look at the store must not wait.
        self.wakes.wake(issuer);
        let committed = committed?;
        self.publish(place, desk).await?;
        Ok(committed)
    }

    /// Shows dashboards every issuer as it is now: a standby becomes ready without anything being due.
    pub fn show_gauges(&self) {
        self.places.iter().for_each(|(issuer, place)| {
            let now = self.now_of(&place.state());
            self.gauges.show(issuer, place, now);
        });
        self.metrics.rotator.clock_jump.set(self.clock.jump());
    }

    /// Does what is due for `issuer`, and says when to look again.
    ///
    /// # Errors
    /// [`TickError`]; trying again later is right for each.
    pub async fn tick(&self, issuer: &IssuerId) -> Result<Option<Timestamp>, TickError> {
        let (place, desk) = self.desk(issuer)?;
        self.metrics.rotator.ticks.inc();
        for n in 0..ACTIONS_PER_TICK {
            if n > 0 && self.stops.load(Ordering::Acquire) {
                break;
            }
            self.look(issuer, place, desk).await?;
            // A publisher that is away holds up the next version's propagation, and nothing else.
            let published = self.publish(place, desk).await;
            let plan = self.plan(issuer).await?;
            match plan.action {
                None => return published.map(|()| plan.wake_at),
                Some(due) => self.act(issuer, place, desk, due).await?,
            }
        }
        Ok(Some(self.now_of(&place.state())))
    }

    /// Looks at what is stored, and has it told by the machine's clock as that is set now: so no wait is shortened
    /// by a clock that was set, not even if it was set while nobody ran.
    async fn look(&self, issuer: &IssuerId, place: &Place, desk: &Mutex<Desk>) -> Result<(), TickError> {
        let mut desk = desk.lock().await;
        let refreshed = self.committer.refresh(place).await;
        refreshed.map_err(|source| TickError::Commit { issuer: issuer.clone(), event: "refresh", source })?;
        place.commit_settled();
        let known = place.state().issuer().state().clock;
        if let Some(setting) = self.clock.setting_unlike(known) {
            if let Some(seconds) = known.and_then(|known| setting.ahead_of(known)) {
                warn!(issuer = %issuer, reason = %format_args!("set ahead by {seconds} s"), "machine's clock was set; what is planned moves with it");
            }
            self.commit(place, Fact::ClockSet { setting }, &Cause::default()).await?;
            desk.deferred.clear();
        }
        Ok(())
    }

    async fn act(&self, issuer: &IssuerId, place: &Place, desk: &Mutex<Desk>, due: Due) -> Result<(), TickError> {
        let action = due.action.clone();
        let effect = match &action {
            Action::Generate { ring, version } => {
                let state = place.state().issuer().clone();
                self.effector.generate(&state, ring, *version, place.signs_digests(ring)).await
            }
            Action::DestroyPrivate { ring, version } => {
                let state = place.state().issuer().clone();
                let now = self.now_of(&place.state());
                self.effector.destroy(&state, ring, *version, now).await
            }
            Action::Activate { ring, version } => {
                let state = place.state().issuer().clone();
                self.effector.prove(&state, ring, *version, place.signs_digests(ring)).await.map(|()| decided(due))
            }
            _ => Ok(decided(due)),
        };
        let mut desk = desk.lock().await;
        match effect {
            Ok(fact) => {
                desk.deferred.remove(&action);
                desk.failures.remove(&action);
                self.metrics.rotator.action(name(&action)).inc();
                self.commit(place, fact, &Cause::default()).await.map(|_| ())
            }
            Err(error) => {
                self.metrics.rotator.failure(name(&action)).inc();
                let failures = desk.failures.entry(action.clone()).or_default();
                *failures = failures.saturating_add(1);
                let wait = backoff(*failures, &error);
                warn!(
                    issuer = %issuer, action = name(&action), error = %chain(&error), retry_in = %wait,
                    "action failed and will be tried again"
                );
                desk.deferred.insert(action, self.now_of(&place.state()) + wait);
                Ok(())
            }
        }
    }

    /// Commits a fact that is dated now.
    async fn commit(&self, place: &Place, fact: Fact, cause: &Cause) -> Result<Committed, TickError> {
        // Marked before it is dated: what readers do meanwhile is covered by the drain.
        let is_first = place.commit_pending(self.clock.monotonic());
        let name = fact.name();
        let event = Event { at: self.now_of(&place.state()), fact };
        let before = place.state().revision();
        let result = self.committer.commit(place, &event, cause).await;
        self.metrics.store.commit(result.is_ok()).inc();
        match result {
            Ok(committed) => {
                place.commit_settled();
                // A fact that changes nothing is not committed.
                if committed.revision > before {
                    let (fact, issuer) = (&event.fact, committed.issuer.id());
                    info!(
                        issuer = %issuer, ring = fact.ring().map(display), version = fact.version().map(VersionId::get),
                        kid = fact.kid().map(display), revision = committed.revision.get(), action = name, "state committed"
                    );
                }
                Ok(committed)
            }
            Err(source) => {
                // An earlier commit whose fate is not known stays pending until a refresh has shown it.
                if is_first && !matches!(source, CommitError::Unknown(_)) {
                    place.commit_settled();
                }
                let issuer = place.state().issuer().id().clone();
                Err(TickError::Commit { issuer, event: name, source })
            }
        }
    }

    /// Puts the newest set where verifiers fetch it, and records that it was seen there.
    ///
    /// The first time after a start it is handed out again: a publisher may be new, or have lost what it
    /// held. No lock is held while publishers work: an emergency does not wait for a slow disk.
    async fn publish(&self, place: &Place, desk: &Mutex<Desk>) -> Result<(), TickError> {
        let state = Arc::clone(&place.state());
        let (id, version) = (state.issuer().id(), state.jwk_set_version());
        let is_pending = state.issuer().to_publish(&place.settings.policy).is_some();
        let is_out = state.issuer().state().published.is_some();
        if is_pending || is_out {
            place.serve();
        }
        if !is_pending && (!is_out || desk.lock().await.handed_out == Some(version)) {
            return Ok(());
        }
        let served = place.served().clone();
        let Some(served) = served.filter(|served| served.version == version) else {
            // A newer set was committed meanwhile; whoever did that publishes it.
            return Ok(());
        };
        let publication = Publication {
            path: place.settings.path.clone(),
            version,
            jwk_set: served.body.clone(),
            openid_configuration: served.openid_configuration.clone(),
        };
        let mut failure = None;
        for publisher in self.publishers.get(id).into_iter().flatten() {
            let late = |_| Err(PublishError::Unavailable(format!("no answer within {} s", PUBLISH_WITHIN.as_secs())));
            let published = timeout(PUBLISH_WITHIN, publisher.publish(&publication)).await.unwrap_or_else(late);
            match published {
                // Committed and handed out meanwhile by another task of ours, which sees to the rest.
                Err(PublishError::Newer { found, .. }) if found <= place.state().jwk_set_version() => return Ok(()),
                published => failure = failure.or(published.err()),
            }
        }
        if let Some(source) = failure {
            return Err(TickError::Publish { issuer: id.clone(), version, source });
        }
        let mut desk = desk.lock().await;
        desk.handed_out = desk.handed_out.max(Some(version));
        if !is_pending {
            return Ok(());
        }
        failpoint("publish.out");
        info!(issuer = %id, key_set = version.get(), "JWK Set published");
        self.commit(place, Fact::Published { version }, &Cause::default()).await.map(|_| ())
    }

    fn desk(&self, issuer: &IssuerId) -> Result<(&Place, &Mutex<Desk>), TickError> {
        let unknown = || TickError::UnknownIssuer(issuer.clone());
        let place = self.places.get(issuer.as_str()).ok_or_else(unknown)?;
        Ok((place, self.desks.get(issuer).ok_or_else(unknown)?))
    }
}

/// The fact that a decision is; decisions need nothing from outside.
fn decided(due: Due) -> Fact {
    let reason = due.reason;
    match due.action {
        Action::Reserve { ring, version, backend } => Fact::Reserved { ring, version, backend, reason },
        Action::Activate { ring, version } => Fact::Activated { ring, version, reason },
        Action::Withdraw { ring, version } => Fact::Withdrawn { ring, version },
        Action::WithdrawImported { kid } => Fact::ImportWithdrawn { kid },
        Action::Generate { .. } | Action::DestroyPrivate { .. } => {
            unreachable!("invariant: effects were told apart from decisions by the caller")
        }
    }
}

/// The word for an action in metrics and logs.
fn name(action: &Action) -> &'static str {
    match action {
        Action::Reserve { .. } => "reserve",
        Action::Generate { .. } => "generate",
        Action::Activate { .. } => "activate",
        Action::DestroyPrivate { .. } => "destroy_private",
        Action::Withdraw { .. } => "withdraw",
        Action::WithdrawImported { .. } => "withdraw_imported",
    }
}

/// One second, then twice as long after each failure; what a throttling backend asks for, if that is longer.
fn backoff(failures: u32, error: &EffectError) -> Span {
    let doubled = Span::from_secs(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    match error {
        EffectError::Backend { source: BackendError::Throttled { retry_after }, .. } => {
            doubled.max(Span::from_secs(retry_after.as_secs() + 1))
        }
        _ => doubled,
    }
}
