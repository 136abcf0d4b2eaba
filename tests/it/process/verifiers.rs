//! Tokens of the running daemon, given to the libraries that services really use, across rotations and a
//! compromise.

mod ledger;
mod library;

use std::collections::{BTreeMap, BTreeSet};
#[cfg(feature = "pkcs11")]
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use jwksd::server::api::{CompromiseReport, Issuer, Token};
use serde_json::json;

#[cfg(feature = "aws")]
use crate::support::aws::{CREDENTIALS, Emulator, Proxy};
#[cfg(feature = "gcp")]
use crate::support::cloud_kms::CloudKms;
use crate::support::daemon::{Installation, Layout, PATIENCE, free_port, monotonic, now, pause, until};
#[cfg(feature = "pkcs11")]
use crate::support::shimmed::Shimmed;
#[cfg(feature = "pkcs11")]
use crate::support::tokens::{LABEL, PIN};
use ledger::{Compromise, Ledger};
use library::{Library, Running};

/// The rings, each named by its algorithm in lower case.
const ALGORITHMS: &[&str] = &["ES256", "ES384", "ES512", "RS256", "PS256", "Ed25519", "EdDSA"];

/// The ring whose signer is compromised: every library knows its algorithm.
const LEAKED: &str = "ES256";

const MAX_AGE: u64 = 1;
const TOKEN_LIFETIME: u64 = 12;
const ACTIVE_PERIOD: u64 = 11;

/// Tokens per second, at least, over all rings.
const RATE: f64 = 50.0;

/// Before its end a token is shown once more, with so many seconds left.
const LATE: i64 = 3;

const JOSE: Library = Library { name: "jose", service: "jose", cache: 1, phase: 0, algorithms: ALGORITHMS };
/// Declared like the other, but it will keep a set for the whole test.
const STALE: Library = Library { name: "stale", ..JOSE };
/// It knows the older name of Ed25519 alone.
const PYJWT: Library = Library {
    name: "pyjwt",
    service: "pyjwt",
    cache: 2,
    algorithms: &["ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"],
    ..JOSE
};
const JWCRYPTO: Library = Library { name: "jwcrypto", service: "jwcrypto", cache: 2, ..JOSE };
const JSONWEBTOKEN: Library = Library {
    name: "jsonwebtoken",
    service: "jsonwebtoken",
    cache: 3,
    algorithms: &["ES256", "ES384", "RS256", "PS256", "EdDSA"],
    ..JOSE
};
const DECLARED: [Library; 4] = [JOSE, PYJWT, JWCRYPTO, JSONWEBTOKEN];

/// The longest cache decides on the propagation, so a set that is short by a second must meet one that was
/// fetched in just that second: services that fetch in turn, each a second after the one before.
const IN_TURN: [Library; 3] = [
    Library { name: "jsonwebtoken 1 s later", phase: 1, ..JSONWEBTOKEN },
    Library { name: "jsonwebtoken 2 s later", phase: 2, ..JSONWEBTOKEN },
    Library { name: "jsonwebtoken 3 s later", phase: 3, ..JSONWEBTOKEN },
];

#[test]
fn no_library_rejects_a_valid_token_and_each_drops_a_leaked_key_when_announced() {
    across_rotations_and_a_compromise(ALGORITHMS, "soft", Layout::default());
}

/// The same with keys that live in a token, and signatures that its module makes.
#[cfg(feature = "pkcs11")]
#[test]
fn no_library_rejects_a_token_that_was_signed_in_a_token() {
    let shimmed = Shimmed::new();
    let pin = shimmed.token.dir.path().join("user-pin");
    std::fs::write(&pin, PIN).unwrap();
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (module, args) = (shimmed.settings().module, shimmed.module_args());
    let backend = format!(
        "[backends.hsm]\nkind = \"pkcs11\"\nmodule = {module:?}\nmodule_args = \"{args}\"\ntoken = \"{LABEL}\"\n\
         pin = {{ file = {pin:?} }}\nsign_deadline = \"1s\"\n"
    );
    let layout = Layout { issuers: backend, ..Layout::default() };
    across_rotations_and_a_compromise(&["ES256", "RS256", "PS256", "Ed25519"], "hsm", layout);
}

