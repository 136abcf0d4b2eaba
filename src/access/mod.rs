//! Who calls, and what that caller may do. Everything that is not granted is refused.

pub mod caller;
pub mod claims;
pub mod grant;
pub mod pattern;
pub mod rules;
pub mod spiffe;
