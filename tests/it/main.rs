//! Tests of the whole, and of whatever needs a fake.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "clippy's own exemption for tests stops at their helpers"
)]

mod backends;
mod checkpoints;
mod cli;
mod config;
mod http;
mod lifecycle;
mod process;
mod rotator;
mod simulation;
mod stores;
mod support;
