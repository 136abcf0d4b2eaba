//! Who is let in when there is more to do than can be done at once.
//!
//! A request that is let in holds one of the places. When all are taken, a few wait, each caller in a line of its own;
//! a place that becomes free goes to the lines in turn, so that whoever asks for much waits behind itself. Everything
//! else is turned away at once, before its body is read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::ids::{IssuerId, RingName};
use crate::server::problem::{Code, Refusal};

/// How much is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one caller.
    pub caller: Share,
    /// For one ring.
    pub ring: Share,
    /// How long a request waits for a place. As many may wait as there are places.
    pub queue_within: Duration,
}

/// How much one may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Signatures in a second, that many at once after a pause; without bound, if absent.
    pub rate: Option<u32>,
    /// Requests at once, those that wait included.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let share = Share { rate: None, at_once: usize::MAX };
        Self { caller: share, ring: share, queue_within: Duration::from_millis(500) }
    }
}

/// The door.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    places: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    callers: HashMap<String, Account>,
    rings: HashMap<(IssuerId, RingName), Account>,
    /// The callers that have a line, the next to be served first.
    turns: VecDeque<String>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Account {
    /// Requests that hold a place or wait for one.
    held: usize,
    /// When, on the monotonic clock, everything asked for so far would have been asked for at the allowed rate.
    paid_until: Duration,
    line: VecDeque<oneshot::Sender<()>>,
}

/// A request that was let in; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Pass<'a> {
    admission: &'a Admission,
    caller: String,
    ring: (IssuerId, RingName),
    /// While it waits.
    turn: Option<oneshot::Receiver<()>>,
}

impl Account {
    /// Takes one request on account, or says after how long it can be.
    fn take(&mut self, share: Share, now: Duration) -> Result<(), Refused> {
        if self.held >= share.at_once {
            return Err(Refused::AtOnce);
        }
        if let Some(every) = share.interval() {
            let begun = self.paid_until.max(now);
            if begun + every > now + BURST {
                return Err(Refused::Rate(begun + every - now - BURST));
            }
            self.paid_until = begun + every;
        }
        Ok(())
    }

    fn is_idle(&self, now: Duration) -> bool {
        self.held == 0 && self.line.is_empty() && self.paid_until <= now
    }
}

impl Share {
    fn interval(&self) -> Option<Duration> {
        self.rate.map(|rate| BURST / rate.max(1))
    }
}

/// What may be asked for at once is what may be asked for in this time.
const BURST: Duration = Duration::from_secs(1);

/// A batch never puts its caller further behind than this.
const DEBT_MAX: Duration = Duration::from_secs(60);

/// Accounts of callers that are kept before those without anything on them are looked for.
const ACCOUNTS: usize = 4_096;

enum Refused {
    Rate(Duration),
    AtOnce,
}

impl Refused {
    fn told(self, whose: &str) -> Refusal {
        match self {
            Self::Rate(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Code::RateLimited.refusal(format!("too many requests in a second {whose}")).retry_after(seconds.max(1))
            }
            Self::AtOnce => Code::AtOnce.refusal(format!("too many requests at once {whose}")).retry_after(1),
        }
    }
}

impl Admission {
    /// A door to so many places.
    #[must_use]
    pub fn new(places: usize, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let (callers, rings, turns) = (HashMap::new(), HashMap::new(), VecDeque::new());
        let state = Mutex::new(State { free: places, callers, rings, turns, waiting: 0 });
        Self { limits, places, clock, state }
    }

