//! The configuration file and the validated tree made from it.
//!
//! [`Config::load`] reads everything, collects every fault, and only then fails: each fault names the file,
//! the line, the key and the remedy. What it returns is parsed and needs no further checks.

mod fault;
pub mod secret;
mod tree;
mod url;

pub use fault::{ConfigErrors, Fault};
pub use tree::*;
pub use url::{IssuerUrl, UrlError};