/// The same with keys in Google Cloud, and signatures that come as DER.
#[cfg(feature = "gcp")]
#[test]
fn no_library_rejects_a_token_that_was_signed_in_google_cloud() {
    let cloud = CloudKms::start();
    let layout = Layout { issuers: super::gcp::backend(&cloud), ..Layout::default() };
    across_rotations_and_a_compromise(&["ES256", "ES384", "PS256", "Ed25519"], "kms", layout);
}

/// The same with keys in AWS, as an emulator that others wrote makes and uses them.
#[cfg(feature = "aws")]
#[test]
fn no_library_rejects_a_token_that_was_signed_in_aws() {
    let emulator = Emulator::start();
    let proxy = Proxy::start(emulator.port);
    let backend = format!("{}sign_deadline = \"1s\"\n", super::aws::backend(&proxy));
    let layout = Layout { issuers: backend, env: CREDENTIALS.to_vec(), ..Layout::default() };
    across_rotations_and_a_compromise(&["ES256", "RS256", "PS256", "Ed25519"], "kms", layout);
}

/// `layout` says, instead of issuers, what backends there are besides the software one.
fn across_rotations_and_a_compromise(algorithms: &'static [&'static str], backend: &str, layout: Layout) {
    library::require_interpreters();
    let port = free_port();
    let issuers = format!("{}{}", layout.issuers, issuer(port, algorithms, backend));
    let installation = Installation::new(Layout { issuers, port: Some(port), ..layout });
    installation.init();
    let daemon = installation.start();
    let url = format!("http://127.0.0.1:{port}/main");
    // As if a proxy had kept the set for max-age before the library got it: that, too, is promised.
    let start = |library: Library| library.start(&url, library.cache + MAX_AGE);
    let verifiers: Vec<Running> = DECLARED.into_iter().chain(IN_TURN).map(start).collect();
    let stale = STALE.start(&url, 600);
    let (ledger, stale_ledger) = (Mutex::new(Ledger::default()), Mutex::new(Ledger::default()));
    let is_over = AtomicBool::new(false);
    let (mut leak, mut forgetless) = (None, None);
    let begun = monotonic();
    thread::scope(|scope| {
        let _end = End(&is_over);
        for part in 0..SIGNERS {
            let shown: Vec<&Running> = verifiers.iter().collect();
            let (installation, ledger, is_over, stale) = (&installation, &ledger, &is_over, (&stale_ledger, &stale));
            scope.spawn(move || {
                sign(installation, algorithms, part, &[(ledger, &shown), (stale.0, &[stale.1])], is_over)
            });
        }
        scope.spawn(|| show_again(&verifiers, &ledger, &is_over));
        wait_for_rotations(&installation, 2);
        // It gets the set that lists the key, and never fetches again.
        let keeping = STALE.start(&url, 600);
        let leaked = compromise(&installation, &ledger, &keeping);
        let report = &leaked.report;
        let moments = report.verifiers.iter().filter_map(|verifier| verifier.dropped_at).map(|at| at.0.as_second());
        let last = moments.max().expect("each declared verifier has a moment");
        let shown: Vec<&Running> = verifiers.iter().chain([&keeping]).collect();
        show_leaked(&shown, &ledger, &report.kid, last);
        (leak, forgetless) = (Some(leaked), Some(keeping));
        wait_for_rotations(&installation, 3);
    });
    let seconds = (monotonic() - begun).as_secs_f64();
    let leak = leak.expect("there was a compromise");
    let mut ledger = ledger.into_inner().unwrap();
    for verifier in &verifiers {
        ledger.hear(verifier);
    }
    println!("{seconds:.1} s: {}", ledger.summary());
    let rate = ledger.tokens() as f64 / seconds;
    assert!(rate >= RATE, "only {rate:.0} tokens per second: too few to find a gap");
    let mut faults = ledger.faults(&leak);
    for verifier in &verifiers {
        let name = verifier.library().name;
        let after = ledger.shown_after_drop(name, &leak);
        assert!(after >= 3, "{} was shown {after} leaked tokens after its moment: nothing was tested", name);
        let unheard = ledger.unheard(name);
        faults.extend((unheard > 0).then(|| format!("{} left {unheard} tokens without a verdict", name)));
        for algorithm in verifier.library().algorithms.iter().filter(|algorithm| algorithms.contains(algorithm)) {
            let kids = ledger.accepted_kids(name, algorithm).len();
            assert!(kids >= 3, "{} accepted {algorithm} tokens of {kids} versions only", name);
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}\n{}",
        faults.len(),
        faults[..faults.len().min(20)].join("\n"),
        daemon.stderr()
    );
    check_announcements(&leak.report);

    // The same checks must fail for verifiers that do not keep to what was declared.
    let mut stale_ledger = stale_ledger.into_inner().unwrap();
    stale_ledger.hear(&stale);
    let faults = stale_ledger.faults(&leak);
    let rejected = faults.iter().filter(|fault| fault.contains("rejected a valid token")).count();
    assert!(rejected > 10, "a library with a stale set rejected {rejected} tokens: the test can't fail\n{faults:?}");
    ledger.hear(forgetless.as_ref().expect("started with the compromise"));
    let faults = ledger.faults(&leak);
    let accepted = faults.iter().filter(|fault| fault.contains("accepted a leaked key")).count();
    assert!(accepted >= 3, "a library that never forgets accepted {accepted} tokens: the test can't fail\n{faults:?}");
    assert!(daemon.stop().success());
}

