//! Callers with tokens of a trusted issuer, whose JWK Set is on a server that fails at will.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use jwksd::access::grant::{Grant, Operation, Pattern};
use jwksd::jose::alg::Algorithm;
use jwksd::jose::{Jwk, PublicKey, base64url, jwk_set};
use jwksd::lifecycle::time::Span;
use jwksd::trust::{Expected, Pace, Source, TrustedIssuer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::{Client, Reply};
use super::world::{START, Setup, World};
use crate::support::soon::soon;

const ISS: &str = "https://kubernetes.default.svc.cluster.local";
const SUB: &str = "system:serviceaccount:prod:idp";

struct Signer {
    pair: RsaKeyPair,
    kid: String,
}

impl Signer {
    fn new(kid: &str) -> Self {
        Self { pair: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), kid: kid.to_owned() }
    }

    fn jwk(&self) -> String {
        let spki = self.pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(spki.as_ref()).unwrap();
        Jwk::new(jwksd::ids::Kid::new(&self.kid).unwrap(), Algorithm::Rs256, key).unwrap().to_json()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| base64url::encode(value.to_string().as_bytes());
        let input = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        format!("{input}.{}", base64url::encode(&signature))
    }

    fn header(&self) -> Value {
        json!({ "alg": "RS256", "kid": self.kid })
    }

    fn token(&self, at: i64, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims(at);
        change(&mut claims);
        self.sign(&self.header(), &claims)
    }
}

/// A service-account token as kube-apiserver makes them.
fn claims(at: i64) -> Value {
    json!({
        "aud": ["jwksd"], "exp": at + 3607, "iat": at, "nbf": at, "iss": ISS, "sub": SUB,
        "jti": "0f1b4c5e-86a5-4b0f-a9cf-3c3dfb9e7b5d",
        "kubernetes.io": {
            "namespace": "prod",
            "node": { "name": "n1", "uid": "a" },
            "pod": { "name": "idp-0", "uid": "b" },
            "serviceaccount": { "name": "idp", "uid": "c" },
            "warnafter": at + 3000,
        },
    })
}

struct JwksServer {
    answer: Arc<Mutex<(u16, String)>>,
    fetches: Arc<AtomicU64>,
    url: String,
}

impl JwksServer {
    async fn new(keys: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/openid/v1/jwks", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new((200, format!("{{\"keys\":[{}]}}", keys.join(",")))));
        let fetches = Arc::new(AtomicU64::new(0));
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&fetches));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head).await;
                count.fetch_add(1, Ordering::SeqCst);
                let (status, body) = answers.lock().unwrap().clone();
                let reply = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        Self { answer, fetches, url }
    }

    fn answers(&self, status: u16, keys: &[String]) {
        *self.answer.lock().unwrap() = (status, format!("{{\"keys\":[{}]}}", keys.join(",")));
    }

    async fn fetched(&self, times: u64) {
        assert!(soon(|| self.fetches.load(Ordering::SeqCst) >= times).await, "nothing is fetched");
    }

    /// A world that trusts this issuer, with `refresh` and `cool_down` in milliseconds.
    async fn world(&self, refresh: u64, cool_down: u64) -> World {
        let expected = Expected {
            iss: ISS.to_owned(),
            audiences: vec!["jwksd".to_owned()],
            algorithms: vec![Algorithm::Rs256],
            skew: Span::from_mins(1),
        };
        let source = Source::Url(self.url.parse().unwrap(), None);
        let pace = Pace {
            refresh: Duration::from_millis(refresh),
            cool_down: Duration::from_millis(cool_down),
            stale_for: Duration::from_secs(24 * 3_600),
        };
        let caller =
            Pattern::Subject { issuer: "k8s".to_owned(), sub: "system:serviceaccount:prod:*".parse().unwrap() };
        let grants = vec![Grant::new(caller, [Operation::Sign, Operation::Read])];
        let trusted = vec![TrustedIssuer::new("k8s".to_owned(), expected, source, pace)];
        World::with(Setup { grants, trusted, ..Setup::default() }).await
    }
}

