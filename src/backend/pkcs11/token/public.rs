//! The public half of a key, out of the attributes in which tokens keep it.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use cryptoki::session::Session;

use super::template::{EDWARDS25519, ec_params};
use crate::backend::pkcs11::fault::Fault;
use crate::jose::alg::Curve;
use crate::jose::jwk::PublicKey;

/// The public key that an object holds; nothing if it holds none that we know.
///
/// From the point or the modulus: CKA_PUBLIC_KEY_INFO is filled by hardly any token.
pub(super) fn read(session: &Session, object: ObjectHandle) -> Result<Option<PublicKey>, Fault> {
    let asked = [
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    let mut parts = Parts::default();
    for attribute in session.get_attributes(object, &asked)? {
        match attribute {
            Attribute::KeyType(kind) => parts.kind = Some(kind),
            Attribute::EcParams(value) => parts.params = value,
            Attribute::EcPoint(value) => parts.point = value,
            Attribute::Modulus(value) => parts.modulus = value,
            Attribute::PublicExponent(value) => parts.exponent = value,
            _ => {}
        }
    }
    Ok(parts.key())
}

#[derive(Default)]
struct Parts {
    kind: Option<KeyType>,
    params: Vec<u8>,
    point: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl Parts {
    fn key(&self) -> Option<PublicKey> {
        if self.kind == Some(KeyType::RSA) {
            return PublicKey::from_rsa(unpadded(&self.modulus), unpadded(&self.exponent)).ok();
        }
        let curves = [Curve::P256, Curve::P384, Curve::P521, Curve::Ed25519];
        let named = |curve: &Curve| ec_params(*curve) == self.params;
        let edwards = (self.params == EDWARDS25519).then_some(Curve::Ed25519);
        let curve = curves.into_iter().find(named).or(edwards)?;
        let len = curve.field_len();
        if curve == Curve::Ed25519 {
            return PublicKey::from_ed25519(bare(&self.point, len)?).ok();
        }
        let (form, coordinates) = bare(&self.point, 1 + 2 * len)?.split_first()?;
        let (x, y) = coordinates.split_at_checked(len)?;
        if *form == UNCOMPRESSED { PublicKey::from_ec(curve, x, y).ok() } else { None }
    }
}

/// The point itself, of which `len` bytes are expected.
///
/// The standard wants a DER OCTET STRING around it; some tokens leave that out. The length tells which it is.
fn bare(point: &[u8], len: usize) -> Option<&[u8]> {
    if point.len() == len {
        return Some(point);
    }
    let (tag, rest) = point.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (announced, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // Only the point of P-521 is longer than 127 bytes, and that by few.
        0x81 => rest.split_first().map(|(second, rest)| (usize::from(*second), rest))?,
        _ => return None,
    };
    (*tag == OCTET_STRING && announced == len && rest.len() == len).then_some(rest)
}

/// A number without the zeros that some tokens put in front.
fn unpadded(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

const OCTET_STRING: u8 = 4;
const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_found_with_and_without_its_wrapping() {
        for len in [32, 65, 97, 133] {
            let point: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let header = if len < 128 { vec![4, len as u8] } else { vec![4, 0x81, len as u8] };
            let wrapped = [header, point.clone()].concat();
            assert_eq!(bare(&point, len), Some(&*point));
            assert_eq!(bare(&wrapped, len), Some(&*point));
            assert_eq!(bare(&wrapped[..wrapped.len() - 1], len), None);
            assert_eq!(bare(&[&wrapped[..], b"x"].concat(), len), None);
        }
        assert_eq!(bare(&[], 32), None);
        assert_eq!(bare(&[4], 32), None);
        assert_eq!(bare(&[4, 0x81], 32), None);
    }

    #[test]
    fn an_attribute_of_another_kind_is_no_key() {
        assert_eq!(Parts::default().key(), None);
        let params = ec_params(Curve::P256).to_vec();
        assert_eq!(Parts { params, point: vec![4; 65], ..Parts::default() }.key(), None, "not on the curve");
        assert_eq!(unpadded(&[0, 0, 1, 0]), [1, 0]);
    }
}
