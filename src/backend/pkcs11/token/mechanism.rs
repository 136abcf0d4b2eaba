//! Which mechanisms make and use a key, out of those that the token has.

use std::borrow::Cow;

use cryptoki::context::Pkcs11;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::slot::Slot;
use cryptoki::types::Ulong;

use crate::backend::Input;
use crate::backend::pkcs11::fault::Fault;
use crate::jose::alg::{Algorithm, Curve, KeySpec};
use crate::jose::hash::{HashFunction, MessageDigest};

/// The mechanisms of a token.
#[derive(Debug)]
pub(super) struct Mechanisms(Vec<MechanismType>);

/// How signatures by one algorithm are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signing {
    spec: KeySpec,
    /// Of messages: the token hashes if it can, for then it, and not we, is what is certified.
    messages: Way,
    /// Of digests, if the token takes any.
    digests: Option<Way>,
}

/// A mechanism, and what it is given.
#[derive(Debug, Clone, Copy)]
struct Way {
    call: Call,
    form: Form,
}

/// What a token is asked, once for one signature.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) mechanism: Mechanism<'static>,
    pub(super) data: Cow<'a, [u8]>,
}

/// What the token is called with.
#[derive(Debug, Clone, Copy)]
enum Call {
    Ecdsa,
    Eddsa,
    /// The mechanism hashes.
    RsaHashed(HashFunction),
    Rsa,
    /// The mechanism hashes.
    PssHashed(HashFunction),
    Pss(HashFunction),
}

/// What the token is given.
#[derive(Debug, Clone, Copy)]
enum Form {
    Message,
    Digest(HashFunction),
    DigestInfo(HashFunction),
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
        if self.has(needed) { Ok(mechanism) } else { Err(lacking(spec, [needed])) }
    }

    /// How to sign with one.
    pub(super) fn signing(&self, spec: KeySpec) -> Result<Signing, Fault> {
        let ways = ways(spec.algorithm());
        let mut able = ways.iter().filter(|way| self.has(way.mechanism().mechanism_type())).copied();
        let messages = able
            .clone()
            .next()
            .ok_or_else(|| lacking(spec, ways.iter().map(|way| way.mechanism().mechanism_type())))?;
        let digests = able.find(|way| !matches!(way.form, Form::Message));
        Ok(Signing { spec, messages, digests })
    }
}

/// The ways to sign by an algorithm, the best first.
fn ways(alg: Algorithm) -> Vec<Way> {
    let Some(hash) = alg.hash() else { return vec![Way { call: Call::Eddsa, form: Form::Message }] };
    match alg {
        Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => vec![
            Way { call: Call::PssHashed(hash), form: Form::Message },
            Way { call: Call::Pss(hash), form: Form::Digest(hash) },
        ],
        alg if alg.is_rsa() => vec![
            Way { call: Call::RsaHashed(hash), form: Form::Message },
            Way { call: Call::Rsa, form: Form::DigestInfo(hash) },
        ],
        // Not CKM_ECDSA_SHA256 even where it is: hashing here is the one way that works on every token.
        _ => vec![Way { call: Call::Ecdsa, form: Form::Digest(hash) }],
    }
}

fn lacking(spec: KeySpec, needed: impl IntoIterator<Item = MechanismType>) -> Fault {
    let names: Vec<String> = needed.into_iter().map(|mechanism| mechanism.to_string()).collect();
    Fault::refused(format!("{spec}: the token has no mechanism {}", names.join(" or ")))
}

impl Signing {
    /// What to ask the token for a signature of `input`.
    ///
    /// # Errors
    /// [`Fault::Caller`] for a digest, if the key or the token signs none such.
    pub(super) fn question<'a>(&self, input: Input<'a>) -> Result<Question<'a>, Fault> {
        input.check(self.spec).map_err(Fault::Caller)?;
        let way = match input {
            Input::Message(_) => self.messages,
            Input::Digest(_) => self.digests.ok_or_else(|| self.takes_no_digests())?,
        };
        let digest = |hash| match input {
            Input::Message(message) => MessageDigest::of(hash, message),
            Input::Digest(digest) => digest,
        };
        let data = match (way.form, input) {
            (Form::Message, Input::Message(message)) => Cow::Borrowed(message),
            (Form::Message, Input::Digest(_)) => return Err(self.takes_no_digests()),
            (Form::Digest(hash), _) => Cow::Owned(digest(hash).as_bytes().to_vec()),
            (Form::DigestInfo(hash), _) => Cow::Owned([prefix(hash), digest(hash).as_bytes()].concat()),
        };
        Ok(Question { mechanism: way.mechanism(), data })
    }

    fn takes_no_digests(&self) -> Fault {
        let ways = ways(self.spec.algorithm()).into_iter().filter(|way| !matches!(way.form, Form::Message));
        lacking(self.spec, ways.map(|way| way.mechanism().mechanism_type()))
    }
}

