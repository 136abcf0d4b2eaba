use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::backend::Input;
use crate::backend::pkcs11::wire::Order;
use crate::jose::alg::{Algorithm, KeySpec};

/// What each caller was told.
type Answers = Rc<RefCell<BTreeMap<usize, Result<Signature, BackendError>>>>;

#[derive(Debug, Clone)]
struct Asker {
    number: usize,
    answers: Answers,
    left: Rc<RefCell<BTreeSet<usize>>>,
}

impl Caller for Asker {
    fn has_left(&self) -> bool {
        self.left.borrow().contains(&self.number)
    }

    fn answer(self, answer: Result<Signature, BackendError>) {
        let before = self.answers.borrow_mut().insert(self.number, answer);
        assert!(before.is_none(), "caller {} was answered twice", self.number);
    }
}

/// A pool, and what the links of its workers see.
struct World {
    pool: Pool<Asker>,
    asker: Asker,
    now: Instant,
    asked: usize,
    /// What each worker has been given and has not answered, by id.
    given: Vec<BTreeMap<u64, usize>>,
    ready: Vec<bool>,
}

const BOUNDS: Bounds = Bounds { in_flight: 4, queue: 8 };

impl World {
    fn new(seats: usize) -> Self {
        let now = Instant::now();
        let asker = Asker { number: 0, answers: Answers::default(), left: Rc::default() };
        let pool = Pool::new(seats, BOUNDS, now);
        Self { pool, asker, now, asked: 0, given: vec![BTreeMap::new(); seats], ready: vec![false; seats] }
    }

    fn ask(&mut self, key: &str, within: Duration) -> Result<usize, BackendError> {
        let number = self.asked;
        self.asked += 1;
        let handle = Handle::new(key);
        let frame = Order::sign(&handle, spec(), Input::Message(number.to_string().as_bytes()));
        let caller = Asker { number, ..self.asker.clone() };
        let job = Job { handle, frame, deadline: self.now + within, lost: 0, caller };
        self.pool.submit(job, self.now).inspect_err(|error| {
            self.asker.answers.borrow_mut().insert(number, Err(error.clone()));
        })?;
        self.write();
        Ok(number)
    }

    /// Takes what the links would write.
    fn write(&mut self) {
        for seat in 0..self.given.len() {
            let mut bytes = Vec::new();
            self.pool.take_orders(seat, &mut bytes);
            let mut rest = bytes.as_slice();
            while let Some((frame, len)) = wire::next(rest).unwrap() {
                let Ok(Order::Sign(sign)) = Order::parse(frame) else { panic!("no order to sign") };
                assert!(self.ready[seat], "an order for a worker that is not ready");
                let Input::Message(number) = sign.input else { panic!("a digest") };
                let number = str::from_utf8(number).unwrap().parse().unwrap();
                assert!(self.given[seat].insert(sign.id, number).is_none(), "an id was given twice");
                rest = &rest[len..];
            }
            assert!(rest.is_empty());
            assert!(self.given[seat].len() <= BOUNDS.in_flight, "{:?}", self.given);
        }
    }

    fn ready(&mut self, seat: usize) {
        self.ready[seat] = true;
        self.pool.ready(seat, self.now);
        self.write();
    }

    fn lose(&mut self, seat: usize, culprit: u64) {
        self.ready[seat] = false;
        self.given[seat].clear();
        self.pool.lost(seat, culprit, &broken(), self.now);
        self.write();
    }

    /// The worker of `seat` answers the `n`-th of what it has.
    fn sign(&mut self, seat: usize, n: usize) {
        let Some((id, number)) = self.given[seat].iter().nth(n).map(|(id, number)| (*id, *number)) else { return };
        self.given[seat].remove(&id);
        let job = self.pool.answered(seat, id, self.now).expect("a job that was given");
        assert_eq!(job.caller.number, number, "the answer would go to another caller");
        self.pool.acquit(&job.handle);
        job.caller.answer(Ok(Signature(number.to_string().into_bytes())));
        self.write();
    }
}

