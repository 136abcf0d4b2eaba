//! A validated public key, independent of its name and of the encoding that it came in.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::JwkError;
use crate::ids::Kid;
use crate::jose::alg::{Algorithm, Curve, KeySpec};
use crate::jose::base64url;

/// A public signature key that has been checked: a point on its curve, a modulus and an exponent within
/// our bounds, or an Ed25519 point that is not of small order.
///
/// Whether 32 bytes are an Ed25519 point at all shows only when AWS-LC verifies; if they are not, nothing
/// verifies. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey(Arc<Parts>);

/// The numbers of a public key, big-endian; Ed25519 in its own encoding.
#[derive(PartialEq, Eq, Hash)]
pub(in crate::jose) enum Parts {
    /// Both coordinates at the full width of the field. The curve is never Ed25519.
    Ec { curve: Curve, x: Box<[u8]>, y: Box<[u8]> },
    /// Modulus and exponent without leading zeros.
    Rsa { n: Box<[u8]>, e: Box<[u8]> },
    /// The encoded point.
    Ed25519 { x: [u8; 32] },
}

impl Parts {
    /// The registered key type, as it stands in `kty`.
    pub(in crate::jose) fn kty(&self) -> &'static str {
        match self {
            Self::Ec { .. } => "EC",
            Self::Rsa { .. } => "RSA",
            Self::Ed25519 { .. } => "OKP",
        }
    }
}

impl PublicKey {
    /// Takes a key on one of the NIST curves, by its coordinates at full width, big-endian.
    ///
    /// # Errors
    /// [`JwkError::CoordinateLength`], [`JwkError::NotOnCurve`], or [`JwkError::Curve`] for Ed25519.
    /// # Source
    /// RFC 7518, section 6.2.1.
    pub fn from_ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, JwkError> {
        if curve == Curve::Ed25519 {
            return Err(JwkError::Curve(curve.to_string()));
        }
        for coordinate in [x, y] {
            if coordinate.len() != curve.field_len() {
                return Err(JwkError::CoordinateLength { curve, found: coordinate.len() });
            }
        }
        Self::accepted(Parts::Ec { curve, x: x.into(), y: y.into() }).ok_or(JwkError::NotOnCurve(curve))
    }

    /// Takes an RSA key by modulus and exponent, big-endian, without leading zeros.
    ///
    /// The modulus has 2048 to 8192 bits in whole bytes; the exponent is odd, from 65537 to 2^33.
    /// # Errors
    /// [`JwkError::ModulusBits`], [`JwkError::ModulusEven`], [`JwkError::Exponent`],
    /// [`JwkError::LeadingZero`], or [`JwkError::Refused`] if AWS-LC refuses the key.
    /// # Source
    /// RFC 7518, sections 3.3 and 6.3.1; NIST SP 800-56B, section 6.2.1 for the exponent.
    pub fn from_rsa(n: &[u8], e: &[u8]) -> Result<Self, JwkError> {
        for (name, number) in [("n", n), ("e", e)] {
            if number.first() == Some(&0) {
                return Err(JwkError::LeadingZero(name));
            }
        }
        let bits = bit_len(n);
        if !(2048..=8192).contains(&bits) || !bits.is_multiple_of(8) {
            return Err(JwkError::ModulusBits(bits));
        }
        if !is_odd(n) {
            return Err(JwkError::ModulusEven);
        }
        if !(17..=33).contains(&bit_len(e)) || !is_odd(e) {
            return Err(JwkError::Exponent);
        }
        let parts = Parts::Rsa { n: n.into(), e: e.into() };
        Self::accepted(parts).ok_or_else(|| JwkError::Refused(format!("an RSA key of {bits} bits")))
    }

    /// Takes an Ed25519 key by its 32 bytes.
    ///
    /// # Errors
    /// [`JwkError::CoordinateLength`], or [`JwkError::SmallOrder`] for a key that anybody can sign for.
    /// # Source
    /// RFC 8037, section 2; RFC 8032, section 5.1.5.
    pub fn from_ed25519(x: &[u8]) -> Result<Self, JwkError> {
        let curve = Curve::Ed25519;
        let x: [u8; 32] = x.try_into().map_err(|_| JwkError::CoordinateLength { curve, found: x.len() })?;
        if has_small_order(x) {
            return Err(JwkError::SmallOrder);
        }
        Self::accepted(Parts::Ed25519 { x }).ok_or(JwkError::NotOnCurve(curve))
    }

