//! The listeners: public for verifiers, signing for identity providers, admin for operators.

pub mod api;
mod http;
pub mod jwks;
pub mod listen;
pub mod problem;
mod request_id;

pub use request_id::RequestIds;
