//! A publisher in memory that fails on demand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use jwksd::backend::BoxFuture;
use jwksd::ids::JwkSetVersion;
use jwksd::publish::{Publication, PublishError, Publisher};

/// Holds the newest set.
#[derive(Debug, Default)]
pub struct FakePublisher {
    out: Mutex<Option<JwkSetVersion>>,
    fails: AtomicBool,
}

impl FakePublisher {
    /// Whether every call fails from now on.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// The set that it holds.
    pub fn out(&self) -> Option<JwkSetVersion> {
        *self.out.lock().unwrap()
    }
}

impl Publisher for FakePublisher {
    fn publish<'a>(&'a self, publication: &'a Publication) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
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
