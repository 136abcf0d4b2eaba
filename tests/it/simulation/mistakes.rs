//! Each inequality is needed: without it, or with a driver that goes about things differently, a named
//! invariant breaks within few histories.

use super::invariants::Invariant::{self, *};
use super::mutations::Mutation::{self, *};
use super::setup::Scale;
use super::world;

/// Every mistake, what it breaks, and within how many histories that must show.
const MISTAKES: &[(Mutation, &[Invariant], u64)] = &[
    (PropagationWithoutCache, &[NothingSignsBeforeItIsDue, EveryValidTokenVerifies], 50),
    (PropagationWithoutMaxAge, &[NothingSignsBeforeItIsDue, EveryValidTokenVerifies], 50),
    (PropagationWithoutReplicas, &[NothingSignsBeforeItIsDue, EveryValidTokenVerifies], 50),
    (PropagationWithoutSkew, &[NothingSignsBeforeItIsDue, EveryValidTokenVerifies], 50),
    (DrainWithoutReplicas, &[NoSignerLosesItsKey], 50),
    (DrainWithoutDeadline, &[NoSignerLosesItsKey], 1_000),
    (DrainWithoutSkew, &[NoSignerLosesItsKey], 200),
    (RetentionWithoutDrain, &[EveryValidTokenVerifies], 50),
    (RetentionWithoutLifetime, &[EveryValidTokenVerifies], 50),
    (RetentionWithoutSkew, &[EveryValidTokenVerifies], 200),
    (ActivePeriodWithinPropagation, &[RotationsAreOnTime, NothingIsStuck], 50),
    (CountsFromGeneration, &[NothingSignsBeforeItIsDue, EveryValidTokenVerifies], 50),
    (MovesDeadlines, &[EveryValidTokenVerifies, NoSignerLosesItsKey], 2_000),
    (ForgetsLongerTokens, &[EveryValidTokenVerifies], 2_000),
    (ForgetsLongerCaches, &[EveryValidTokenVerifies], 2_000),
    (JoinsUnaware, &[NothingSignsBeforeItIsDue, EveryValidTokenVerifies], 1_000),
    (KeepsReadiness, &[NothingSignsBeforeItIsDue, EveryValidTokenVerifies], 1_000),
    (TrustsTheRecord, &[NothingSignsBeforeItIsDue, EveryValidTokenVerifies], 1_000),
    (SignsUnconfirmed, &[EveryValidTokenVerifies, NoSignerLosesItsKey, ACompromisedKeyNeverSigns], 50),
    (Overwrites, &[NoNumberIsSkippedOrReused, OneSignerFollowsAnother, HistoryStays, NothingIsOrphaned], 200),
    (ForgetsLabels, &[NothingIsOrphaned], 50),
];

#[test]
fn every_mistake_breaks_what_it_should() {
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || MISTAKES.iter().skip(half).step_by(2).for_each(catch));
        }
    });
}

fn catch((mutation, breaks, within): &(Mutation, &[Invariant], u64)) {
    // With small numbers a ring would rotate a million times.
    let scale = if *mutation == ActivePeriodWithinPropagation { Scale::Real } else { Scale::Sharp };
    let caught = (0..*within).find_map(|seed| Some((seed, world(seed, scale, *mutation).run().err()?)));
    let Some((seed, failure)) = caught else { panic!("{mutation:?} goes unnoticed in {within} histories") };
    println!("{mutation:?} breaks {:?} in history {seed}: {}", failure.invariant, failure.text);
    assert!(breaks.contains(&failure.invariant), "{mutation:?}: {failure}");
}
