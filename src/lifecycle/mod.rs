//! The pure core: what a key ring is, what may happen to it, and what happens next.
//!
//! Nothing here reads a clock, draws a random number, logs, or waits. `now` is a parameter, the outside
//! world reports facts as events, and what is to be done outside is returned as a value.

pub mod adopt;
pub mod event;
pub mod forecast;
pub mod issuer;
pub mod key_ring;
pub mod plan;
pub mod policy;
pub mod promise;
pub mod restore;
pub mod schedule;
pub mod state;
pub mod time;
pub mod verifiers;
