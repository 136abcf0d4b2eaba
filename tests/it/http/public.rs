//! What verifiers see.

use jwksd::lifecycle::time::Span;

use super::client::{Client, ask};
use super::world::{JWKS, World};

#[tokio::test]
async fn a_verifier_gets_the_set_with_everything_it_needs_to_keep_it() {
    let world = World::new().await;
    let reply = ask(world.public, "GET", JWKS, None).await;
    assert_eq!(reply.status, 200);
    let headers = [
        ("content-type", "application/jwk-set+json"),
        ("cache-control", "public, max-age=300"),
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
        ("vary", "accept"),
    ];
    for (name, value) in headers {
        assert_eq!(reply.header(name), Some(value));
    }
    let version = reply.header("jwk-set-version").unwrap();
    assert!(reply.header("etag").unwrap().starts_with(&format!("\"{version}-")));
    assert_eq!(reply.json()["keys"].as_array().unwrap().len(), 2, "signer and standby: {}", reply.text());
    let head = ask(world.public, "HEAD", JWKS, None).await;
    assert_eq!((head.status, head.header("content-length")), (200, reply.header("content-length")));
    assert_eq!(head.header("etag"), reply.header("etag"));
}

#[tokio::test]
async fn a_known_set_is_not_sent_again_until_it_changes() {
    let world = World::new().await;
    let mut client = Client::tcp(world.public).await;
    let etag = client.ask("GET", JWKS, &[], None).await.header("etag").unwrap().to_owned();
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let reply = client.ask("GET", JWKS, &[("if-none-match", &known)], None).await;
        assert_eq!((reply.status, reply.header("etag")), (304, Some(etag.as_str())), "{known}");
        assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
    }
    world.pass(Span::from_days(30)).await;
    let reply = client.ask("GET", JWKS, &[("if-none-match", &etag)], None).await;
    assert_eq!(reply.status, 200);
    assert_ne!(reply.header("etag"), Some(etag.as_str()));
}

#[tokio::test]
async fn a_client_that_wants_plain_json_gets_it() {
    let world = World::new().await;
    let mut client = Client::tcp(world.public).await;
    for (accept, media_type) in [
        ("application/json", "application/json"),
        ("application/json, application/jwk-set+json", "application/jwk-set+json"),
        ("*/*", "application/jwk-set+json"),
        ("text/html", "application/jwk-set+json"),
    ] {
        let reply = client.ask("GET", JWKS, &[("accept", accept)], None).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(media_type)), "{accept}");
    }
}

#[tokio::test]
async fn a_browser_of_any_origin_may_fetch_it() {
    let world = World::new().await;
    let reply = ask(world.public, "OPTIONS", JWKS, None).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, Some("*")));
    assert_eq!(reply.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
}

#[tokio::test]
async fn an_old_set_stays_what_it_was() {
    let world = World::new().await;
    let before = ask(world.public, "GET", JWKS, None).await;
    let version: u64 = before.header("jwk-set-version").unwrap().parse().unwrap();
    world.pass(Span::from_days(30)).await;
    let path = |version: &str| format!("/tenant-a/.well-known/jwks/{version}.json");
    let old = ask(world.public, "GET", &path(&version.to_string()), None).await;
    assert_eq!((old.status, &old.body), (200, &before.body));
    assert_eq!(old.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(old.header("link"), Some("</tenant-a/.well-known/jwks.json>; rel=\"latest-version\""));
    for missing in ["0", "999", "01", "+1", "-1", "1.0", "x", "", "18446744073709551616"] {
        let reply = ask(world.public, "GET", &path(missing), None).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{missing}");
    }
}

#[tokio::test]
async fn the_discovery_document_names_the_set() {
    let world = World::new().await;
    let reply = ask(world.public, "GET", "/tenant-a/.well-known/openid-configuration", None).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json()["jwks_uri"], "https://id.example.com/tenant-a/.well-known/jwks.json");
    // Not asked for there.
    assert_eq!(ask(world.public, "GET", "/new/.well-known/openid-configuration", None).await.status, 404);
}

#[tokio::test]
async fn an_issuer_without_keys_asks_for_patience() {
    let world = World::new().await;
    let reply = ask(world.public, "GET", "/new/.well-known/jwks.json", None).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "not_published"));
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn every_other_path_and_method_is_refused() {
    let world = World::new().await;
    let mut client = Client::tcp(world.public).await;
    for path in [
        "/",
        "/.well-known/jwks.json",
        "/tenant-a/.well-known/jwks.json/",
        "/tenant-a//.well-known/jwks.json",
        "/tenant-a/.well-known/./jwks.json",
        "/tenant-a/%2ewell-known/jwks.json",
        "/TENANT-A/.well-known/jwks.json",
        "/tenant-a/.well-known/../.well-known/jwks.json",
        "/tenant-a/.well-known/jwks/../jwks.json",
        "/livez",
        "/v1/status",
    ] {
        let reply = client.ask("GET", path, &[], None).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{path}");
    }
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "FOO"] {
        let reply = client.ask(method, JWKS, &[], None).await;
        assert_eq!((reply.status, reply.code().as_str()), (405, "method_not_allowed"), "{method}");
        assert_eq!(reply.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    assert_eq!(client.ask("GET", &format!("{JWKS}?cache=buster"), &[], None).await.status, 200);
}
