//! Key pairs in memory, on aws-lc-rs.

use std::fmt::{self, Debug};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
};
use zeroize::Zeroizing;

use crate::backend::Signature;
use crate::jose::alg::{Algorithm, KeySpec, RsaBits};
use crate::jose::hash::MessageDigest;

/// A key pair that signs with one algorithm. Its memory is cleared by AWS-LC when it is dropped.
pub(super) struct Material {
    spec: KeySpec,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(rsa::KeyPair, &'static dyn RsaEncoding),
}

/// The library said no without a reason, or a key is not of the kind that its spec names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MaterialError;

impl From<Unspecified> for MaterialError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

impl Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Material({}, redacted)", self.spec)
    }
}

impl Material {
    /// Makes a key pair. Takes seconds for RSA.
    pub(super) fn generate(spec: KeySpec) -> Result<Self, MaterialError> {
        let pair = match Kind::of(spec) {
            Kind::Ecdsa(algorithm) => Pair::Ecdsa(EcdsaKeyPair::generate(algorithm)?),
            Kind::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate()?),
            Kind::Rsa(encoding) => Pair::Rsa(rsa::KeyPair::generate(key_size(spec))?, encoding),
        };
        Ok(Self { spec, pair })
    }

    /// Reads a key pair, which must be of the kind and size that `spec` names.
    pub(super) fn from_pkcs8(spec: KeySpec, pkcs8: &[u8]) -> Result<Self, MaterialError> {
        let rejected = |_| MaterialError;
        let pair = match Kind::of(spec) {
            Kind::Ecdsa(algorithm) => Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).map_err(rejected)?),
            Kind::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(rejected)?),
            Kind::Rsa(encoding) => {
                let pair = rsa::KeyPair::from_pkcs8(pkcs8).map_err(rejected)?;
                if pair.public_modulus_len() != spec.signature_len() {
                    return Err(MaterialError);
                }
                Pair::Rsa(pair, encoding)
            }
        };
        Ok(Self { spec, pair })
    }

    /// The private half as PKCS#8, to be sealed.
    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, MaterialError> {
        let document = match &self.pair {
            Pair::Ecdsa(pair) => Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec()),
            Pair::Rsa(pair, _) => {
                let der: Pkcs8V1Der<'_> = pair.as_der()?;
                Zeroizing::new(der.as_ref().to_vec())
            }
        };
        Ok(document)
    }

    /// The public half as SubjectPublicKeyInfo.
    pub(super) fn spki(&self) -> Result<Vec<u8>, MaterialError> {
        let der: PublicKeyX509Der<'_> = match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_der()?,
            Pair::Ed25519(pair) => pair.public_key().as_der()?,
            Pair::Rsa(pair, _) => pair.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }

    /// What the key was made for.
    pub(super) fn spec(&self) -> KeySpec {
        self.spec
    }

    /// Signs, in JWS form. ECDSA and Ed25519 take tens of microseconds, RSA up to some milliseconds.
    pub(super) fn sign(&self, input: &[u8]) -> Result<Signature, MaterialError> {
        let random = SystemRandom::new();
        let bytes = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, input)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.try_sign(input)?.as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; self.spec.signature_len()];
                pair.sign(*encoding, &random, input, &mut signature)?;
                signature
            }
        };
        Ok(Signature(bytes))
    }

    /// As [`Self::sign`], for a message that has this digest. Ed25519 signs none.
    pub(super) fn sign_digest(&self, digest: &MessageDigest) -> Result<Signature, MaterialError> {
        let bytes = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign_digest(&digest.to_digest())?.as_ref().to_vec(),
            Pair::Ed25519(_) => return Err(MaterialError),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; self.spec.signature_len()];
                pair.sign_digest(*encoding, &digest.to_digest(), &mut signature)?;
                signature
            }
        };
        Ok(Signature(bytes))
    }
}

/// How aws-lc-rs calls what a spec names. For `Rsa`, the salt of PSS is as long as the hash.
enum Kind {
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed25519,
    Rsa(&'static dyn RsaEncoding),
}

impl Kind {
    fn of(spec: KeySpec) -> Self {
        match spec.algorithm() {
            Algorithm::Es256 => Self::Ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => Self::Ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => Self::Ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::Ed25519 | Algorithm::EdDsa => Self::Ed25519,
            Algorithm::Rs256 => Self::Rsa(&RSA_PKCS1_SHA256),
            Algorithm::Rs384 => Self::Rsa(&RSA_PKCS1_SHA384),
            Algorithm::Rs512 => Self::Rsa(&RSA_PKCS1_SHA512),
            Algorithm::Ps256 => Self::Rsa(&RSA_PSS_SHA256),
            Algorithm::Ps384 => Self::Rsa(&RSA_PSS_SHA384),
            Algorithm::Ps512 => Self::Rsa(&RSA_PSS_SHA512),
        }
    }
}

fn key_size(spec: KeySpec) -> KeySize {
    match spec.rsa_bits().unwrap_or_default() {
        RsaBits::B2048 => KeySize::Rsa2048,
        RsaBits::B3072 => KeySize::Rsa3072,
        RsaBits::B4096 => KeySize::Rsa4096,
    }
}
