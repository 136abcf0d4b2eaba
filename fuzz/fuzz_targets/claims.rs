//! Whatever a caller asks for, the claims that are ours are ours, for every reader.
#![no_main]

use jwksd::access::claims::{OurClaims, compose};
use jwksd::jose::json::{Limits, Object};
use jwksd::lifecycle::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

fuzz_target!(|text: &str| {
    let Ok(callers) = Object::parse(text, &Limits::DEFAULT) else { return };
    let (iat, exp) = (Timestamp::from_second(1_800_000_000), Timestamp::from_second(1_800_000_300));
    let ours = OurClaims { iss_json: "\"https://id.example.com\"", iat, exp, jti: "j_-1" };
    let Ok(payload) = compose(ours, &callers) else { return };
    let limits = Limits { bytes: usize::MAX, members: 2_000, ..Limits::DEFAULT };
    Object::parse(&payload, &limits).expect("a payload is a strict object");
    let members: Map<String, Value> = serde_json::from_str(&payload).expect("JSON");
    assert_eq!(members.len(), callers.len() + 4);
    for (name, value) in &members {
        // As a reader does that folds case, Go's for one.
        let expected = match name.to_lowercase().as_str() {
            "iss" => Value::from("https://id.example.com"),
            "iat" => Value::from(1_800_000_000),
            "exp" => Value::from(1_800_000_300),
            "jti" => Value::from("j_-1"),
            _ => continue,
        };
        assert_eq!(*value, expected);
    }
});
