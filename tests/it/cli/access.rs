//! `jwksd access explain`: yes or no, and which line decides.

use serde_json::Value;

use super::{code, jwksd, stdout};

const GRANTS: &str = r#"
[[grants]]
caller = { uid = 1001 }
allow = ["sign", "sign_raw"]
issuer = "main"
[grants.claims]
aud = "shop"
max_ttl = "5m"
forbid = "admin"

[[grants]]
caller = { uid = 1001 }
allow = ["sign"]
ring = "es256"
issuer = "main"
[grants.claims]
aud = "api"

[[grants]]
caller = { spiffe = "spiffe://td/ops/*" }
allow = ["admin"]

[[grants]]
caller = { issuer = "k8s", sub = "system:serviceaccount:prod:*" }
allow = ["sign"]
"#;

const REST: &str = r#"installation = "prod-eu"
allow_software_keys = true
data.dir = "/var/lib/jwksd"
[listen]
public = { address = "127.0.0.1:8080" }
signing = { address = "unix:/run/jwksd/sign.sock" }
admin = { address = "unix:/run/jwksd/admin.sock" }
[backends.soft]
kind = "software"
sealing_key = { file = "/etc/jwksd/sealing.key" }
[issuers.main]
url = "https://id.example.com"
[issuers.main.rings.es256]
algorithm = "ES256"
backend = "soft"
[trusted_issuers.k8s]
url = "https://k"
audience = "jwksd"
jwks_file = "/j"
"#;

/// The verdict, the line of the configuration that decides, and the rule.
fn explained(arguments: &[&str]) -> (bool, String, Value) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwksd.toml");
    let text = format!("{REST}{GRANTS}");
    std::fs::write(&path, &text).unwrap();
    let output =
        jwksd(&["access", "explain", "--json", "-c", path.to_str().unwrap()]).args(arguments).output().unwrap();
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{output:?}"));
    let allowed = answer["allowed"].as_bool().unwrap();
    assert_eq!(code(&output), i32::from(!allowed));
    let line = answer["line"].as_u64().map_or(String::new(), |line| {
        let from = usize::try_from(line).unwrap();
        text.lines().skip(from - 1).nth(1).unwrap().to_owned() + text.lines().nth(from + 1).unwrap()
    });
    (allowed, line, answer["rule"].clone())
}

#[test]
fn the_line_that_decides_is_named() {
    let first = "caller = { uid = 1001 }allow = [\"sign\", \"sign_raw\"]";
    let second = "caller = { uid = 1001 }allow = [\"sign\"]";
    let at = ["--issuer", "main", "--ring", "es256"];
    let raw = r#"{"iss":"https://id.example.com","exp":99999999999,"aud":"shop"}"#;
    for (who, rest, allowed, line, rule) in [
        ("uid:1001", vec![], true, first, None),
        ("uid:1001", vec!["--claims", r#"{"aud":"shop"}"#], true, first, None),
        ("uid:1001", vec!["--claims", r#"{"aud":"shop"}"#, "--ttl", "6m"], false, first, None),
        ("uid:1001", vec!["--claims", r#"{"aud":"api"}"#, "--ttl", "6m"], true, second, None),
        ("uid:1001", vec!["--claims", r#"{"aud":"other"}"#], false, first, Some("claims.aud")),
        ("uid:1001", vec!["--claims", r#"{"aud":"shop","ADMIN":1}"#], false, first, Some("claims.forbid")),
        ("uid:1001", vec!["--claims", r#"{"aud":"shop","iss":"x"}"#], false, first, None),
        ("uid:1001", vec!["--operation", "sign_raw", "--claims", raw], false, first, None),
        ("uid:1001", vec!["--operation", "rotate"], false, "", None),
        ("uid:1002", vec![], false, "", None),
        (
            "spiffe://td/ops/a",
            vec!["--operation", "rotate"],
            true,
            "caller = { spiffe = \"spiffe://td/ops/*\" }allow = [\"admin\"]",
            None,
        ),
        ("spiffe://td/ops", vec!["--operation", "rotate"], false, "", None),
        (
            "jwt:k8s:system:serviceaccount:prod:idp",
            vec![],
            true,
            "caller = { issuer = \"k8s\", sub = \"system:serviceaccount:prod:*\" }allow = [\"sign\"]",
            None,
        ),
        ("jwt:other:system:serviceaccount:prod:idp", vec![], false, "", None),
        ("loopback", vec![], false, "", None),
    ] {
        let arguments: Vec<&str> = ["--as", who].into_iter().chain(at).chain(rest).collect();
        let (is_allowed, decided, named) = explained(&arguments);
        assert_eq!((is_allowed, decided.as_str(), named.as_str()), (allowed, line, rule), "{arguments:?}");
    }
}

#[test]
fn a_ring_that_signs_something_else_is_a_no_whatever_a_grant_says() {
    let grant = |allow: &str| {
        format!("[[grants]]\ncaller = {{ uid = 1 }}\nallow = [\"{allow}\"]\nissuer = \"main\"\nring = \"es256\"\n")
    };
    let ring = "algorithm = \"ES256\"\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwksd.toml");
    for (setting, operation, allowed) in [
        ("", "sign_raw", true),
        ("raw_signatures = false\n", "sign_raw", false),
        ("raw_signatures = false\n", "sign", true),
        ("digests = true\n", "sign", false),
        ("digests = true\n", "sign_raw", false),
        ("digests = true\n", "sign_digest", true),
    ] {
        let text = REST.replace(ring, &format!("{ring}{setting}")) + &grant(operation);
        std::fs::write(&path, text).unwrap();
        let explain = |more: &[&str]| {
            let arguments = ["access", "explain", "-c", path.to_str().unwrap(), "--as", "uid:1", "--issuer", "main"];
            let output = jwksd(&arguments).args(["--ring", "es256", "--operation", operation]).args(more).output();
            output.unwrap()
        };
        let output = explain(&[]);
        assert_eq!(code(&output), i32::from(!allowed), "{setting}{operation}: {output:?}");
        assert_eq!(stdout(&output).contains("a grant allows this, but the ring signs"), !allowed, "{output:?}");
        if operation == "sign_digest" {
            assert_eq!(code(&explain(&["--claims", "{}"])), 2);
        }
    }
}
