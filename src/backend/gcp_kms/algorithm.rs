//! Which of Google's algorithms makes the signatures of ours.

use google_cloud_kms_v1::model::ProtectionLevel;
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionAlgorithm as Google;

use super::settings::Protection;
use crate::jose::alg::{Algorithm, KeySpec, RsaBits};

/// Google's algorithm for `spec`; nothing if it has none. There, the hash belongs to the key.
pub(super) fn of(spec: KeySpec) -> Option<Google> {
    use RsaBits::{B2048, B3072, B4096};
    Some(match (spec.algorithm(), spec.rsa_bits()) {
        (Algorithm::Es256, _) => Google::EcSignP256Sha256,
        (Algorithm::Es384, _) => Google::EcSignP384Sha384,
        (Algorithm::Ed25519 | Algorithm::EdDsa, _) => Google::EcSignEd25519,
        (Algorithm::Rs256, Some(B2048)) => Google::RsaSignPkcs12048Sha256,
        (Algorithm::Rs256, Some(B3072)) => Google::RsaSignPkcs13072Sha256,
        (Algorithm::Rs256, Some(B4096)) => Google::RsaSignPkcs14096Sha256,
        (Algorithm::Rs512, Some(B4096)) => Google::RsaSignPkcs14096Sha512,
        (Algorithm::Ps256, Some(B2048)) => Google::RsaSignPss2048Sha256,
        (Algorithm::Ps256, Some(B3072)) => Google::RsaSignPss3072Sha256,
        (Algorithm::Ps256, Some(B4096)) => Google::RsaSignPss4096Sha256,
        (Algorithm::Ps512, Some(B4096)) => Google::RsaSignPss4096Sha512,
        _ => return None,
    })
}

pub(super) fn level(protection: Protection) -> ProtectionLevel {
    match protection {
        Protection::Software => ProtectionLevel::Software,
        Protection::Hsm => ProtectionLevel::Hsm,
    }
}

/// What Google has no algorithm for, and what it has instead.
pub(super) fn none(spec: KeySpec) -> String {
    format!(
        "Cloud KMS has no keys for {spec}; it has ES256, ES384, Ed25519 (EdDSA), RS256 and PS256 of 2048, 3072 and 4096 \
         bits, RS512 and PS512 of 4096 bits"
    )
}
