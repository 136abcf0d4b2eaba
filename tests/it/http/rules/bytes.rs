//! Whatever bytes arrive, what is signed is within the grant.

use jwksd::access::grant::{Grant, Operation};
use jwksd::access::rules::Rules;
use jwksd::jose::base64url;
use jwksd::lifecycle::time::Span;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::{GOOD, Way, kid, part, path, payload, rules};
use crate::http::client::Client;
use crate::http::world::{RING, START, Setup, URL, World, token_grant};

/// The rules whose bits are set: every set of rules there is.
fn subset(bits: u16) -> Rules {
    let full = rules();
    let has = |bit: u16| bits & (1 << bit) != 0;
    let list = |bit, list: Vec<String>| if has(bit) { list } else { Vec::new() };
    Rules {
        aud: full.aud.filter(|_| has(0)),
        sub: full.sub.filter(|_| has(1)),
        typ: full.typ.filter(|_| has(2)),
        max_ttl: full.max_ttl.filter(|_| has(3)).map(|ttl| if has(7) { ttl } else { Span::from_secs(60) }),
        require: list(4, full.require),
        forbid: list(5, full.forbid),
        values: if has(6) { full.values } else { Vec::new() },
        max_size: full.max_size.filter(|_| has(7)),
    }
}

/// What a grant with these bits lets its caller ask for.
fn operations(bits: u16) -> &'static [Operation] {
    match bits >> 8 {
        0 => &[Operation::Sign, Operation::SignRaw],
        1 => &[Operation::Sign],
        2 => &[Operation::SignRaw],
        _ => &[Operation::Read, Operation::Rotate],
    }
}

/// Judges a token by `rules` without any of the code that let it be signed.
fn check(token: &str, kid: &str, rules: &Rules) -> Result<(), String> {
    let header = part(token.split('.').next().unwrap());
    let claims = payload(token);
    let fail = |what: &str| Err(format!("{what}: {header} {claims}"));
    if header["alg"] != "ES256" || header["kid"] != kid || header.as_object().unwrap().len() > 3 {
        return fail("header");
    }
    if claims["iss"] != URL {
        return fail("iss");
    }
    let from = claims.get("iat").map_or(START, |iat| iat.as_i64().unwrap());
    let longest = rules.max_ttl.map_or(3_600, |ttl| ttl.as_secs().min(3_600));
    let exp = claims["exp"].as_i64().unwrap();
    if exp - from > i64::try_from(longest).unwrap() || exp - START > i64::try_from(longest).unwrap() || exp <= START {
        return fail("lifetime");
    }
    let typ = header.get("typ").and_then(Value::as_str);
    if rules.typ.as_ref().is_some_and(|all| !all.iter().any(|one| Some(one.as_str()) == typ)) {
        return fail("typ");
    }
    if let Some(granted) = &rules.aud {
        let shown: Vec<&Value> = match &claims["aud"] {
            Value::Array(all) => all.iter().collect(),
            one => vec![one],
        };
        if shown.is_empty() || shown.iter().any(|one| !granted.iter().any(|granted| *one == granted)) {
            return fail("aud");
        }
    }
    if rules.sub.is_some() {
        let sub = claims["sub"].as_str().unwrap_or_default();
        if sub != "root" && !(sub.starts_with("user:") && sub.len() > 5) {
            return fail("sub");
        }
    }
    let names = || claims.as_object().unwrap().keys();
    if rules.require.iter().any(|name| !names().any(|shown| shown == name)) {
        return fail("require");
    }
    if rules.forbid.iter().any(|name| names().any(|shown| shown.eq_ignore_ascii_case(name))) {
        return fail("forbid");
    }
    if rules.values.iter().any(|(name, value)| claims.get(name) != Some(value)) {
        return fail("values");
    }
    Ok(())
}

/// A member of claims: mostly what rules are about, and mostly well formed.
fn member() -> impl Strategy<Value = String> {
    let names =
        vec!["aud", "sub", "tenant", "client_id", "admin", "iss", "exp", "iat", "nbf", "jti", "AUD", "Admin", "x"];
    let texts = vec![
        "\"shop\"",
        "\"api\"",
        "[\"shop\",\"api\"]",
        "[\"shop\",\"x\"]",
        "\"user:a\"",
        "\"root\"",
        "\"blue\"",
        "\"red\"",
        "1",
        "1800000060",
        "1800000300",
        "1800009999",
        "null",
        "{\"aud\":\"x\"}",
        "\"https://id.example.com/tenant-a\"",
        "1e9",
        "-1",
    ];
    (select(names), select(texts)).prop_map(|(name, text)| format!("\"{name}\":{text}"))
}

