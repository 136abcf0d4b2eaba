//! What several tests share.

pub mod fake_backend;
pub mod memory_store;
