//! Random histories of the pure core in virtual time: replicas, stores, backends, publishers, verifiers
//! and operators, with everything failing that may fail.
//!
//! One seed is one configuration and one history of 400 days. `JWKSD_SIM_SEED=n` replays one and prints
//! its events; `JWKSD_LONG=1` runs a hundred thousand. Not modelled: clocks that drift or jump, replicas
//! with different configurations, changes of what replicas may do unconfirmed, damaged stores.

mod commit;
mod faults;
mod invariants;
mod ledger;
#[cfg(feature = "failpoints")]
mod mistakes;
mod mutations;
mod operator;
mod places;
mod replica;
mod rng;
mod setup;
mod tokens;
mod verifier;
mod world;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use invariants::Failure;
use mutations::Mutation;
use rng::Streams;
use setup::{Scale, Setup};
use world::{Counts, World};

#[expect(clippy::disallowed_methods, reason = "which history to replay and how many to live through")]
pub(crate) fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn world(seed: u64, scale: Scale, mutation: Mutation) -> World {
    let mut streams = Streams::of(seed);
    let setup = Setup::random(&mut streams.setup, scale, mutation);
    World::new(setup, streams)
}

/// A third of all histories are sharp.
fn scale(seed: u64) -> Scale {
    if seed.is_multiple_of(3) { Scale::Sharp } else { Scale::Real }
}

fn live(seed: u64) -> Result<Counts, Failure> {
    world(seed, scale(seed), Mutation::None).run()
}

/// Everything that there is to know of a history that went wrong.
fn report(seed: u64, failure: &Failure) -> String {
    let mut world = world(seed, scale(seed), Mutation::None);
    world.log = Some(Vec::new());
    let mut text = format!("seed {seed}: {failure}\n{:?}\n", world.setup);
    let _ = writeln!(text, "{}", world.settings);
    let _ = world.run();
    let log = world.log.unwrap_or_default();
    for line in log.iter().skip(log.len().saturating_sub(200)) {
        let _ = writeln!(text, "{line}");
    }
    text + &format!("replay with JWKSD_SIM_SEED={seed}")
}

/// Lives through `seeds` on two threads and adds up what happened.
fn live_all(count: u64) -> Counts {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Counts::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                return sum;
            }
            match live(seed) {
                Ok(counts) => sum = sum.plus(counts),
                Err(failure) => {
                    next.store(count, Ordering::Relaxed);
                    panic!("{}", report(seed, &failure));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mine = work();
        mine.plus(other.join().unwrap())
    })
}

#[test]
fn every_history_keeps_every_promise() {
    if let Some(seed) = env("JWKSD_SIM_SEED") {
        let outcome = live(seed);
        println!("{}", outcome.as_ref().map_or_else(|failure| report(seed, failure), |counts| format!("{counts:?}")));
        assert!(outcome.is_ok());
        return;
    }
    let count = if env("JWKSD_LONG") == Some(1) { 100_000 } else { 2_000 };
    let counts = live_all(count);
    println!("{count} histories: {counts:?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..4 {
        let twice = [(); 2].map(|()| {
            let mut world = world(seed, scale(seed), Mutation::None);
            world.log = Some(Vec::new());
            world.run().unwrap();
            world.log
        });
        assert_eq!(twice[0], twice[1]);
    }
}
