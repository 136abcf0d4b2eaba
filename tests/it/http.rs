//! The listeners, over real sockets, around a fake backend and a store in memory.

mod admin;
mod bad_input;
mod bearer;
mod client;
mod digests;
mod listener;
mod openapi;
mod public;
mod rules;
mod signing;
mod strays;
mod tls;
mod world;
