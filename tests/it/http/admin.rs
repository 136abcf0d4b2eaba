//! What operators and balancers see.

use jwksd::access::grant::Operation;
use jwksd::audit::CheckpointKeys;
use jwksd::jose::jwk::Jwk;
use jwksd::lifecycle::time::Span;
use std::sync::Arc;

use jwksd::server::health::Health;
use serde_json::{Value, json};

use super::client::{Client, Reply, ask};
use super::world::{JWKS, RING, Setup, URL, World, token_grant};
use crate::support::fake_backend::{Call, Fault};

async fn get(world: &World, path: &str) -> Value {
    let reply = ask(world.admin, "GET", path, None).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

async fn post(world: &World, path: &str, body: &Value) -> Reply {
    ask(world.admin, "POST", path, Some(&body.to_string())).await
}

#[tokio::test]
async fn the_state_is_shown_in_the_words_of_the_lifecycle() {
    let world = World::new().await;
    let status = get(&world, "/v1/status").await;
    assert_eq!((&status["installation"], &status["now"]), (&json!("test"), &json!("2027-01-15T08:00:00Z")));
    let issuer = get(&world, "/v1/issuers/main").await;
    assert_eq!(get(&world, "/v1/issuers").await["issuers"][0], issuer);
    assert_eq!((&issuer["url"], &issuer["jwks_max_age"], &issuer["keys"]), (&json!(URL), &json!("5m"), &json!(2)));
    let ring = &issuer["rings"][0];
    assert_eq!(
        (&ring["ring"], &ring["key"], &ring["standby_ready"]),
        (&json!("es256"), &json!("ES256"), &json!(false))
    );
    assert_eq!((&ring["signer"]["version"], &ring["next"]["version"]), (&json!(1), &json!(2)));
    let keys = get(&world, "/v1/issuers/main/keys").await;
    let states: Vec<&Value> = keys["keys"].as_array().unwrap().iter().map(|key| &key["state"]).collect();
    assert_eq!(states, ["pre_active", "active"]);
    assert_eq!(keys["keys"][1]["kid"], ring["signer"]["kid"]);
    let known: jwksd::server::api::Keys = serde_json::from_value(keys).unwrap();
    assert!(known.keys.iter().all(|key| key.listed));
}

#[tokio::test]
async fn a_plan_says_what_it_waits_for_and_who_would_notice() {
    let world = World::new().await;
    let plan = get(&world, "/v1/issuers/main/plan?for=90d").await;
    assert!(plan["action"].is_null());
    let waiting = &plan["waiting"][0];
    assert_eq!((&waiting["action"]["kind"], &waiting["wait_for"]), (&json!("activate"), &json!("active_period")));
    assert_eq!(waiting["until"], "2027-02-14T08:00:00Z");
    let next = &plan["next_versions"][0];
    let verifiers = next["not_known_to"].as_array().unwrap();
    // 605 s in Envoy, 5 min in proxies, 1 min of skew.
    assert_eq!(verifiers[0], json!({"verifier": "envoy", "until": "2027-01-15T08:16:05Z"}));
    assert!(plan["forecast"].as_array().unwrap().len() > 6);
    assert_eq!(get(&world, "/v1/plan").await["plans"].as_array().unwrap().len(), 2);
    let bad = ask(world.admin, "GET", "/v1/plan?for=ever", None).await;
    assert_eq!((bad.status, bad.code().as_str()), (400, "parameter"));
}

#[tokio::test]
async fn a_plan_says_what_keys_cost_and_until_when_deleted_ones_linger() {
    let world = World::new().await;
    world.backend.deletes_only_at("2027-02-20T08:00:00Z".parse().unwrap());
    let cost = get(&world, "/v1/issuers/main/plan").await["costs"][0].take();
    assert_eq!((&cost["backend"], &cost["keys"], &cost["keys_month_cents"]), (&json!("soft"), &json!(2), &json!(200)));
    let signed = world.backend.calls(Call::Sign);
    assert_eq!((&cost["quotas"][0]["of"], &cost["quotas"][0]["last_minute"]), (&json!("signatures"), &json!(signed)));

    let signer = get(&world, "/v1/issuers/main").await["rings"][0]["signer"]["kid"].take();
    let order = json!({"kid": signer, "reason": "leaked", "activate_unpropagated": true});
    assert_eq!(post(&world, "/v1/issuers/main/compromise", &order).await.status, 200);
    world.tick().await;
    let all = get(&world, "/v1/plan").await;
    assert!(all["plans"][0]["costs"].is_null(), "once for all");
    let pending = json!([{"gone_at": "2027-02-20T08:00:00Z", "issuer": "main", "ring": "es256", "version": 1}]);
    assert_eq!(all["costs"][0]["pending_deletion"], pending);
    assert_eq!(all["costs"][0]["keys_month_cents"], 100 * all["costs"][0]["keys"].as_u64().unwrap());
}

#[tokio::test]
async fn a_rotation_happens_once_the_standby_is_ready() {
    let world = World::new().await;
    let path = "/v1/issuers/main/rings/es256/rotate";
    let early = post(&world, path, &json!({"reason": "audit finding 7"})).await;
    assert_eq!(early.status, 200, "{}", early.text());
    assert_eq!(early.json()["may_sign_at"], "2027-01-16T10:00:00Z");
    world.tick().await;
    assert_eq!(get(&world, "/v1/issuers/main").await["rings"][0]["signer"]["version"], 1);
    world.pass(Span::from_hours(26)).await;
    assert_eq!(get(&world, "/v1/issuers/main").await["rings"][0]["signer"]["version"], 2);
    let log = get(&world, "/v1/audit?limit=1000").await;
    let intents = log["records"].as_array().unwrap().iter().map(|record| &record["record"]);
    let requested = intents.clone().find(|record| record["what"] == "requested").unwrap();
    assert_eq!(requested["ring"], "es256");
    let generated = intents.clone().find(|record| record["what"] == "generated").unwrap();
    assert_eq!((&generated["version"], generated["kid"].is_string()), (&json!(1), true));
    assert_eq!(requested["reason"], "audit finding 7");
    assert!(requested["caller"].as_str().unwrap().starts_with("tcp:127.0.0.1:"));
    assert_eq!(requested["request_id"].as_str(), early.header("x-request-id"));
    // No body at all is fine too.
    assert_eq!(ask(world.admin, "POST", path, None).await.status, 200);
}

#[tokio::test]
async fn a_compromise_is_over_in_one_command() {
    let world = World::new().await;
    world.pass(Span::from_hours(26)).await;
    let kid = ask(world.signing, "GET", &format!("{RING}/signer"), None).await.json()["kid"].clone();
    let order = json!({"kid": kid, "reason": "seen on a pastebin"});
    let reply = post(&world, "/v1/issuers/main/compromise", &order).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let report = reply.json();
    assert_eq!((&report["signer"]["version"], &report["ring"]), (&json!(2), &json!("es256")));
    assert_eq!(report["withdrawal_seen_at"], "2027-01-16T10:00:00Z");
    assert_eq!(
        report["verifiers"],
        json!([
            {"verifier": "envoy", "dropped_at": "2027-01-16T10:15:06Z", "when": "2027-01-16T10:15:06Z"},
            {"verifier": "go-oidc-v3", "when": "at its next unknown kid or restart"},
        ])
    );
    let set = ask(world.public, "GET", JWKS, None).await;
    assert!(!set.text().contains(kid.as_str().unwrap()), "{}", set.text());
    assert_eq!(
        ask(world.signing, "POST", &format!("{RING}/jwt"), Some(r#"{"claims":{}}"#)).await.json()["kid"],
        report["signer"]["kid"]
    );
    assert!(report["flush_key"].is_null());
    world.tick().await;
    let later = get(&world, &format!("/v1/issuers/main/compromised/{}", kid.as_str().unwrap())).await;
    assert_eq!((&later["flush_key"]["version"], &later["flush_key"]["published"]), (&json!(3), &json!(true)));
    assert_eq!(later["private_half"], "destroyed");
    assert_eq!(world.backend.labels().len(), 2);
    // Declaring it again changes nothing.
    let again = post(&world, "/v1/issuers/main/compromise", &order).await;
    assert_eq!((again.status, &again.json()["declared_at"]), (200, &report["declared_at"]));
}

#[tokio::test]
async fn a_compromise_without_a_standby_says_when_signing_resumes() {
    let world = World::new().await;
    let kid = ask(world.signing, "GET", &format!("{RING}/signer"), None).await.json()["kid"].clone();
    let reply = post(&world, "/v1/issuers/main/compromise", &json!({"kid": kid, "reason": "x"})).await;
    let report = reply.json();
    assert_eq!(
        (reply.status, &report["signer"], &report["resumes_at"]),
        (200, &Value::Null, &json!("2027-01-16T10:00:00Z"))
    );
    let refused = ask(world.signing, "POST", &format!("{RING}/jwt"), Some(r#"{"claims":{}}"#)).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "no_signer"));
    assert_eq!(
        (refused.header("retry-after"), &refused.json()["retry_at"]),
        (Some("93600"), &json!("2027-01-16T10:00:00Z"))
    );
}

const FOREIGN: &str = r#"{"kty":"EC","crv":"P-256","kid":"old/1","alg":"ES256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

#[tokio::test]
async fn a_foreign_key_is_published_until_it_is_withdrawn() {
    let world = World::new().await;
    let jwk: Value = serde_json::from_str(FOREIGN).unwrap();
    let order = json!({"jwk": jwk, "until": "2027-03-01T00:00:00Z"});
    let reply = post(&world, "/v1/issuers/main/import", &order).await;
    assert_eq!((reply.status, &reply.json()["kids"]), (200, &json!(["old/1"])), "{}", reply.text());
    assert!(ask(world.public, "GET", JWKS, None).await.text().contains("old/1"));
    let gone = ask(world.admin, "DELETE", "/v1/issuers/main/imported/old%2F1", None).await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert!(!ask(world.public, "GET", JWKS, None).await.text().contains("old/1"));
    let again = ask(world.admin, "DELETE", "/v1/issuers/main/imported/old%2F1", None).await;
    assert_eq!((again.status, again.code().as_str()), (404, "unknown_kid"));
}

#[tokio::test]
async fn a_bad_command_changes_nothing() {
    let world = World::new().await;
    let revision = get(&world, "/v1/issuers/main").await["revision"].clone();
    let import = "/v1/issuers/main/import";
    let compromise = "/v1/issuers/main/compromise";
    let private = FOREIGN.replace("\"kty\"", "\"d\":\"AAAA\",\"kty\"");
    let cases = [
        (import, "{}".to_owned(), 400, "member_missing"),
        (import, format!(r#"{{"jwk":{FOREIGN},"jwks":{{"keys":[]}}}}"#), 400, "member_missing"),
        (import, format!(r#"{{"jwk":{private}}}"#), 422, "key_unusable"),
        (import, r#"{"jwk":{"kty":"oct","k":"AAAA","kid":"x","alg":"HS256"}}"#.to_owned(), 422, "key_unusable"),
        (import, r#"{"jwks":{"keys":[]}}"#.to_owned(), 400, "member_value"),
        (import, format!(r#"{{"jwk":{FOREIGN},"until":"2020-01-01T00:00:00Z"}}"#), 400, "member_value"),
        (import, format!(r#"{{"jwk":{FOREIGN},"until":"tomorrow"}}"#), 400, "member_value"),
        (import, format!(r#"{{"jwk":{FOREIGN},"jwk":{FOREIGN}}}"#), 400, "json_duplicate_member"),
        (import, format!(r#"{{"jwk":{FOREIGN},"force":true}}"#), 400, "member_value"),
        (compromise, r#"{"kid":"nobody","reason":"x"}"#.to_owned(), 404, "unknown_kid"),
        (compromise, r#"{"kid":"nobody","reason":"  "}"#.to_owned(), 400, "member_value"),
        (compromise, r#"{"kid":"nobody"}"#.to_owned(), 400, "member_value"),
        (compromise, r#"{"kid":"a b","reason":"x"}"#.to_owned(), 400, "member_value"),
        (compromise, "[1]".to_owned(), 400, "json_not_object"),
        ("/v1/issuers/main/rings/none/rotate", "{}".to_owned(), 404, "unknown_ring"),
        ("/v1/issuers/nobody/rings/es256/rotate", "{}".to_owned(), 404, "unknown_issuer"),
        (
            "/v1/issuers/main/rings/es256/rotate",
            format!(r#"{{"reason":"{}"}}"#, "x".repeat(2_000)),
            400,
            "member_value",
        ),
    ];
    for (path, body, status, code) in cases {
        let reply = ask(world.admin, "POST", path, Some(&body)).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{path} {body}");
        assert!(!reply.text().contains("AAAA"), "{}", reply.text());
    }
    let mut client = Client::tcp(world.admin).await;
    for path in ["/v1//status", "/v1/%73tatus", "/v1/./status", "/v1/issuers/main/imported/a/b"] {
        let reply = client.ask("GET", path, &[], None).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "path_not_canonical"), "{path}");
    }
    let reply = client.ask("DELETE", "/v1/status", &[], None).await;
    assert_eq!(
        (reply.status, reply.code().as_str(), reply.header("allow")),
        (405, "method_not_allowed", Some("GET,HEAD"))
    );
    assert_eq!(client.ask("GET", "/nothing", &[], None).await.code(), "not_found");
    assert_eq!(get(&world, "/v1/issuers/main").await["revision"], revision);
}

#[tokio::test]
async fn operators_see_and_do_what_they_are_granted() {
    let grants = vec![
        token_grant("reader", &[Operation::Read], Some("main")),
        token_grant("root", &Operation::ADMIN, None),
        token_grant("signer", &[Operation::Sign], None),
    ];
    let world = World::with(Setup { grants, ..Setup::default() }).await;
    let mut client = Client::tcp(world.admin).await;
    let cases = [
        ("reader", "GET", "/v1/issuers/main", 200),
        ("reader", "GET", "/v1/status", 200),
        ("reader", "GET", "/v1/issuers/new", 403),
        ("reader", "GET", "/v1/issuers/nobody", 403),
        ("reader", "GET", "/v1/issuers/Not%20A%20Name", 400),
        ("reader", "GET", "/v1/issuers/NotAName", 403),
        ("reader", "GET", "/v1/audit", 403),
        ("reader", "GET", "/v1/audit/checkpoint", 403),
        ("reader", "POST", "/v1/audit/checkpoint", 403),
        ("root", "POST", "/v1/audit/checkpoint", 404),
        ("reader", "POST", "/v1/issuers/main/rings/es256/rotate", 403),
        ("reader", "POST", "/v1/issuers/main/rings/NONE/rotate", 403),
        ("signer", "GET", "/v1/status", 403),
        ("signer", "GET", "/v1/issuers", 403),
        ("nobody", "GET", "/v1/plan", 403),
        ("root", "GET", "/v1/audit", 200),
        ("root", "GET", "/v1/issuers/nobody", 404),
        ("root", "POST", "/v1/issuers/main/rings/es256/rotate", 200),
    ];
    for (token, method, path, status) in cases {
        let authorization = format!("Bearer {token}");
        let reply = client.ask(method, path, &[("authorization", &authorization)], None).await;
        assert_eq!(reply.status, status, "{token} {method} {path}: {}", reply.text());
    }
    let me = client.ask("GET", "/v1/whoami", &[("authorization", "Bearer reader")], None).await.json();
    assert_eq!(me["allowed"], json!([{"issuer": "main", "operations": ["read"]}]));
    assert!(me["caller"].as_str().unwrap().starts_with("token:"));
    let issuers = client.ask("GET", "/v1/issuers", &[("authorization", "Bearer reader")], None).await.json();
    assert_eq!(issuers["issuers"].as_array().unwrap().len(), 1);
    assert_eq!(client.ask("GET", "/v1/whoami", &[("authorization", "Basic x")], None).await.status, 401);
}

#[tokio::test]
async fn a_checkpoint_is_made_when_somebody_asks_for_it() {
    let world = World::with(Setup { checkpoints: true, ..Setup::default() }).await;
    assert_eq!(ask(world.admin, "GET", "/v1/audit/checkpoint", None).await.status, 404);
    world.backend.fail_next(Call::Sign, Fault::WrongSignature);
    let failed = post(&world, "/v1/audit/checkpoint", &json!({})).await;
    assert_eq!((failed.status, failed.json()["code"].clone()), (503, json!("checkpoint_failed")));

    let before = get(&world, "/v1/audit?limit=1").await["records"][0].clone();
    let made = ask(world.admin, "POST", "/v1/audit/checkpoint", None).await.json();
    assert_eq!((&made["record"], &made["hash"]), (&before["seq"], &before["hash"]));
    assert_eq!(get(&world, "/v1/audit/checkpoint").await, made);
    let key = Jwk::parse(&made["key"].to_string()).unwrap();
    let (checkpoint, _) = CheckpointKeys::new(&[key]).verify(made["jws"].as_str().unwrap()).unwrap();
    assert_eq!(
        (checkpoint.seq, checkpoint.hash.to_string()),
        (made["record"].as_u64().unwrap(), before["hash"].as_str().unwrap().to_owned())
    );
    assert_eq!(get(&world, "/v1/audit?limit=1").await["records"][0]["record"]["jws"], made["jws"]);
    assert_eq!(post(&world, "/v1/audit/checkpoint", &json!({"x": 1})).await.status, 400);
}

#[tokio::test]
async fn the_audit_log_is_read_in_pages() {
    let world = World::new().await;
    let all = get(&world, "/v1/audit?limit=1000").await["records"].as_array().unwrap().clone();
    assert!(all.len() > 5);
    let (mut paged, mut after) = (Vec::new(), 0);
    loop {
        let page = get(&world, &format!("/v1/audit?after={after}&limit=3")).await;
        let records = page["records"].as_array().unwrap();
        after = records.last().unwrap()["seq"].as_u64().unwrap();
        paged.extend(records.iter().cloned());
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(paged, all);
    assert_eq!(get(&world, &format!("/v1/audit?after={after}")).await["records"], json!([]));
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_liveness_depends_on_nothing() {
    let world = World::new().await;
    world.backend.fail_always(Call::Sign, Fault::Hang);
    let reply = ask(world.monitor, "GET", "/readyz", None).await;
    // The issuer without keys keeps the daemon from being ready.
    assert_eq!(reply.status, 503);
    let new = json!({"issuer": "new", "ready": false, "without_signer": ["es256"]});
    assert_eq!(reply.json()["issuers"][1], new);
    assert_eq!(reply.json()["issuers"][0]["ready"], true);
    for address in [world.monitor, world.admin] {
        assert_eq!(ask(address, "GET", "/livez", None).await.text(), "ok\n");
    }
    // To a daemon that found others published it is an addition, for which those are not turned away from.
    let audit = world.rotator.committer.audit.clone();
    let established = Health::new(Arc::clone(&world.rotator), audit, Arc::default()).readiness(|_| true);
    assert_eq!((established.ready, established.issuers[1].ready), (true, false));
    world.backend.recover();
    world.rotator.tick(&"new".parse().unwrap()).await.unwrap();
    assert_eq!(ask(world.monitor, "GET", "/readyz", None).await.status, 200);
    assert_eq!(ask(world.admin, "GET", "/readyz", None).await.status, 200);
    world.health.drain();
    let reply = ask(world.admin, "GET", "/readyz", None).await;
    assert_eq!((reply.status, &reply.json()["reasons"]), (503, &json!(["the daemon is about to stop"])));
    assert_eq!(ask(world.monitor, "POST", "/livez", None).await.code(), "method_not_allowed");
    assert_eq!(ask(world.monitor, "GET", "/", None).await.code(), "not_found");
}

/// Else a balancer would turn verifiers away from the very set that they have to fetch meanwhile.
#[tokio::test]
async fn a_ring_that_waits_for_verifiers_does_not_keep_the_daemon_from_being_ready() {
    let world = World::new().await;
    world.rotator.tick(&"new".parse().unwrap()).await.unwrap();
    assert_eq!(ask(world.monitor, "GET", "/readyz", None).await.status, 200);
    let kid = ask(world.signing, "GET", &format!("{RING}/signer"), None).await.json()["kid"].clone();
    assert_eq!(post(&world, "/v1/issuers/main/compromise", &json!({"kid": kid, "reason": "x"})).await.status, 200);
    world.rotator.tick(&"main".parse().unwrap()).await.unwrap();
    let reply = ask(world.monitor, "GET", "/readyz", None).await;
    assert_eq!((reply.status, &reply.json()["ready"]), (200, &json!(true)));
    let main = &reply.json()["issuers"][0];
    assert_eq!((&main["ready"], &main["without_signer"]), (&json!(false), &json!(["es256"])));
}

#[tokio::test]
async fn a_gauge_is_as_new_as_the_scrape() {
    let world = World::new().await;
    let is_ready = "jwksd_ring_standby_ready{issuer=\"main\",ring=\"es256\"} 1";
    let shown = async || ask(world.monitor, "GET", "/metrics", None).await.text().lines().any(|line| line == is_ready);
    assert!(!shown().await);
    // Propagation ends, and nothing is due: the rotator sleeps on.
    world.sleep(Span::from_hours(27));
    assert!(shown().await);
}

#[tokio::test]
async fn what_happens_is_counted() {
    let world = World::new().await;
    ask(world.public, "GET", JWKS, None).await;
    ask(world.signing, "POST", &format!("{RING}/jwt"), Some(r#"{"claims":{}}"#)).await;
    ask(world.signing, "POST", &format!("{RING}/jwt"), Some("{}")).await;
    let page = ask(world.monitor, "GET", "/metrics", None).await;
    for line in [
        "jwksd_jwks_requests_total{issuer=\"main\",status=\"200\"} 1",
        "jwksd_sign_requests_total{issuer=\"main\",ring=\"es256\",outcome=\"ok\"} 1",
        "jwksd_sign_requests_total{issuer=\"main\",ring=\"es256\",outcome=\"member_missing\"} 1",
        "jwksd_calls_refused_total{code=\"member_missing\"} 1",
        "jwksd_ready 0",
    ] {
        assert!(page.text().lines().any(|known| known == line), "{line} in\n{}", page.text());
    }
}
