//! Backends in AWS KMS, as the file says them.

use std::path::Path;

use jwksd::config::{AwsCreate, AwsKms, BackendKind, Config, SelfVerify};

use super::cases::{GOOD, SEALING};
use super::{example, parse};

#[test]
fn the_configuration_of_aws_kms_holds_no_doubts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/aws-kms.toml");
    let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.warnings, []);
    let BackendKind::AwsKms(aws) = &config.backends["kms"].kind else { panic!("not in AWS KMS") };
    let region = Some("eu-west-1".to_owned());
    assert_eq!(**aws, AwsKms { region, sign_rate: 500, ..AwsKms::default() });
    assert!(config.issuers["main"].rings.values().all(|ring| ring.self_verify == SelfVerify::Always));
}

#[test]
fn everything_that_can_be_said_of_aws_kms_is_kept() {
    let (text, _) = example();
    let (_, section) = text.split_once("#     [backends.kms]\n").unwrap();
    let (section, _) = section.split_once("\n\n").unwrap();
    let lines = section.lines().map(|line| line.trim_start_matches(['#', ' ']));
    let said: Vec<&str> = lines.filter(|line| line.starts_with('[') || line.contains(" = ")).collect();
    let said = said.join("\n").replace("[backends.kms.create]", "[backends.soft.create]");
    let config = parse(&GOOD.replacen("kind = \"software\"", &said, 1).replacen(SEALING, "", 1));
    let BackendKind::AwsKms(aws) = &config.backends["soft"].kind else { panic!("not in AWS KMS") };
    let text = |text: &str| Some(text.to_owned());
    let expected = AwsKms {
        region: text("eu-west-1"),
        profile: text("jwksd"),
        endpoint: text("https://vpce-1-kms.eu-west-1.vpce.amazonaws.com"),
        tagging_endpoint: text("https://vpce-2-tagging.eu-west-1.vpce.amazonaws.com"),
        create: AwsCreate {
            policy: Some("/etc/jwksd/key-policy.json".into()),
            description: text("tokens of id.example.com"),
            multi_region: false,
            tags: vec![("cost-centre".to_owned(), "42".to_owned())],
            alias_prefix: text("jwksd/"),
        },
        ..AwsKms::default()
    };
    assert_eq!(**aws, expected);
}
