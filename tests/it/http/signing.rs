//! What identity providers see.

use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
use jwksd::access::grant::Operation;
use jwksd::jose::base64url;
use jwksd::lifecycle::time::Span;
use serde_json::{Value, json};

use super::client::{Client, ask};
use super::world::{JWKS, RING, START, Setup, URL, World, token_grant};
use crate::support::fake_backend::{Call, Fault};

/// The token's claims, if the published set verifies it.
async fn verified(world: &World, token: &str) -> Value {
    let set: JwkSet = serde_json::from_slice(&ask(world.public, "GET", JWKS, None).await.body).unwrap();
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_issuer(&[URL]);
    decode::<Value>(token, &key, &validation).unwrap().claims
}

fn path(endpoint: &str) -> String {
    format!("{RING}/{endpoint}")
}

#[tokio::test]
async fn claims_become_a_token_that_a_verifier_accepts() {
    let world = World::new().await;
    let body = r#"{"claims":{"sub":"alice","aud":["a","b"]},"typ":"at+jwt","ttl":"5m"}"#;
    let reply = ask(world.signing, "POST", &path("jwt"), Some(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let answer = reply.json();
    assert_eq!(answer["expires_at"], "2027-01-15T08:05:00Z");
    let token = answer["token"].as_str().unwrap();
    let claims = verified(&world, token).await;
    let expected =
        json!({"iss": URL, "iat": START, "exp": START + 300, "jti": answer["jti"], "sub": "alice", "aud": ["a", "b"]});
    assert_eq!(claims, expected);
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!((header.typ.as_deref(), header.kid.as_deref()), (Some("at+jwt"), answer["kid"].as_str()));
}

#[tokio::test]
async fn a_batch_answers_each_request_in_its_place() {
    let world = World::new().await;
    let mut requests: Vec<Value> = (0..50).map(|n| json!({"claims": {"n": n}})).collect();
    requests[7] = json!({"claims": {"iss": "evil"}});
    requests[8] = json!({"nonsense": 1});
    let body = json!({"requests": requests}).to_string();
    let reply = ask(world.signing, "POST", &path("jwt/batch"), Some(&body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let results = reply.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 50);
    for (n, result) in results.iter().enumerate() {
        match n {
            7 => assert_eq!(result["problem"]["code"], "claim_reserved"),
            8 => assert_eq!(result["problem"]["code"], "member_unknown"),
            _ => assert_eq!(verified(&world, result["token"].as_str().unwrap()).await["n"], n),
        }
    }
    assert_eq!(world.signatures(), 48);
}

/// A signing input for the signer, with this payload.
async fn assembled(world: &World, payload: &Value) -> String {
    let signer = ask(world.signing, "GET", &path("signer"), None).await.json();
    let header = json!({"alg": signer["alg"], "kid": signer["kid"]}).to_string();
    format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(payload.to_string().as_bytes()))
}

#[tokio::test]
async fn an_assembled_input_is_signed_as_it_stands() {
    let world = World::new().await;
    let input = assembled(&world, &json!({"iss": URL, "exp": START + 60, "x": 1})).await;
    let body = json!({"signing_input": input}).to_string();
    let reply = ask(world.signing, "POST", &path("signature"), Some(&body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let token = format!("{input}.{}", reply.json()["signature"].as_str().unwrap());
    assert_eq!(verified(&world, &token).await["x"], 1);
}

#[tokio::test]
async fn whoever_names_an_old_key_is_told_the_new_one() {
    let world = World::new().await;
    let old = ask(world.signing, "GET", &path("signer"), None).await.json();
    world.pass(Span::from_days(30)).await;
    let new = ask(world.signing, "GET", &path("signer"), None).await.json();
    assert_ne!(old["kid"], new["kid"]);
    world.pass(Span::from_mins(11)).await;
    let header = base64url::encode(json!({"alg": "ES256", "kid": old["kid"]}).to_string().as_bytes());
    let payload = base64url::encode(json!({"iss": URL, "exp": START + 2_593_000}).to_string().as_bytes());
    let body = json!({"signing_input": format!("{header}.{payload}")}).to_string();
    let reply = ask(world.signing, "POST", &path("signature"), Some(&body)).await;
    assert_eq!((reply.status, reply.code().as_str()), (409, "wrong_signer"));
    assert_eq!((&reply.json()["kid"], &reply.json()["alg"]), (&new["kid"], &json!("ES256")));
    assert_eq!(world.signatures(), 0);
}

#[tokio::test]
async fn a_ring_without_a_signer_says_so() {
    let world = World::new().await;
    let reply = ask(world.signing, "POST", "/v1/issuers/new/rings/es256/jwt", Some(r#"{"claims":{}}"#)).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "no_signer"));
    assert_eq!(reply.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn a_backend_in_trouble_is_told_in_the_words_of_http() {
    let world = World::new().await;
    let cases = [
        (Fault::Throttled(std::time::Duration::from_millis(2_500)), 429, "backend_throttled", Some("3")),
        (Fault::FailedNotDone, 503, "backend_unavailable", Some("1")),
        (Fault::WrongSignature, 500, "backend_failed", None),
    ];
    for (fault, status, code, retry_after) in cases {
        world.backend.fail_next(Call::Sign, fault);
        let reply = ask(world.signing, "POST", &path("jwt"), Some(r#"{"claims":{}}"#)).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
        assert_eq!(reply.header("retry-after"), retry_after);
        assert!(!reply.text().contains("fake"), "{}", reply.text());
    }
}

#[tokio::test]
async fn who_is_granted_nothing_learns_nothing() {
    let grants = vec![
        token_grant("alpha", &[Operation::Sign], Some("main")),
        token_grant("raw", &[Operation::SignRaw], Some("main")),
        token_grant("all", &[Operation::Sign], None),
    ];
    let world = World::with(Setup { grants, ..Setup::default() }).await;
    let mut client = Client::tcp(world.signing).await;
    let body = Some(r#"{"claims":{}}"#);
    let unknown = "/v1/issuers/nobody/rings/es256/jwt";
    let ring = "/v1/issuers/main/rings/nothing/jwt";
    let ours = &path("jwt");
    let cases = [
        (None, ours.as_str(), 403, "not_granted"),
        (None, unknown, 403, "not_granted"),
        (Some("Bearer wrong"), ours, 403, "not_granted"),
        (Some("Bearer wrong"), unknown, 403, "not_granted"),
        (Some("Bearer alpha"), unknown, 403, "not_granted"),
        (Some("Bearer raw"), ours, 403, "not_granted"),
        (Some("Bearer alpha"), ring, 404, "unknown_ring"),
        (Some("Bearer all"), unknown, 404, "unknown_issuer"),
        (Some("Basic YTpi"), ours, 401, "credentials_malformed"),
        (Some("Bearer"), ours, 401, "credentials_malformed"),
        (Some("Bearer a b"), ours, 401, "credentials_malformed"),
    ];
    let mut denials = Vec::new();
    for (authorization, path, status, code) in cases {
        let mut headers = vec![("x-request-id", "same")];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let reply = client.ask("POST", path, &headers, body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{authorization:?} {path}");
        assert_eq!(reply.header("www-authenticate"), (status == 401).then_some("Bearer"));
        if status == 403 {
            denials.push(reply.body);
        }
    }
    denials.dedup();
    assert_eq!(denials.len(), 1, "a denial tells whether the issuer exists");
    assert_eq!(world.signatures(), 0);
    let reply = client.ask("POST", ours, &[("authorization", "Bearer alpha")], body).await;
    assert_eq!(reply.status, 200);
    let twice = [("authorization", "Bearer alpha"), ("authorization", "Bearer alpha")];
    assert_eq!(client.ask("POST", ours, &twice, body).await.status, 401);
}

#[tokio::test]
async fn a_unix_socket_knows_its_peer() {
    let uid = rustix::process::getuid().as_raw();
    let caller = jwksd::access::grant::Pattern::Uid(uid);
    let grant = jwksd::access::grant::Grant::new(caller, [Operation::Sign]);
    let world = World::with(Setup { grants: vec![grant], ..Setup::default() }).await;
    let mut client = Client::unix(&world.socket).await;
    assert_eq!(client.ask("POST", &path("jwt"), &[], Some(r#"{"claims":{}}"#)).await.status, 200);
    assert_eq!(ask(world.signing, "POST", &path("jwt"), Some(r#"{"claims":{}}"#)).await.status, 403);
}

#[tokio::test]
async fn everybody_may_ask_who_they_are() {
    let world =
        World::with(Setup { grants: vec![token_grant("t", &[Operation::Sign], Some("main"))], ..Setup::default() });
    let world = world.await;
    let mut client = Client::tcp(world.signing).await;
    let shown = client.ask("GET", "/v1/whoami", &[("authorization", "Bearer t")], None).await.json();
    assert_eq!(shown["allowed"], serde_json::json!([{ "issuer": "main", "operations": ["sign"] }]));
    // What it says of itself is what `jwksd access explain --as` and a grant take.
    let hash = digest::digest(&digest::SHA256, b"t");
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown["proofs"][0], format!("token_sha256:{hash}"));
    for proof in shown["proofs"].as_array().unwrap() {
        assert!(proof.as_str().unwrap().parse::<jwksd::cli::access::Proof>().is_ok(), "{proof}");
    }
    let nobody = client.ask("GET", "/v1/whoami", &[], None).await.json();
    assert_eq!((&nobody["allowed"], &nobody["proofs"]), (&serde_json::json!([]), &serde_json::json!(["loopback"])));
    assert_eq!(client.ask("POST", "/v1/whoami", &[], None).await.code(), "method_not_allowed");
    let uid = Client::unix(&world.socket).await.ask("GET", "/v1/whoami", &[], None).await.json();
    assert_eq!(uid["caller"], format!("uid:{}", rustix::process::getuid().as_raw()));
}

#[tokio::test]
async fn a_request_is_called_the_same_everywhere() {
    let world = World::new().await;
    let mut client = Client::tcp(world.signing).await;
    let reply = client.ask("POST", &path("jwt"), &[("x-request-id", "idp-7:1")], Some(r#"{"claims":{}}"#)).await;
    assert_eq!(reply.header("x-request-id"), Some("idp-7:1"));
    let page = ask(world.admin, "GET", "/v1/audit?limit=1", None).await.json();
    assert_eq!(page["records"][0]["record"]["request_id"], "idp-7:1");
    assert_eq!(page["records"][0]["record"]["event"], "signed");
    let reply = client.ask("POST", &path("jwt"), &[("x-request-id", "not a name")], Some("{}")).await;
    assert_ne!(reply.header("x-request-id"), Some("not a name"));
    assert_eq!(reply.code(), "member_missing");
}