/// Threads that sign.
const SIGNERS: usize = 3;

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn issuer(port: u16, algorithms: &[&str], backend: &str) -> String {
    let verifiers = DECLARED
        .map(|library| format!("{{ name = {:?}, cache = \"{}s\" }}", format!("our-{}", library.name), library.cache));
    let rings = algorithms.iter().map(|algorithm| {
        format!(
            r#"
[issuers.main.rings.{ring}]
algorithm = "{algorithm}"
backend = "{backend}"
active_period = "{ACTIVE_PERIOD}s"
token_lifetime_max = "{TOKEN_LIFETIME}s"
drain = "2s"
"#,
            ring = algorithm.to_lowercase()
        )
    });
    format!(
        r#"
[issuers.main]
url = "http://127.0.0.1:{port}/main"
jwks_max_age = "{MAX_AGE}s"
skew = "1s"
verifiers = [{verifiers}]
max_keys = 60
max_bytes = "48KiB"
{rings}
"#,
        verifiers = verifiers.join(", "),
        rings = rings.collect::<String>()
    )
}

/// Signs with every ring in turn and shows each token at once.
fn sign(
    installation: &Installation,
    algorithms: &[&'static str],
    part: usize,
    audiences: &[(&Mutex<Ledger>, &[&Running])],
    is_over: &AtomicBool,
) {
    let mut round = part;
    while !is_over.load(Ordering::SeqCst) {
        round += 1;
        let algorithm = algorithms[round % algorithms.len()];
        let ttl = if round.is_multiple_of(2) { TOKEN_LIFETIME } else { TOKEN_LIFETIME / 2 };
        let token = token(installation, algorithm, ttl);
        for (ledger, verifiers) in audiences {
            let mut ledger = ledger.lock().unwrap();
            let id = ledger.add(algorithm, token.clone());
            verifiers.iter().for_each(|verifier| ledger.show(id, verifier));
        }
        pause(Duration::from_millis(15));
    }
}

fn token(installation: &Installation, algorithm: &str, ttl: u64) -> Token {
    let path = format!("/v1/issuers/main/rings/{}/jwt", algorithm.to_lowercase());
    let body = json!({"claims": {"sub": "alice", "aud": library::AUDIENCE}, "ttl": format!("{ttl}s")});
    let ask = || installation.signing.post(&path, &body).expect("the daemon answers");
    let answer = ask();
    // The key was compromised while it signed: the caller is told to ask again.
    if answer.status == 409 && answer.code() == "key_withdrawn" { ask().read() } else { answer.read() }
}

/// Shows tokens once more, shortly before they end.
fn show_again(verifiers: &[Running], ledger: &Mutex<Ledger>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        let mut ledger = ledger.lock().unwrap();
        for id in ledger.ending_by(now() + LATE) {
            verifiers.iter().for_each(|verifier| ledger.show(id, verifier));
        }
        drop(ledger);
        pause(Duration::from_millis(50));
    }
}

