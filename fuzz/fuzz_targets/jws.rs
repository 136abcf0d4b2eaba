//! Whatever is read as a token or a signing input says of itself what its bytes say.
#![no_main]

use jwksd::jose::json::{Limits, Object};
use jwksd::jose::jws::{Compact, SigningInput, encode_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(input) = SigningInput::parse(text, &Limits::DEFAULT) {
        assert_eq!(input.text(), text);
        Object::parse(input.payload(), &Limits::DEFAULT).expect("a payload is a strict object");
        // What we would write ourselves is read as the same header.
        let (_, payload) = text.split_once('.').expect("two segments");
        let ours = format!("{}.{payload}", encode_header(input.alg(), input.kid(), input.typ()));
        let again = SigningInput::parse(&ours, &Limits::DEFAULT).expect("our own header is read");
        assert_eq!((again.alg(), again.kid(), again.typ()), (input.alg(), input.kid(), input.typ()));
    }
    if let Ok(token) = Compact::parse(text, &Limits::DEFAULT) {
        assert!(text.starts_with(token.signing_input()));
        Object::parse(token.payload(), &Limits::DEFAULT).expect("a payload is a strict object");
    }
});
