//! Our names and algorithms, as KMS spells them.

use aws_sdk_kms::types::{KeySpec as KmsSpec, SigningAlgorithmSpec};

use crate::ids::{Handle, Label};
use crate::jose::alg::{Algorithm, Curve, KeySpec, RsaBits};

/// The tag by which a key is found again: the whole label.
pub(super) const LABEL: &str = "jwksd:label";
/// The tag by which the keys of an installation are told from others, also in IAM conditions.
pub(super) const INSTALLATION: &str = "jwksd:installation";
/// The tag with the algorithm: an RSA key of KMS signs with several, ours with one.
pub(super) const ALGORITHM: &str = "jwksd:algorithm";

/// The tags of the key that `label` names. The parts of the label are there for IAM conditions and bills.
pub(super) fn tags(label: &Label, spec: KeySpec) -> [(&'static str, String); 6] {
    let Label { installation, issuer, ring, version } = label;
    [
        (LABEL, label.to_string()),
        (INSTALLATION, installation.to_string()),
        ("jwksd:issuer", issuer.to_string()),
        ("jwksd:ring", ring.to_string()),
        ("jwksd:version", version.get().to_string()),
        (ALGORITHM, spec.algorithm().name().to_owned()),
    ]
}

/// What KMS is asked to make.
pub(super) fn key_spec(spec: KeySpec) -> KmsSpec {
    match (spec.algorithm().curve(), spec.rsa_bits()) {
        (Some(Curve::P256), _) => KmsSpec::EccNistP256,
        (Some(Curve::P384), _) => KmsSpec::EccNistP384,
        (Some(Curve::P521), _) => KmsSpec::EccNistP521,
        (Some(Curve::Ed25519), _) => KmsSpec::EccNistEdwards25519,
        (None, Some(RsaBits::B3072)) => KmsSpec::Rsa3072,
        (None, Some(RsaBits::B4096)) => KmsSpec::Rsa4096,
        (None, Some(RsaBits::B2048) | None) => KmsSpec::Rsa2048,
    }
}

/// What KMS is asked to sign with. `ED25519_PH_SHA_512` is another scheme than the `Ed25519` of JOSE.
pub(super) fn signing_algorithm(algorithm: Algorithm) -> SigningAlgorithmSpec {
    match algorithm {
        Algorithm::Es256 => SigningAlgorithmSpec::EcdsaSha256,
        Algorithm::Es384 => SigningAlgorithmSpec::EcdsaSha384,
        Algorithm::Es512 => SigningAlgorithmSpec::EcdsaSha512,
        Algorithm::Rs256 => SigningAlgorithmSpec::RsassaPkcs1V15Sha256,
        Algorithm::Rs384 => SigningAlgorithmSpec::RsassaPkcs1V15Sha384,
        Algorithm::Rs512 => SigningAlgorithmSpec::RsassaPkcs1V15Sha512,
        Algorithm::Ps256 => SigningAlgorithmSpec::RsassaPssSha256,
        Algorithm::Ps384 => SigningAlgorithmSpec::RsassaPssSha384,
        Algorithm::Ps512 => SigningAlgorithmSpec::RsassaPssSha512,
        Algorithm::Ed25519 | Algorithm::EdDsa => SigningAlgorithmSpec::Ed25519Sha512,
    }
}

/// A key spec of KMS for people; also of those that JOSE has algorithms for and we have none.
pub(super) fn told(spec: &KmsSpec) -> String {
    match spec {
        KmsSpec::MlDsa44 | KmsSpec::MlDsa65 | KmsSpec::MlDsa87 => {
            format!("{spec} (ML-DSA, for which jwksd has no algorithm yet)")
        }
        spec => spec.to_string(),
    }
}

/// The ARN of a key: `arn:aws:kms:eu-west-1:111122223333:key/1234abcd-…`, or of another partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyArn(String);

impl KeyArn {
    /// Takes nothing but a key's ARN: neither a bare id nor an alias, which may come to mean another key.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, key) = (parts.next()?, parts.next()?, parts.next()?.strip_prefix("key/")?);
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_key = arn == "arn" && service == "kms" && [partition, region, account, key].into_iter().all(is_word);
        is_key.then(|| Self(text.to_owned()))
    }

    pub(super) fn of(handle: &Handle) -> Option<Self> {
        Self::parse(handle.as_str())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or_default()
    }

    pub(super) fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    pub(super) fn handle(&self) -> Handle {
        Handle::new(&self.0)
    }
}

/// The alias of the key that `label` names. Aliases have no dots.
pub(super) fn alias(prefix: &str, label: &Label) -> String {
    let Label { installation, issuer, ring, version } = label;
    format!("alias/{prefix}{installation}/{issuer}/{ring}/{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arn_of_a_key_is_a_handle() {
        let good = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let arn = KeyArn::parse(good).unwrap();
        assert_eq!((arn.as_str(), arn.region(), arn.account()), (good, "eu-west-1", "111122223333"));
        assert!(KeyArn::parse("arn:aws-us-gov:kms:us-gov-west-1:1:key/mrk-1234").is_some());
        for bad in [
            "",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "alias/jwksd",
            "arn:aws:kms:eu-west-1:111122223333:alias/jwksd",
            "arn:aws:s3:eu-west-1:111122223333:key/1234",
            "arn:aws:kms:eu-west-1:111122223333:key/",
            "arn:aws:kms::111122223333:key/1234",
            "arn:aws:kms:eu-west-1:111122223333:key/12/34",
            "arn:aws:kms:eu-west-1:111122223333:key/1234:x",
        ] {
            assert_eq!(KeyArn::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_longest_label_fits_into_tags_and_alias() {
        let name = "x".repeat(63);
        let label: Label = format!("{name}/{name}.{name}.v{}", u64::MAX).parse().unwrap();
        let spec = KeySpec::new(Algorithm::Es256, None).unwrap();
        assert!(tags(&label, spec).iter().all(|(key, value)| key.len() <= 128 && value.len() <= 256));
        assert!(alias(&"p".repeat(32), &label).len() <= 256);
    }
}