fn spec() -> KeySpec {
    KeySpec::new(Algorithm::Es256, None).unwrap()
}

fn broken() -> BackendError {
    BackendError::Unavailable("broken".to_owned())
}

const LONG: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
enum Step {
    Ask,
    Sign(usize, usize),
    Lose(usize),
    Ready(usize),
    Leave(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seat = 0..3_usize;
    let step = prop_oneof![
        8 => Just(Step::Ask),
        8 => (seat.clone(), 0..4_usize).prop_map(|(seat, n)| Step::Sign(seat, n)),
        1 => seat.clone().prop_map(Step::Lose),
        3 => seat.prop_map(Step::Ready),
        1 => (0..60_usize).prop_map(Step::Leave),
        3 => (0..300_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever happens: each caller is answered once, with its own signature; no worker gets more than its share, or
    /// anything while it is not ready; nobody waits while a worker has room.
    #[test]
    fn callers_get_their_own_answers_whatever_happens(steps in steps()) {
        let mut world = World::new(3);
        for step in steps {
            match step {
                Step::Ask => drop(world.ask(&format!("key {}", world.asked % 2), LONG)),
                Step::Sign(seat, n) => world.sign(seat, n),
                Step::Lose(seat) => world.lose(seat, 0),
                Step::Ready(seat) if !world.ready[seat] => world.ready(seat),
                Step::Ready(_) => {}
                Step::Leave(number) => drop(world.asker.left.borrow_mut().insert(number)),
                Step::Pass(millis) => world.now += Duration::from_millis(millis),
            }
            let has_room = (0..3).any(|seat| world.ready[seat] && world.given[seat].len() < BOUNDS.in_flight);
            prop_assert!(!has_room || world.pool.queued() == 0);
            prop_assert!(world.pool.queued() <= BOUNDS.queue + 3 * BOUNDS.in_flight);
        }
        // Once all is well again, whoever still has time is answered.
        let started = world.now;
        for seat in 0..3 {
            if !world.ready[seat] {
                world.ready(seat);
            }
        }
        while world.given.iter().any(|given| !given.is_empty()) {
            (0..3).for_each(|seat| world.sign(seat, 0));
        }
        prop_assert_eq!(world.now, started);
        prop_assert_eq!(world.pool.queued(), 0);
        for (number, answer) in world.asker.answers.borrow().iter() {
            if let Ok(Signature(bytes)) = answer {
                let own = number.to_string().into_bytes();
                prop_assert_eq!(bytes, &own);
            }
        }
    }
}

#[test]
fn jobs_of_a_lost_worker_go_to_another_in_their_order() {
    let mut world = World::new(2);
    world.ready(0);
    let asked: Vec<usize> = (0..4).map(|_| world.ask("key", LONG).unwrap()).collect();
    world.lose(0, 0);
    assert_eq!(world.pool.queued(), 4);
    world.ready(1);
    assert_eq!(world.given[1].values().copied().collect::<Vec<_>>(), asked);
}

#[test]
fn a_job_whose_time_is_over_is_not_handed_on() {
    let mut world = World::new(2);
    world.ready(0);
    world.ask("key", Duration::from_millis(10)).unwrap();
    let lasting = world.ask("key", LONG).unwrap();
    world.now += Duration::from_millis(11);
    world.lose(0, 0);
    world.ready(1);
    assert_eq!(world.given[1].values().copied().collect::<Vec<_>>(), [lasting]);
}

#[test]
fn a_job_that_ends_worker_after_worker_is_given_up() {
    let mut world = World::new(1);
    let number = {
        world.ready(0);
        world.ask("key", LONG).unwrap()
    };
    for _ in 1..LOST_MAX {
        world.lose(0, 0);
        assert!(world.asker.answers.borrow().is_empty());
        world.ready(0);
    }
    world.lose(0, 0);
    assert_eq!(world.asker.answers.borrow().get(&number), Some(&Err(broken())));
}

#[test]
fn one_bad_key_does_not_take_down_the_others() {
    let mut world = World::new(2);
    world.ready(0);
    world.ready(1);
    world.ask("bad", LONG).unwrap();
    loop {
        let holder = world.given.iter().position(|given| !given.is_empty());
        let Some(seat) = holder else { break };
        let id = *world.given[seat].keys().next().unwrap();
        world.lose(seat, id);
        world.ready(seat);
    }
    assert_eq!(world.ask("bad", LONG), Err(broken()), "no further worker is risked for now");
    world.ask("good", LONG).unwrap();
    assert_eq!(world.given.iter().map(BTreeMap::len).sum::<usize>(), 1);
    // Once more after a while; and it is forgiven as soon as it signs.
    world.now += Duration::from_secs(1);
    let seat = world.given.iter().position(BTreeMap::is_empty).unwrap();
    world.ask("bad", LONG).unwrap();
    world.sign(seat, 0);
    world.sign(1 - seat, 0);
    assert!(!world.pool.is_blamed(&Handle::new("bad")));
}

#[test]
fn with_no_worker_callers_wait_a_moment_and_then_are_told_why() {
    let mut world = World::new(1);
    world.ask("key", LONG).expect("before the first worker is ready, and nothing is known to be wrong");
    world.lose(0, 0);
    world.ask("key", LONG).expect("it may be back in time");
    world.now += PATIENCE + Duration::from_millis(1);
    world.lose(0, 0);
    assert_eq!(world.ask("key", LONG), Err(broken()));
    world.ready(0);
    world.ask("key", LONG).expect("it is back");
}

#[test]
fn a_refused_pin_is_told_to_everybody_at_once() {
    let mut world = World::new(1);
    world.ask("key", LONG).unwrap();
    let refused = BackendError::Refused("the PIN was refused".to_owned());
    world.pool.lost(0, 0, &refused, world.now);
    assert_eq!(world.asker.answers.borrow().get(&0), Some(&Err(refused.clone())));
    assert_eq!(world.ask("key", LONG), Err(refused));
}

#[test]
fn who_could_not_be_served_in_time_is_turned_away_at_once() {
    let mut world = World::new(1);
    world.ready(0);
    for _ in 0..BOUNDS.in_flight + 4 {
        world.ask("key", LONG).unwrap();
    }
    // One signature each 100 ms, seen for long enough.
    for _ in 0..60 {
        world.now += Duration::from_millis(100);
        world.sign(0, 0);
        world.ask("key", Duration::from_secs(60)).unwrap();
    }
    let Err(BackendError::Throttled { retry_after }) = world.ask("key", Duration::from_millis(300)) else {
        panic!("four others are ahead");
    };
    assert!(retry_after >= Duration::from_millis(350) && retry_after <= RETRY_MAX, "{retry_after:?}");
    world.ask("key", LONG).expect("so long is enough");
}

#[test]
fn a_full_queue_turns_away_but_makes_room_for_those_who_left() {
    let mut world = World::new(1);
    world.ready(0);
    for _ in 0..BOUNDS.in_flight + BOUNDS.queue {
        world.ask("key", LONG).unwrap();
    }
    assert!(matches!(world.ask("key", LONG), Err(BackendError::Throttled { .. })));
    world.asker.left.borrow_mut().insert(BOUNDS.in_flight);
    world.ask("key", LONG).expect("one has left");
}

#[test]
fn only_a_worker_with_work_can_be_silent() {
    let mut world = World::new(1);
    world.ready(0);
    world.now += LONG;
    assert_eq!(world.pool.silence(0, world.now), None);
    world.ask("key", LONG).unwrap();
    world.now += Duration::from_millis(5);
    assert_eq!(world.pool.silence(0, world.now), Some(Duration::from_millis(5)));
    world.pool.heard(0, world.now);
    assert_eq!(world.pool.silence(0, world.now), Some(Duration::ZERO));
}
