//! The key material, and what the service says of it.

use std::fmt;

use aws_lc_rs::digest::{Algorithm, Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jwksd::lifecycle::time::Timestamp;

/// A private key, and with which hash it signs.
pub(super) enum Secret {
    Ec(EcdsaKeyPair, &'static Algorithm),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding, &'static Algorithm),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A key for the algorithm that has this number; nothing if there is none that signs.
    pub(super) fn generate(algorithm: i64) -> Option<Self> {
        let rsa = |size, encoding: &'static dyn RsaEncoding, hash| {
            Self::Rsa(RsaKeyPair::generate(size).unwrap(), encoding, hash)
        };
        Some(match algorithm {
            2 => rsa(KeySize::Rsa2048, &RSA_PSS_SHA256, &SHA256),
            3 => rsa(KeySize::Rsa3072, &RSA_PSS_SHA256, &SHA256),
            4 => rsa(KeySize::Rsa4096, &RSA_PSS_SHA256, &SHA256),
            15 => rsa(KeySize::Rsa4096, &RSA_PSS_SHA512, &SHA512),
            5 => rsa(KeySize::Rsa2048, &RSA_PKCS1_SHA256, &SHA256),
            6 => rsa(KeySize::Rsa3072, &RSA_PKCS1_SHA256, &SHA256),
            7 => rsa(KeySize::Rsa4096, &RSA_PKCS1_SHA256, &SHA256),
            16 => rsa(KeySize::Rsa4096, &RSA_PKCS1_SHA512, &SHA512),
            12 => Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(), &SHA256),
            13 => Self::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap(), &SHA384),
            40 => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => return None,
        })
    }

    pub(super) fn pem(&self) -> String {
        fn der<'a>(public: &impl AsDer<PublicKeyX509Der<'a>>) -> Vec<u8> {
            public.as_der().unwrap().as_ref().to_vec()
        }
        let der = match self {
            Self::Ec(pair, _) => der(pair.public_key()),
            Self::Rsa(pair, ..) => der(pair.public_key()),
            Self::Ed25519(pair) => der(pair.public_key()),
        };
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// Signs a hash, or data. What the service refuses is nothing here, with the reason.
    pub(super) fn sign(&self, asked: &Asked) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        match (self, asked) {
            (Self::Ed25519(pair), Asked::Data(data)) => Ok(pair.sign(data).as_ref().to_vec()),
            (Self::Ed25519(_), Asked::Digest(..)) => Err("The digest field must not be set for this algorithm.".into()),
            (Self::Ec(pair, _), Asked::Data(data)) => Ok(pair.sign(&random, data).unwrap().as_ref().to_vec()),
            (Self::Ec(pair, hash), Asked::Digest(name, bytes)) => {
                Ok(pair.sign_digest(&digest(hash, name, bytes)?).unwrap().as_ref().to_vec())
            }
            (Self::Rsa(pair, encoding, _), Asked::Data(data)) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, data, &mut signature).unwrap();
                Ok(signature)
            }
            (Self::Rsa(pair, encoding, hash), Asked::Digest(name, bytes)) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(*encoding, &digest(hash, name, bytes)?, &mut signature).unwrap();
                Ok(signature)
            }
        }
    }
}

/// What is to be signed.
pub(super) enum Asked {
    Data(Vec<u8>),
    /// With the name of the hash, as in `sha256`.
    Digest(String, Vec<u8>),
}

fn digest(hash: &'static Algorithm, name: &str, bytes: &[u8]) -> Result<Digest, String> {
    let fits = name == format!("sha{}", 8 * hash.output_len()) && bytes.len() == hash.output_len();
    let refused = || format!("The {name} digest of {} bytes does not fit the algorithm of the key.", bytes.len());
    fits.then(|| Digest::import_less_safe(bytes, hash).unwrap()).ok_or_else(refused)
}

pub(super) fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).to_string()
}
