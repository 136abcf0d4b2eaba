//! Which worker gets which signature, who waits and who is turned away. No I/O: the links do what it says.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::super::wire;
use super::blame::Blame;
use crate::backend::{BackendError, Signature};
use crate::ids::Handle;

/// Whoever waits for a signature.
pub(super) trait Caller {
    /// Whether it has left.
    fn has_left(&self) -> bool;
    /// Gives it its answer.
    fn answer(self, answer: Result<Signature, BackendError>);
}

/// A signature that is wanted.
#[derive(Debug)]
pub(super) struct Job<C> {
    /// The key, for blame.
    pub handle: Handle,
    /// The order, ready but for its id.
    pub frame: Vec<u8>,
    /// When its caller stops waiting.
    pub deadline: Instant,
    /// Workers that were lost with it.
    pub lost: u32,
    pub caller: C,
}

/// Bounds of the pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Signatures that one worker is given at once: what it works on, and enough more that it never waits.
    pub in_flight: usize,
    /// Signatures that wait.
    pub queue: usize,
}

/// All workers of a token, and the signatures that are wanted of it.
#[derive(Debug)]
pub(super) struct Pool<C> {
    bounds: Bounds,
    seats: Vec<Seat<C>>,
    /// Signatures that no worker has room for. Empty if one has.
    queue: VecDeque<Job<C>>,
    /// Where the search for a worker begins, so that all are used.
    turn: usize,
    last_id: u64,
    pace: Pace,
    blame: Blame,
    /// Since when no worker is ready, and why.
    down: Option<(Instant, BackendError)>,
}

/// A place for one worker process at a time.
#[derive(Debug)]
struct Seat<C> {
    is_ready: bool,
    in_flight: Vec<(u64, Job<C>)>,
    /// Orders that are not yet written.
    out: Vec<u8>,
    /// When it was last heard of, or given something to do after it had nothing.
    heard: Instant,
}

impl<C: Caller> Pool<C> {
    pub(super) fn new(seats: usize, bounds: Bounds, now: Instant) -> Self {
        let seat = |_| Seat { is_ready: false, in_flight: Vec::new(), out: Vec::new(), heard: now };
        Self {
            bounds,
            seats: (0..seats).map(seat).collect(),
            queue: VecDeque::new(),
            turn: 0,
            last_id: 0,
            pace: Pace::default(),
            blame: Blame::default(),
            down: None,
        }
    }

    /// Takes a job in; returns the seat whose link has orders to write, if one has.
    ///
    /// # Errors
    /// Why it is turned away at once.
    pub(super) fn submit(&mut self, job: Job<C>, now: Instant) -> Result<Option<usize>, BackendError> {
        self.blame.check(&job.handle, now)?;
        if let Some(seat) = self.free_seat() {
            self.give(seat, job, now);
            return Ok(Some(seat));
        }
        self.admit(job.deadline, now)?;
        self.queue.push_back(job);
        Ok(None)
    }

    /// Moves the orders that are to be written to `seat` into `out`.
    pub(super) fn take_orders(&mut self, seat: usize, out: &mut Vec<u8>) {
        if let Some(seat) = self.seats.get_mut(seat) {
            out.append(&mut seat.out);
        }
    }

    /// The key that the job `id` in `seat` is about.
    pub(super) fn key_of(&self, seat: usize, id: u64) -> Option<&Handle> {
        let in_flight = &self.seats.get(seat)?.in_flight;
        in_flight.iter().find(|(other, _)| *other == id).map(|(_, job)| &job.handle)
    }

    /// The worker of `seat` answered the job `id`; with it comes the room for others.
    pub(super) fn answered(&mut self, seat: usize, id: u64, now: Instant) -> Option<Job<C>> {
        let is_saturated = !self.queue.is_empty();
        let place = self.seats.get_mut(seat)?;
        place.heard = now;
        let at = place.in_flight.iter().position(|(other, _)| *other == id)?;
        let (_, job) = place.in_flight.swap_remove(at);
        self.pace.answered(now, is_saturated);
        self.hand_out(now);
        Some(job)
    }

    /// The signature was made, or declined for a reason that says nothing against its key.
    pub(super) fn acquit(&mut self, handle: &Handle) {
        self.blame.acquit(handle);
    }

