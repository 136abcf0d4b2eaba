//! Rings that sign digests: a separate grant, a ring of its own, and nothing else on either side.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
use jwksd::access::grant::{Grant, Operation};
use jwksd::access::rules::Rules;
use jwksd::jose::base64url;
use jwksd::jose::hash::{HashFunction, MessageDigest};
use jwksd::lifecycle::time::Span;
use serde_json::{Value, json};

use super::client::{Client, Reply, ask};
use super::world::{JWKS, RING, START, Setup, URL, World, token_grant};

const SIGNER: &str = "/v1/issuers/main/rings/es256/signer";
const DIGEST: &str = "/v1/issuers/main/rings/es256/signature/digest";

async fn digest_world() -> World {
    World::with(Setup { digests: true, ..Setup::default() }).await
}

/// What a caller assembles who keeps the payload to itself, and how its digest is asked for.
fn token(signer: &Value) -> (String, MessageDigest) {
    let header = json!({"alg": signer["alg"], "kid": signer["kid"]}).to_string();
    let payload = json!({"iss": URL, "exp": START + 60, "secret": "never seen here"}).to_string();
    let input = format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(payload.as_bytes()));
    let digest = MessageDigest::of(HashFunction::Sha256, input.as_bytes());
    (input, digest)
}

fn request(kid: &Value, alg: &str, digest: &[u8]) -> String {
    json!({"kid": kid, "alg": alg, "digest": base64url::encode(digest)}).to_string()
}

async fn sign(world: &World, body: &str) -> Reply {
    ask(world.signing, "POST", DIGEST, Some(body)).await
}

#[tokio::test]
async fn a_digest_becomes_a_token_that_verifiers_accept() {
    let world = digest_world().await;
    let signer = ask(world.signing, "GET", SIGNER, None).await.json();
    let (input, digest) = token(&signer);
    let reply = sign(&world, &request(&signer["kid"], "ES256", digest.as_bytes())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["kid"], signer["kid"]);
    let token = format!("{input}.{}", answer["signature"].as_str().unwrap());
    let set: JwkSet = serde_json::from_slice(&ask(world.public, "GET", JWKS, None).await.body).unwrap();
    let key = DecodingKey::from_jwk(set.find(signer["kid"].as_str().unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    assert_eq!(decode::<Value>(&token, &key, &validation).unwrap().claims["secret"], "never seen here");

    let page = ask(world.admin, "GET", "/v1/audit?limit=1", None).await.json();
    let record = &page["records"][0]["record"];
    assert_eq!((&record["event"], &record["digest"]), (&json!("signed_digest"), &json!(digest.to_string())));
    assert_eq!((&record["kid"], record.get("claims_sha256")), (&signer["kid"], None));
}

#[tokio::test]
async fn a_ring_signs_digests_or_tokens_and_never_both() {
    let digests = digest_world().await;
    let signer = ask(digests.signing, "GET", SIGNER, None).await.json();
    let (input, digest) = token(&signer);
    let claims = r#"{"claims":{"sub":"alice"}}"#;
    for (endpoint, body) in [("jwt", claims.to_owned()), ("signature", json!({"signing_input": input}).to_string())] {
        let reply = ask(digests.signing, "POST", &format!("{RING}/{endpoint}"), Some(&body)).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "digests_only"), "{endpoint}");
    }
    let batch = json!({"requests": [{"claims": {}}]}).to_string();
    let reply = ask(digests.signing, "POST", &format!("{RING}/jwt/batch"), Some(&batch)).await;
    assert_eq!(reply.json()["results"][0]["problem"]["code"], "digests_only");
    assert_eq!(digests.signatures(), 0);

    let tokens = World::new().await;
    let signer = ask(tokens.signing, "GET", SIGNER, None).await.json();
    let reply = sign(&tokens, &request(&signer["kid"], "ES256", digest.as_bytes())).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "digests_off"));
    assert_eq!(tokens.signatures(), 0);
}