    /// Lets a request in, at once or after a short wait.
    ///
    /// # Errors
    /// `rate_limited`, `too_many_at_once` or `busy`, each with when to come again.
    pub async fn enter(&self, caller: String, ring: (IssuerId, RingName)) -> Result<Pass<'_>, Refusal> {
        let mut pass = self.begin(caller, ring)?;
        if let Some(turn) = &mut pass.turn {
            match timeout(self.limits.queue_within, turn).await {
                Ok(Ok(())) => pass.turn = None,
                Ok(Err(_)) | Err(_) => return Err(busy()),
            }
        }
        Ok(pass)
    }

    fn begin(&self, caller: String, ring: (IssuerId, RingName)) -> Result<Pass<'_>, Refusal> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let State { free, callers, rings, turns, waiting } = &mut *state;
        if callers.len() >= ACCOUNTS && !callers.contains_key(&caller) {
            callers.retain(|_, account| !account.is_idle(now));
        }
        let of_caller = callers.entry(caller.clone()).or_default();
        of_caller.take(self.limits.caller, now).map_err(|refused| refused.told("for you"))?;
        let of_ring = rings.entry(ring.clone()).or_default();
        of_ring.take(self.limits.ring, now).map_err(|refused| refused.told("for this ring"))?;
        let turn = if *free > 0 {
            *free -= 1;
            None
        } else if *waiting < self.places {
            let (sender, receiver) = oneshot::channel();
            if of_caller.line.is_empty() {
                turns.push_back(caller.clone());
            }
            of_caller.line.push_back(sender);
            *waiting += 1;
            Some(receiver)
        } else {
            return Err(busy());
        };
        of_caller.held += 1;
        of_ring.held += 1;
        Ok(Pass { admission: self, caller, ring, turn })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy() -> Refusal {
    Code::Busy.refusal("too many requests are under way").retry_after(1)
}

impl Pass<'_> {
    /// Puts more signatures on the accounts than the one that every request is taken for: those of a batch.
    pub fn charge(&self, more: usize) {
        let now = self.admission.clock.monotonic();
        let mut state = self.admission.state();
        let State { callers, rings, .. } = &mut *state;
        let limits = &self.admission.limits;
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let add = |account: Option<&mut Account>, share: Share| {
            if let (Some(account), Some(every)) = (account, share.interval()) {
                account.paid_until = (account.paid_until + every.saturating_mul(more)).min(now + DEBT_MAX);
            }
        };
        add(callers.get_mut(&self.caller), limits.caller);
        add(rings.get_mut(&self.ring), limits.ring);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Whoever gives up waiting may have been given a place in that very moment.
        let has_place = match &mut self.turn {
            None => true,
            Some(turn) => {
                turn.close();
                turn.try_recv().is_ok()
            }
        };
        let now = self.admission.clock.monotonic();
        let mut state = self.admission.state();
        if let Some(account) = state.rings.get_mut(&self.ring) {
            account.held -= 1;
        }
        let State { callers, turns, waiting, .. } = &mut *state;
        if let Some(account) = callers.get_mut(&self.caller) {
            account.held -= 1;
            if !has_place {
                let stood = account.line.len();
                account.line.retain(|sender| !sender.is_closed());
                *waiting -= stood - account.line.len();
                if account.line.is_empty() {
                    turns.retain(|caller| *caller != self.caller);
                }
            }
            if account.is_idle(now) {
                callers.remove(&self.caller);
            }
        }
        if has_place {
            state.hand_on();
        }
    }
}

