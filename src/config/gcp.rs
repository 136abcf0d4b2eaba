//! Keys in Google Cloud KMS, as the file says them.

use std::fmt;

use super::scalar::JwksUrl;
use super::value::{Scalar, choice};
use crate::jose::alg::{Algorithm, KeySpec, RsaBits};
use crate::lifecycle::time::Span;

/// Keys inside a key ring of Google Cloud KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcpKms {
    /// Where the keys are.
    pub key_ring: KeyRingName,
    /// Whether the key ring is made if it is not there.
    pub create_key_ring: bool,
    /// Where new keys live.
    pub protection: Protection,
    /// How long a destroyed key can be restored.
    pub deletion_window: Span,
    /// Where the service is reached, if not at its public address.
    pub endpoint: Option<String>,
    /// How the daemon shows who it is.
    pub credentials: GcpCredentials,
    /// Signatures per second that are asked for at most.
    pub sign_rate: u32,
    /// Calls per second that make, disable or destroy keys.
    pub write_rate: u32,
}

impl GcpKms {
    /// A key ring with the defaults for keys of this level.
    ///
    /// # Source
    /// cloud.google.com/kms/quotas, as of 2026-02: HSM operations with asymmetric keys 3,000 a minute, cryptographic
    /// requests 60,000 a minute, writes 60 a minute, each of a project and region. Higher ones since then have to be looked up there.
    #[must_use]
    pub fn new(key_ring: KeyRingName, protection: Protection) -> Self {
        let sign_rate = match protection {
            Protection::Hsm => 50,
            Protection::Software => 1_000,
        };
        Self {
            key_ring,
            create_key_ring: false,
            protection,
            deletion_window: Span::from_days(30),
            endpoint: None,
            credentials: GcpCredentials::Default,
            sign_rate,
            write_rate: 1,
        }
    }
}

/// Whether Cloud KMS has keys that make such signatures. There, the hash belongs to the key.
///
/// # Source
/// cloud.google.com/kms/docs/algorithms
#[must_use]
pub fn gcp_has(spec: KeySpec) -> bool {
    match spec.algorithm() {
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Ed25519 | Algorithm::EdDsa => true,
        Algorithm::Rs256 | Algorithm::Ps256 => true,
        Algorithm::Rs512 | Algorithm::Ps512 => spec.rsa_bits() == Some(RsaBits::B4096),
        Algorithm::Es512 | Algorithm::Rs384 | Algorithm::Ps384 => false,
    }
}

/// The full name of a key ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRingName(String);

impl fmt::Display for KeyRingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Scalar for KeyRingName {
    const EXPECTED: &'static str =
        "the name of a key ring in quotes, such as \"projects/my-project/locations/europe-west1/keyRings/jwksd\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        // A project may be one of a domain, as in "example.com:my-project".
        let fits = |segment: &str, more: &[u8]| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b) || more.contains(&b);
            (1..=63).contains(&segment.len()) && segment.bytes().all(allowed)
        };
        let segments: Vec<&str> = text.split('/').collect();
        let good = match segments.as_slice() {
            ["projects", project, "locations", location, "keyRings", ring] => {
                fits(project, b".:") && fits(location, b"") && fits(ring, b"")
            }
            _ => false,
        };
        Some(match good {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "{text:?} is not the full name of a key ring; write projects/PROJECT/locations/LOCATION/keyRings/NAME"
            )),
        })
    }
}

/// Where a private key in Google Cloud lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protection {
    /// In an HSM of Google's.
    #[default]
    Hsm,
    /// In Google's memory and encrypted storage.
    Software,
}

impl Scalar for Protection {
    const EXPECTED: &'static str = "\"hsm\" or \"software\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        Some(choice(text, &[("hsm", Self::Hsm), ("software", Self::Software)]))
    }
}

/// How the daemon shows Google who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GcpCredentials {
    /// Application default credentials.
    #[default]
    Default,
    /// Not at all; for emulators.
    Anonymous,
}

impl Scalar for GcpCredentials {
    const EXPECTED: &'static str = "\"default\" or \"anonymous\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        Some(choice(text, &[("default", Self::Default), ("anonymous", Self::Anonymous)]))
    }
}

/// Where a service is reached instead of at its public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint(pub(super) String);

impl Scalar for Endpoint {
    const EXPECTED: &'static str = "a URL in quotes, such as \"https://kms.example.com\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        JwksUrl::text(text).map(|url| url.map(|url| Self(url.0)))
    }
}
