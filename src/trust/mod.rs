//! Whom we believe when a caller shows a token that somebody else has signed.
//!
//! Keys are fetched ahead of need by a task for each issuer, never on behalf of a single request; only whoever comes
//! before the first answer waits for it, and not for long.

mod fetch;
mod issuer;
mod metrics;
mod verify;

pub use issuer::{Pace, Source, TrustedIssuer, TrustedIssuers, Verdict};
pub use metrics::TokenMetrics;
pub use verify::{Expected, Fault};
