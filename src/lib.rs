//! `jwksd` owns an organisation's token-signing keys: it makes them inside a secure backend, rotates
//! them so that no verifier fails, publishes them as a versioned JWK Set and signs for identity providers.
//!
//! The rooms and the directions between them are described in `docs/architecture.md`.

pub mod access;
pub mod app;
pub mod audit;
pub mod backend;
pub mod chance;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod config;
pub mod failpoint;
pub mod ids;
pub mod jose;
pub mod lifecycle;
pub mod publish;
pub mod rotator;
pub mod server;
pub mod signer;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod trust;