impl Way {
    fn mechanism(self) -> Mechanism<'static> {
        match self.call {
            Call::Ecdsa => Mechanism::Ecdsa,
            Call::Eddsa => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
            Call::RsaHashed(HashFunction::Sha256) => Mechanism::Sha256RsaPkcs,
            Call::RsaHashed(HashFunction::Sha384) => Mechanism::Sha384RsaPkcs,
            Call::RsaHashed(HashFunction::Sha512) => Mechanism::Sha512RsaPkcs,
            Call::Rsa => Mechanism::RsaPkcs,
            Call::PssHashed(hash @ HashFunction::Sha256) => Mechanism::Sha256RsaPkcsPss(pss(hash)),
            Call::PssHashed(hash @ HashFunction::Sha384) => Mechanism::Sha384RsaPkcsPss(pss(hash)),
            Call::PssHashed(hash @ HashFunction::Sha512) => Mechanism::Sha512RsaPkcsPss(pss(hash)),
            Call::Pss(hash) => Mechanism::RsaPkcsPss(pss(hash)),
        }
    }
}

/// The DER of DigestInfo up to the hash itself (RFC 8017, section 9.2, note 1).
fn prefix(hash: HashFunction) -> &'static [u8] {
    match hash {
        HashFunction::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        HashFunction::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        HashFunction::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    }
}

/// A salt as long as the hash (RFC 7518, section 3.5).
fn pss(hash: HashFunction) -> PkcsPssParams {
    let (hash_alg, mgf, s_len) = match hash {
        HashFunction::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
        HashFunction::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        HashFunction::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
    };
    PkcsPssParams { hash_alg, mgf, s_len: Ulong::new(s_len) }
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

    const MESSAGE: Input<'_> = Input::Message(b"message");

    fn spec(alg: Algorithm) -> KeySpec {
        KeySpec::new(alg, None).unwrap()
    }

    fn question(mechanisms: &Mechanisms, alg: Algorithm, input: Input<'_>) -> (MechanismType, Vec<u8>) {
        let Question { mechanism, data } = mechanisms.signing(spec(alg)).unwrap().question(input).unwrap();
        (mechanism.mechanism_type(), data.into_owned())
    }

    #[test]
    fn a_token_that_hashes_is_left_to_it_and_another_gets_the_hash() {
        let both = Mechanisms(vec![MechanismType::RSA_PKCS, MechanismType::SHA256_RSA_PKCS]);
        let asked = question(&both, Algorithm::Rs256, MESSAGE);
        assert_eq!(asked, (MechanismType::SHA256_RSA_PKCS, b"message".to_vec()));
        let bare = Mechanisms(vec![MechanismType::RSA_PKCS, MechanismType::RSA_PKCS_PSS]);
        let (mechanism, data) = question(&bare, Algorithm::Rs512, MESSAGE);
        assert_eq!((mechanism, data.len()), (MechanismType::RSA_PKCS, 19 + 64));
        let (mechanism, data) = question(&bare, Algorithm::Ps384, MESSAGE);
        assert_eq!((mechanism, data.len()), (MechanismType::RSA_PKCS_PSS, 48));
    }

    #[test]
    fn a_digest_goes_to_a_mechanism_that_does_not_hash() {
        let all = Mechanisms(OURS.to_vec());
        for alg in Algorithm::ALL {
            let Some(hash) = alg.hash() else { continue };
            let digest = MessageDigest::of(hash, b"message");
            let (mechanism, data) = question(&all, alg, Input::Digest(digest));
            let [rsa, pss, ecdsa] = [MechanismType::RSA_PKCS, MechanismType::RSA_PKCS_PSS, MechanismType::ECDSA];
            assert!([rsa, pss, ecdsa].contains(&mechanism), "{alg}: {mechanism}");
            assert!(data.ends_with(digest.as_bytes()), "{alg}");
        }
        let hashing = Mechanisms(vec![MechanismType::SHA256_RSA_PKCS]);
        let digest = Input::Digest(MessageDigest::of(HashFunction::Sha256, b"message"));
        let refused = |text: &str| Some(Fault::Caller(BackendError::Refused(text.to_owned())));
        let lacking = hashing.signing(spec(Algorithm::Rs256)).unwrap().question(digest).err();
        assert_eq!(lacking, refused("RS256 with 2048 bits: the token has no mechanism CKM_RSA_PKCS"));
        let other = all.signing(spec(Algorithm::Es384)).unwrap().question(digest).err();
        assert_eq!(other, refused("ES384 keys do not sign digests by sha-256"));
        let none = all.signing(spec(Algorithm::Ed25519)).unwrap().question(digest).err();
        assert_eq!(none, refused("Ed25519 keys do not sign digests by sha-256"));
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
