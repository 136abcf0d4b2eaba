//! Keys that workers were lost with. One bad key must not take down the others of its token: after a few losses in
//! a row its callers are turned away for a while, and one more try is made after that.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::BackendError;
use crate::ids::Handle;

#[derive(Debug, Default)]
pub(super) struct Blame(HashMap<Handle, Suspect>);

#[derive(Debug)]
struct Suspect {
    /// Workers lost in a row.
    lost: u32,
    /// No further one is risked before.
    until: Instant,
    why: BackendError,
}

impl Blame {
    /// A worker was lost with this key.
    pub(super) fn blame(&mut self, handle: &Handle, why: &BackendError, now: Instant) {
        // Callers choose among published keys, so these are few; should they not be, the oldest may be forgotten.
        if self.0.len() >= SUSPECTS_MAX {
            self.0.retain(|_, suspect| suspect.until > now);
        }
        let suspect = self.0.entry(handle.clone()).or_insert_with(|| Suspect { lost: 0, until: now, why: why.clone() });
        suspect.lost += 1;
        suspect.why = why.clone();
        let doublings = suspect.lost.saturating_sub(TOLERATED);
        if doublings > 0 {
            suspect.until = now + FIRST_PAUSE.saturating_mul(1 << doublings.min(10)).min(LONGEST_PAUSE);
        }
    }

    /// The key has signed.
    pub(super) fn acquit(&mut self, handle: &Handle) {
        if !self.0.is_empty() {
            self.0.remove(handle);
        }
    }

    pub(super) fn is_blamed(&self, handle: &Handle) -> bool {
        self.0.contains_key(handle)
    }

    /// Whether a worker may be risked for this key now.
    pub(super) fn check(&self, handle: &Handle, now: Instant) -> Result<(), BackendError> {
        let suspect = if self.0.is_empty() { None } else { self.0.get(handle) };
        match suspect {
            Some(suspect) if suspect.until > now => Err(suspect.why.clone()),
            Some(_) | None => Ok(()),
        }
    }
}

/// Losses in a row that say more about the token than about the key.
const TOLERATED: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const SUSPECTS_MAX: usize = 256;
