//! Signature algorithms, and what a key for one of them must look like.
//!
//! An algorithm is a property of a key, never of a request (RFC 8725, section 3.1). There is no
//! `none` and no MAC here, so neither can be chosen by mistake.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::base64url::encoded_len;

/// A JWS signature algorithm that we can verify and ask a backend for.
///
/// # Source
/// RFC 7518, section 3.1; RFC 9864, section 2 for `Ed25519`; RFC 8037, section 3.1 for `EdDSA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes.
    Ps256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes.
    Ps384,
    /// RSASSA-PSS with SHA-512, MGF1 with SHA-512 and a salt of 64 bytes.
    Ps512,
    /// Ed25519 under its fully specified name.
    Ed25519,
    /// Ed25519 under the deprecated name `EdDSA`, for verifiers that know no other.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm, in declaration order.
    pub const ALL: [Self; 11] = [
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Ed25519,
        Self::EdDsa,
    ];

    /// The registered name, as it stands in `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Ed25519 => "Ed25519",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether its keys are RSA keys.
    #[must_use]
    pub fn is_rsa(self) -> bool {
        self.curve().is_none()
    }

    /// The curve of its keys; nothing if they are RSA keys.
    #[must_use]
    pub fn curve(self) -> Option<Curve> {
        match self {
            Self::Es256 => Some(Curve::P256),
            Self::Es384 => Some(Curve::P384),
            Self::Es512 => Some(Curve::P521),
            Self::Ed25519 | Self::EdDsa => Some(Curve::Ed25519),
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name, shortened to 32 characters, that is not one of [`Algorithm::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a signature algorithm of ours")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Reads a registered name; case matters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|alg| alg.name() == text)
            .ok_or_else(|| UnknownAlgorithm(text.chars().take(32).collect()))
    }
}

/// A curve of RFC 7518, section 6.2.1.1, or of RFC 8037, section 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// NIST P-256, secp256r1.
    P256,
    /// NIST P-384, secp384r1.
    P384,
    /// NIST P-521, secp521r1.
    P521,
    /// The twisted Edwards curve of RFC 8032.
    Ed25519,
}

impl Curve {
    /// The registered name, as it stands in `crv`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// The width of one coordinate in bytes; for Ed25519, of the whole encoded point.
    #[must_use]
    pub const fn field_len(self) -> usize {
        match self {
            Self::P256 | Self::Ed25519 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The size of an RSA modulus that we ask a backend for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RsaBits {
    /// 2048 bits, the smallest that RFC 7518, section 3.3 allows.
    #[default]
    B2048,
    /// 3072 bits.
    B3072,
    /// 4096 bits.
    B4096,
}

impl RsaBits {
    /// The size in bits.
    #[must_use]
    pub const fn bits(self) -> usize {
        match self {
            Self::B2048 => 2048,
            Self::B3072 => 3072,
            Self::B4096 => 4096,
        }
    }

    /// The size of `bits` bits, if it is one of ours.
    #[must_use]
    pub const fn from_bits(bits: usize) -> Option<Self> {
        match bits {
            2048 => Some(Self::B2048),
            3072 => Some(Self::B3072),
            4096 => Some(Self::B4096),
            _ => None,
        }
    }
}

/// Why an algorithm and a modulus size do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeySpecError {
    /// A modulus size was given for an algorithm without a modulus.
    #[error("{0} keys have no modulus, so no rsa_bits can be chosen for them")]
    BitsWithoutModulus(Algorithm),
}

/// What a backend is asked to make: an algorithm and, for RSA, the size of the modulus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeySpec {
    alg: Algorithm,
    /// Present if and only if `alg` is an RSA algorithm.
    rsa_bits: Option<RsaBits>,
}

impl KeySpec {
    /// Joins an algorithm and a modulus size; an RSA algorithm without one gets 2048 bits.
    ///
    /// # Errors
    /// [`KeySpecError::BitsWithoutModulus`] if a size is given for an algorithm that is not RSA.
    pub fn new(alg: Algorithm, rsa_bits: Option<RsaBits>) -> Result<Self, KeySpecError> {
        match (alg.is_rsa(), rsa_bits) {
            (true, bits) => Ok(Self { alg, rsa_bits: Some(bits.unwrap_or_default()) }),
            (false, None) => Ok(Self { alg, rsa_bits: None }),
            (false, Some(_)) => Err(KeySpecError::BitsWithoutModulus(alg)),
        }
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(self) -> Algorithm {
        self.alg
    }

    /// The size of the modulus; nothing if the algorithm is not RSA.
    #[must_use]
    pub fn rsa_bits(self) -> Option<RsaBits> {
        self.rsa_bits
    }

    /// The length of a signature in JWS form, in bytes: r and s at full width, or the modulus.
    #[must_use]
    pub fn signature_len(self) -> usize {
        match self.alg.curve() {
            Some(curve) => 2 * curve.field_len(),
            None => self.rsa_bits.unwrap_or_default().bits() / 8,
        }
    }

    /// An upper bound in bytes of such a key's JWK, as published with its thumbprint as kid.
    ///
    /// The bound is reached by every key but an RSA key, whose exponent is allowed for at its longest.
    #[must_use]
    pub fn jwk_len_estimate(self) -> usize {
        /// The length of a base64url SHA-256 thumbprint.
        const KID_LEN: usize = 43;
        /// The longest exponent that [`super::PublicKey`] accepts, in bytes.
        const EXPONENT_MAX: usize = 5;
        let common = r#"{"kty":"","kid":"","use":"sig","alg":""}"#.len() + KID_LEN + self.alg.name().len();
        common
            + match self.alg.curve() {
                Some(Curve::Ed25519) => r#"OKP,"crv":"Ed25519","x":"""#.len() + encoded_len(32),
                Some(curve) => r#"EC,"crv":"P-256","x":"","y":"""#.len() + 2 * encoded_len(curve.field_len()),
                None => r#"RSA,"n":"","e":"""#.len() + encoded_len(self.signature_len()) + encoded_len(EXPONENT_MAX),
            }
    }
}

impl fmt::Display for KeySpec {
    /// `ES256`, or `RS256 with 3072 bits`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rsa_bits {
            None => self.alg.fmt(f),
            Some(size) => write!(f, "{} with {} bits", self.alg, size.bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_only_in_its_exact_case() {
        for alg in Algorithm::ALL {
            assert_eq!(alg.to_string().parse(), Ok(alg));
            for other in [alg.name().to_lowercase(), format!(" {alg}"), format!("{alg}\0")] {
                assert!(other.parse::<Algorithm>().is_err(), "{other:?}");
            }
        }
        for stranger in
            ["", "none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "ES256K", "RSA1_5", "Ed448", "ES521"]
        {
            assert_eq!(stranger.parse::<Algorithm>(), Err(UnknownAlgorithm(stranger.to_owned())));
        }
    }

    #[test]
    fn all_lists_each_algorithm_once_and_in_order() {
        assert!(Algorithm::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn only_rsa_keys_have_a_modulus_size() {
        for alg in Algorithm::ALL {
            let plain = KeySpec::new(alg, None).unwrap();
            assert_eq!(plain.rsa_bits(), alg.is_rsa().then_some(RsaBits::B2048));
            let sized = KeySpec::new(alg, Some(RsaBits::B3072));
            let expected =
                if alg.is_rsa() { Ok(Some(RsaBits::B3072)) } else { Err(KeySpecError::BitsWithoutModulus(alg)) };
            assert_eq!(sized.map(KeySpec::rsa_bits), expected);
        }
        for size in [RsaBits::B2048, RsaBits::B3072, RsaBits::B4096] {
            assert_eq!(RsaBits::from_bits(size.bits()), Some(size));
        }
        assert_eq!(RsaBits::from_bits(1024), None);
    }

    #[test]
    fn signatures_have_the_width_of_rfc_7518() {
        let len = |alg, bits| KeySpec::new(alg, bits).unwrap().signature_len();
        assert_eq!(len(Algorithm::Es256, None), 64);
        assert_eq!(len(Algorithm::Es384, None), 96);
        assert_eq!(len(Algorithm::Es512, None), 132);
        assert_eq!(len(Algorithm::Ed25519, None), 64);
        assert_eq!(len(Algorithm::EdDsa, None), 64);
        assert_eq!(len(Algorithm::Rs256, None), 256);
        assert_eq!(len(Algorithm::Ps512, Some(RsaBits::B4096)), 512);
    }
}
