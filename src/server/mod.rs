//! The listeners: public for verifiers, signing for identity providers, admin for operators.

pub mod admin;
pub mod api;
pub mod caller;
pub mod health;
mod http;
pub mod jwks;
pub mod listen;
pub mod openapi;
pub mod problem;
mod request_id;
pub mod sign;
pub mod whoami;

pub use request_id::RequestIds;
