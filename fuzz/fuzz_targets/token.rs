//! Which PKCS#11 token is meant: whatever is accepted fits into the token's own fields, and means one token.
//!
//! This stands in the place of PKCS#11 URIs (RFC 7512), which the configuration does not take.
#![no_main]

use jwksd::config::{BackendKind, Config, TokenChoice};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (token, args) = text.split_once('\0').unwrap_or((text, "\"x\""));
    let file = format!(
        "installation = \"it\"\n[data]\ndir = \"/var/lib/jwksd\"\n[listen]\n\
         public = {{ address = \"127.0.0.1:1\" }}\nsigning = {{ address = \"127.0.0.1:2\" }}\n\
         admin = {{ address = \"127.0.0.1:3\" }}\n[backends.hsm]\nkind = \"pkcs11\"\nmodule = \"/m.so\"\n\
         pin = {{ file = \"/pin\" }}\ntoken = {token}\nmodule_args = {args}\n"
    );
    let Ok(config) = Config::parse(&file, "fuzz.toml") else { return };
    for backend in config.backends.values() {
        let BackendKind::Pkcs11(pkcs11) = &backend.kind else { continue };
        let fits = |text: &str, longest| (1..=longest).contains(&text.len()) && !text.contains('\0') && !text.ends_with(' ');
        assert!(match &pkcs11.token {
            TokenChoice::Label(label) => fits(label, 32),
            TokenChoice::Serial(serial) => fits(serial, 16),
            TokenChoice::Slot(_) => true,
        });
        assert!(pkcs11.module_args.as_ref().is_none_or(|args| !args.is_empty() && !args.contains('\0')));
    }
});