    /// The worker of `seat` has said something.
    pub(super) fn heard(&mut self, seat: usize, now: Instant) {
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.heard = now;
        }
    }

    /// For how long the worker of `seat` has not said anything although it has work.
    pub(super) fn silence(&self, seat: usize, now: Instant) -> Option<Duration> {
        let seat = self.seats.get(seat).filter(|seat| !seat.in_flight.is_empty())?;
        Some(now.saturating_duration_since(seat.heard))
    }

    /// A new worker sits in `seat`; returns the seats whose links have orders to write.
    pub(super) fn ready(&mut self, seat: usize, now: Instant) -> Vec<usize> {
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.is_ready = true;
            seat.heard = now;
        }
        self.down = None;
        self.hand_out(now)
    }

    /// The worker of `seat` is gone, or did not come to be: its jobs go to others, as far as there is time. With
    /// `culprit` it says which of them it was about. Returns the seats whose links have orders to write, and
    /// how many jobs were handed on.
    pub(super) fn lost(&mut self, seat: usize, culprit: u64, why: &BackendError, now: Instant) -> (Vec<usize>, usize) {
        let mut in_flight = Vec::new();
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.is_ready = false;
            seat.out.clear();
            in_flight = std::mem::take(&mut seat.in_flight);
        }
        if let Some((_, job)) = in_flight.iter().find(|(id, _)| *id == culprit) {
            self.blame.blame(&job.handle, why, now);
        }
        // The oldest comes first again.
        in_flight.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        let mut handed_on = 0;
        for (_, mut job) in in_flight {
            job.lost += 1;
            if job.caller.has_left() || job.deadline <= now {
                continue;
            }
            if job.lost >= LOST_MAX || self.blame.check(&job.handle, now).is_err() {
                job.caller.answer(Err(why.clone()));
                continue;
            }
            handed_on += 1;
            self.queue.push_front(job);
        }
        if !self.seats.iter().any(|seat| seat.is_ready) {
            let since = self.down.as_ref().map_or(now, |(since, _)| *since);
            self.down = Some((since, why.clone()));
            if matches!(why, BackendError::Refused(_)) {
                self.queue.drain(..).for_each(|job| job.caller.answer(Err(why.clone())));
            }
        }
        (self.hand_out(now), handed_on)
    }

    /// How many workers are ready.
    pub(super) fn ready_count(&self) -> usize {
        self.seats.iter().filter(|seat| seat.is_ready).count()
    }

    /// How many jobs wait.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Keys that a new worker should not begin with.
    pub(super) fn is_blamed(&self, handle: &Handle) -> bool {
        self.blame.is_blamed(handle)
    }

    /// Blames a key that could not be proven.
    pub(super) fn blame(&mut self, handle: &Handle, why: &BackendError, now: Instant) {
        self.blame.blame(handle, why, now);
    }

    fn free_seat(&mut self) -> Option<usize> {
        let count = self.seats.len();
        let fewest = (0..count)
            .map(|n| (self.turn + n) % count)
            .filter_map(|at| Some((at, self.seats.get(at)?)))
            .filter(|(_, seat)| seat.is_ready && seat.in_flight.len() < self.bounds.in_flight)
            .min_by_key(|(_, seat)| seat.in_flight.len());
        let (at, _) = fewest?;
        self.turn = (at + 1) % count;
        Some(at)
    }

    fn give(&mut self, seat: usize, mut job: Job<C>, now: Instant) {
        let Some(seat) = self.seats.get_mut(seat) else { return };
        self.last_id += 1;
        wire::set_id(&mut job.frame, self.last_id);
        seat.out.extend_from_slice(&job.frame);
        if seat.in_flight.is_empty() {
            seat.heard = now;
        }
        seat.in_flight.push((self.last_id, job));
    }

    /// Gives waiting jobs to whoever has room.
    fn hand_out(&mut self, now: Instant) -> Vec<usize> {
        let mut woken = Vec::new();
        while !self.queue.is_empty() {
            let Some(seat) = self.free_seat() else { break };
            let Some(job) = self.queue.pop_front() else { break };
            // Its caller has its own clock and knows already.
            if job.caller.has_left() || job.deadline <= now {
                continue;
            }
            self.give(seat, job, now);
            if !woken.contains(&seat) {
                woken.push(seat);
            }
        }
        woken
    }

    /// Whether one more may wait.
    fn admit(&mut self, deadline: Instant, now: Instant) -> Result<(), BackendError> {
        if self.queue.len() >= self.bounds.queue {
            self.queue.retain(|job| !job.caller.has_left());
        }
        if let Some((since, why)) = &self.down {
            let is_hopeless = matches!(why, BackendError::Refused(_)) || now.duration_since(*since) > PATIENCE;
            if is_hopeless {
                return Err(why.clone());
            }
        }
        let wait = self.pace.wait(self.queue.len());
        if self.queue.len() >= self.bounds.queue || (self.down.is_none() && now + wait > deadline) {
            return Err(BackendError::Throttled { retry_after: wait.clamp(RETRY_MIN, RETRY_MAX) });
        }
        Ok(())
    }
}

/// How fast waiting jobs are done, as a moving average over some twenty answers.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    interval: Duration,
}

impl Pace {
    fn answered(&mut self, now: Instant, is_saturated: bool) {
        let last = self.last.replace(now);
        // Only while jobs wait does the time between two answers say how fast the token is.
        if let Some(last) = last.filter(|_| is_saturated) {
            let interval = now.saturating_duration_since(last).min(INTERVAL_MAX);
            self.interval = (self.interval * 15 + interval) / 16;
        }
    }

    /// How long one more waits behind `queued` others.
    fn wait(&self, queued: usize) -> Duration {
        self.interval.saturating_mul(u32::try_from(queued).unwrap_or(u32::MAX).saturating_add(1))
    }
}

/// A single pause must not make the token look slow for long.
const INTERVAL_MAX: Duration = Duration::from_millis(250);

/// For so long callers wait for a worker to come back; then they are told at once why there is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// A job with which so many workers were lost is not given to a further one.
const LOST_MAX: u32 = 4;

const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
