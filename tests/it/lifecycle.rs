//! The rules of the key lifecycle, one sentence each, on the pure core alone.

mod bootstrap;
mod clock_set;
mod compromise;
mod promises;
mod refusals;
mod rig;
mod rotation;
mod sets;
mod waking;
