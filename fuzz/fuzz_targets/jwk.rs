//! Whatever is read as a JWK or a JWK Set is written in one form, without anything private, and read back the same.
#![no_main]

use jwksd::jose::jwk::Jwk;
use jwksd::jose::jwk_set;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

fuzz_target!(|text: &str| {
    if let Ok(jwk) = Jwk::parse(text) {
        let written = jwk.to_json();
        assert_eq!(Jwk::parse(&written).as_ref(), Ok(&jwk));
        let members: Map<String, Value> = serde_json::from_str(&written).expect("JSON");
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
            assert!(!members.contains_key(private));
        }
    }
    if let Ok(keys) = jwk_set::parse(text) {
        assert_eq!(jwk_set::parse(&jwk_set::render(&keys)).as_ref(), Ok(&keys));
    }
});