impl State {
    /// Gives a place that became free to the line whose turn it is.
    fn hand_on(&mut self) {
        while let Some(caller) = self.turns.pop_front() {
            let Some(account) = self.callers.get_mut(&caller) else { continue };
            let Some(next) = account.line.pop_front() else { continue };
            self.waiting -= 1;
            if !account.line.is_empty() {
                self.turns.push_back(caller);
            }
            // One that has gone meanwhile takes nothing.
            if next.send(()).is_ok() {
                return;
            }
        }
        self.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::time::Timestamp;

    #[derive(Debug, Default)]
    struct Still(Mutex<Duration>);

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(0)
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    fn door(places: usize, caller: Share, ring: Share) -> (Arc<Still>, Admission) {
        let clock = Arc::new(Still::default());
        let limits = Limits { caller, ring, queue_within: Duration::from_millis(50) };
        (Arc::clone(&clock), Admission::new(places, limits, clock))
    }

    fn free() -> Share {
        Limits::default().caller
    }

    fn ring(name: &str) -> (IssuerId, RingName) {
        ("main".parse().unwrap(), name.parse().unwrap())
    }

    fn code(entered: Result<Pass<'_>, Refusal>) -> Option<(&'static str, Option<u64>)> {
        entered.err().map(|refusal| (refusal.code, refusal.retry_after))
    }

    #[tokio::test]
    async fn a_rate_is_a_burst_and_then_one_after_the_other() {
        let (clock, door) = door(100, Share { rate: Some(4), ..free() }, free());
        for _ in 0..4 {
            assert!(door.enter("a".to_owned(), ring("r")).await.is_ok());
        }
        assert_eq!(code(door.enter("a".to_owned(), ring("r")).await), Some(("rate_limited", Some(1))));
        assert!(door.enter("b".to_owned(), ring("r")).await.is_ok(), "another caller has an account of its own");
        *clock.0.lock().unwrap() = Duration::from_millis(250);
        assert!(door.enter("a".to_owned(), ring("r")).await.is_ok());
        assert!(door.enter("a".to_owned(), ring("r")).await.is_err());
        *clock.0.lock().unwrap() = Duration::from_secs(10);
        door.enter("a".to_owned(), ring("r")).await.unwrap().charge(11);
        // Twelve signatures are paid for in three seconds, of which one is free.
        assert_eq!(code(door.enter("a".to_owned(), ring("r")).await), Some(("rate_limited", Some(3))));
        *clock.0.lock().unwrap() = Duration::from_millis(12_250);
        assert!(door.enter("a".to_owned(), ring("r")).await.is_ok());
    }

    #[tokio::test]
    async fn one_caller_and_one_ring_hold_no_more_than_their_share() {
        let (_, door) = door(100, Share { at_once: 2, ..free() }, Share { at_once: 3, ..free() });
        let _one = door.enter("a".to_owned(), ring("r")).await.unwrap();
        let two = door.enter("a".to_owned(), ring("r")).await.unwrap();
        assert_eq!(code(door.enter("a".to_owned(), ring("s")).await), Some(("too_many_at_once", Some(1))));
        let _three = door.enter("b".to_owned(), ring("r")).await.unwrap();
        assert_eq!(code(door.enter("c".to_owned(), ring("r")).await), Some(("too_many_at_once", Some(1))));
        drop(two);
        assert!(door.enter("c".to_owned(), ring("r")).await.is_ok());
    }

    #[tokio::test]
    async fn whoever_asks_for_much_waits_behind_itself() {
        let (_, door) = door(4, free(), free());
        let mut held: Vec<_> = (0..4).map(|_| door.begin("greedy".to_owned(), ring("r")).unwrap()).collect();
        let mut greedy: Vec<_> = (0..3).map(|_| door.begin("greedy".to_owned(), ring("r")).unwrap()).collect();
        let mut modest = door.begin("modest".to_owned(), ring("r")).unwrap();
        assert!(door.begin("late".to_owned(), ring("r")).is_err_and(|refusal| refusal.code == "busy"));
        let is_in = |pass: &mut Pass<'_>| pass.turn.as_mut().unwrap().try_recv().is_ok();
        held.pop();
        assert!(is_in(&mut greedy[0]) && !is_in(&mut modest));
        held.pop();
        assert!(is_in(&mut modest), "the second free place goes to the other line");
        assert!(!is_in(&mut greedy[1]));
    }

    #[tokio::test]
    async fn whoever_gives_up_takes_no_place_with_it() {
        let (_, door) = door(1, free(), free());
        let held = door.enter("a".to_owned(), ring("r")).await.unwrap();
        assert_eq!(code(door.enter("b".to_owned(), ring("r")).await), Some(("busy", Some(1))));
        let waiting = door.begin("c".to_owned(), ring("r")).unwrap();
        drop(held);
        // The place was c's already, though c had not noticed.
        drop(waiting);
        assert!(door.enter("d".to_owned(), ring("r")).await.is_ok());
        let state = door.state();
        assert_eq!((state.free, state.waiting, state.callers.len()), (1, 0, 0));
    }
}