/// Waits until every ring has rotated so often.
fn wait_for_rotations(installation: &Installation, count: u64) {
    let patience = PATIENCE + Duration::from_secs(ACTIVE_PERIOD * count);
    let rotated = until(patience, || {
        let issuer: Issuer = installation.admin.get("/v1/issuers/main").ok()?.read();
        let versions: BTreeMap<String, u64> = issuer
            .rings
            .iter()
            .map(|ring| (ring.ring.clone(), ring.signer.as_ref().map_or(0, |signer| signer.version)))
            .collect();
        versions.values().all(|version| *version > count).then_some(())
    });
    assert!(rotated.is_some(), "not every ring has rotated {count} times");
}

/// Declares the signer compromised; tokens that it has just signed are shown to `keeping`.
fn compromise(installation: &Installation, ledger: &Mutex<Ledger>, keeping: &Running) -> Compromise {
    // A signer with a ready standby behind it, and some time to go before its own rotation.
    let kid = until(PATIENCE, || {
        let issuer: Issuer = installation.admin.get("/v1/issuers/main").ok()?.read();
        let ring = issuer.rings.into_iter().find(|ring| ring.ring == LEAKED.to_lowercase())?;
        let is_stable = ring.standby_ready && ring.signer.as_ref()?.rotate_at.0.as_second() > now() + 1;
        ring.signer.filter(|_| is_stable).map(|signer| signer.kid)
    });
    let kid = kid.expect("a signer with a standby");
    let leaked: Vec<Token> = (0..30).map(|_| token(installation, LEAKED, TOKEN_LIFETIME)).collect();
    assert!(leaked.iter().all(|token| token.kid == kid), "the ring rotated in between");
    for token in leaked {
        let mut ledger = ledger.lock().unwrap();
        let id = ledger.add(LEAKED, token);
        ledger.show(id, keeping);
    }
    keeping.wait_for(1);
    let asked = monotonic();
    let report: CompromiseReport = installation
        .admin
        .post("/v1/issuers/main/compromise", &json!({"kid": kid, "reason": "drill"}))
        .expect("the daemon answers")
        .read();
    assert_eq!(report.kid, kid);
    Compromise { asked, report }
}

/// Shows tokens of the leaked key again and again, until a while after the last announced moment.
fn show_leaked(verifiers: &[&Running], ledger: &Mutex<Ledger>, kid: &str, last: i64) {
    while now() < last + 2 {
        let mut ledger = ledger.lock().unwrap();
        let alive: BTreeSet<usize> = ledger.alive(kid, now() + 2).into_iter().take(3).collect();
        assert!(!alive.is_empty(), "every token of the leaked key is over: nothing is left to be rejected");
        for id in alive {
            verifiers.iter().for_each(|verifier| ledger.show(id, verifier));
        }
        drop(ledger);
        pause(Duration::from_millis(100));
    }
}

/// The announced moments are those that the declared caches come to, and no later.
fn check_announcements(report: &CompromiseReport) {
    assert!(report.signer.is_some(), "the standby took over at once");
    let declared = report.declared_at.0.as_second();
    for library in DECLARED {
        let name = format!("our-{}", library.name);
        let announced = report.verifiers.iter().find(|verifier| verifier.verifier == name).expect("declared");
        let within = announced.dropped_at.expect("a cache with an end").0.as_second() - declared;
        let least = i64::try_from(library.cache + MAX_AGE).unwrap();
        // One second since moments are cut to whole ones; and publication takes a moment.
        assert!((least + 1..=least + 3).contains(&within), "{name} drops the key after {within} s, not {least} s");
    }
}