    /// A value of the right kind and size that is nobody's key and verifies nothing.
    ///
    /// Forecasts and simulations need keys by the thousand and never check a signature with them.
    #[must_use]
    pub fn stand_in(spec: KeySpec) -> Self {
        let parts = match (spec.algorithm().curve(), spec.rsa_bits()) {
            (Some(Curve::Ed25519), _) => Parts::Ed25519 { x: [1; 32] },
            (Some(curve), _) => {
                let coordinate = vec![1; curve.field_len()].into_boxed_slice();
                Parts::Ec { curve, x: coordinate.clone(), y: coordinate }
            }
            (None, size) => {
                let n = vec![0xff; size.map_or(256, |size| size.bits() / 8)];
                Parts::Rsa { n: n.into(), e: [1, 0, 1].into() }
            }
        };
        Self(Arc::new(parts))
    }

    /// Reads the DER of a SubjectPublicKeyInfo: EC with a named curve and an uncompressed point,
    /// `rsaEncryption`, or Ed25519.
    ///
    /// # Errors
    /// [`JwkError`] if the DER is not canonical, is followed by anything, or holds another kind of key.
    /// # Source
    /// RFC 5280, section 4.1; RFC 5480, section 2; RFC 3279, section 2.3.1; RFC 8410, section 4.
    pub fn from_spki(der: &[u8]) -> Result<Self, JwkError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(JwkError::Der)?;
        let parameters = spki.algorithm.parameters;
        let bits = spki.subject_public_key.as_bytes().ok_or(JwkError::PointForm)?;
        match spki.algorithm.oid {
            EC => {
                let oid: ObjectIdentifier =
                    parameters.ok_or(JwkError::SpkiParameters)?.decode_as().map_err(|_| JwkError::SpkiParameters)?;
                let curve = NIST.into_iter().find(|curve| named_curve(*curve) == Some(oid));
                let curve = curve.ok_or_else(|| JwkError::Curve(oid.to_string()))?;
                match bits.split_first() {
                    Some((4, point)) if point.len() == 2 * curve.field_len() => {
                        let (x, y) = point.split_at(curve.field_len());
                        Self::from_ec(curve, x, y)
                    }
                    _ => Err(JwkError::PointForm),
                }
            }
            RSA if parameters == Some(AnyRef::NULL) => {
                // RSAPublicKey is a SEQUENCE of two INTEGERs, so SEQUENCE OF has the same encoding.
                match Vec::<UintRef<'_>>::from_der(bits).map_err(JwkError::Der)?.as_slice() {
                    [n, e] => Self::from_rsa(n.as_bytes(), e.as_bytes()),
                    _ => Err(JwkError::Der(der::ErrorKind::Failed.into())),
                }
            }
            ED25519 if parameters.is_none() => Self::from_ed25519(bits),
            RSA | ED25519 => Err(JwkError::SpkiParameters),
            other => Err(JwkError::SpkiAlgorithm(other.to_string())),
        }
    }

    /// The key as the DER of a SubjectPublicKeyInfo: the one form that [`Self::from_spki`] reads.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        self.0.to_spki().expect("invariant: lengths were checked at construction, and a Vec takes every byte")
    }

    /// The RFC 7638 thumbprint with SHA-256: 43 characters of base64url.
    ///
    /// It depends on the key alone, not on algorithm or use.
    /// # Source
    /// RFC 7638, section 3; RFC 8037, appendix A.3.
    #[must_use]
    pub fn thumbprint(&self) -> Kid {
        let kty = self.0.kty();
        let json = match &*self.0 {
            Parts::Ec { curve, x, y } => {
                let (x, y) = (base64url::encode(x), base64url::encode(y));
                format!(r#"{{"crv":"{curve}","kty":"{kty}","x":"{x}","y":"{y}"}}"#)
            }
            Parts::Rsa { n, e } => {
                let (n, e) = (base64url::encode(n), base64url::encode(e));
                format!(r#"{{"e":"{e}","kty":"{kty}","n":"{n}"}}"#)
            }
            Parts::Ed25519 { x } => {
                let (crv, x) = (Curve::Ed25519, base64url::encode(x));
                format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"}}"#)
            }
        };
        let hash = digest::digest(&digest::SHA256, json.as_bytes());
        Kid::new(&base64url::encode(hash.as_ref())).expect("invariant: base64url of 32 bytes is 43 plain characters")
    }

    /// Whether the key is one of `alg`: same curve, or RSA.
    #[must_use]
    pub fn fits(&self, alg: Algorithm) -> bool {
        alg.curve() == self.curve()
    }

    /// Whether the key is what a backend was asked for: [`Self::fits`], and a modulus of that very size.
    #[must_use]
    pub fn matches(&self, spec: KeySpec) -> bool {
        self.fits(spec.algorithm()) && self.modulus_bits() == spec.rsa_bits().map(|size| size.bits())
    }

    /// The curve; nothing if it is an RSA key.
    #[must_use]
    pub fn curve(&self) -> Option<Curve> {
        match &*self.0 {
            Parts::Ec { curve, .. } => Some(*curve),
            Parts::Rsa { .. } => None,
            Parts::Ed25519 { .. } => Some(Curve::Ed25519),
        }
    }

    /// The size of the modulus in bits; nothing if it is not an RSA key.
    #[must_use]
    pub fn modulus_bits(&self) -> Option<usize> {
        match &*self.0 {
            Parts::Rsa { n, .. } => Some(bit_len(n)),
            Parts::Ec { .. } | Parts::Ed25519 { .. } => None,
        }
    }

    /// The kind of key in words, for errors.
    pub(in crate::jose) fn describe(&self) -> String {
        match (self.curve(), self.modulus_bits()) {
            (Some(curve), _) => format!("a key on {curve}"),
            (None, bits) => format!("an RSA key of {} bits", bits.unwrap_or_default()),
        }
    }

    pub(in crate::jose) fn parts(&self) -> &Parts {
        &self.0
    }

    /// The key if AWS-LC accepts it, which for the NIST curves means that the point is on the curve.
    fn accepted(parts: Parts) -> Option<Self> {
        let family: &'static dyn VerificationAlgorithm = match parts {
            Parts::Ec { curve: Curve::P256, .. } => &signature::ECDSA_P256_SHA256_FIXED,
            Parts::Ec { curve: Curve::P384, .. } => &signature::ECDSA_P384_SHA384_FIXED,
            Parts::Ec { .. } => &signature::ECDSA_P521_SHA512_FIXED,
            Parts::Rsa { .. } => &signature::RSA_PKCS1_2048_8192_SHA256,
            Parts::Ed25519 { .. } => &signature::ED25519,
        };
        ParsedPublicKey::new(family, parts.to_spki().ok()?).ok()?;
        Some(Self(Arc::new(parts)))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.describe(), self.thumbprint())
    }
}

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const NIST: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

