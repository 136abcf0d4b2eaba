//! TLS: what is read from files of certificates and keys, for listeners and for what we fetch ourselves.
//!
//! rustls does the protocol and AWS-LC the cryptography. The suites are rustls' own: AES-GCM and ChaCha20-Poly1305
//! with ephemeral keys, nothing older than TLS 1.2.

mod client;
mod names;
mod pem;
mod server;

pub use client::{ClientFiles, client_config};
pub use names::{CertificateInfo, inspect};
pub use pem::TlsError;
pub use server::{ClientAuth, Clients, Endpoint, Files, Generation, MinVersion, Reload};
