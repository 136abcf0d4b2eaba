//! Verifying signatures, with the algorithm of the key and never that of the input.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use thiserror::Error;

use super::alg::Algorithm;
use super::hash::MessageDigest;
use super::jwk::Jwk;

/// A signature is not one by this key over this input.
///
/// It says no more on purpose: why a signature is wrong helps only those who forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the signature is not one of this key over this input")]
pub struct BadSignature;

/// A JWK prepared for verification. Cheap to clone; may be used by many threads at once.
#[derive(Clone)]
pub struct Verifier {
    alg: Algorithm,
    key: Arc<ParsedPublicKey>,
}

impl Verifier {
    /// Prepares a key: parsed once here instead of once per signature.
    #[must_use]
    pub fn new(jwk: &Jwk) -> Self {
        let key = ParsedPublicKey::new(verification(jwk.alg()), jwk.key().to_spki())
            .expect("invariant: a PublicKey was accepted by this parser, and a Jwk's algorithm fits its key");
        Self { alg: jwk.alg(), key: Arc::new(key) }
    }

    /// The algorithm that signatures are verified with.
    #[must_use]
    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// Verifies a signature over `input`, which is hashed here.
    ///
    /// `signature` is in JWS form: r and s at full width for ECDSA, as many bytes as the modulus for
    /// RSA with a PSS salt as long as the hash, 64 bytes for Ed25519.
    /// # Errors
    /// [`BadSignature`] if it is anything but a valid signature of this key.
    /// # Source
    /// RFC 7518, sections 3.3 to 3.5; RFC 8037, section 3.1.
    pub fn verify(&self, input: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.key.verify_sig(input, signature).map_err(|_| BadSignature)
    }

    /// Verifies a signature over a message that has this digest.
    ///
    /// # Errors
    /// [`BadSignature`] as [`Self::verify`], and for every digest that is not of the algorithm's hash function.
    pub fn verify_digest(&self, digest: &MessageDigest, signature: &[u8]) -> Result<(), BadSignature> {
        if self.alg.hash() != Some(digest.hash()) {
            return Err(BadSignature);
        }
        self.key.verify_digest_sig(&digest.to_digest(), signature).map_err(|_| BadSignature)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("alg", &self.alg).finish_non_exhaustive()
    }
}

fn verification(alg: Algorithm) -> &'static dyn VerificationAlgorithm {
    match alg {
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Ed25519 | Algorithm::EdDsa => &signature::ED25519,
    }
}
