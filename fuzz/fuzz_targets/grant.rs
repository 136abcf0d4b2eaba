//! Whatever a caller asks for under whatever grant: what is allowed is within the grant, as another reader reads it.
#![no_main]

use jwksd::access::claims::Bounds;
use jwksd::access::rules::{Draft, Rules};
use jwksd::jose::json::{Limits, Object};
use jwksd::jose::jws::Typ;
use jwksd::lifecycle::time::{Span, Timestamp};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

const NOW: i64 = 1_800_000_000;
const URL: &str = "https://id.example.com";
const LIFETIME: u64 = 600;

/// The rules whose bits are set.
fn rules(bits: u8) -> Rules {
    let has = |bit: u8| bits & (1 << bit) != 0;
    Rules {
        aud: has(0).then(|| vec!["shop".to_owned(), "api".to_owned()]),
        sub: has(1).then(|| vec!["user:*".parse().expect("a pattern"), "root".parse().expect("a pattern")]),
        typ: has(2).then(|| vec!["at+jwt".parse::<Typ>().expect("a type")]),
        max_ttl: has(3).then(|| Span::from_secs(60)),
        require: if has(4) { vec!["client_id".to_owned()] } else { Vec::new() },
        forbid: if has(5) { vec!["admin".to_owned()] } else { Vec::new() },
        values: if has(6) { vec![("tenant".to_owned(), Value::from("blue"))] } else { Vec::new() },
        max_size: has(7).then_some(256),
    }
}

/// Judges a payload without any of the code that has let it pass.
fn judge(rules: &Rules, payload: &str, exp: Timestamp) {
    let claims: Map<String, Value> = serde_json::from_str(payload).expect("JSON");
    assert_eq!(claims["iss"], URL);
    assert_eq!(claims["exp"], exp.as_second());
    let longest = rules.max_ttl.map_or(LIFETIME, |max| max.as_secs().min(LIFETIME)) as i64;
    let from = claims.get("iat").map_or(NOW, |iat| iat.as_i64().expect("a number"));
    let until = exp.as_second();
    assert!(until > NOW && until - NOW <= longest && i128::from(until) - i128::from(from) <= i128::from(longest));
    if let Some(granted) = &rules.aud {
        let shown = match &claims["aud"] {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        };
        assert!(!shown.is_empty() && shown.iter().all(|one| granted.iter().any(|granted| one == granted)));
    }
    if rules.sub.is_some() {
        let sub = claims["sub"].as_str().expect("a text");
        assert!(sub == "root" || sub.starts_with("user:") && sub.len() > 5);
    }
    assert!(rules.require.iter().all(|name| claims.contains_key(name)));
    assert!(!claims.keys().any(|name| rules.forbid.iter().any(|forbidden| name.to_lowercase() == *forbidden)));
    assert!(rules.values.iter().all(|(name, value)| claims.get(name) == Some(value)));
    assert!(rules.max_size.is_none_or(|most| payload.len() <= most));
}

fuzz_target!(|bytes: &[u8]| {
    let [bits, typ, ttl, ttl_high, text @ ..] = bytes else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let (rules, ttl) = (rules(*bits), u16::from_le_bytes([*ttl, *ttl_high]));
    let typ = [None, Some("at+jwt"), Some("AT+JWT"), Some("JWT")][usize::from(typ % 4)];
    let typ = typ.map(|typ| typ.parse::<Typ>().expect("a type"));
    let Ok(claims) = Object::parse(text, &Limits::DEFAULT) else { return };
    let (now, lifetime) = (Timestamp::from_second(NOW), Span::from_secs(LIFETIME));
    let is_typ_granted = rules.typ.as_ref().is_none_or(|all| typ.as_ref().is_some_and(|typ| all.contains(typ)));

    let iss_json = format!("\"{URL}\"");
    let ttl = (ttl != u16::MAX).then(|| Span::from_secs(ttl.into()));
    let draft = Draft { claims: &claims, typ: typ.as_ref(), ttl, iss_json: &iss_json, now, jti: "j_-1", lifetime };
    if let Ok((payload, exp)) = rules.draft(draft) {
        assert!(is_typ_granted);
        judge(&rules, &payload, exp);
    }

    let bounds = Bounds { iss: URL, now, lifetime, skew: Span::from_secs(60) };
    if let Ok(exp) = rules.assembled(bounds, &claims, typ.as_ref(), text.len()) {
        assert!(is_typ_granted);
        judge(&rules, text, exp);
    }
});
