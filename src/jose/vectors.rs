//! The examples of the RFCs, letter for letter.

use aws_lc_rs::signature::Ed25519KeyPair;

use super::*;
use crate::ids::Kid;

/// RFC 7515, appendices A.2.1, A.3.1: the payload that both sign.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// RFC 7515, appendix A.2.2, the public members.
const A2_KEY: &str = concat!(
    r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4"#,
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQ",
    "OS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM",
    r#"Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
);
const A2_SIGNATURE: &str = concat!(
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr",
    "7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--x",
    "i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Ioy",
    "pGlUPQGe77Rw",
);

/// RFC 7515, appendix A.3, the public members.
const A3_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const A3_SIGNATURE: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// RFC 7515, appendix A.4, the public members.
const A4_KEY: &str = concat!(
    r#"{"kty":"EC","crv":"P-521","#,
    r#""x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","#,
    r#""y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#,
);
const A4_SIGNATURE: &str = concat!(
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJ",
    "ZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
);

/// RFC 8037, appendix A.2.
const OKP_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// RFC 8037, appendix A.4.
const OKP_INPUT: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
const OKP_SIGNATURE: &str = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

/// RFC 7517, appendix A.1, as printed but for line breaks.
const A1_SET: &str = concat!(
    r#"{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","#,
    r#""y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"},"#,
    r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"#,
    "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJ",
    "ZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1",
    r#"jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}]}"#,
);

/// The RFC's key with the members that we require and it leaves out.
fn complete(key: &str, alg: Algorithm) -> Jwk {
    let json = format!(r#"{{"kid":"example","alg":"{alg}",{}"#, key.strip_prefix('{').unwrap());
    Jwk::parse(&json).unwrap()
}

#[test]
fn the_signatures_of_rfc_7515_and_rfc_8037_verify_and_nothing_near_them_does() {
    let cases = [
        (A2_KEY, Algorithm::Rs256, format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}"), A2_SIGNATURE),
        (A3_KEY, Algorithm::Es256, format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}"), A3_SIGNATURE),
        (A4_KEY, Algorithm::Es512, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA".to_owned(), A4_SIGNATURE),
        (OKP_KEY, Algorithm::EdDsa, OKP_INPUT.to_owned(), OKP_SIGNATURE),
        (OKP_KEY, Algorithm::Ed25519, OKP_INPUT.to_owned(), OKP_SIGNATURE),
    ];
    for (key, alg, input, signature) in cases {
        let verifier = Verifier::new(&complete(key, alg));
        assert_eq!(verifier.alg(), alg);
        let signature = base64url::decode(signature).unwrap();
        let input = input.as_bytes();
        assert_eq!(verifier.verify(input, &signature), Ok(()), "{alg}");

        for at in 0..signature.len() {
            let mut other = signature.clone();
            other[at] ^= 0x40;
            assert_eq!(verifier.verify(input, &other), Err(BadSignature), "{alg}, byte {at}");
        }
        for other in [&[][..], &signature[1..], &signature[..signature.len() - 1], &[&signature[..], &[0]].concat()] {
            assert_eq!(verifier.verify(input, other), Err(BadSignature), "{alg}");
        }
        assert_eq!(verifier.verify(&input[1..], &signature), Err(BadSignature), "{alg}");
        assert_eq!(verifier.verify(&[], &signature), Err(BadSignature), "{alg}");
    }
}

#[test]
fn the_tokens_of_rfc_7515_are_read_whole() {
    let token = format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}.{A3_SIGNATURE}");
    let compact = Compact::parse(&token, &Limits::DEFAULT).unwrap();
    assert_eq!((compact.alg(), compact.kid(), compact.typ()), (Algorithm::Es256, None, None));
    let claims = Object::parse(compact.payload(), &Limits::DEFAULT).unwrap();
    assert_eq!(claims.get_str("iss"), Ok(Some("joe".to_owned())));
    assert_eq!(claims.get_i64("exp"), Ok(Some(1_300_819_380)));
    assert_eq!(claims.get("http://example.com/is_root"), Some("true"));
    let verifier = Verifier::new(&complete(A3_KEY, Algorithm::Es256));
    assert_eq!(verifier.verify(compact.signing_input().as_bytes(), compact.signature()), Ok(()));
    // Appendix A.4 signs the word "Payload", which is no claims set.
    let a4 = format!("eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.{A4_SIGNATURE}");
    assert_eq!(Compact::parse(&a4, &Limits::DEFAULT).unwrap_err().code(), "payload_not_strict_json");
}

#[test]
fn a_signature_counts_only_for_the_algorithm_of_the_key() {
    let input = format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}");
    let signature = base64url::decode(A2_SIGNATURE).unwrap();
    for alg in Algorithm::ALL.into_iter().filter(|alg| alg.is_rsa()) {
        let verdict = Verifier::new(&complete(A2_KEY, alg)).verify(input.as_bytes(), &signature);
        assert_eq!(verdict.is_ok(), alg == Algorithm::Rs256, "{alg}");
    }
}

#[test]
fn the_thumbprint_of_rfc_7638_is_ours() {
    let json = A1_SET.split_once("},").unwrap().1.strip_suffix("]}").unwrap();
    let jwk = Jwk::parse(json).unwrap();
    assert_eq!((jwk.kid().as_str(), jwk.alg()), ("2011-04-29", Algorithm::Rs256));
    assert_eq!(jwk.key().thumbprint(), Kid::new("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs").unwrap());
}

#[test]
fn the_set_of_rfc_7517_is_refused_for_its_encryption_key_and_taken_without() {
    let refused = jwk_set::parse(A1_SET).unwrap_err();
    let JwkError::InSet { index: 0, kid: Some(kid), source } = &refused else { panic!("{refused:?}") };
    assert_eq!((kid.as_str(), &**source), ("1", &JwkError::Use));
    assert_eq!(refused.to_string(), "key 0 of a JWK Set, with kid 1");

    let adapted = A1_SET.replace(r#""use":"enc""#, r#""use":"sig","alg":"ES256""#);
    let keys = jwk_set::parse(&adapted).unwrap();
    assert_eq!(keys.iter().map(Jwk::alg).collect::<Vec<_>>(), [Algorithm::Es256, Algorithm::Rs256]);
    assert_eq!(jwk_set::parse(&jwk_set::render(&keys)).as_ref(), Ok(&keys));
}

#[test]
fn the_ed25519_example_of_rfc_8037_holds_from_the_private_key_on() {
    // Appendix A.1 in base64url, and the same numbers in hexadecimal.
    let seed = base64url::decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let jwk = complete(OKP_KEY, Algorithm::EdDsa);
    let x = base64url::decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let hex: String = x.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    // Appendix A.3.
    assert_eq!(jwk.key().thumbprint().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    // Appendix A.4: Ed25519 is deterministic.
    let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &x).unwrap();
    let mut token = OKP_INPUT.to_owned();
    append_signature(&mut token, pair.sign(OKP_INPUT.as_bytes()).as_ref());
    assert_eq!(token, format!("{OKP_INPUT}.{OKP_SIGNATURE}"));
}

#[test]
fn a_verifier_may_be_shared_by_threads() {
    fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let verifier = Verifier::new(&complete(OKP_KEY, Algorithm::Ed25519));
    shared(&verifier);
    assert_eq!(format!("{verifier:?}"), "Verifier { alg: Ed25519, .. }");
}
