//! Keys without a version, as operators see them.

use jwksd::access::grant::Operation;
use jwksd::backend::Backend;
use serde_json::json;

use super::client::{Client, ask};
use super::world::{Setup, World, token_grant};
use crate::support::fake_backend::FakeBackend;

#[tokio::test]
async fn a_stray_is_shown_and_destroyed_and_a_version_s_key_is_not() {
    let world = World::new().await;
    let label = "test/main.es256.v77".parse().unwrap();
    let left = world.backend.generate(&label, FakeBackend::spec()).await.unwrap().handle;
    let shown = ask(world.admin, "GET", "/v1/strays", None).await.json();
    let stray = json!({
        "backend": "soft", "label": "test/main.es256.v77", "handle": left.as_str(),
        "why": "the ring has not come to that version yet",
    });
    assert_eq!(shown, json!({ "strays": [stray], "unseen": [] }));
    let destroy = async |handle: &str| {
        let body = json!({ "backend": "soft", "handle": handle, "reason": "a drill" }).to_string();
        let reply = ask(world.admin, "POST", "/v1/strays/destroy", Some(&body)).await;
        (reply.status, reply.json())
    };
    for found in world.backend.list().await.unwrap().iter().filter(|found| found.handle != left) {
        let (status, problem) = destroy(found.handle.as_str()).await;
        assert_eq!((status, &problem["code"]), (409, &json!("illegal_transition")), "{problem}");
    }
    assert_eq!(destroy(left.as_str()).await, (200, stray));
    let (status, problem) = destroy(left.as_str()).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_kid")), "{problem}");
    let twin = world.backend.leave_twin("test/main.es256.v1");
    let shown = ask(world.admin, "GET", "/v1/strays", None).await.json();
    assert_eq!(shown["strays"][0]["handle"], twin.as_str(), "{shown}");
    assert_eq!(shown["strays"][0]["why"], "the version has another key in this backend");
    assert_eq!(destroy(twin.as_str()).await.0, 200);
    let incomplete = ask(world.admin, "POST", "/v1/strays/destroy", Some("{}")).await;
    assert_eq!(incomplete.status, 400);
}

#[tokio::test]
async fn who_may_only_read_destroys_nothing() {
    let grants =
        vec![token_grant("reader", &[Operation::Read], None), token_grant("narrow", &[Operation::Read], Some("main"))];
    let world = World::with(Setup { grants, ..Setup::default() }).await;
    let body = json!({ "backend": "soft", "handle": "x", "reason": "r" }).to_string();
    for (token, method, path, body, status) in [
        ("reader", "GET", "/v1/strays", None, 200),
        ("reader", "POST", "/v1/strays/destroy", Some(&*body), 403),
        ("narrow", "GET", "/v1/strays", None, 403),
    ] {
        let bearer = format!("Bearer {token}");
        let mut client = Client::tcp(world.admin).await;
        let reply = client.ask(method, path, &[("authorization", &bearer)], body).await;
        assert_eq!(reply.status, status, "{token} {method} {path}");
    }
}
