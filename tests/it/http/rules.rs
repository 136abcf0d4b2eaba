//! What grants let nobody have signed: a table made from the rules, and whatever bytes arrive.

mod bytes;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use jwksd::access::grant::{Grant, Operation};
use jwksd::access::rules::Rules;
use jwksd::jose::base64url;
use jwksd::lifecycle::time::Span;
use serde_json::Value;

use super::client::{Client, Reply};
use super::world::{RING, START, Setup, URL, World, token_grant};

/// A request that every rule allows, as members of the claims without the braces.
const GOOD: &[(&str, &str)] = &[("aud", "\"shop\""), ("sub", "\"user:a\""), ("tenant", "\"blue\""), ("client_id", "1")];

fn rules() -> Rules {
    Rules {
        aud: Some(vec!["shop".to_owned(), "api".to_owned()]),
        sub: Some(vec!["user:*".parse().unwrap(), "root".parse().unwrap()]),
        typ: Some(vec!["at+jwt".parse().unwrap()]),
        max_ttl: Some(Span::from_mins(5)),
        require: vec!["client_id".to_owned()],
        forbid: vec!["admin".to_owned()],
        values: vec![("tenant".to_owned(), "blue".into())],
        max_size: Some(600),
    }
}

/// Every rule by itself, and what breaks it: a claim with another text, or without one; a typ; a lifetime.
fn violations() -> Vec<(&'static str, Rules, Break)> {
    let none = Rules::default;
    let mut all = Vec::new();
    let mut add = |name: &'static str, rules: Rules, breaks: Vec<Break>| {
        all.extend(breaks.into_iter().map(|it| (name, rules.clone(), it)));
    };
    let claim = |name: &'static str, texts: &[&'static str]| -> Vec<Break> {
        texts.iter().map(|text| Break::Claim(name, name, Some(text))).chain([Break::Claim(name, name, None)]).collect()
    };
    let full = rules();
    let odd = [
        "1",
        "null",
        "{}",
        "[]",
        "[\"other\"]",
        "[\"shop\",\"other\"]",
        "\"Shop\"",
        "\"shop \"",
        "\"\"",
        "[[\"shop\"]]",
    ];
    let mut aud = claim("aud", &odd);
    aud.extend(["AUD", "Aud", "aud "].map(|name| Break::Claim("aud", name, Some("\"shop\""))));
    add("aud", Rules { aud: full.aud, ..none() }, aud);
    let odd = ["\"user:\"", "\"User:a\"", "\"xuser:a\"", "\"roots\"", "\"Root\"", "1", "null", "[\"root\"]"];
    let mut sub = claim("sub", &odd);
    sub.extend(["SUB", "\\u017fub"].map(|name| Break::Claim("sub", name, Some("\"root\""))));
    add("sub", Rules { sub: full.sub, ..none() }, sub);
    let typ = ["JWT", "AT+JWT", "at+jw", "application/at+jwt"].map(|typ| Break::Typ(Some(typ)));
    add("typ", Rules { typ: full.typ, ..none() }, typ.into_iter().chain([Break::Typ(None)]).collect());
    add("max_ttl", Rules { max_ttl: full.max_ttl, ..none() }, [301, 3_600, 86_400, 0].map(Break::Ttl).into());
    let mut require = claim("client_id", &[]);
    require.push(Break::Claim("client_id", "Client_Id", Some("1")));
    add("require", Rules { require: full.require, ..none() }, require);
    let forbid = ["admin", "Admin", "ADMIN", "\\u0061dmin"].map(|name| Break::Claim("", name, Some("false")));
    add("forbid", Rules { forbid: full.forbid, ..none() }, forbid.into());
    let odd = ["\"red\"", "\"Blue\"", "\"blue \"", "1", "null", "[\"blue\"]", "{\"a\":\"blue\"}", "true"];
    let mut values = claim("tenant", &odd);
    values.push(Break::Claim("tenant", "Tenant", Some("\"blue\"")));
    add("values", Rules { values: full.values, ..none() }, values);
    add("max_size", Rules { max_size: full.max_size, ..none() }, vec![Break::Padding(600), Break::Padding(6_000)]);
    all
}

