//! What waits for the writer: put in one by one, taken out all at once.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between many who put something in and the one who takes it out.
///
/// One lock for each message and each group, and the taker sleeps through whatever does not concern it: waking it for
/// every message is dearer than the message.
#[derive(Debug)]
pub struct Mailbox<M> {
    state: Mutex<State<M>>,
    bell: Condvar,
    capacity: usize,
    pace: Pace,
}

/// How long the taker waits for more.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// For messages that nobody waits for.
    pub leisure: Duration,
    /// For the next of those that are expected; once none has come for so long, no more will.
    pub step: Duration,
    /// For those that make a group, at most; and at most as long again for the rest.
    pub at_most: Duration,
}

impl Pace {
    /// 100 ms for what nobody waits for. Else at most some 2 ms, and as much for the rest, and only while more keep coming.
    pub const USUAL: Self = Self {
        leisure: Duration::from_millis(100),
        step: Duration::from_micros(400),
        at_most: Duration::from_millis(2),
    };
}

/// The group that was taken before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before {
    /// How many urgent messages were in it.
    pub urgent: usize,
    /// How long it took to deal with it.
    pub took: Duration,
}

#[derive(Debug)]
struct State<M> {
    waiting: Vec<M>,
    /// How many of these somebody waits for.
    urgent: usize,
    /// The bell rings once so many of them are there,
    ring_at_urgent: usize,
    /// or so many in all.
    ring_at: usize,
    /// No more will be put in.
    is_over: bool,
    /// Nothing will be taken out any more.
    is_closed: bool,
}

/// Why a message was not taken in.
#[derive(Debug)]
pub enum Refused<M> {
    /// As many wait as may; here it is again.
    Full(M),
    /// Nobody takes anything out any more.
    Closed,
}

impl<M> Mailbox<M> {
    pub fn new(capacity: usize, pace: Pace) -> Self {
        let (ring_at_urgent, ring_at) = NEVER;
        let (waiting, urgent, is_over, is_closed) = (Vec::new(), 0, false, false);
        let state = State { waiting, urgent, ring_at_urgent, ring_at, is_over, is_closed };
        Self { state: Mutex::new(state), bell: Condvar::new(), capacity, pace }
    }

    /// `is_urgent`: somebody waits for what comes of it.
    pub fn put(&self, message: M, is_urgent: bool) -> Result<(), Refused<M>> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if state.waiting.len() >= self.capacity {
            return Err(Refused::Full(message));
        }
        state.waiting.push(message);
        state.urgent += usize::from(is_urgent);
        let rings = state.urgent >= state.ring_at_urgent || state.waiting.len() >= state.ring_at;
        if rings {
            (state.ring_at_urgent, state.ring_at) = NEVER;
        }
        drop(state);
        if rings {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// No more will be put in.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.bell.notify_one();
    }

    /// Nothing will be taken out any more; what waits is dropped.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        // Dropping a message wakes who waits for it: not under the lock.
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// Everything that waits, once something does; nothing if no more will come.
    ///
    /// The urgent messages of the group before, and those that have come meanwhile, are from callers that come again, and
    /// are waited for as long as they keep coming. Three quarters of them make a group, so that some callers are at work
    /// while the taker is. Where its work takes long, fewer and larger groups are better: for the last quarter it waits
    /// half as long as it worked. A caller alone waits for nobody.
    pub fn take(&self, before: Before) -> Option<Vec<M>> {
        let mut state = self.lock();
        let expected = before.urgent + state.urgent;
        while state.waiting.is_empty() {
            if state.is_over {
                return None;
            }
            (state.ring_at_urgent, state.ring_at) = (1, 1);
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.urgent == 0 {
            state = self.rest(state, self.pace.leisure, 1, self.capacity / 2);
        }
        state = self.gather(state, expected - expected / 4, self.pace.at_most);
        state = self.gather(state, expected, self.pace.at_most.min(before.took / 2));
        (state.ring_at_urgent, state.ring_at) = NEVER;
        state.urgent = 0;
        let room = Vec::with_capacity(state.waiting.len());
        Some(mem::replace(&mut state.waiting, room))
    }

    /// Waits for so many urgent messages, as long as they keep coming.
    fn gather<'a>(
        &self,
        mut state: MutexGuard<'a, State<M>>,
        urgent: usize,
        mut at_most: Duration,
    ) -> MutexGuard<'a, State<M>> {
        let mut seen = 0;
        while state.urgent > seen && state.urgent < urgent && !at_most.is_zero() && !state.is_over {
            seen = state.urgent;
            let step = self.pace.step.min(at_most);
            at_most -= step;
            state = self.rest(state, step, urgent, self.capacity / 2);
        }
        state
    }

    /// Waits for so long at most, or until so many are there.
    fn rest<'a>(
        &self,
        mut state: MutexGuard<'a, State<M>>,
        at_most: Duration,
        urgent: usize,
        all: usize,
    ) -> MutexGuard<'a, State<M>> {
        (state.ring_at_urgent, state.ring_at) = (urgent, all);
        let has_to_wait = |state: &mut State<M>| state.urgent < urgent && state.waiting.len() < all && !state.is_over;
        let waited = self.bell.wait_timeout_while(state, at_most, has_to_wait);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // Nothing in here can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The taker is at work.
