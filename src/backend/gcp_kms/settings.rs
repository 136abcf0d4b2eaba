//! What is said of a key ring in Google Cloud, by its operator.

use crate::lifecycle::time::Span;

/// A key ring, and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `projects/<project>/locations/<location>/keyRings/<key ring>`
    pub key_ring: String,
    /// Whether the key ring is made if it is not there.
    pub create_key_ring: bool,
    /// Where new keys live.
    pub protection: Protection,
    /// How long a destroyed key can be restored: 24 hours to 120 days. A key keeps what it was made with.
    pub deletion_window: Span,
    /// Where the service is reached, if not at its public address.
    pub endpoint: Option<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// The quotas that we keep to.
    pub quotas: Quotas,
}

/// Calls per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Signatures, and reading of public keys, which Google counts alike.
    pub signatures: u32,
    /// Making keys, and as many again for ending them.
    pub writes: u32,
    /// Everything else.
    pub reads: u32,
}

/// Where a private key lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protection {
    /// In Google's memory and encrypted storage.
    Software,
    /// In an HSM, validated to FIPS 140-2 level 3, that it never leaves unencrypted.
    #[default]
    Hsm,
}

impl Protection {
    /// The word of Google's documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "SOFTWARE",
            Self::Hsm => "HSM",
        }
    }
}

/// How we show who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Application default credentials: the file named by GOOGLE_APPLICATION_CREDENTIALS, that of gcloud, or the
    /// metadata server of the machine.
    #[default]
    Default,
    /// None at all. Only an emulator takes that.
    Anonymous,
}
