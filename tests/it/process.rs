//! The real daemon in processes of its own: killed, starved, frozen, tampered with, and watched all the while.

#[cfg(feature = "aws")]
mod aws;
mod burst;
mod checkpoints;
mod contract;
#[cfg(feature = "failpoints")]
mod crash;
mod faults;
#[cfg(feature = "gcp")]
mod gcp;
#[cfg(feature = "pkcs11")]
mod hsm;
mod verifiers;
#[cfg(feature = "pkcs11")]
mod workers;