/// What stands in a request: a good one with other members added, and then bytes changed anywhere.
fn request(kid: String) -> impl Strategy<Value = (Way, Vec<u8>)> {
    let way = select(vec![Way::Jwt, Way::Raw]);
    let edits =
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec((any::<u16>(), any::<u8>(), 0_u8..3), 1..4)];
    let keep = prop::collection::vec(any::<bool>(), GOOD.len());
    let typ = select(vec!["", ",\"typ\":\"at+jwt\"", ",\"typ\":\"at+jwt\"", ",\"typ\":\"JWT\"", ",\"typ\":7"]);
    let ttl = select(vec![
        "",
        ",\"ttl\":\"60s\"",
        ",\"ttl\":\"5m\"",
        ",\"ttl\":\"6m\"",
        ",\"ttl\":\"2h\"",
        ",\"ttl\":\"-1s\"",
    ]);
    let parts = (way, keep, prop::collection::vec(member(), 0..3), typ, ttl, edits);
    parts.prop_map(move |(way, keep, more, typ, ttl, edits)| {
        let good =
            GOOD.iter().zip(&keep).filter(|(_, keep)| **keep).map(|((name, text), _)| format!("\"{name}\":{text}"));
        let mut members: Vec<String> = good.chain(more).collect();
        let edited = |mut bytes: Vec<u8>| {
            for (place, byte, kind) in &edits {
                let place = usize::from(*place) % (bytes.len() + 1);
                match kind {
                    0 => bytes.insert(place, *byte),
                    1 if place < bytes.len() => bytes[place] = *byte,
                    _ if place < bytes.len() => drop(bytes.remove(place)),
                    _ => {}
                }
            }
            bytes
        };
        match way {
            Way::Raw => {
                if !members.iter().any(|member| member.starts_with("\"iss\"")) {
                    members.push(format!("\"iss\":\"{URL}\""));
                }
                if !members.iter().any(|member| member.starts_with("\"exp\"")) {
                    members.push("\"exp\":1800000200".to_owned());
                }
                let header = format!("{{\"alg\":\"ES256\",\"kid\":\"{kid}\"{typ}}}");
                let payload = edited(format!("{{{}}}", members.join(",")).into_bytes());
                let input = format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(&payload));
                (way, format!("{{\"signing_input\":\"{input}\"}}").into_bytes())
            }
            Way::Jwt | Way::Batch => {
                (way, edited(format!("{{\"claims\":{{{}}}{typ}{ttl}}}", members.join(",")).into_bytes()))
            }
        }
    })
}

#[test]
fn whatever_bytes_arrive_a_token_stays_within_its_grant() {
    let cases = if is_long() { 1_000_000 } else { 20_000 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let grants = (0..1_024)
        .map(|bits| Grant { rules: subset(bits), ..token_grant(&format!("t{bits}"), operations(bits), Some("main")) });
    let world = runtime.block_on(World::with(Setup { grants: grants.collect(), ..Setup::default() }));
    let kid = runtime.block_on(kid(&world, "t0"));
    let client = tokio::sync::Mutex::new(runtime.block_on(Client::tcp(world.signing)));
    let signed = std::cell::Cell::new(0_u32);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    // Half of the grants allow both ways.
    let grant = prop_oneof![0_u16..256, 256_u16..1_024];
    let outcome = runner.run(&(grant, request(kid.clone())), |(bits, (way, body))| {
        let (name, rules) = (format!("t{bits}"), subset(bits));
        let before = world.signatures();
        let reply = runtime.block_on(async {
            let mut client = client.lock().await;
            let head = format!(
                "POST {RING}/{} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {name}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n",
                path(way),
                body.len()
            );
            client.send(&[head.as_bytes(), &body].concat()).await;
            client.receive(false).await.expect("an answer")
        });
        if reply.status != 200 {
            prop_assert_eq!(world.signatures(), before, "denied, and signed: {}", reply.text());
            return Ok(());
        }
        signed.set(signed.get() + 1);
        let asked = if matches!(way, Way::Raw) { Operation::SignRaw } else { Operation::Sign };
        prop_assert!(operations(bits).contains(&asked), "{asked} was not granted");
        let token = match way {
            Way::Raw => {
                let wanted: Value = serde_json::from_slice(&body).unwrap();
                format!("{}.x", wanted["signing_input"].as_str().unwrap())
            }
            Way::Jwt | Way::Batch => reply.json()["token"].as_str().unwrap().to_owned(),
        };
        check(&token, &kid, &rules).map_err(TestCaseError::fail)
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(signed.get() > cases / 100, "only {} of {cases} were signed", signed.get());
}

fn is_long() -> bool {
    crate::simulation::env("JWKSD_LONG") == Some(1)
}
