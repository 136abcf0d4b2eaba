//! A publisher in memory that fails on demand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use jwksd::backend::BoxFuture;
use jwksd::ids::JwkSetVersion;
use jwksd::publish::{Publication, PublishError, Publisher};
use tokio::sync::Notify;

/// Holds the newest set.
#[derive(Debug, Default)]
pub struct FakePublisher {
    out: Mutex<Option<JwkSetVersion>>,
    fails: AtomicBool,
    held: AtomicBool,
    released: Notify,
}

impl FakePublisher {
    /// Whether every call fails from now on.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// Keeps the next call waiting until [`FakePublisher::release`].
    pub fn hold_next(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Whether a call is kept waiting, or none was since the last [`FakePublisher::hold_next`].
    pub fn is_holding(&self) -> bool {
        !self.held.load(Ordering::SeqCst)
    }

    pub fn release(&self) {
        self.released.notify_one();
    }

    /// The set that it holds.
    pub fn out(&self) -> Option<JwkSetVersion> {
        *self.out.lock().unwrap()
    }
}

impl Publisher for FakePublisher {
    fn publish<'a>(&'a self, publication: &'a Publication) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
            if self.held.swap(false, Ordering::SeqCst) {
                self.released.notified().await;
            }
            if self.fails.load(Ordering::SeqCst) {
                return Err(PublishError::Unavailable("fake fault".to_owned()));
            }
            let mut out = self.out.lock().unwrap();
            match *out {
                Some(found) if found > publication.version => {
                    Err(PublishError::Newer { found, ours: publication.version })
                }
                _ => {
                    *out = Some(publication.version);
                    Ok(())
                }
            }
        })
    }
}
