//! What every cloud KMS needs between us and its own client: a name for each fault, a gate before each call,
//! signatures in the form of JWS.
//!
//! A cloud answers over a network, counts our calls against a quota that others share, and charges for them. So no
//! call is made but through a [`gate::Gate`], the clients' own retries are off, and only what may happen twice is
//! repeated.

mod breaker;
mod budget;
pub mod fault;
pub mod gate;
pub mod metrics;
pub mod prices;
pub mod renewable;
pub mod signature;
