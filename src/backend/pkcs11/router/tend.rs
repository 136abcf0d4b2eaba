//! One seat: a worker sits in it until it is lost, then another.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::super::worker::Role;
use super::backoff::Backoff;
use super::link::{Link, Loss};
use super::metrics::Cause;
use super::shared::Shared;
use crate::backend::BackendError;

/// Keeps `seat` taken. Ends with the router.
pub(super) async fn tend(shared: Arc<Shared>, seat: usize) {
    let mut backoff = Backoff::new();
    let mut last: Option<BackendError> = None;
    loop {
        let begun = Instant::now();
        let (loss, healthy) = match Link::start(&shared, Role::Sign).await {
            Ok(mut link) => {
                let ready = Instant::now();
                last = None;
                let elapsed_ms = ready.duration_since(begun).as_millis();
                info!(backend = %shared.id, elapsed_ms, "worker process started");
                let woken = {
                    let mut state = shared.state();
                    let woken = state.pool.ready(seat, ready);
                    shared.gauge(&state.pool);
                    woken
                };
                shared.wake(woken);
                let loss = link.serve(&shared, seat, begun).await;
                (loss, ready.elapsed())
            }
            Err(loss) => (loss, Duration::ZERO),
        };
        let pause = match loss.cause {
            // No PIN is tried before an operator has acted; whether one has is looked up without trying.
            Cause::Pin => PIN_PAUSE,
            _ => backoff.next(healthy),
        };
        // A token that is away for an hour is one event.
        if last.as_ref() == Some(&loss.why) {
            debug!(backend = %shared.id, reason = loss.cause.name(), error = %loss.why, "worker process lost again");
        } else {
            let retry_in = format!("{} ms", pause.as_millis());
            warn!(backend = %shared.id, reason = loss.cause.name(), error = %loss.why, retry_in, "worker process lost");
        }
        settle(&shared, seat, &loss);
        last = Some(loss.why);
        sleep(pause).await;
    }
}

/// What the worker leaves behind goes to the others.
fn settle(shared: &Shared, seat: usize, loss: &Loss) {
    let Loss { cause, why, culprit, key } = loss;
    let now = Instant::now();
    let woken = {
        let mut state = shared.state();
        if let Some(key) = key {
            state.pool.blame(key, why, now);
        }
        let (woken, handed_on) = state.pool.lost(seat, *culprit, why, now);
        shared.counters.handed_on.inc_by(handed_on as u64);
        shared.gauge(&state.pool);
        woken
    };
    shared.counters.lost.count(*cause);
    shared.wake(woken);
}

/// Between two looks whether an operator has acted on a refused PIN.
const PIN_PAUSE: Duration = Duration::from_secs(2);
