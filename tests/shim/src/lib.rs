//! A PKCS#11 module for tests: passes calls on to a real module, and does harm as a mapped file tells it to.
//!
//! Its C_Initialize takes `real=MODULE;control=FILE;NAME=VALUE;…` in the reserved field; what follows the first two
//! are variables of the environment that the real module wants.

mod control;
mod module;

pub use control::{Act, Control, Function, Rule};
pub use module::CODES;
