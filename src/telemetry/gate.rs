//! Keeps a flood out of the log: of each kind of event the first few of a second are told, the others counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Decides which events are told. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<HashMap<&'static str, Told>>>);

#[derive(Debug)]
struct Told {
    since: Instant,
    lines: u32,
    unsaid: u64,
}

impl Gate {
    /// Whether an event of this kind is told now; if so, how many of its kind were not, since the last that was.
    #[must_use]
    pub fn admit(&self, kind: &'static str) -> Option<u64> {
        self.at(kind, Instant::now())
    }

    fn at(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = kinds.entry(kind).or_insert(Told { since: now, lines: 0, unsaid: 0 });
        if now.saturating_duration_since(told.since) >= WINDOW {
            (told.since, told.lines) = (now, 0);
        }
        if told.lines == LINES {
            told.unsaid += 1;
            return None;
        }
        told.lines += 1;
        Some(std::mem::take(&mut told.unsaid))
    }
}

const WINDOW: Duration = Duration::from_secs(1);
const LINES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_in_few_lines_that_say_how_many_there_were() {
        let gate = Gate::default();
        let start = Instant::now();
        let told = (0..1_000).filter(|_| gate.at("busy", start).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(gate.at("denied", start), Some(0), "another kind has a window of its own");
        assert_eq!(gate.at("busy", start + WINDOW), Some(990));
        assert_eq!(gate.at("busy", start + WINDOW), Some(0));
    }
}
