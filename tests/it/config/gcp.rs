//! Backends in Google Cloud KMS, as the file says them.

use std::path::Path;

use jwksd::config::{BackendKind, Config, GcpCredentials, GcpKms, KeyRingName, Protection, SelfVerify, gcp_has};
use jwksd::jose::alg::{Algorithm, KeySpec, RsaBits};
use jwksd::lifecycle::time::Span;

use super::cases::{GOOD, KEY_RING, SEALING};
use super::{parse, refusal};

/// [`GOOD`] with its keys in Google Cloud, and `more` keys said of that.
fn text(more: &str) -> String {
    GOOD.replacen("kind = \"software\"", KEY_RING, 1).replacen(SEALING, more, 1)
}

fn key_ring(config: &Config, name: &str) -> GcpKms {
    match &config.backends[name].kind {
        BackendKind::GcpKms(key_ring) => (**key_ring).clone(),
        other => panic!("{other:?}"),
    }
}

fn default(protection: Protection) -> GcpKms {
    let name: KeyRingName = key_ring(&parse(&text("")), "soft").key_ring;
    GcpKms::new(name, protection)
}

#[test]
fn the_configuration_of_a_key_ring_holds_no_doubts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gcp-kms.toml");
    let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.warnings, []);
    let kms = key_ring(&config, "kms");
    assert_eq!(kms, GcpKms::new(kms.key_ring.clone(), Protection::Hsm));
    assert!(config.issuers["main"].rings.values().all(|ring| ring.self_verify == SelfVerify::Always));
}

#[test]
fn everything_that_can_be_said_of_a_key_ring_is_kept() {
    let more = "protection = \"software\"\ncreate_key_ring = true\ndeletion_window = \"2d\"\nsign_rate = 7\nwrite_rate = 3\n\
                credentials = \"anonymous\"\nendpoint = \"http://127.0.0.1:9\"";
    let expected = GcpKms {
        create_key_ring: true,
        deletion_window: Span::from_days(2),
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        credentials: GcpCredentials::Anonymous,
        sign_rate: 7,
        write_rate: 3,
        ..default(Protection::Software)
    };
    assert_eq!(key_ring(&parse(&text(more)), "soft"), expected);
    assert_eq!(key_ring(&parse(&text("protection = \"software\"")), "soft"), default(Protection::Software));
    assert_eq!((default(Protection::Hsm).sign_rate, default(Protection::Software).sign_rate), (50, 1_000));
}

#[test]
fn the_example_shows_the_defaults_of_a_key_ring() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.toml");
    let example = std::fs::read_to_string(path).unwrap();
    let (_, section) = example.split_once("#     [backends.google]\n#     kind = \"gcp-kms\"\n").unwrap();
    let section: Vec<&str> = section.lines().take_while(|line| line.starts_with('#')).collect();
    let keys = section.iter().map(|line| line.trim_start_matches(['#', ' '])).filter(|line| line.contains(" = "));
    let said = keys.filter(|line| !line.starts_with("key_ring") && !line.starts_with("endpoint"));
    let said: Vec<&str> = said.collect();
    assert_eq!(said.len(), 6, "{said:?}");
    assert_eq!(key_ring(&parse(&text(&said.join("\n"))), "soft"), default(Protection::Hsm));
    assert!(section.iter().any(|line| line.contains("endpoint = ")));
}

#[test]
fn algorithms_without_keys_at_google_are_refused_before_the_start() {
    let sizes = [None, Some(RsaBits::B2048), Some(RsaBits::B3072), Some(RsaBits::B4096)];
    let all = Algorithm::ALL.into_iter().flat_map(|alg| sizes.map(|bits| (alg, bits)));
    let specs = all.filter_map(|(alg, bits)| Some((bits, KeySpec::new(alg, bits).ok()?)));
    let mut refused = 0;
    for (bits, spec) in specs {
        let bits = bits.map_or(String::new(), |bits| format!("\nrsa_bits = {}", bits.bits()));
        let algorithm = format!("algorithm = \"{}\"{bits}", spec.algorithm());
        let said = refusal(&text("").replacen("algorithm = \"ES256\"", &algorithm, 1));
        let expected = if gcp_has(spec) { "(no fault)" } else { "which has no keys for" };
        assert!(said.contains(expected), "{spec}: {said}");
        refused += usize::from(!gcp_has(spec));
    }
    assert!(refused > 5, "{refused}");
}