const NEVER: (usize, usize) = (usize::MAX, usize::MAX);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    /// Whoever waits where it need not does so for an hour, and the test with it.
    const PATIENT: Pace = Pace { leisure: HOUR, step: HOUR, at_most: HOUR };
    const QUICK: Duration = Duration::ZERO;
    const SLOW: Duration = Duration::from_secs(7_200);

    fn of(pace: Pace, messages: &[(u32, bool)]) -> Mailbox<u32> {
        let mailbox = Mailbox::new(8, pace);
        messages.iter().for_each(|(message, is_urgent)| mailbox.put(*message, *is_urgent).unwrap());
        mailbox
    }

    /// What is taken if `messages` are put in, one by one, once the taker waits.
    fn taken(before: Before, messages: &[u32]) -> Option<Vec<u32>> {
        let mailbox = of(PATIENT, &[]);
        thread::scope(|scope| {
            scope.spawn(|| {
                // What was there before the taker came would be waited for once more.
                while mailbox.lock().ring_at == NEVER.1 {
                    thread::yield_now();
                }
                messages.iter().for_each(|message| mailbox.put(*message, true).unwrap());
            });
            mailbox.take(before)
        })
    }

    #[test]
    fn a_caller_alone_waits_for_nobody() {
        assert_eq!(taken(Before::default(), &[1]), Some(vec![1]));
        for took in [QUICK, SLOW] {
            assert_eq!(taken(Before { urgent: 1, took }, &[1]), Some(vec![1]));
        }
    }

    #[test]
    fn three_quarters_of_those_that_come_again_are_waited_for() {
        assert_eq!(taken(Before { urgent: 3, took: QUICK }, &[1, 2, 3]), Some(vec![1, 2, 3]));
        assert_eq!(taken(Before { urgent: 4, took: QUICK }, &[1, 2, 3]), Some(vec![1, 2, 3]));
        assert_eq!(taken(Before { urgent: 5, took: QUICK }, &[1, 2, 3, 4]), Some(vec![1, 2, 3, 4]));
        // Those that came while the taker was at work come again too.
        let mailbox = of(PATIENT, &[(1, true), (2, true), (3, true)]);
        assert_eq!(mailbox.take(Before { urgent: 1, took: QUICK }), Some(vec![1, 2, 3]));
    }

    #[test]
    fn where_the_work_takes_long_all_are_waited_for() {
        assert_eq!(taken(Before { urgent: 4, took: SLOW }, &[1, 2, 3, 4]), Some(vec![1, 2, 3, 4]));
    }

    #[test]
    fn those_that_do_not_come_again_are_not_waited_for() {
        let mailbox = of(Pace { step: Duration::from_millis(1), ..PATIENT }, &[(1, true)]);
        assert_eq!(mailbox.take(Before { urgent: 3, took: QUICK }), Some(vec![1]));
        // Nor for longer than half the time that the work took.
        let mailbox = of(PATIENT, &[(1, true), (2, true), (3, true)]);
        assert_eq!(mailbox.take(Before { urgent: 1, took: Duration::from_millis(2) }), Some(vec![1, 2, 3]));
    }

    #[test]
    fn what_nobody_waits_for_goes_with_what_somebody_does() {
        let mailbox = of(PATIENT, &[(1, false), (2, false), (3, true)]);
        assert_eq!(mailbox.take(Before::default()), Some(vec![1, 2, 3]));
        let mailbox = of(Pace { leisure: Duration::from_millis(1), ..PATIENT }, &[(1, false)]);
        assert_eq!(mailbox.take(Before::default()), Some(vec![1]));
        // Nor does it wait until there is no room for more.
        let mailbox = of(PATIENT, &[(1, false), (2, false), (3, false), (4, false)]);
        assert_eq!(mailbox.take(Before::default()).map(|all| all.len()), Some(4));
    }

    #[test]
    fn too_many_are_refused_and_none_is_taken_in_after_the_end() {
        let mailbox = of(PATIENT, &[]);
        (0..8).for_each(|n| mailbox.put(n, true).unwrap());
        assert!(matches!(mailbox.put(8, true), Err(Refused::Full(8))));
        mailbox.end();
        assert_eq!(mailbox.take(Before::default()).map(|all| all.len()), Some(8));
        assert_eq!(mailbox.take(Before { urgent: 8, took: QUICK }), None);
        mailbox.close();
        assert!(matches!(mailbox.put(9, true), Err(Refused::Closed)));
    }
}
