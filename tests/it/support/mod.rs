//! What several tests share.

pub mod authority;
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "pkcs11")]
pub mod campaign_tokens;
#[cfg(feature = "gcp")]
pub mod cloud_kms;
pub mod daemon;
pub mod dice;
pub mod fake_backend;
pub mod fake_publisher;
pub mod http;
#[cfg(feature = "pkcs11")]
pub mod load;
pub mod memory_store;
pub mod one_ring;
#[cfg(feature = "pkcs11")]
pub mod shimmed;
pub mod soon;
#[cfg(feature = "pkcs11")]
pub mod tokens;
pub mod traffic;
pub mod witness;
