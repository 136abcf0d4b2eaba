//! Whatever the strict reader takes, another reader takes too, and finds the same members.
#![no_main]

use jwksd::jose::json::{Limits, Object};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

fuzz_target!(|text: &str| {
    let Ok(object) = Object::parse(text, &Limits::DEFAULT) else { return };
    let other: Map<String, Value> = serde_json::from_str(text).expect("what we take is JSON");
    assert_eq!(object.len(), other.len());
    for (name, raw) in object.iter() {
        let value: Value = serde_json::from_str(raw).expect("a value is JSON");
        assert_eq!(other.get(name), Some(&value));
    }
});
