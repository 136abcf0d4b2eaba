//! The only place that draws random numbers. Keys are made where they are used, by AWS-LC itself.

use std::time::Duration;

use aws_lc_rs::rand;

/// So many random bytes, fit to be a secret.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("invariant: AWS-LC aborts rather than fail to seed its generator");
    bytes
}

/// Anything from nothing to half of `pause`: what many daemons add to a pause, so that they don't come back together.
#[must_use]
pub fn up_to_half(pause: Duration) -> Duration {
    let [random] = bytes();
    pause * u32::from(random) / 512
}
