//! Values of RFC 7515, 7517, 7518, 7638, 8037 and 9864: algorithms, public keys, key sets, headers, signatures.
//!
//! Everything here is a function of its arguments: no clock, no I/O, no randomness. What is read is
//! read strictly, once; what is written has one form, byte for byte.

pub mod alg;
pub mod base64url;
pub mod hash;
pub mod json;
pub mod jwk;
pub mod jwk_set;
pub mod jws;
pub mod verify;

pub use alg::{Algorithm, Curve, KeySpec, KeySpecError, RsaBits, UnknownAlgorithm};
pub use hash::{DigestLen, HashFunction, MessageDigest};
pub use json::{JsonError, Limits, Object};
pub use jwk::{Jwk, JwkError, PublicKey};
pub use jws::{Compact, JwsError, SigningInput, Typ, TypError, append_signature, encode_header};
pub use verify::{BadSignature, Verifier};

#[cfg(test)]
mod vectors;
#[cfg(test)]
mod wycheproof;
