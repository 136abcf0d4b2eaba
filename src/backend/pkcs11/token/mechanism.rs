//! Which mechanisms make and use a key, out of those that the token has.

use std::borrow::Cow;

use aws_lc_rs::digest::{self, Algorithm as Hash, SHA256, SHA384, SHA512};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::slot::Slot;
use cryptoki::types::Ulong;

use crate::backend::pkcs11::fault::Fault;
use crate::jose::alg::{Algorithm, Curve, KeySpec};

/// The mechanisms of a token.
#[derive(Debug)]
pub(super) struct Mechanisms(Vec<MechanismType>);

/// How a signature is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signing {
    call: Call,
    form: Form,
}

/// What the token is called with.
#[derive(Debug, Clone, Copy)]
enum Call {
    Ecdsa,
    Eddsa,
    /// The mechanism hashes.
    RsaHashed(Digest),
    Rsa,
    /// The mechanism hashes.
    PssHashed(Digest),
    Pss(Digest),
}

/// What the token is given.
#[derive(Debug, Clone, Copy)]
enum Form {
    Message,
    Digest(Digest),
    DigestInfo(Digest),
}

#[derive(Debug, Clone, Copy)]
enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

impl Mechanisms {
    pub(super) fn of(module: &Pkcs11, slot: Slot) -> Result<Self, Fault> {
        Ok(Self(module.get_mechanism_list(slot)?))
    }

    fn has(&self, mechanism: MechanismType) -> bool {
        self.0.contains(&mechanism)
    }

    /// Those that matter here.
    pub(super) fn names(&self) -> Vec<String> {
        OURS.iter().filter(|mechanism| self.has(**mechanism)).map(ToString::to_string).collect()
    }

    /// The algorithms that keys can be made and used for.
    pub(super) fn algorithms(&self) -> Vec<String> {
        let specs = Algorithm::ALL.into_iter().filter_map(|alg| KeySpec::new(alg, None).ok());
        let able = specs.filter(|spec| self.generation(*spec).is_ok() && self.signing(*spec).is_ok());
        able.map(|spec| spec.algorithm().to_string()).collect()
    }

    /// How to make a key.
    pub(super) fn generation(&self, spec: KeySpec) -> Result<Mechanism<'static>, Fault> {
        let mechanism = match spec.algorithm().curve() {
            Some(Curve::Ed25519) => Mechanism::EccEdwardsKeyPairGen,
            Some(Curve::P256 | Curve::P384 | Curve::P521) => Mechanism::EccKeyPairGen,
            None => Mechanism::RsaPkcsKeyPairGen,
        };
        let needed = mechanism.mechanism_type();
        if self.has(needed) { Ok(mechanism) } else { Err(lacking(spec, &[needed])) }
    }

    /// How to sign with one. The token hashes if it can: then it, and not we, is what is certified.
    pub(super) fn signing(&self, spec: KeySpec) -> Result<Signing, Fault> {
        let digest = Digest::of(spec.algorithm());
        let ways: &[Signing] = match spec.algorithm() {
            Algorithm::Ed25519 | Algorithm::EdDsa => &[Signing { call: Call::Eddsa, form: Form::Message }],
            // Not CKM_ECDSA_SHA256 even where it is: hashing here is the one way that works on every token.
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
                &[Signing { call: Call::Ecdsa, form: Form::Digest(digest) }]
            }
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => &[
                Signing { call: Call::RsaHashed(digest), form: Form::Message },
                Signing { call: Call::Rsa, form: Form::DigestInfo(digest) },
            ],
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => &[
                Signing { call: Call::PssHashed(digest), form: Form::Message },
                Signing { call: Call::Pss(digest), form: Form::Digest(digest) },
            ],
        };
        let found = ways.iter().find(|way| self.has(way.mechanism().mechanism_type()));
        found.copied().ok_or_else(|| {
            let needed: Vec<MechanismType> = ways.iter().map(|way| way.mechanism().mechanism_type()).collect();
            lacking(spec, &needed)
        })
    }
}

fn lacking(spec: KeySpec, needed: &[MechanismType]) -> Fault {
    let names: Vec<String> = needed.iter().map(ToString::to_string).collect();
    Fault::refused(format!("{spec}: the token has no mechanism {}", names.join(" or ")))
}

