//! No text makes the reader of configurations panic, and every fault has words.
#![no_main]

use jwksd::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(errors) = Config::parse(text, "fuzz.toml") {
        assert!(!errors.to_string().is_empty());
    }
});
