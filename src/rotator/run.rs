//! The loop around the ticks: who is due, at most so many at once, until the daemon stops.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::error;

use crate::ids::IssuerId;
use crate::lifecycle::time::{Span, Timestamp};
use crate::telemetry::chain;

use super::queue::Agenda;
use super::{BACKOFF_MAX, Rotator, TickError};

/// How many issuers are looked at together; those that an operator's command is about come on top.
const TICKS_AT_ONCE: usize = 8;

/// How long the loop sleeps at most: a wall clock that is set in between is noticed after this.
const NAP_MAX: Duration = Duration::from_secs(30);

/// Looks at every issuer now, and then at each whenever it is due, until `stop` completes; ticks that are
/// under way are finished.
pub async fn run(rotator: Arc<Rotator>, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut agenda = Agenda::default();
    let mut clock = None;
    let mut under_way: HashSet<IssuerId> = HashSet::new();
    let mut troubles = Troubles::default();
    let mut ticks: JoinSet<Ticked> = JoinSet::new();
    loop {
        let now = rotator.clock.now();
        // Everybody is looked at in the beginning, and when the clock was set: all their moments are to be told anew.
        if let Some(setting) = rotator.clock.setting_unlike(clock) {
            clock = Some(setting);
            rotator.places.iter().for_each(|(id, _)| agenda.add(id.clone(), now));
        }
        let mut held_back = Vec::new();
        while ticks.len() < TICKS_AT_ONCE
            && let Some(issuer) = agenda.take_due(now)
        {
            if under_way.contains(&issuer) {
                held_back.push(issuer);
                continue;
            }
            under_way.insert(issuer.clone());
            ticks.spawn(tick(Arc::clone(&rotator), issuer));
        }
        // Their tick is under way; a second look follows it.
        held_back.into_iter().for_each(|issuer| agenda.add(issuer, now + Span::from_secs(1)));
        let nap = match agenda.earliest() {
            _ if ticks.len() >= TICKS_AT_ONCE => NAP_MAX,
            Some(at) => at.since(now).as_duration().clamp(Duration::from_millis(20), NAP_MAX),
            None => NAP_MAX,
        };
        tokio::select! {
            () = &mut stop => break,
            Some(done) = ticks.join_next() => match done {
                Ok((issuer, outcome)) => {
                    under_way.remove(&issuer);
                    if let Some(at) = next_look(&rotator, &issuer, outcome, &mut troubles) {
                        agenda.add(issuer, at);
                    }
                }
                // A panic may have left a decision unseen by readers: nothing may go on.
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            },
            hinted = rotator.wakes.take() => for issuer in hinted {
                if under_way.insert(issuer.clone()) {
                    // An operator's command does not queue behind issuers whose backend hangs.
                    ticks.spawn(tick(Arc::clone(&rotator), issuer));
                } else {
                    agenda.add(issuer, now);
                }
            },
            () = tokio::time::sleep(nap) => {}
        }
    }
    rotator.stops.store(true, Ordering::Release);
    while ticks.join_next().await.is_some() {}
}

type Ticked = (IssuerId, Result<Option<Timestamp>, TickError>);

async fn tick(rotator: Arc<Rotator>, issuer: IssuerId) -> Ticked {
    let outcome = rotator.tick(&issuer).await;
    (issuer, outcome)
}

fn next_look(
    rotator: &Rotator,
    issuer: &IssuerId,
    outcome: Result<Option<Timestamp>, TickError>,
    troubles: &mut Troubles,
) -> Option<Timestamp> {
    match outcome {
        Ok(wake_at) => {
            troubles.0.remove(issuer);
            wake_at
        }
        Err(error) => {
            let now = rotator.clock.now();
            let wait = troubles.wait(issuer, now);
            rotator.metrics.rotator.failure("tick").inc();
            error!(issuer = %issuer, error = %chain(&error), retry_in = %wait, "issuer could not be advanced");
            Some(now + wait)
        }
    }
}

/// Issuers whose last look failed, and since when they all did.
#[derive(Debug, Default)]
struct Troubles(HashMap<IssuerId, Timestamp>);

impl Troubles {
    /// How long to wait after a failure: as long again as the trouble has lasted, from a second to [`BACKOFF_MAX`].
    ///
    /// How often it failed does not count. Commands bring a look forward, and an operator who tries one again and again
    /// must not push away the look that comes once the trouble is over.
    fn wait(&mut self, issuer: &IssuerId, now: Timestamp) -> Span {
        let since = *self.0.entry(issuer.clone()).or_insert(now);
        now.since(since).clamp(Span::from_secs(1), BACKOFF_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_waited_for_as_long_as_it_lasts_however_often_somebody_asks() {
        let issuer = IssuerId::new("main").unwrap();
        let mut troubles = Troubles::default();
        let mut now = Timestamp::from_second(1_800_000_000);
        let begun = now;
        for _ in 0..100 {
            assert_eq!(troubles.wait(&issuer, now), Span::from_secs(1));
        }
        let mut waits = Vec::new();
        while now < begun + Span::from_mins(30) {
            let wait = troubles.wait(&issuer, now);
            waits.push(wait.as_secs());
            now = now + wait;
        }
        assert_eq!(waits.get(..11).unwrap(), [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(troubles.wait(&IssuerId::new("other").unwrap(), now), Span::from_secs(1));
    }
}
