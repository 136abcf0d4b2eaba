//! `jwksd backend` on a token: what works, and each thing that may be wrong, in words.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use super::{code, jwksd, stderr, stdout};
use crate::support::tokens::{PIN, SoftToken};

/// A token, and a configuration that names it.
struct Bench {
    token: SoftToken,
    config: String,
}

impl Bench {
    fn new(token: SoftToken) -> Self {
        let dir = token.dir.path();
        let pin = format!("pin = {{ file = \"{}\" }}", dir.join("user-pin").display());
        let config = [
            ("/var/lib/jwksd", &*dir.join("data").display().to_string()),
            ("/usr/lib/softhsm/libsofthsm2.so", &*token.module.display().to_string()),
            ("token = \"jwksd\"", &*format!("token = \"{}\"", token.label)),
            ("pin = { credential = \"hsm-pin\" }", &*pin),
        ];
        let template = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/pkcs11.toml")).unwrap();
        let config = config.iter().fold(template, |text, (from, to)| {
            assert!(text.contains(from), "nothing to edit: {from:?}");
            text.replacen(from, to, 1)
        });
        let bench = Self { token, config };
        bench.set_pin(PIN);
        bench
    }

    fn set_pin(&self, pin: &str) {
        let path = self.token.dir.path().join("user-pin");
        fs::write(&path, pin).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    /// `jwksd backend VERB hsm` with the configuration after `edit`.
    fn run(&self, verb: &str, (from, to): (&str, &str)) -> Output {
        let path = self.token.dir.path().join("jwksd.toml");
        assert!(self.config.contains(from), "nothing to edit: {from:?}");
        fs::write(&path, self.config.replacen(from, to, 1)).unwrap();
        jwksd(&["backend", verb, "hsm", "-c", path.to_str().unwrap()]).envs(self.token.env.clone()).output().unwrap()
    }

    /// What `backend test` complains about.
    fn complaint(&self, edit: (&str, &str)) -> String {
        let output = self.run("test", edit);
        assert_eq!((code(&output), stdout(&output).as_str()), (1, ""), "{}", stderr(&output));
        stderr(&output)
    }
}

#[test]
fn a_test_says_what_the_token_is_and_leaves_nothing_behind() {
    let bench = Bench::new(SoftToken::softhsm());
    let output = bench.run("test", SAME);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let told = stdout(&output);
    for fact in ["SoftHSM v2, firmware 2.", "serial \"", "PKCS#11 2.40", "CKM_ECDSA", "ES256: a key was made", "RS256"]
    {
        assert!(told.contains(fact), "{fact}: {told}");
    }
    assert!(!told.contains(PIN), "{told}");
    assert_eq!(bench.token.pkcs11_tool(&["--list-objects"]), "");
}

#[test]
fn a_refused_pin_is_said_once_and_waits_for_the_operator() {
    let bench = Bench::new(SoftToken::softhsm());
    bench.set_pin("000000");
    let refused = |said: &str| said.contains("the token refused the PIN (C_Login: CKR_PIN_INCORRECT)");
    let latched =
        |said: &str| refused(said) && said.contains("no further PIN is tried until the source of the PIN has changed");
    assert!(refused(&bench.complaint(SAME)));
    assert!(latched(&bench.complaint(SAME)));
    let unlock = || stdout(&bench.run("unlock", SAME));
    assert_eq!(unlock(), "hsm unlocked; the PIN will be tried again\n");
    assert_eq!(unlock(), "hsm was not locked; nothing was changed\n");
    assert!(refused(&bench.complaint(SAME)));
    // A changed file is tried without being told.
    bench.set_pin(PIN);
    assert_eq!(code(&bench.run("test", SAME)), 0);
}

#[test]
fn whatever_is_in_the_way_is_named() {
    let bench = Bench::new(SoftToken::softhsm());
    let cases = [
        (
            ("token = \"jwksd\"", "token = \"other\""),
            vec!["no token with label \"other\"", "found: \"jwksd\" (serial "],
        ),
        (
            ("token = \"jwksd\"", "token = { serial = \"none\" }"),
            vec!["no token with serial \"none\"", "found: \"jwksd\""],
        ),
        (("libsofthsm2.so", "libsofthsm9.so"), vec!["libsofthsm9.so can't be loaded", "No such file"]),
        (("user-pin", "jwksd.toml"), vec!["PIN: ", "chmod 0600"]),
        (("user-pin", "absent"), vec!["PIN: reading secret", "No such file"]),
    ];
    for (edit, words) in cases {
        let said = bench.complaint(edit);
        assert!(words.iter().all(|word| said.contains(word)) && said.lines().count() == 1, "{words:?}: {said}");
    }
}

#[test]
fn a_mechanism_that_is_lacking_is_named() {
    let bench = Bench::new(SoftToken::nss());
    let args =
        format!("kind = \"pkcs11\"\nthreads = 1\nmodule_args = \"{}\"", bench.token.module_args.clone().unwrap());
    let config = bench.config.replacen("kind = \"pkcs11\"", &args, 1);
    let bench = Bench { config, ..bench };
    assert_eq!(code(&bench.run("test", SAME)), 0);
    let said = bench.complaint(("algorithm = \"ES256\"", "algorithm = \"Ed25519\""));
    assert!(said.contains("making a key") && said.contains("CKM_EC_EDWARDS_KEY_PAIR_GEN"), "{said}");
    // A module that wants more than the standard says so in a code that nobody understands.
    let said = bench.complaint(("module_args = ", "#"));
    assert!(said.contains("CKR_ARGUMENTS_BAD") && said.contains("module_args"), "{said}");
}

const SAME: (&str, &str) = ("", "");
