//! From the signatures that a cloud gives to what JWS has.

use der::asn1::UintRef;
use der::{Decode, Header, Reader, SliceReader, Tag};

use super::fault::{Class, Fault};
use crate::backend::Signature;
use crate::jose::alg::{Algorithm, KeySpec};

/// A signature as clouds give it, in JWS form: ECDSA comes as DER, everything else as it is.
///
/// # Errors
/// [`Class::Bad`] if it is no signature of such a key: DER that is not canonical, a number that is zero or too long,
/// a wrong length.
/// # Source
/// RFC 3279, section 2.2.3 for the DER; RFC 7518, section 3.4 for r‖s of fixed width.
pub fn from_cloud(spec: KeySpec, bytes: &[u8]) -> Result<Signature, Fault> {
    let width = match spec.algorithm().curve() {
        Some(curve) if !matches!(spec.algorithm(), Algorithm::Ed25519 | Algorithm::EdDsa) => curve.field_len(),
        _ if bytes.len() == spec.signature_len() => return Ok(Signature(bytes.to_vec())),
        _ => {
            let text = format!("a signature of {} bytes, where {spec} has {}", bytes.len(), spec.signature_len());
            return Err(Fault::new(Class::Bad, text));
        }
    };
    let joined = integers(bytes).ok().and_then(|[r, s]| Some([fixed(r, width)?, fixed(s, width)?].concat()));
    let refused = || Fault::new(Class::Bad, format!("a signature that is no DER of an {spec} signature"));
    joined.map(Signature).ok_or_else(refused)
}

/// The two numbers of an `ECDSA-Sig-Value`, without leading zeros, and nothing behind them.
fn integers(bytes: &[u8]) -> der::Result<[&[u8]; 2]> {
    let mut reader = SliceReader::new(bytes)?;
    let header = Header::decode(&mut reader)?;
    header.tag().assert_eq(Tag::Sequence)?;
    let numbers = reader.read_nested(header.length(), |inner| {
        Ok::<_, der::Error>([UintRef::decode(inner)?.as_bytes(), UintRef::decode(inner)?.as_bytes()])
    })?;
    reader.finish()?;
    Ok(numbers)
}

fn fixed(number: &[u8], width: usize) -> Option<Vec<u8>> {
    let padding = width.checked_sub(number.len())?;
    let is_zero = number.iter().all(|byte| *byte == 0);
    (!is_zero).then(|| [&vec![0; padding], number].concat())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ECDSA_P521_SHA512_ASN1_SIGNING,
        ECDSA_P521_SHA512_FIXED, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    };

    use super::*;

    fn spec(algorithm: Algorithm) -> KeySpec {
        KeySpec::new(algorithm, None).unwrap()
    }

    #[test]
    fn a_der_signature_is_the_same_signature_in_fixed_width() {
        let pairs = [
            (Algorithm::Es256, &ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_FIXED),
            (Algorithm::Es512, &ECDSA_P521_SHA512_ASN1_SIGNING, &ECDSA_P521_SHA512_FIXED),
        ];
        for (algorithm, signing, verifying) in pairs {
            let key = EcdsaKeyPair::generate(signing).unwrap();
            let public = UnparsedPublicKey::new(verifying, key.public_key().as_ref());
            // One in 128 of these has a number with a leading zero byte.
            for n in 0..600_u32 {
                let der = key.sign(&SystemRandom::new(), &n.to_be_bytes()).unwrap();
                let raw = from_cloud(spec(algorithm), der.as_ref()).unwrap();
                public.verify(&n.to_be_bytes(), &raw.0).unwrap();
            }
        }
    }

    #[test]
    fn what_is_not_exactly_one_signature_is_refused() {
        let good: &[u8] = &[0x30, 6, 2, 1, 5, 2, 1, 7];
        let mut expected = [0; 64];
        (expected[31], expected[63]) = (5, 7);
        assert_eq!(from_cloud(spec(Algorithm::Es256), good), Ok(Signature(expected.to_vec())));
        let too_long = [&[0x30, 38, 2, 33][..], &[1; 33], &[2, 1, 7]].concat();
        let bad: [&[u8]; 11] = [
            b"",
            &good[..7],
            &[good, b"\0"].concat(),
            &[0x30, 6, 2, 1, 0, 2, 1, 7],
            &[0x30, 6, 2, 1, 0x85, 2, 1, 7],
            &[0x30, 7, 2, 2, 0, 5, 2, 1, 7],
            &[0x30, 0x81, 6, 2, 1, 5, 2, 1, 7],
            &[0x30, 9, 2, 1, 5, 2, 1, 7, 2, 1, 9],
            &[0x30, 3, 2, 1, 5],
            &[0x31, 6, 2, 1, 5, 2, 1, 7],
            &too_long,
        ];
        for bytes in bad {
            assert_eq!(from_cloud(spec(Algorithm::Es256), bytes).map_err(|fault| fault.class), Err(Class::Bad));
        }
        assert!(from_cloud(spec(Algorithm::Rs256), &[1; 255]).is_err());
        assert!(from_cloud(spec(Algorithm::Rs256), &[1; 256]).is_ok());
        assert!(from_cloud(spec(Algorithm::Ed25519), &[1; 64]).is_ok());
        assert!(from_cloud(spec(Algorithm::Ed25519), good).is_err());
    }
}
