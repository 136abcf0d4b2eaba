//! Making, destroying and listing keys: each in a worker of its own that ends with it.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::super::wire::{Admin, Order, Outcome, Report};
use super::super::worker::Role;
use super::link::{Link, Loss};
use super::metrics::Cause;
use super::shared::Shared;
use crate::backend::{BackendError, Destroyed};

/// Does admin work, one piece at a time.
#[derive(Debug)]
pub(super) struct Administration {
    shared: Arc<Shared>,
    turn: Arc<Semaphore>,
}

impl Administration {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Has `admin` done. A caller that leaves abandons the wait, not the work, once that has begun: a token may be
    /// left in disorder by a process that is cut off while it makes a key.
    pub(super) async fn order(&self, admin: Admin) -> Result<Outcome, BackendError> {
        let gone = || BackendError::Unavailable("the worker processes are being ended".to_owned());
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| gone())?;
        let shared = Arc::clone(&self.shared);
        let (reply, answer) = oneshot::channel();
        tokio::spawn(async move {
            let outcome = perform(&shared, &admin).await;
            match (&admin, &outcome) {
                (Admin::Destroy(handle), Ok(Outcome::Destroyed(Destroyed::Done))) => {
                    shared.state().used.destroyed(handle);
                }
                (_, Ok(Outcome::Generated(key))) => shared.state().used.made(&key.handle, Instant::now()),
                _ => {}
            }
            drop(turn);
            // Whoever asked may have left.
            let _ = reply.send(outcome);
        });
        answer.await.map_err(|_| gone())?
    }
}

async fn perform(shared: &Shared, admin: &Admin) -> Result<Outcome, BackendError> {
    let limit = shared.admin_limit();
    let report = async {
        let mut link = Link::start(shared, Role::Admin).await?;
        match timeout(limit, link.ask(&Order::admin(admin))).await {
            Ok(report) => report,
            Err(_) => {
                link.kill();
                Err(Loss::new(
                    Cause::Hung,
                    format!("admin work in the module was not done after {} s", limit.as_secs()),
                ))
            }
        }
    };
    let loss = match report.await {
        Ok(Report::Done(result)) => return result,
        Ok(Report::Broken(_, text)) => Loss::new(Cause::Broken, text),
        Ok(Report::Pin(text)) => Loss::pin(text),
        Ok(Report::Ready | Report::Signed(..) | Report::Declined(..) | Report::Alive | Report::Hung(..)) => {
            Loss::nonsense()
        }
        Err(loss) => loss,
    };
    shared.counters.lost.count(loss.cause);
    warn!(backend = %shared.id, reason = loss.cause.name(), error = %loss.why, "worker process for admin work lost");
    Err(loss.why)
}
