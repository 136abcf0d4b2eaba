//! What the benches share: the machine, the daemon, a lean client, figures.

#![allow(dead_code, reason = "each bench uses a part of it")]

pub mod client;
pub mod cloud;
pub mod daemon;
pub mod figures;
pub mod machine;
