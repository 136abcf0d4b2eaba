//! Tests of the whole, and of whatever needs a fake.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "clippy's own exemption for tests stops at their helpers"
)]

mod backends;
mod config;
mod lifecycle;
mod simulation;
mod support;