impl Signing {
    pub(super) fn mechanism(self) -> Mechanism<'static> {
        match self.call {
            Call::Ecdsa => Mechanism::Ecdsa,
            Call::Eddsa => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
            Call::RsaHashed(Digest::Sha256) => Mechanism::Sha256RsaPkcs,
            Call::RsaHashed(Digest::Sha384) => Mechanism::Sha384RsaPkcs,
            Call::RsaHashed(Digest::Sha512) => Mechanism::Sha512RsaPkcs,
            Call::Rsa => Mechanism::RsaPkcs,
            Call::PssHashed(digest @ Digest::Sha256) => Mechanism::Sha256RsaPkcsPss(digest.pss()),
            Call::PssHashed(digest @ Digest::Sha384) => Mechanism::Sha384RsaPkcsPss(digest.pss()),
            Call::PssHashed(digest @ Digest::Sha512) => Mechanism::Sha512RsaPkcsPss(digest.pss()),
            Call::Pss(digest) => Mechanism::RsaPkcsPss(digest.pss()),
        }
    }

    /// What to hand to the token for `message`.
    pub(super) fn data(self, message: &[u8]) -> Cow<'_, [u8]> {
        match self.form {
            Form::Message => Cow::Borrowed(message),
            Form::Digest(hash) => Cow::Owned(digest::digest(hash.algorithm(), message).as_ref().to_vec()),
            Form::DigestInfo(hash) => {
                Cow::Owned([hash.prefix(), digest::digest(hash.algorithm(), message).as_ref()].concat())
            }
        }
    }
}

impl Digest {
    /// The hash that goes with an algorithm. Ed25519 hashes by itself, whatever is said here.
    fn of(alg: Algorithm) -> Self {
        match alg {
            Algorithm::Es256 | Algorithm::Rs256 | Algorithm::Ps256 => Self::Sha256,
            Algorithm::Es384 | Algorithm::Rs384 | Algorithm::Ps384 => Self::Sha384,
            Algorithm::Es512 | Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::Ed25519 | Algorithm::EdDsa => {
                Self::Sha512
            }
        }
    }

    fn algorithm(self) -> &'static Hash {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }

    /// The DER of DigestInfo up to the hash itself (RFC 8017, section 9.2, note 1).
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
            Self::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
            Self::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
        }
    }

    /// A salt as long as the hash (RFC 7518, section 3.5).
    fn pss(self) -> PkcsPssParams {
        let (hash_alg, mgf, s_len) = match self {
            Self::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
            Self::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
            Self::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
        };
        PkcsPssParams { hash_alg, mgf, s_len: Ulong::new(s_len) }
    }
}

/// Everything that some algorithm of ours can use.
const OURS: [MechanismType; 13] = [
    MechanismType::ECC_KEY_PAIR_GEN,
    MechanismType::ECC_EDWARDS_KEY_PAIR_GEN,
    MechanismType::RSA_PKCS_KEY_PAIR_GEN,
    MechanismType::ECDSA,
    MechanismType::EDDSA,
    MechanismType::RSA_PKCS,
    MechanismType::SHA256_RSA_PKCS,
    MechanismType::SHA384_RSA_PKCS,
    MechanismType::SHA512_RSA_PKCS,
    MechanismType::RSA_PKCS_PSS,
    MechanismType::SHA256_RSA_PKCS_PSS,
    MechanismType::SHA384_RSA_PKCS_PSS,
    MechanismType::SHA512_RSA_PKCS_PSS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::BackendError;

    fn spec(alg: Algorithm) -> KeySpec {
        KeySpec::new(alg, None).unwrap()
    }

    #[test]
    fn a_token_that_hashes_is_left_to_it_and_another_gets_the_hash() {
        let both = Mechanisms(vec![MechanismType::RSA_PKCS, MechanismType::SHA256_RSA_PKCS]);
        let way = both.signing(spec(Algorithm::Rs256)).unwrap();
        assert_eq!(way.mechanism().mechanism_type(), MechanismType::SHA256_RSA_PKCS);
        assert_eq!(&*way.data(b"message"), b"message");
        let bare = Mechanisms(vec![MechanismType::RSA_PKCS, MechanismType::RSA_PKCS_PSS]);
        let way = bare.signing(spec(Algorithm::Rs512)).unwrap();
        assert_eq!(way.mechanism().mechanism_type(), MechanismType::RSA_PKCS);
        assert_eq!(way.data(b"message").len(), 19 + 64);
        let way = bare.signing(spec(Algorithm::Ps384)).unwrap();
        assert_eq!(way.mechanism().mechanism_type(), MechanismType::RSA_PKCS_PSS);
        assert_eq!(way.data(b"message").len(), 48);
    }

    #[test]
    fn what_is_lacking_is_named() {
        let none = Mechanisms(vec![]);
        let cases = [
            (Algorithm::Es256, "ES256: the token has no mechanism CKM_ECDSA"),
            (
                Algorithm::Ps256,
                "PS256 with 2048 bits: the token has no mechanism CKM_SHA256_RSA_PKCS_PSS or CKM_RSA_PKCS_PSS",
            ),
            (Algorithm::Ed25519, "Ed25519: the token has no mechanism CKM_EDDSA"),
        ];
        for (alg, text) in cases {
            let fault = none.signing(spec(alg)).unwrap_err();
            assert_eq!(fault, Fault::Caller(BackendError::Refused(text.to_owned())));
        }
        assert!(none.generation(spec(Algorithm::Es256)).is_err() && none.algorithms().is_empty());
    }
}
