//! The pure core: what a key ring is, what may happen to it, and what happens next.

pub mod time;
