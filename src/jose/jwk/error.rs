//! Why something is not a public signature key.

use thiserror::Error;

use crate::ids::{Kid, KidError};
use crate::jose::alg::{Algorithm, Curve, UnknownAlgorithm};
use crate::jose::json::JsonError;

/// Why a JWK, a JWK Set or a SubjectPublicKeyInfo is not taken.
///
/// No variant holds a value of a key member: the text may have been a private key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JwkError {
    /// The text is not strict JSON.
    #[error("a JWK is not strict JSON")]
    Json(#[source] JsonError),
    /// A member has a value of the wrong type.
    #[error("a JWK has a member of the wrong type")]
    MemberType(#[source] JsonError),
    /// A required member is absent.
    #[error("a JWK has no member {0}")]
    Missing(&'static str),
    /// A member of a private or symmetric key is present.
    #[error("a JWK holds the private or symmetric member {0}; give the public key alone, and consider the key leaked")]
    PrivateMember(&'static str),
    /// A member that we read is written in another case.
    #[error("a JWK spells the member {0} in another case")]
    CaseVariant(&'static str),
    /// A member is not unpadded base64url with zero spare bits.
    #[error("member {0} of a JWK is not unpadded base64url")]
    NotBase64url(&'static str),
    /// `kty` is not `EC`, `RSA` or `OKP`.
    #[error("key type {0} is not EC, RSA or OKP")]
    KeyType(String),
    /// The curve is none of ours, or not one of this key type.
    #[error("curve {0} is not P-256, P-384, P-521 or Ed25519")]
    Curve(String),
    /// `alg` is not a signature algorithm of ours.
    #[error("a JWK is for an algorithm that we do not know")]
    Algorithm(#[source] UnknownAlgorithm),
    /// `kid` is not a kid that we take.
    #[error("a JWK has a kid that we do not take")]
    Kid(#[source] KidError),
    /// `use` is not `sig`.
    #[error("a JWK is not for signatures: member use is not \"sig\"")]
    Use,
    /// `key_ops` is not `["verify"]`.
    #[error("a JWK is not for verification alone: member key_ops is not [\"verify\"]")]
    KeyOps,
    /// The key is not one of the algorithm that it was given for.
    #[error("{key} is not a key for {alg}")]
    AlgorithmMismatch {
        /// The algorithm.
        alg: Algorithm,
        /// The kind of key.
        key: String,
    },
    /// A coordinate has not the full width of its field.
    #[error("a coordinate on {curve} has {found} bytes instead of {}", .curve.field_len())]
    CoordinateLength {
        /// The curve.
        curve: Curve,
        /// The bytes that were given.
        found: usize,
    },
    /// The coordinates are those of no point on the curve.
    #[error("a point is not on {0}")]
    NotOnCurve(Curve),
    /// The Ed25519 point lies in the small subgroup: anybody can sign for it.
    #[error("an Ed25519 key has small order, so anybody can sign for it")]
    SmallOrder,
    /// The modulus has a size that we do not take.
    #[error("an RSA modulus of {0} bits is not of 2048 to 8192 bits and whole bytes")]
    ModulusBits(usize),
    /// The modulus is even, so it is not a product of two large primes.
    #[error("an RSA modulus is even")]
    ModulusEven,
    /// The public exponent is even, below 65537 or above 2^33.
    #[error("an RSA exponent is not an odd number from 65537 to 2^33")]
    Exponent,
    /// A number begins with a zero byte.
    #[error("the RSA number {0} begins with a zero byte")]
    LeadingZero(&'static str),
    /// The cryptographic library refuses the key.
    #[error("the cryptographic library refuses {0}")]
    Refused(String),
    /// The bytes are not the DER of a SubjectPublicKeyInfo.
    #[error("a public key is not a DER SubjectPublicKeyInfo")]
    Der(#[source] der::Error),
    /// The SubjectPublicKeyInfo is for another algorithm, named by its object identifier.
    #[error("a SubjectPublicKeyInfo is for algorithm {0}, which is not EC, RSA or Ed25519")]
    SpkiAlgorithm(String),
    /// The SubjectPublicKeyInfo has parameters that its algorithm does not have.
    #[error("a SubjectPublicKeyInfo has the wrong algorithm parameters")]
    SpkiParameters,
    /// The point in the SubjectPublicKeyInfo is not an uncompressed one.
    #[error("a SubjectPublicKeyInfo holds a point in another form than the uncompressed one")]
    PointForm,
    /// A JWK Set has no array `keys`.
    #[error("a JWK Set has no array of keys")]
    NoKeys,
    /// Two keys of a JWK Set have the same kid.
    #[error("two keys of a JWK Set have the kid {0}")]
    DuplicateKid(Kid),
    /// A key of a JWK Set is not taken.
    #[error("key {index} of a JWK Set{}", .kid.as_ref().map(|kid| format!(", with kid {kid}")).unwrap_or_default())]
    InSet {
        /// Its place, counted from 0.
        index: usize,
        /// Its kid, if it has one that can be shown.
        kid: Option<Kid>,
        /// What is wrong with it.
        #[source]
        source: Box<JwkError>,
    },
}

impl JwkError {
    /// A stable name of the error, for programs. For a key in a set it is that of the key's own error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::MemberType(_) => "jwk_member_type",
            Self::Missing(_) => "jwk_member_missing",
            Self::PrivateMember(_) => "jwk_private_member",
            Self::CaseVariant(_) => "jwk_case_variant_member",
            Self::NotBase64url(_) => "jwk_not_base64url",
            Self::KeyType(_) => "jwk_key_type",
            Self::Curve(_) => "jwk_curve",
            Self::Algorithm(_) => "jwk_algorithm",
            Self::Kid(_) => "jwk_kid",
            Self::Use => "jwk_use",
            Self::KeyOps => "jwk_key_ops",
            Self::AlgorithmMismatch { .. } => "jwk_algorithm_mismatch",
            Self::CoordinateLength { .. } => "jwk_coordinate_length",
            Self::NotOnCurve(_) => "jwk_not_on_curve",
            Self::SmallOrder => "jwk_small_order",
            Self::ModulusBits(_) => "jwk_modulus_bits",
            Self::ModulusEven => "jwk_modulus_even",
            Self::Exponent => "jwk_exponent",
            Self::LeadingZero(_) => "jwk_leading_zero",
            Self::Refused(_) => "jwk_refused",
            Self::Der(_) => "spki_not_der",
            Self::SpkiAlgorithm(_) => "spki_algorithm",
            Self::SpkiParameters => "spki_parameters",
            Self::PointForm => "spki_point_form",
            Self::NoKeys => "jwk_set_no_keys",
            Self::DuplicateKid(_) => "jwk_set_duplicate_kid",
            Self::InSet { source, .. } => source.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Limits, Object};

    #[test]
    fn every_error_has_its_text_and_a_code_of_its_own() {
        let json = Object::parse("[]", &Limits::DEFAULT).unwrap_err();
        let kid = Kid::new("k1").unwrap();
        let key = "an RSA key of 2048 bits".to_owned();
        let errors = [
            (JwkError::Json(json.clone()), "a JWK is not strict JSON"),
            (JwkError::MemberType(json), "a JWK has a member of the wrong type"),
            (JwkError::Missing("alg"), "a JWK has no member alg"),
            (
                JwkError::PrivateMember("d"),
                "a JWK holds the private or symmetric member d; give the public key alone, and consider the key leaked",
            ),
            (JwkError::CaseVariant("kid"), "a JWK spells the member kid in another case"),
            (JwkError::NotBase64url("x"), "member x of a JWK is not unpadded base64url"),
            (JwkError::KeyType("oct".to_owned()), "key type oct is not EC, RSA or OKP"),
            (JwkError::Curve("X25519".to_owned()), "curve X25519 is not P-256, P-384, P-521 or Ed25519"),
            (JwkError::Algorithm(UnknownAlgorithm("none".to_owned())), "a JWK is for an algorithm that we do not know"),
            (JwkError::Kid(KidError), "a JWK has a kid that we do not take"),
            (JwkError::Use, "a JWK is not for signatures: member use is not \"sig\""),
            (JwkError::KeyOps, "a JWK is not for verification alone: member key_ops is not [\"verify\"]"),
            (
                JwkError::AlgorithmMismatch { alg: Algorithm::Es256, key },
                "an RSA key of 2048 bits is not a key for ES256",
            ),
            (
                JwkError::CoordinateLength { curve: Curve::P521, found: 65 },
                "a coordinate on P-521 has 65 bytes instead of 66",
            ),
            (JwkError::NotOnCurve(Curve::P256), "a point is not on P-256"),
            (JwkError::SmallOrder, "an Ed25519 key has small order, so anybody can sign for it"),
            (JwkError::ModulusBits(1024), "an RSA modulus of 1024 bits is not of 2048 to 8192 bits and whole bytes"),
            (JwkError::ModulusEven, "an RSA modulus is even"),
            (JwkError::Exponent, "an RSA exponent is not an odd number from 65537 to 2^33"),
            (JwkError::LeadingZero("n"), "the RSA number n begins with a zero byte"),
            (JwkError::Refused("an RSA key".to_owned()), "the cryptographic library refuses an RSA key"),
            (JwkError::Der(der::ErrorKind::Failed.into()), "a public key is not a DER SubjectPublicKeyInfo"),
            (
                JwkError::SpkiAlgorithm("1.3.101.110".to_owned()),
                "a SubjectPublicKeyInfo is for algorithm 1.3.101.110, which is not EC, RSA or Ed25519",
            ),
            (JwkError::SpkiParameters, "a SubjectPublicKeyInfo has the wrong algorithm parameters"),
            (JwkError::PointForm, "a SubjectPublicKeyInfo holds a point in another form than the uncompressed one"),
            (JwkError::NoKeys, "a JWK Set has no array of keys"),
            (JwkError::DuplicateKid(kid.clone()), "two keys of a JWK Set have the kid k1"),
        ];
        for (error, text) in &errors {
            assert_eq!(error.to_string(), *text);
            let in_set = |kid| JwkError::InSet { index: 3, kid, source: Box::new(error.clone()) };
            assert_eq!(in_set(None).to_string(), "key 3 of a JWK Set");
            assert_eq!(in_set(Some(kid.clone())).to_string(), "key 3 of a JWK Set, with kid k1");
            assert_eq!(in_set(None).code(), error.code());
        }
        let codes: std::collections::BTreeSet<_> = errors.iter().map(|(error, _)| error.code()).collect();
        assert_eq!(codes.len(), errors.len());
    }
}
