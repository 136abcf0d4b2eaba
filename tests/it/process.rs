//! The real daemon in processes of its own: killed, starved, frozen, tampered with, and watched all the while.

mod burst;
mod crash;
mod faults;
mod verifiers;
