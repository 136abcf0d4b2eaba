use proptest::prelude::*;

use super::*;

const KID: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

fn input(header: &str, payload: &str) -> String {
    format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(payload.as_bytes()))
}

fn code(text: &str) -> &'static str {
    SigningInput::parse(text, &Limits::DEFAULT).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn a_header_has_one_form_and_is_read_back_the_same() {
    let kid = Kid::new(KID).unwrap();
    let typ: Typ = "at+jwt".parse().unwrap();
    for alg in Algorithm::ALL {
        for typ in [None, Some(&typ)] {
            let header = encode_header(alg, &kid, typ);
            let json = String::from_utf8(base64url::decode(&header).unwrap()).unwrap();
            let typ_json = typ.map(|typ| format!(r#","typ":"{typ}""#)).unwrap_or_default();
            assert_eq!(json, format!(r#"{{"alg":"{alg}","kid":"{KID}"{typ_json}}}"#));
            let text = format!("{header}.e30");
            let parsed = SigningInput::parse(&text, &Limits::DEFAULT).unwrap();
            assert_eq!((parsed.alg(), parsed.kid(), parsed.typ()), (alg, &kid, typ));
            assert_eq!((parsed.payload(), parsed.text()), ("{}", &*text));
        }
    }
    // The longest header of ours is within what we read.
    let (kid, typ) = (Kid::new(&"k".repeat(1024)).unwrap(), "t".repeat(64).parse().unwrap());
    assert_eq!(code(&format!("{}.e30", encode_header(Algorithm::Ed25519, &kid, Some(&typ)))), "ok");
}

#[test]
fn a_token_is_a_signing_input_and_a_signature() {
    let mut token = format!("{}.{}", encode_header(Algorithm::Es256, &Kid::new(KID).unwrap(), None), "eyJhIjoxfQ");
    let signing_input = token.clone();
    append_signature(&mut token, &[0xfb, 0xff, 0x00]);
    assert_eq!(token, format!("{signing_input}.-_8A"));
    let compact = Compact::parse(&token, &Limits::DEFAULT).unwrap();
    assert_eq!((compact.signing_input(), compact.signature()), (&*signing_input, &[0xfb, 0xff, 0x00][..]));
    assert_eq!((compact.payload(), compact.kid().map(Kid::as_str)), (r#"{"a":1}"#, Some(KID)));
    let nameless = format!("{}.", input(r#"{"typ":"JWT","alg":"ES256"}"#, "{}"));
    let compact = Compact::parse(&nameless, &Limits::DEFAULT).unwrap();
    assert_eq!((compact.kid(), compact.typ().map(Typ::as_str), compact.signature()), (None, Some("JWT"), &[][..]));

    for (text, code) in [
        (signing_input.clone(), "jws_segments"),
        (format!("{token}.e30"), "jws_segments"),
        (format!("{token}.e30.e30"), "jws_segments"),
        (format!("{token}="), "signature_not_base64url"),
        (format!("{signing_input}.-_8B"), "ok"),
        (format!("{signing_input}.-_9"), "signature_not_base64url"),
        (format!("{signing_input}.{}", "A".repeat(1368)), "signature_not_base64url"),
        (r#"{"payload":"e30","signatures":[]}"#.to_owned(), "jws_segments"),
    ] {
        let found = Compact::parse(&text, &Limits::DEFAULT).map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(found, code, "{text}");
    }
}

#[test]
fn a_header_holds_alg_kid_and_typ_and_nothing_else() {
    for name in
        ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "cty", "zip", "enc", "nonce", "iss", "x y", ""]
    {
        for value in ["\"x\"", "true", r#"{"kty":"EC"}"#, "[\"b64\"]", "null"] {
            let text = input(&format!(r#"{{"alg":"ES256","kid":"a","{name}":{value}}}"#), "{}");
            let error = SigningInput::parse(&text, &Limits::DEFAULT).unwrap_err();
            assert_eq!(error, JwsError::HeaderMemberNotAllowed(shown(name).into_owned()));
            assert_eq!(Compact::parse(&format!("{text}.AA"), &Limits::DEFAULT), Err(error));
        }
    }
    let error = JwsError::HeaderMemberNotAllowed("jwk".to_owned());
    assert_eq!(error.to_string(), "header member jwk is not allowed; only alg, kid and typ are");
}

#[test]
fn whatever_two_readers_could_understand_differently_is_refused() {
    let payload = r#"{"sub":"a"}"#;
    for (header, code_expected) in [
        (r#"{"alg":"ES256","kid":"a"}"#, "ok"),
        (r#" { "typ" : "JWT" , "kid" : "a" , "alg" : "ES256" } "#, "ok"),
        (r#"{"\u0061lg":"ES256","kid":"\u0061"}"#, "ok"),
        (r#"{"alg":"ES256","kid":"a","alg":"ES256"}"#, "header_duplicate_member"),
        (r#"{"alg":"ES256","kid":"a","\u0061lg":"none"}"#, "header_duplicate_member"),
        (r#"{"alg":"ES256","kid":"a","KID":"b"}"#, "header_case_variant_member"),
        (r#"{"alg":"ES256","kid":"a","Kid":"b"}"#, "header_case_variant_member"),
        ("{\"alg\":\"ES256\",\"kid\":\"a\",\"\u{212a}id\":\"b\"}", "header_case_variant_member"),
        (r#"{"Alg":"ES256","kid":"a"}"#, "header_member_not_allowed"),
        (r#"{"alg":"ES256","kid":"a","TYP":"JWT"}"#, "header_member_not_allowed"),
        (r#"{"alg":"ES256","kid":"a","jwk":{"x":1,"x":2}}"#, "header_duplicate_member"),
        (r#"{"kid":"a"}"#, "header_member_missing"),
        (r#"{"alg":"ES256"}"#, "header_member_missing"),
        ("{}", "header_member_missing"),
        (r#"{"alg":["ES256"],"kid":"a"}"#, "header_member_not_string"),
        (r#"{"alg":null,"kid":"a"}"#, "header_member_not_string"),
        (r#"{"alg":"ES256","kid":1}"#, "header_member_not_string"),
        (r#"{"alg":"ES256","kid":"a","typ":null}"#, "header_member_not_string"),
        (r#"{"alg":"ES256","kid":""}"#, "header_kid_malformed"),
        (r#"{"alg":"ES256","kid":"a b"}"#, "header_kid_malformed"),
        (r#"{"alg":"ES256","kid":"a\u0000"}"#, "header_kid_malformed"),
        (r#"{"alg":"ES256","kid":"a","typ":""}"#, "header_typ_malformed"),
        (r#"{"alg":"ES256","kid":"a","typ":"at jwt"}"#, "header_typ_malformed"),
        (r#"[{"alg":"ES256","kid":"a"}]"#, "header_not_object"),
        (r#""ES256""#, "header_not_object"),
        (r#"{"alg":"ES256","kid":"a"}{}"#, "header_not_strict_json"),
        ("\u{feff}{\"alg\":\"ES256\",\"kid\":\"a\"}", "header_not_strict_json"),
        ("", "header_not_strict_json"),
    ] {
        assert_eq!(code(&input(header, payload)), code_expected, "{header}");
    }
}

#[test]
fn none_macs_and_strangers_are_no_algorithms() {
    for alg in [
        "none",
        "None",
        "nOnE",
        "",
        "HS256",
        "HS384",
        "HS512",
        "es256",
        "ES256 ",
        "ES256K",
        "Ed448",
        "RSA-OAEP",
        "dir",
        "ML-DSA-44",
    ] {
        let text = input(&format!(r#"{{"alg":"{alg}","kid":"a"}}"#), "{}");
        assert_eq!(code(&text), "header_algorithm_not_allowed", "{alg}");
        let token = format!("{text}.");
        let error = Compact::parse(&token, &Limits::DEFAULT).unwrap_err();
        assert_eq!(error.code(), "header_algorithm_not_allowed", "{alg}");
    }
}

#[test]
fn a_signing_input_is_two_segments_of_canonical_base64url() {
    let header = encode_header(Algorithm::Es256, &Kid::new("a").unwrap(), None);
    let good = format!("{header}.e30");
    assert_eq!(code(&good), "ok");
    for (text, expected) in [
        (String::new(), "jws_segments"),
        (header.clone(), "jws_segments"),
        (format!("{good}."), "jws_segments"),
        (format!("{good}.AA"), "jws_segments"),
        (".".to_owned(), "header_not_strict_json"),
        (format!("{header}."), "payload_not_strict_json"),
        (format!(".{header}"), "header_not_strict_json"),
        (format!("{header}=.e30"), "header_not_base64url"),
        (format!(" {good}"), "header_not_base64url"),
        (format!("{good}\n"), "payload_not_base64url"),
        (format!("{header}.e31"), "payload_not_base64url"),
        (format!("{header}.e30="), "payload_not_base64url"),
        (format!("{header}.e3"), "payload_not_base64url"),
        (format!("{header}.e30+"), "payload_not_base64url"),
        (format!("{header}.e?0"), "payload_not_base64url"),
        (format!("{header}._w"), "payload_not_base64url"),
        ("_w.e30".to_owned(), "header_not_base64url"),
        (format!("{}.e30", "A".repeat(2732)), "header_too_long"),
    ] {
        assert_eq!(code(&text), expected, "{text}");
    }
}

#[test]
fn a_payload_is_a_strict_object_within_the_limits() {
    let header = r#"{"alg":"ES256","kid":"a"}"#;
    for (payload, expected) in [
        ("{}", "ok"),
        (r#"{"exp":1e300,"act":{"sub":"x"}}"#, "ok"),
        (r#"{"exp":1e400,"act":{"sub":"x"}}"#, "payload_not_strict_json"),
        ("[]", "payload_not_object"),
        ("\"Payload\"", "payload_not_object"),
        ("Payload", "payload_not_strict_json"),
        ("", "payload_not_strict_json"),
        ("{} {}", "payload_not_strict_json"),
        (r#"{"sub":"a","sub":"b"}"#, "payload_duplicate_member"),
        (r#"{"act":{"sub":"a","sub":"b"}}"#, "payload_duplicate_member"),
        (r#"{"sub":"a","Sub":"b"}"#, "payload_case_variant_member"),
        ("{\"sub\":\"a\",\"\u{17f}ub\":\"b\"}", "payload_case_variant_member"),
        (r#"{"sub":"\ud800"}"#, "payload_not_strict_json"),
    ] {
        assert_eq!(code(&input(header, payload)), expected, "{payload}");
    }
    let limits = Limits { bytes: 20, depth: 2, members: 2 };
    for (payload, expected) in [
        (r#"{"a":[1],"b":"1234"}"#, "ok"),
        (r#"{"a":[1],"b":"12345"}"#, "payload_too_long"),
        (r#"{"a":[[1]]}"#, "payload_too_deep"),
        (r#"{"a":1,"b":2,"c":3}"#, "payload_too_many_members"),
    ] {
        let found = SigningInput::parse(&input(header, payload), &limits).map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(found, expected, "{payload}");
    }
}

#[test]
fn nothing_of_a_payload_is_shown() {
    let text = input(r#"{"alg":"ES256","kid":"a"}"#, r#"{"sub":"secret"}"#);
    let token = format!("{text}.c2VjcmV0");
    let shown =
        format!("{:?} {:?}", SigningInput::parse(&text, &Limits::DEFAULT), Compact::parse(&token, &Limits::DEFAULT));
    for secret in ["secret", "c2VjcmV0", text.split_once('.').unwrap().1] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_typ_has_a_narrow_alphabet() {
    for good in ["JWT", "at+jwt", "application/at+jwt", "jwk-set+jwt", "a_b.c", &"t".repeat(64)] {
        assert_eq!(good.parse::<Typ>().map(|typ| typ.to_string()).as_deref(), Ok(good));
    }
    for bad in ["", "a b", "a\"", "é", "a\n", "a;b", &"t".repeat(65)] {
        assert_eq!(bad.parse::<Typ>(), Err(TypError), "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_token_that_is_written_is_read_back_the_same(
        alg in prop::sample::select(Algorithm::ALL.to_vec()), kid in "[!#-\\[\\]-~]{1,60}",
        typ in prop::option::of("[A-Za-z0-9.+/_-]{1,64}"), sub in any::<String>(), signature in any::<Vec<u8>>(),
    ) {
        let kid = Kid::new(&kid).unwrap();
        let typ: Option<Typ> = typ.map(|typ| typ.parse().unwrap());
        let payload = format!(r#"{{"sub":{}}}"#, serde_json::to_string(&sub).unwrap());
        let signing_input = format!("{}.{}", encode_header(alg, &kid, typ.as_ref()), base64url::encode(payload.as_bytes()));
        let mut token = signing_input.clone();
        append_signature(&mut token, &signature);

        let parsed = SigningInput::parse(&signing_input, &Limits::DEFAULT).unwrap();
        prop_assert_eq!((parsed.alg(), parsed.kid(), parsed.typ()), (alg, &kid, typ.as_ref()));
        prop_assert_eq!(parsed.payload(), &payload);
        let compact = Compact::parse(&token, &Limits::DEFAULT).unwrap();
        prop_assert_eq!((compact.alg(), compact.kid(), compact.typ()), (alg, Some(&kid), typ.as_ref()));
        prop_assert_eq!((compact.signing_input(), compact.payload()), (&*signing_input, &*payload));
        prop_assert_eq!(compact.signature(), &signature);
        let claims = Object::parse(compact.payload(), &Limits::DEFAULT).unwrap();
        prop_assert_eq!(claims.get_str("sub"), Ok(Some(sub)));
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in any::<String>(), header in any::<String>(), payload in any::<String>()) {
        let _ = Compact::parse(&text, &Limits::DEFAULT);
        let _ = SigningInput::parse(&text, &Limits::DEFAULT);
        let _ = SigningInput::parse(&input(&header, &payload), &Limits::DEFAULT);
    }
}