async fn ask(world: &World, token: &str) -> Reply {
    let authorization = format!("Bearer {token}");
    let mut client = Client::tcp(world.signing).await;
    let body = Some(r#"{"claims":{"sub":"alice"}}"#);
    client.ask("POST", &format!("{}/jwt", super::world::RING), &[("authorization", &authorization)], body).await
}

#[tokio::test]
async fn a_token_is_believed_only_if_everything_about_it_is_right() {
    let (ours, other) = (Signer::new("k1"), Signer::new("k1"));
    let server = JwksServer::new(&[ours.jwk()]).await;
    let world = server.world(60_000, 60_000).await;
    let good = ours.token(START, |_| {});
    assert_eq!(ask(&world, &good).await.status, 200);
    let mut client = Client::tcp(world.admin).await;
    let bearer = format!("Bearer {good}");
    let shown = client.ask("GET", "/v1/whoami", &[("authorization", &bearer)], None).await.json();
    assert_eq!(shown["caller"], format!("jwt:k8s:{SUB}"));

    let header = |name: &str, value: Value| {
        let mut header = ours.header();
        header[name] = value;
        ours.sign(&header, &claims(START))
    };
    let swapped = {
        let [head, _, signature] = good.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
        let mut forged = claims(START);
        forged["sub"] = "system:serviceaccount:prod:admin".into();
        format!("{head}.{}.{signature}", base64url::encode(forged.to_string().as_bytes()))
    };
    let signed_before = world.signatures();
    for (what, token) in [
        ("another's signature", other.token(START, |_| {})),
        ("a changed payload", swapped),
        ("no signature", good.rsplit_once('.').unwrap().0.to_owned() + "."),
        ("alg none", header("alg", "none".into())),
        ("alg HS256", header("alg", "HS256".into())),
        ("another alg of the same key", header("alg", "PS256".into())),
        ("an embedded key", header("jwk", json!({ "kty": "RSA" }))),
        ("a key's URL", header("jku", "https://evil.example/jwks".into())),
        ("a critical header", header("crit", json!(["exp"]))),
        ("another kind of token", header("typ", "logout+jwt".into())),
        ("an unknown kid", header("kid", "k2".into())),
        ("no kid", ours.sign(&json!({ "alg": "RS256" }), &claims(START))),
        ("another issuer", ours.token(START, |claims| claims["iss"] = "https://evil.example".into())),
        ("no issuer", ours.token(START, |claims| claims["iss"] = Value::Null)),
        ("others' audience", ours.token(START, |claims| claims["aud"] = json!(["https://kubernetes.default.svc"]))),
        ("no audience", ours.token(START, |claims| drop(claims.as_object_mut().unwrap().remove("aud")))),
        ("an odd audience", ours.token(START, |claims| claims["aud"] = json!([["jwksd"]]))),
        ("the past", ours.token(START - 3_607 - 60, |_| {})),
        ("no end", ours.token(START, |claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("an end in words", ours.token(START, |claims| claims["exp"] = "never".into())),
        ("the future", ours.token(START + 61, |_| {})),
        ("no subject", ours.token(START, |claims| drop(claims.as_object_mut().unwrap().remove("sub")))),
        ("a subject with a line end", ours.token(START, |claims| claims["sub"] = "a\nb".into())),
    ] {
        let reply = ask(&world, &token).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "token_refused"), "{what}");
        assert!(!reply.text().contains("signature"), "{what}: {}", reply.text());
    }
    // Believed, and granted nothing.
    let stranger = ours.token(START, |claims| claims["sub"] = "system:serviceaccount:test:idp".into());
    let reply = ask(&world, &stranger).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "not_granted"));
    assert_eq!(world.signatures(), signed_before);
    let audience = ours.token(START, |claims| claims["aud"] = "jwksd".into());
    assert_eq!(ask(&world, &audience).await.status, 200, "a single audience needs no array");
    assert_eq!(server.fetches.load(Ordering::SeqCst), 1, "no kid brings a fetch within the cool-down");
}

#[tokio::test]
async fn new_keys_are_found_and_old_ones_forgotten() {
    let (first, second) = (Signer::new("k1"), Signer::new("k2"));
    let server = JwksServer::new(&[first.jwk()]).await;
    let world = server.world(60_000, 10).await;
    assert_eq!(ask(&world, &first.token(START, |_| {})).await.status, 200);
    server.answers(200, &[second.jwk(), "{\"kty\":\"oct\",\"k\":\"AA\",\"kid\":\"x\"}".to_owned()]);
    // The unknown kid is refused at once, and brings the fetch that makes it known.
    assert_eq!(ask(&world, &second.token(START, |_| {})).await.status, 401);
    server.fetched(2).await;
    while ask(&world, &second.token(START, |_| {})).await.status != 200 {}
    assert_eq!(ask(&world, &first.token(START, |_| {})).await.status, 401);
}

#[tokio::test]
async fn an_outage_is_survived_for_as_long_as_stated() {
    let signer = Signer::new("k1");
    let server = JwksServer::new(&[signer.jwk()]).await;
    server.answers(503, &[]);
    let world = server.world(20, 10).await;
    // Nobody waits for ever for keys that never came.
    let reply = ask(&world, &signer.token(START, |_| {})).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "token_issuer_unavailable"));
    assert_eq!(reply.header("retry-after"), Some("5"));
    server.answers(200, &[signer.jwk()]);
    while ask(&world, &signer.token(START, |_| {})).await.status != 200 {}
    for (status, keys) in [(500, vec![]), (200, vec![]), (302, vec![]), (200, vec!["[".to_owned()])] {
        server.answers(status, &keys);
        let seen = server.fetches.load(Ordering::SeqCst);
        server.fetched(seen + 2).await;
        assert_eq!(ask(&world, &signer.token(START, |_| {})).await.status, 200, "{status} {keys:?}");
    }
    world.sleep(Span::from_hours(24));
    let now = START + 24 * 3_600;
    assert_eq!(ask(&world, &signer.token(now, |_| {})).await.status, 200);
    world.sleep(Span::from_hours(1));
    let reply = ask(&world, &signer.token(now, |_| {})).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "token_issuer_unavailable"));
    server.answers(200, &[signer.jwk()]);
    while ask(&world, &signer.token(now + 3_600, |_| {})).await.status != 200 {}
}

#[test]
fn a_foreign_set_is_read_for_what_it_is_good_for() {
    let signer = Signer::new("k1");
    let unnamed = signer.jwk().replace(",\"alg\":\"RS256\"", "");
    let usable = |keys: &[String], algorithms: &[Algorithm]| {
        let set = format!("{{\"keys\":[{}]}}", keys.join(","));
        jwk_set::parse_for(&set, algorithms).map(|keys| keys.iter().map(Jwk::alg).collect::<Vec<_>>())
    };
    let both = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256];
    assert_eq!(usable(&[unnamed], &both).unwrap(), [Algorithm::Rs256, Algorithm::Ps256]);
    assert_eq!(usable(&[signer.jwk()], &both).unwrap(), [Algorithm::Rs256]);
    assert_eq!(usable(&[signer.jwk()], &[Algorithm::Es256]).unwrap(), []);
    let encrypting = signer.jwk().replace("\"sig\"", "\"enc\"");
    assert_eq!(usable(&[encrypting, "{}".to_owned(), "5".to_owned()], &both).unwrap(), []);
    assert!(usable(&[signer.jwk(), signer.jwk()], &both).is_err());
}
