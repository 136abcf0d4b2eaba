use proptest::prelude::*;

use super::*;

fn fault(text: &str, limits: &Limits) -> (String, JsonFault) {
    let error = Object::parse(text, limits).expect_err(text);
    (error.path().to_owned(), error.fault().clone())
}

fn code(text: &str) -> &'static str {
    Object::parse(text, &Limits::DEFAULT).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn values_keep_their_exact_text_and_members_their_order() {
    let text = "\t{ \"z\" : 1.0,\r\n\"a\":12345678901234567890 ,\"big\":1e300,\"neg\":-0.0E-7,\"o\":{ \"x\" : [1, {}] },\"n\":null,\"s\":\"\\u0041\",\"e\":[]} \n";
    let object = Object::parse(text, &Limits::DEFAULT).unwrap();
    let members: Vec<_> = object.iter().collect();
    let expected = [
        ("z", "1.0"),
        ("a", "12345678901234567890"),
        ("big", "1e300"),
        ("neg", "-0.0E-7"),
        ("o", r#"{ "x" : [1, {}] }"#),
        ("n", "null"),
        ("s", r#""\u0041""#),
        ("e", "[]"),
    ];
    assert_eq!(members, expected);
    assert_eq!((object.len(), object.is_empty()), (8, false));
    assert_eq!(object.get("big"), Some("1e300"));
    assert_eq!(object.get("Z"), None);
    assert!(Object::parse("{}", &Limits::DEFAULT).unwrap().is_empty());
}

#[test]
fn strings_and_whole_numbers_are_read_as_what_they_are() {
    let text = r#"{"s":"a\n\u00e9\ud83d\ude00","i":-9223372036854775808,"m":9223372036854775807,"f":1.0,"x":1e3,"o":9223372036854775808,"n":null,"z":-0}"#;
    let object = Object::parse(text, &Limits::DEFAULT).unwrap();
    assert_eq!(object.get_str("s"), Ok(Some("a\né😀".to_owned())));
    assert_eq!(object.get_str("absent"), Ok(None));
    assert_eq!(object.get_i64("absent"), Ok(None));
    assert_eq!(object.get_i64("i"), Ok(Some(i64::MIN)));
    assert_eq!(object.get_i64("m"), Ok(Some(i64::MAX)));
    assert_eq!(object.get_i64("z"), Ok(Some(0)));
    for name in ["f", "x", "o", "n", "s"] {
        let text = format!("{name}: not a whole number of 64 bits");
        assert_eq!(object.get_i64(name).unwrap_err().to_string(), text);
    }
    for name in ["i", "n"] {
        assert_eq!(object.get_str(name).unwrap_err().to_string(), format!("{name}: not a string"));
    }
}

#[test]
fn a_member_given_twice_is_refused_at_every_depth() {
    for (text, path) in [
        (r#"{"a":1,"a":1}"#, "a"),
        (r#"{"a":1,"\u0061":2}"#, "a"),
        (r#"{"claims":{"act":{"sub":1,"x":{"sub":3},"sub":2}}}"#, "claims.act.sub"),
        (r#"{"a":[0,[{}, {"b":{"c":1,"c":2}}]]}"#, "a[1][1].b.c"),
        (r#"{"":1,"":2}"#, r#""""#),
        (r#"{"x y":{"ü":1,"ü":2}}"#, r#""x y"."ü""#),
    ] {
        assert_eq!(fault(text, &Limits::DEFAULT), (path.to_owned(), JsonFault::Duplicate), "{text}");
    }
    assert_eq!(code(r#"{"a":{"a":{"a":[{"a":1},{"a":1}]}},"b":{"a":1}}"#), "ok");
}

#[test]
fn two_names_that_differ_only_in_case_are_refused_at_every_depth() {
    for (first, second) in [
        ("sub", "Sub"),
        ("SUB", "sub"),
        ("userId", "userID"),
        ("k", "\u{212a}"), // Kelvin sign
        ("K", "\u{212a}"),
        ("sub", "\u{17f}ub"), // long s
        ("SUB", "\u{17f}ub"),
        ("å", "\u{212b}"), // Ångström sign
        ("σ", "ς"),
        ("é", "É"),
        ("µ", "μ"),
        ("straße", "STRASSE"),
        ("ß", "ẞ"),
        ("ǆ", "ǅ"),
    ] {
        for (one, other) in [(first, second), (second, first)] {
            let text = format!(r#"{{"claims":[{{"{one}":1,"x":2,"{other}":3}}]}}"#);
            let expected = JsonFault::CaseVariant(shown(one).into_owned());
            assert_eq!(fault(&text, &Limits::DEFAULT).1, expected, "{text}");
        }
    }
    assert_eq!(code(r#"{"a":1,"\u0041":2}"#), "json_case_variant_member");
    assert_eq!(code(r#"{"sub":1,"subs":1,"su":1,"ſ":1,"k":1,"é":1,"e":1}"#), "ok");
}

#[test]
fn a_large_object_is_searched_like_a_small_one() {
    for count in 2..60 {
        let plain: Vec<_> = (0..count).map(|index| format!(r#""m{index}":{index}"#)).collect();
        assert_eq!(code(&format!("{{{}}}", plain.join(","))), "ok");
        for (other, expected) in [("m1", "m1: duplicate member"), ("M1", "M1: differs only in case from member m1")] {
            let text = format!(r#"{{{},"{other}":0}}"#, plain.join(","));
            assert_eq!(Object::parse(&text, &Limits::DEFAULT).unwrap_err().to_string(), expected, "{count}");
        }
    }
}

#[test]
fn folding_joins_a_character_with_both_its_cases() {
    for c in ('\0'..=char::MAX).filter(|c| !c.is_ascii()) {
        let folded = |text: String| fold(&text).map_or(text, String::from);
        let own = folded(c.to_string());
        assert_eq!(folded(c.to_lowercase().collect()), own, "{c:?}");
        assert_eq!(folded(c.to_uppercase().collect()), own, "{c:?}");
        assert_eq!(folded(own.clone()), own, "{c:?}");
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (text, expected) in [
        ("", "expected an object at byte 0"),
        ("  ", "expected an object at byte 2"),
        ("x", "expected an object at byte 0"),
        ("[]", "not a JSON object"),
        ("\"a\"", "not a JSON object"),
        ("null", "not a JSON object"),
        ("\u{feff}{}", "begins with a byte order mark"),
        (" \u{feff}{}", "expected an object at byte 1"),
        ("{}x", "text after the object, at byte 2"),
        ("{}{}", "text after the object, at byte 2"),
        ("{}\0", "text after the object, at byte 2"),
        ("{", "expected a member name at byte 1"),
        ("{,}", "expected a member name at byte 1"),
        ("{a:1}", "expected a member name at byte 1"),
        ("{'a':1}", "expected a member name at byte 1"),
        (r#"{"a":1,}"#, "expected a member name at byte 7"),
        (r#"{"a"}"#, "expected a colon at byte 4"),
        (r#"{"a" 1}"#, "expected a colon at byte 5"),
        (r#"{"a":}"#, "a: expected a value at byte 5"),
        (r#"{"a":1 "b":2}"#, "expected a comma or the end of the object at byte 7"),
        (r#"{"a":[1,]}"#, "a[1]: expected a value at byte 8"),
        (r#"{"a":[1 2]}"#, "a: expected a comma or the end of the array at byte 8"),
        (r#"{"a":[1"#, "a: expected a comma or the end of the array at byte 7"),
        (r#"{"a":[1}"#, "a: expected a comma or the end of the array at byte 7"),
        (r#"{"a":01}"#, "expected a comma or the end of the object at byte 6"),
        (r#"{"a":+1}"#, "a: expected a value at byte 5"),
        (r#"{"a":-}"#, "a: expected a digit at byte 6"),
        (r#"{"a":1.}"#, "a: expected a digit at byte 7"),
        (r#"{"a":.5}"#, "a: expected a value at byte 5"),
        (r#"{"a":1e}"#, "a: expected a digit at byte 7"),
        (r#"{"a":1e+}"#, "a: expected a digit at byte 8"),
        (r#"{"a":NaN}"#, "a: expected a value at byte 5"),
        (r#"{"a":True}"#, "a: expected a value at byte 5"),
        (r#"{"a":nul}"#, "a: expected a value at byte 5"),
        (r#"{"a":truer}"#, "expected a comma or the end of the object at byte 9"),
        (r#"{"a":"b}"#, "a: expected the end of the string at byte 8"),
        ("{\"a\":\"b\nc\"}", "a: expected an escape instead of a control character at byte 7"),
        (r#"{"a":"\x"}"#, "a: expected an escape of JSON at byte 7"),
        (r#"{"a":"\u12g4"}"#, "a: expected u and four hexadecimal digits at byte 7"),
        (r#"{"a":"\u123"}"#, "a: expected u and four hexadecimal digits at byte 7"),
        (r#"{"a":1}/**/"#, "text after the object, at byte 7"),
        ("{\u{a0}}", "expected a member name at byte 1"),
    ] {
        let error = Object::parse(text, &Limits::DEFAULT).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_no_character() {
    for half in [r"\ud800", r"\uDFFF", r"\ud83dx", r"\ud83d\n", r"\ud83d\u0041", r"\ude00\ud83d", r"\ud83d\ud83d"] {
        assert_eq!(code(&format!(r#"{{"a":["{half}"]}}"#)), "json_lone_surrogate", "{half}");
        assert_eq!(code(&format!(r#"{{"{half}":1}}"#)), "json_lone_surrogate", "{half}");
    }
    assert_eq!(code(r#"{"\ud83d\ude00":"\uD83D\uDE00\u0000"}"#), "ok");
    assert_eq!(code(r#"{"😀":1,"\ud83d\ude00":1}"#), "json_duplicate_member");
}

#[test]
fn the_limits_hold_to_the_last_unit() {
    let limits = Limits { bytes: 40, depth: 3, members: 4 };
    let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    assert!(Object::parse(&deep(3), &limits).is_ok());
    assert_eq!(fault(&deep(4), &limits), ("a.a.a".to_owned(), JsonFault::TooDeep(3)));
    assert!(Object::parse(r#"{"a":[[1]]}"#, &limits).is_ok());
    assert_eq!(fault(r#"{"a":[[1,[]]]}"#, &limits), ("a[0][1]".to_owned(), JsonFault::TooDeep(3)));
    assert!(Object::parse(r#"{"a":{"b":1},"c":[{"d":1}]}"#, &limits).is_ok());
    assert_eq!(code(r#"{"a":{"b":1},"c":[{"d":1,"e":1}]}"#), "ok");
    let (path, excess) = fault(r#"{"a":{"b":1},"c":[{"d":1,"e":1}]}"#, &limits);
    assert_eq!((&*path, excess), ("c[0]", JsonFault::TooManyMembers(4)));
    let long = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
    assert!(Object::parse(&long(40), &limits).is_ok());
    assert_eq!(fault(&long(41), &limits).1, JsonFault::TooLong(40));
    assert_eq!(fault("{}", &Limits { depth: 0, ..limits }).1, JsonFault::TooDeep(0));

    // Whatever a caller allows, the stack is not at his mercy.
    let boundless = Limits { bytes: usize::MAX, depth: usize::MAX, members: usize::MAX };
    assert!(Object::parse(&deep(128), &boundless).is_ok());
    assert_eq!(fault(&deep(100_000), &boundless).1, JsonFault::TooDeep(128));
}

#[test]
fn a_number_that_is_infinite_to_some_readers_is_refused() {
    let parse = |number: &str| Object::parse(&format!("{{\"a\":[{number}]}}"), &Limits::DEFAULT).map(drop);
    for good in ["1e308", "-1.7976931348623157e308", "1e-9999", "0e9999", "123456789012345678901234567890"] {
        assert_eq!(parse(good), Ok(()), "{good}");
    }
    let digits = "9".repeat(310);
    for bad in ["1e309", "-1E+309", "1.8e308", "180092e907000", &digits] {
        let error = parse(bad).unwrap_err();
        assert_eq!((error.code(), error.path()), ("json_number_range", "a[0]"), "{bad}");
    }
    let digits = format!("{}.5", "9".repeat(308));
    assert_eq!(parse(&digits), Ok(()));
}

#[test]
fn an_error_shows_names_cut_and_quoted_and_never_a_value() {
    let name = "n".repeat(10_000);
    let text = Object::parse(&format!(r#"{{"{name}":"secret","{name}":"secret"}}"#), &Limits::DEFAULT)
        .unwrap_err()
        .to_string();
    assert_eq!(text, format!("\"{}\"…: duplicate member", "n".repeat(64)));
    let error = Object::parse(r#"{"a\u001b[2J":"secret","A\u001b[2J":1}"#, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.to_string(), r#""A\u{1b}[2J": differs only in case from member "a\u{1b}[2J""#);
    assert_eq!(error.within("claims").path(), r#"claims."A\u{1b}[2J""#);
    let object = Object::parse(r#"{"sub":"secret"}"#, &Limits::DEFAULT).unwrap();
    assert_eq!(format!("{object:?}"), r#"["sub"]"#);
}

/// JSON of any shape, with names that collide often.
fn any_json() -> impl Strategy<Value = String> {
    let name =
        prop_oneof!["[abAB]{1,2}", Just(r"\u0061".to_owned()), Just("\u{212a}".to_owned()), Just("k".to_owned())];
    let number = "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?";
    let string = r#""([ -!#-\[\]-~]|\\[nrtbf/"]|\\u00[0-9a-f]{2}|é|😀){0,6}""#;
    let leaf = prop_oneof![Just("true".to_owned()), Just("false".to_owned()), Just("null".to_owned()), number, string];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let member =
            (name.clone(), inner.clone(), "[ \n]{0,1}").prop_map(|(n, v, ws)| format!("\"{n}\"{ws}:{ws}{v}{ws}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(|vs| format!("[{}]", vs.join(","))),
            proptest::collection::vec(member, 0..5).prop_map(|ms| format!("{{{}}}", ms.join(","))),
        ]
    })
}

/// What serde_json says, with our extra rules written down a second time and naively.
fn reference(text: &str) -> bool {
    fn rules(raw: &str, depth: usize) -> bool {
        struct Members(Vec<(String, Box<RawValue>)>);
        impl<'de> serde::Deserialize<'de> for Members {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = Members;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                        let mut members = Vec::new();
                        while let Some(entry) = map.next_entry()? {
                            members.push(entry);
                        }
                        Ok(Members(members))
                    }
                }
                deserializer.deserialize_map(Visitor)
            }
        }
        match raw.as_bytes().first() {
            Some(b'{') if depth < Limits::DEFAULT.depth => {
                let Ok(Members(members)) = serde_json::from_str(raw) else { return false };
                let names: std::collections::HashSet<_> =
                    members.iter().map(|(name, _)| name.to_lowercase().to_uppercase().to_lowercase()).collect();
                names.len() == members.len() && members.iter().all(|(_, value)| rules(value.get(), depth + 1))
            }
            Some(b'[') if depth < Limits::DEFAULT.depth => {
                elements(raw).is_some_and(|values| values.iter().all(|value| rules(value, depth + 1)))
            }
            Some(b'{' | b'[') | None => false,
            Some(b'"') => serde_json::from_str::<String>(raw).is_ok(),
            Some(b't' | b'f' | b'n') => true,
            Some(_) => raw.parse::<f64>().is_ok_and(f64::is_finite),
        }
    }
    serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().starts_with('{') && rules(raw.get(), 0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_of_every_shape_is_taken_iff_serde_json_and_our_rules_take_it(text in any_json()) {
        for text in [format!("{{\"x\":{text}}}"), text] {
            prop_assert_eq!(Object::parse(&text, &Limits::DEFAULT).is_ok(), reference(&text), "{}", text);
        }
    }

    #[test]
    fn one_changed_character_makes_no_difference_between_the_two_readers(
        text in any_json(), at in any::<prop::sample::Index>(), c in prop_oneof![any::<char>(), "[ \\[\\]{},:\"\\\\0-9eE.+u-]".prop_map(|s| s.chars().next().unwrap_or(' '))],
    ) {
        let mut chars: Vec<char> = format!("{{\"x\":{text}}}").chars().collect();
        let place = at.index(chars.len());
        chars[place] = c;
        let text: String = chars.into_iter().collect();
        prop_assert_eq!(Object::parse(&text, &Limits::DEFAULT).is_ok(), reference(&text), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = Object::parse(&text, &Limits::DEFAULT);
        let _ = Object::parse(&format!("{{\"a\":{text}}}"), &Limits::DEFAULT);
        let _ = Object::parse(&String::from_utf8_lossy(&bytes), &Limits::DEFAULT);
    }

    #[test]
    fn members_that_are_read_can_be_written_and_read_the_same(text in any_json()) {
        if let Ok(object) = Object::parse(&text, &Limits::DEFAULT) {
            let members: Vec<_> =
                object.iter().map(|(name, raw)| format!("{}:{raw}", serde_json::to_string(name).unwrap())).collect();
            let again = format!("{{{}}}", members.join(","));
            prop_assert_eq!(&Object::parse(&again, &Limits::DEFAULT).unwrap(), &object);
        }
    }
}