#[tokio::test]
async fn only_a_grant_for_digests_lets_anybody_have_one_signed() {
    let others: Vec<Operation> = Operation::ALL.into_iter().filter(|one| *one != Operation::SignDigest).collect();
    let ruled = Rules { max_size: Some(1 << 20), ..Rules::default() };
    let grants = vec![
        token_grant("digests", &[Operation::SignDigest], Some("main")),
        token_grant("others", &others, None),
        token_grant("elsewhere", &[Operation::SignDigest], Some("new")),
        Grant { rules: ruled, ..token_grant("ruled", &[Operation::SignDigest], Some("main")) },
    ];
    let world = World::with(Setup { grants, digests: true, ..Setup::default() }).await;
    let mut client = Client::tcp(world.signing).await;
    let signer = client.ask("GET", SIGNER, &[("authorization", "Bearer digests")], None).await;
    assert_eq!(signer.status, 200);
    let body = request(&signer.json()["kid"], "ES256", &[7; 32]);
    for (bearer, status, code) in [
        (None, 403, "not_granted"),
        (Some("Bearer nobody"), 403, "not_granted"),
        (Some("Bearer others"), 403, "not_granted"),
        (Some("Bearer elsewhere"), 403, "not_granted"),
        (Some("Bearer ruled"), 403, "denied_digest"),
    ] {
        let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", *bearer)).collect();
        let reply = client.ask("POST", DIGEST, &headers, Some(&body)).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{bearer:?}");
    }
    for endpoint in ["jwt", "jwt/batch", "signature"] {
        let path = format!("{RING}/{endpoint}");
        let reply = client.ask("POST", &path, &[("authorization", "Bearer digests")], Some(&body)).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "not_granted"), "{endpoint}");
    }
    assert_eq!(world.signatures(), 0);
    let reply = client.ask("POST", DIGEST, &[("authorization", "Bearer digests")], Some(&body)).await;
    assert_eq!((reply.status, world.signatures()), (200, 1), "{}", reply.text());
}

#[tokio::test]
async fn what_is_no_digest_for_the_signer_reaches_no_key() {
    let world = digest_world().await;
    let kid = &ask(world.signing, "GET", SIGNER, None).await.json()["kid"];
    let good = request(kid, "ES256", &[7; 32]);
    let cases = [
        (request(kid, "ES256", &[7; 20]), 400, "digest_length"),
        (request(kid, "ES256", &[7; 64]), 400, "digest_length"),
        (request(kid, "ES256", &[]), 400, "digest_length"),
        (request(kid, "ES384", &[7; 48]), 409, "wrong_signer"),
        (request(kid, "RS256", &[7; 32]), 409, "wrong_signer"),
        (request(kid, "Ed25519", &[7; 64]), 403, "digests_off"),
        (request(&json!("nobody"), "ES256", &[7; 32]), 409, "wrong_signer"),
        (request(&json!(""), "ES256", &[7; 32]), 400, "member_value"),
        (request(kid, "none", &[7; 32]), 400, "member_value"),
        (request(kid, "es256", &[7; 32]), 400, "member_value"),
        (good.replace("Bwc", "Bw="), 400, "member_value"),
        (good.replace("Bwc", "B+c"), 400, "member_value"),
        (good.replace("\"digest\"", "\"Digest\""), 400, "member_unknown"),
        (good.replace('}', ",\"claims\":{}}"), 400, "member_unknown"),
        (json!({"kid": kid, "alg": "ES256"}).to_string(), 400, "member_missing"),
        (json!({"alg": "ES256", "digest": "AAAA"}).to_string(), 400, "member_missing"),
        (json!({"kid": kid, "alg": "ES256", "digest": 7}).to_string(), 400, "json_wrong_type"),
    ];
    for (body, status, code) in cases {
        let reply = sign(&world, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body}: {}", reply.text());
        if code == "wrong_signer" {
            assert_eq!((&reply.json()["kid"], &reply.json()["alg"]), (kid, &json!("ES256")));
        }
    }
    assert_eq!(world.signatures(), 0);
    assert_eq!(sign(&world, &good).await.status, 200);
}

#[tokio::test]
async fn an_old_key_signs_digests_within_its_drain_alone() {
    let world = digest_world().await;
    let old = ask(world.signing, "GET", SIGNER, None).await.json();
    world.pass(Span::from_days(30)).await;
    let new = ask(world.signing, "GET", SIGNER, None).await.json();
    assert_ne!(old["kid"], new["kid"]);
    let body = request(&old["kid"], "ES256", &[7; 32]);
    assert_eq!(sign(&world, &body).await.json()["kid"], old["kid"]);
    world.pass(Span::from_mins(11)).await;
    let reply = sign(&world, &body).await;
    assert_eq!((reply.status, reply.code().as_str()), (409, "wrong_signer"));
    assert_eq!(reply.json()["kid"], new["kid"]);
}
