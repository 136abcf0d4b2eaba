//! What keys are asked to be.

use cryptoki::object::Attribute;
use cryptoki::types::Ulong;

use super::locator::KeyId;
use crate::ids::Label;
use crate::jose::alg::{Curve, KeySpec};

/// The private half: stays in the token, and does nothing but sign.
pub(super) fn private(id: KeyId, label: &Label) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        // Some tokens allow all that they could do unless they are told.
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Id(id.bytes()),
        Attribute::Label(label.to_string().into_bytes()),
    ]
}

/// The public half: readable without a login, so that a login can be checked by it.
///
/// It is not asked to verify, since that is done here. tpm2-pkcs11 1.9 would take CKA_VERIFY for the right to decrypt,
/// and refuse it together with a private half that must not.
pub(super) fn public(id: KeyId, label: &Label, spec: KeySpec) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Id(id.bytes()),
        Attribute::Label(label.to_string().into_bytes()),
    ];
    match spec.algorithm().curve() {
        Some(curve) => template.push(Attribute::EcParams(ec_params(curve).to_vec())),
        None => {
            let bits = spec.rsa_bits().unwrap_or_default().bits();
            let bits = Ulong::try_from(bits).expect("invariant: 4096 fits every CK_ULONG");
            template.push(Attribute::ModulusBits(bits));
            template.push(Attribute::PublicExponent(vec![1, 0, 1]));
        }
    }
    template
}

/// The DER of the curve's object identifier (RFC 5480, section 2.1.1.1; RFC 8410, section 3).
pub(super) fn ec_params(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        Curve::P384 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
        Curve::P521 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23],
        Curve::Ed25519 => &[0x06, 0x03, 0x2b, 0x65, 0x70],
    }
}

/// The other name of Ed25519 that PKCS#11 3.0 knows, a PrintableString.
pub(super) const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";
