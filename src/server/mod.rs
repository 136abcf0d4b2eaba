//! The listeners: public for verifiers, signing for identity providers, admin for operators.

pub mod api;
pub mod listen;
