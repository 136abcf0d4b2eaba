//! What several tests share.

pub mod authority;
pub mod daemon;
pub mod dice;
pub mod fake_backend;
pub mod fake_publisher;
pub mod http;
pub mod memory_store;
pub mod traffic;
pub mod witness;