/// RFC 5480, section 2.1.1.1.
fn named_curve(curve: Curve) -> Option<ObjectIdentifier> {
    match curve {
        Curve::P256 => Some(ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7")),
        Curve::P384 => Some(ObjectIdentifier::new_unwrap("1.3.132.0.34")),
        Curve::P521 => Some(ObjectIdentifier::new_unwrap("1.3.132.0.35")),
        Curve::Ed25519 => None,
    }
}

impl Parts {
    fn to_spki(&self) -> der::Result<Vec<u8>> {
        let (oid, curve, bits) = match self {
            Self::Ec { curve, x, y } => (EC, named_curve(*curve), [&[4], &**x, &**y].concat()),
            Self::Rsa { n, e } => (RSA, None, [UintRef::new(n)?, UintRef::new(e)?].to_der()?),
            Self::Ed25519 { x } => (ED25519, None, x.to_vec()),
        };
        let parameters = match (&curve, self) {
            (Some(oid), _) => Some(AnyRef::from(oid)),
            (None, Self::Rsa { .. }) => Some(AnyRef::NULL),
            (None, _) => None,
        };
        let algorithm = AlgorithmIdentifierRef { oid, parameters };
        SubjectPublicKeyInfoRef { algorithm, subject_public_key: BitStringRef::from_bytes(&bits)? }.to_der()
    }
}

/// The bits of a big-endian number without leading zero bytes.
fn bit_len(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last % 2 == 1)
}

/// Whether an Ed25519 point lies in the subgroup of order 8.
///
/// AWS-LC accepts such keys, and under them every eighth message or so has a signature that needs no
/// private key. A backend that answers with zeros instead of a key would give one.
fn has_small_order(mut point: [u8; 32]) -> bool {
    // The sign of x does not matter: with a point its negative is in the subgroup too.
    if let Some(last) = point.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER_Y.contains(&point)
}

/// The seven encodings of y, little-endian, of the eight points whose order divides 8: 0, 1, the two y
/// of order 8, p - 1, and the non-canonical p and p + 1.
pub(super) const SMALL_ORDER_Y: [[u8; 32]; 7] = [
    [0; 32],
    ends(1, 0, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    ends(0xec, 0xff, 0x7f),
    ends(0xed, 0xff, 0x7f),
    ends(0xee, 0xff, 0x7f),
];

/// 32 bytes: `first`, thirty times `middle`, `last`.
const fn ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    let [low, .., high] = &mut bytes;
    *low = first;
    *high = last;
    bytes
}
