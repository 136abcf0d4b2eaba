//! The command line: arguments in, exit code out.

pub mod args;
pub mod client;
pub mod context;
pub mod exit;
pub mod failure;
mod moment;
pub mod output;
mod paint;
mod table;
pub mod target;
pub mod when;
