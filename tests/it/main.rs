//! Tests of the whole, and of whatever needs a fake.

mod backends;
mod support;