#[derive(Debug, Clone, Copy)]
enum Break {
    /// Instead of the claim of this name another, or none.
    Claim(&'static str, &'static str, Option<&'static str>),
    Typ(Option<&'static str>),
    /// Seconds.
    Ttl(u64),
    /// A claim of so many bytes more.
    Padding(usize),
}

/// The three ways to ask for a signature.
#[derive(Debug, Clone, Copy)]
enum Way {
    Jwt,
    Batch,
    Raw,
}

fn body(way: Way, kid: &str, broken: Option<Break>) -> String {
    let (mut typ, mut ttl) = (Some("at+jwt"), 300);
    let mut claims: Vec<(String, String)> =
        GOOD.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    match broken {
        Some(Break::Claim(old, name, text)) => {
            claims.retain(|(known, _)| known != old);
            claims.extend(text.map(|text| (name.to_owned(), text.to_owned())));
        }
        Some(Break::Typ(other)) => typ = other,
        Some(Break::Ttl(seconds)) => ttl = seconds,
        Some(Break::Padding(bytes)) => claims.push(("pad".to_owned(), format!("\"{}\"", "x".repeat(bytes)))),
        None => {}
    }
    if matches!(way, Way::Raw) {
        let exp = START + i64::try_from(ttl).unwrap();
        claims.extend([("iss".to_owned(), format!("\"{URL}\"")), ("exp".to_owned(), exp.to_string())]);
    }
    let members = claims.iter().map(|(name, text)| format!("\"{name}\":{text}")).collect::<Vec<_>>().join(",");
    let typ = typ.map_or(String::new(), |typ| format!(",\"typ\":\"{typ}\""));
    let jwt = format!("{{\"claims\":{{{members}}}{typ},\"ttl\":\"{ttl}s\"}}");
    match way {
        Way::Jwt => jwt,
        Way::Batch => format!("{{\"requests\":[{jwt}]}}"),
        Way::Raw => {
            let header = format!("{{\"alg\":\"ES256\",\"kid\":\"{kid}\"{typ}}}");
            let part = |text: &str| base64url::encode(text.as_bytes());
            format!("{{\"signing_input\":\"{}.{}\"}}", part(&header), part(&format!("{{{members}}}")))
        }
    }
}

const fn path(way: Way) -> &'static str {
    match way {
        Way::Jwt => "jwt",
        Way::Batch => "jwt/batch",
        Way::Raw => "signature",
    }
}

async fn ask(client: &mut Client, way: Way, base: &str, token: Option<&str>, body: &str) -> Reply {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    client.ask("POST", &format!("{base}/{}", path(way)), &headers, Some(body)).await
}

fn was_signed(way: Way, reply: &Reply) -> bool {
    match way {
        Way::Jwt | Way::Raw => reply.status == 200,
        Way::Batch => reply.status == 200 && reply.json()["results"][0].get("token").is_some(),
    }
}

async fn kid(world: &World, token: &str) -> String {
    let mut client = Client::tcp(world.signing).await;
    let bearer = format!("Bearer {token}");
    client.ask("GET", &format!("{RING}/signer"), &[("authorization", &bearer)], None).await.json()["kid"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn whatever_breaks_a_rule_reaches_no_key() {
    const BOTH: [Operation; 2] = [Operation::Sign, Operation::SignRaw];
    let cases = violations();
    let granted = |token: &str, rules: Rules| Grant { rules, ..token_grant(token, &BOTH, Some("main")) };
    let mut grants = vec![granted("all", rules()), token_grant("reader", &[Operation::Read], None)];
    let names: Vec<String> = (0..cases.len()).map(|number| format!("one{number}")).collect();
    grants.extend(names.iter().zip(&cases).map(|(name, (_, rules, _))| granted(name, rules.clone())));
    let world = World::with(Setup { grants, ..Setup::default() }).await;
    let kid = kid(&world, "all").await;
    let mut client = Client::tcp(world.signing).await;
    let mut denials = 0;
    for way in [Way::Jwt, Way::Batch, Way::Raw] {
        let good = body(way, &kid, None);
        for token in names.iter().map(String::as_str).chain(["all"]) {
            let reply = ask(&mut client, way, RING, Some(token), &good).await;
            assert!(was_signed(way, &reply), "{token} {way:?} {}", reply.text());
        }
        let before = world.signatures();
        for ((rule, _, broken), own) in cases.iter().zip(&names) {
            // A padding that the own rule refuses is small for nobody else; every other rule holds in both.
            for token in [own.as_str(), "all"] {
                let text = body(way, &kid, Some(*broken));
                // Without a typ the ring's own is signed, which the rule does not list either.
                let reply = ask(&mut client, way, RING, Some(token), &text).await;
                assert!(!was_signed(way, &reply), "{rule} {token} {way:?} {broken:?}: {text}");
                denials += 1;
            }
        }
        // Who asks, and where.
        for (token, base) in [
            (None, RING),
            (Some("stranger"), RING),
            (Some("reader"), RING),
            (Some("All"), RING),
            (Some("all"), "/v1/issuers/new/rings/es256"),
            (Some("all"), "/v1/issuers/other/rings/es256"),
            (Some("all"), "/v1/issuers/main/rings/other"),
            (Some("all"), "/v1/issuers/Main/rings/es256"),
        ] {
            let reply = ask(&mut client, way, base, token, &good).await;
            assert!(!was_signed(way, &reply), "{token:?} {base}");
            denials += 1;
        }
        // What no caller decides.
        for member in
            ["\"iss\":\"https://evil\"", "\"exp\":9999999999", "\"iat\":1", "\"jti\":\"j\"", "\"ISS\":1", "\"Exp\":1"]
        {
            let smuggled = match way {
                Way::Raw => {
                    let (_, payload) = good.split_once('.').unwrap();
                    let payload = decode(payload.trim_end_matches("\"}"));
                    let payload = String::from_utf8(payload).unwrap().replacen('{', &format!("{{{member},"), 1);
                    let head = good.split_once('.').unwrap().0;
                    format!("{head}.{}\"}}", base64url::encode(payload.as_bytes()))
                }
                Way::Jwt | Way::Batch => good.replacen("\"claims\":{", &format!("\"claims\":{{{member},"), 1),
            };
            let is_free = matches!(way, Way::Raw) && (member.contains("iat") || member.contains("jti"));
            if !is_free {
                let reply = ask(&mut client, way, RING, Some("all"), &smuggled).await;
                assert!(!was_signed(way, &reply), "{way:?} {smuggled}");
                denials += 1;
            }
        }
        assert_eq!(world.signatures(), before, "a denied request has reached the backend");
    }
    assert!(denials >= 300, "{denials} denials");
}

#[tokio::test]
async fn one_grant_has_to_allow_the_whole() {
    let with = |rules| Grant { rules, ..token_grant("t", &[Operation::Sign], None) };
    let narrow =
        with(Rules { aud: Some(vec!["shop".to_owned()]), max_ttl: Some(Span::from_secs(60)), ..Rules::default() });
    let wide = with(Rules { aud: Some(vec!["api".to_owned()]), ..Rules::default() });
    let world = World::with(Setup { grants: vec![narrow, wide], ..Setup::default() }).await;
    let mut client = Client::tcp(world.signing).await;
    for (request, status) in [
        (r#"{"claims":{"aud":"shop"},"ttl":"60s"}"#, 200),
        (r#"{"claims":{"aud":"api"},"ttl":"10m"}"#, 200),
        (r#"{"claims":{"aud":"shop"},"ttl":"10m"}"#, 422),
        (r#"{"claims":{"aud":["shop","api"]},"ttl":"60s"}"#, 403),
        (r#"{"claims":{"aud":"other"}}"#, 403),
    ] {
        let reply = ask(&mut client, Way::Jwt, RING, Some("t"), request).await;
        assert_eq!(reply.status, status, "{request} {}", reply.text());
    }
    // Who names no lifetime gets the longest that the deciding grant allows.
    for (aud, life) in [("shop", 60), ("api", 3_600)] {
        let reply = ask(&mut client, Way::Jwt, RING, Some("t"), &format!("{{\"claims\":{{\"aud\":\"{aud}\"}}}}")).await;
        let claims = payload(reply.json()["token"].as_str().unwrap());
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), life);
    }
}

fn decode(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn part(text: &str) -> Value {
    serde_json::from_slice(&decode(text)).unwrap()
}

fn payload(token: &str) -> Value {
    part(token.split('.').nth(1).unwrap())
}
