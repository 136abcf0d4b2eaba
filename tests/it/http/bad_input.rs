//! Whatever is sent: a code below 500, nothing signed, and the next request is answered as ever.

use jwksd::jose::base64url;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::client::{Client, Reply, ask, request};
use super::world::{JWKS, RING, START, URL, World};

/// Sends `body` to an endpoint of the ring, and returns status and code.
async fn refused(world: &World, endpoint: &str, body: &str) -> (u16, String) {
    let reply = ask(world.signing, "POST", &format!("{RING}/{endpoint}"), Some(body)).await;
    (reply.status, reply.code())
}

async fn nothing_was_signed(world: &World) {
    assert_eq!(world.signatures(), 0);
    let reply = ask(world.signing, "POST", &format!("{RING}/jwt"), Some(r#"{"claims":{}}"#)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_request_for_a_token_is_read_strictly() {
    let world = World::new().await;
    let deep = format!(r#"{{"claims":{{"a":{}1{}}}}}"#, "[".repeat(40), "]".repeat(40));
    let many =
        format!(r#"{{"claims":{{{}}}}}"#, (0..1_100).map(|n| format!("\"m{n}\":1")).collect::<Vec<_>>().join(","));
    let long = format!(r#"{{"claims":{{"a":"{}"}}}}"#, "x".repeat(70_000));
    let cases: &[(&str, u16, &str)] = &[
        ("", 400, "json_syntax"),
        ("{", 400, "json_syntax"),
        ("null", 400, "json_not_object"),
        (r#"{"claims":{}}{}"#, 400, "json_trailing_text"),
        (r#"{"claims":{},}"#, 400, "json_syntax"),
        (r#"{"claims":{'a':1}}"#, 400, "json_syntax"),
        (r#"{"claims":{"a":NaN}}"#, 400, "json_syntax"),
        (r#"{"claims":{"a":01}}"#, 400, "json_syntax"),
        ("\u{feff}{\"claims\":{}}", 400, "json_byte_order_mark"),
        (r#"{"claims":{},"claims":{"admin":true}}"#, 400, "json_duplicate_member"),
        (r#"{"claims":{"sub":"a","sub":"b"}}"#, 400, "json_duplicate_member"),
        (r#"{"claims":{"sub":"a","su\u0062":"b"}}"#, 400, "json_duplicate_member"),
        (r#"{"claims":{"sub":"a","Sub":"b"}}"#, 400, "json_case_variant_member"),
        (r#"{"claims":{"x":{"y":{"z":1,"z":2}}}}"#, 400, "json_duplicate_member"),
        (r#"{"claims":{"a":"\ud800"}}"#, 400, "json_lone_surrogate"),
        (r#"{"claims":{"a":1e400}}"#, 400, "json_number_range"),
        (r#"{"claims":"sub"}"#, 400, "json_not_object"),
        (r#"{"claims":{},"kid":"x"}"#, 400, "member_unknown"),
        (r#"{"claims":{},"alg":"HS256"}"#, 400, "member_unknown"),
        (r#"{"claims":{},"header":{"jku":"https://evil"}}"#, 400, "member_unknown"),
        (r#"{"ttl":"5m"}"#, 400, "member_missing"),
        (r#"{"claims":{},"ttl":5}"#, 400, "json_wrong_type"),
        (r#"{"claims":{},"ttl":null}"#, 400, "json_wrong_type"),
        (r#"{"claims":{},"ttl":"soon"}"#, 400, "member_value"),
        (r#"{"claims":{},"ttl":"99999999999999999999s"}"#, 400, "member_value"),
        (r#"{"claims":{},"ttl":"0s"}"#, 422, "lifetime_zero"),
        (r#"{"claims":{},"ttl":"61m"}"#, 422, "lifetime_exceeded"),
        (r#"{"claims":{},"typ":"at+jwt\r\nx: y"}"#, 400, "member_value"),
        (r#"{"claims":{},"typ":""}"#, 400, "member_value"),
        (r#"{"claims":{"iss":"https://evil"}}"#, 422, "claim_reserved"),
        (r#"{"claims":{"EXP":9999999999}}"#, 422, "claim_reserved"),
        (r#"{"claims":{"jti":"mine"}}"#, 422, "claim_reserved"),
        (r#"{"claims":{"sub":7}}"#, 422, "claim_type"),
        (r#"{"claims":{"aud":[1]}}"#, 422, "claim_type"),
        (r#"{"claims":{"nbf":9999999999}}"#, 422, "claim_future"),
        (&deep, 400, "json_too_deep"),
        (&many, 400, "json_too_many_members"),
        (&long, 400, "json_too_long"),
    ];
    for (body, status, code) in cases {
        let shown: String = body.chars().take(80).collect();
        assert_eq!(refused(&world, "jwt", body).await, (*status, (*code).to_owned()), "{shown}");
    }
    nothing_was_signed(&world).await;
}

/// A signing input with this header and payload, as the body of a request.
fn input(header: &Value, payload: &Value) -> String {
    let part = |value: &Value| base64url::encode(value.to_string().as_bytes());
    json!({"signing_input": format!("{}.{}", part(header), part(payload))}).to_string()
}

#[tokio::test]
async fn an_assembled_header_can_smuggle_nothing_in() {
    let world = World::new().await;
    let signer = ask(world.signing, "GET", &format!("{RING}/signer"), None).await.json();
    let (kid, good) = (&signer["kid"], json!({"iss": URL, "exp": START + 60}));
    let with = |name: &str, value: Value| {
        let mut header = json!({"alg": "ES256", "kid": kid});
        header[name] = value;
        header
    };
    let cases = [
        (with("jwk", json!({"kty": "EC"})), 400, "header_member_not_allowed"),
        (with("jku", json!("https://evil/jwks")), 400, "header_member_not_allowed"),
        (with("x5c", json!(["MII"])), 400, "header_member_not_allowed"),
        (with("x5u", json!("https://evil/x")), 400, "header_member_not_allowed"),
        (with("crit", json!(["b64"])), 400, "header_member_not_allowed"),
        (with("b64", json!(false)), 400, "header_member_not_allowed"),
        (with("zip", json!("DEF")), 400, "header_member_not_allowed"),
        (with("ALG", json!("none")), 400, "header_case_variant_member"),
        (with("alg", json!("none")), 400, "header_algorithm_not_allowed"),
        (with("alg", json!("HS256")), 400, "header_algorithm_not_allowed"),
        (with("alg", json!("es256")), 400, "header_algorithm_not_allowed"),
        (with("alg", json!("ES384")), 409, "wrong_signer"),
        (with("alg", json!("RS256")), 409, "wrong_signer"),
        (with("alg", json!(1)), 400, "header_member_not_string"),
        (with("kid", json!("unknown")), 409, "wrong_signer"),
        (with("kid", json!("../../etc/passwd")), 409, "wrong_signer"),
        (with("kid", json!("x' OR '1'='1")), 400, "header_kid_malformed"),
        (with("kid", json!("")), 400, "header_kid_malformed"),
        (with("kid", json!("k".repeat(4_000))), 400, "header_too_long"),
        (with("typ", json!("a b")), 400, "header_typ_malformed"),
        (json!({"alg": "ES256"}), 400, "header_member_missing"),
        (json!({"kid": kid}), 400, "header_member_missing"),
        (json!([]), 400, "header_not_object"),
    ];
    for (header, status, code) in cases {
        assert_eq!(refused(&world, "signature", &input(&header, &good)).await, (status, code.to_owned()), "{header}");
    }
    let header = json!({"alg": "ES256", "kid": kid});
    let payloads = [
        (json!({"iss": "https://evil", "exp": START + 60}), 422, "claim_issuer"),
        (json!({"exp": START + 60}), 422, "claim_missing"),
        (json!({"iss": URL}), 422, "claim_missing"),
        (json!({"iss": URL, "exp": START}), 422, "claim_expired"),
        (json!({"iss": URL, "exp": START - 1}), 422, "claim_expired"),
        (json!({"iss": URL, "exp": START + 3_601}), 422, "lifetime_exceeded"),
        (json!({"iss": URL, "exp": START + 60, "iat": START + 61}), 422, "claim_future"),
        (json!({"iss": URL, "exp": "soon"}), 422, "claim_type"),
        (json!("text"), 400, "payload_not_object"),
    ];
    for (payload, status, code) in payloads {
        assert_eq!(
            refused(&world, "signature", &input(&header, &payload)).await,
            (status, code.to_owned()),
            "{payload}"
        );
    }
    let text = |text: &str| json!({"signing_input": text}).to_string();
    let encoded = base64url::encode(header.to_string().as_bytes());
    let texts = [
        (text(""), "jws_segments"),
        (text("a"), "jws_segments"),
        (text(&format!("{encoded}.e30.e30")), "jws_segments"),
        (text(&format!("{encoded}=.e30")), "header_not_base64url"),
        (text(&format!("{encoded}.e3+")), "payload_not_base64url"),
        (text(&format!("{encoded}.e31")), "payload_not_base64url"),
        (json!({"signing_input": 1}).to_string(), "json_wrong_type"),
        (json!({"digest": "abc"}).to_string(), "member_unknown"),
        ("{}".to_owned(), "member_missing"),
    ];
    for (body, code) in texts {
        assert_eq!(refused(&world, "signature", &body).await, (400, code.to_owned()), "{body}");
    }
    nothing_was_signed(&world).await;
}

#[tokio::test]
async fn a_batch_is_bounded() {
    let world = World::new().await;
    let many = json!({"requests": vec![json!({"claims": {}}); 1_001]}).to_string();
    for (body, code) in [
        (r#"{"requests":[]}"#, "batch_size"),
        (many.as_str(), "batch_size"),
        (r#"{"requests":{"0":{"claims":{}}}}"#, "member_value"),
        (r#"{"claims":{}}"#, "member_unknown"),
        ("[]", "json_not_object"),
    ] {
        assert_eq!(refused(&world, "jwt/batch", body).await, (400, code.to_owned()));
    }
    nothing_was_signed(&world).await;
}

#[tokio::test]
async fn a_path_has_one_spelling_and_one_method() {
    let world = World::new().await;
    let mut client = Client::tcp(world.signing).await;
    for path in [
        "/v1/issuers/main/rings/es256/jwt/",
        "/v1/issuers/main//rings/es256/jwt",
        "//v1/issuers/main/rings/es256/jwt",
        "/v1/issuers/main/rings/es256/./jwt",
        "/v1/issuers/new/../main/rings/es256/jwt",
        "/v1/issuers/m%61in/rings/es256/jwt",
        "/v1/issuers/main%2Frings/es256/jwt",
        "/v1/issuers/main%00/rings/es256/jwt",
        "/v1/issuers/%2e%2e/rings/es256/jwt",
        "/v1/issuers/MAIN/rings/es256/jwt",
        "/v1/issuers/main/rings/ES256/jwt",
        "/V1/issuers/main/rings/es256/jwt",
        "/v1/issuers/main/rings/es256/jwt;a=b",
        "/v1/issuers/*/rings/es256/jwt",
        "/v1/issuers/main/rings/es256",
        "/v1/issuers/main/rings/es256/sign",
        "/v1/status",
        "/",
    ] {
        let reply = client.ask("POST", path, &[], Some(r#"{"claims":{}}"#)).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{path}");
    }
    let query = format!("{RING}/jwt?kid=x");
    assert_eq!(client.ask("POST", &query, &[], Some(r#"{"claims":{}}"#)).await.code(), "query_not_allowed");
    for (method, endpoint, allow) in
        [("GET", "jwt", "POST"), ("PUT", "signature", "POST"), ("POST", "signer", "GET, HEAD")]
    {
        let reply = client.ask(method, &format!("{RING}/{endpoint}"), &[], None).await;
        assert_eq!((reply.status, reply.code().as_str()), (405, "method_not_allowed"));
        assert_eq!(reply.header("allow"), Some(allow));
    }
    nothing_was_signed(&world).await;
}

#[tokio::test]
async fn a_body_comes_as_json_with_its_length() {
    let world = World::new().await;
    let path = format!("{RING}/jwt");
    let good = r#"{"claims":{}}"#;
    for media_type in
        ["text/plain", "application/jwt", "application/json; charset=latin1", "application/json, text/plain", ""]
    {
        let reply =
            Client::tcp(world.signing).await.ask("POST", &path, &[("content-type", media_type)], Some(good)).await;
        assert_eq!((reply.status, reply.code().as_str()), (415, "unsupported_media_type"), "{media_type}");
    }
    let raw = |headers: &str, body: &[u8]| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n{headers}\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let cases = [
        (raw("transfer-encoding: chunked", b"d\r\n{\"claims\":{}}\r\n0\r\n\r\n"), 411, "length_required"),
        // The way in which requests are smuggled past a proxy.
        (
            raw("transfer-encoding: chunked\r\ncontent-length: 13", b"d\r\n{\"claims\":{}}\r\n0\r\n\r\n"),
            411,
            "length_required",
        ),
        (raw("content-length: 999999999", b""), 413, "body_too_large"),
        (raw("content-length: 14", b"{\"claims\":{\xff}}"), 400, "body_not_utf8"),
        (raw("content-length: 0", b""), 400, "json_syntax"),
    ];
    for (bytes, status, code) in cases {
        let reply = exchange(&world, &bytes).await.unwrap();
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", String::from_utf8_lossy(&bytes));
    }
    nothing_was_signed(&world).await;
}

async fn exchange(world: &World, bytes: &[u8]) -> Option<Reply> {
    let mut client = Client::tcp(world.signing).await;
    client.send(bytes).await;
    client.receive(false).await
}

#[tokio::test]
async fn what_is_not_http_ends_in_a_refusal_or_in_silence() {
    let world = World::new().await;
    let huge = "x".repeat(64 * 1_024);
    let many: String = (0..200).map(|n| format!("h{n}: x\r\n")).collect();
    let path = format!("{RING}/jwt");
    for text in [
        "\0\0\0\0".to_owned(),
        "\x16\x03\x01\x02\0\x01\0\x01".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("POST {path}\0 HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n"),
        format!("POST {path} HTTP/9.9\r\n\r\n"),
        format!("POST {path} HTTP/1.1\r\nhost: t\r\nx: {huge}\r\n\r\n"),
        format!("POST {path}{huge} HTTP/1.1\r\nhost: t\r\n\r\n"),
        format!("POST {path} HTTP/1.1\r\nhost: t\r\n{many}\r\n"),
        format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: -1\r\n\r\n"),
        format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"),
        format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length : 13\r\n\r\n{{\"claims\":{{}}}}"),
        format!("POST {path} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: xchunked\r\n\r\n"),
        format!("POST {path} HTTP/1.1\r\nhost: t\r\nfolded: a\r\n b\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let reply = exchange(&world, text.as_bytes()).await;
        let shown: String = text.chars().take(90).collect();
        assert!(reply.is_none_or(|reply| (400..500).contains(&reply.status)), "{shown:?}");
    }
    nothing_was_signed(&world).await;
}

#[tokio::test]
async fn a_body_that_never_comes_whole_is_not_signed() {
    let world = World::new().await;
    let whole = request("POST", &format!("{RING}/jwt"), &[], Some(r#"{"claims":{}}"#));
    let mut client = Client::tcp(world.signing).await;
    client.send(&whole[..whole.len() - 3]).await;
    client.stream.shutdown().await.unwrap();
    if let Some(reply) = client.receive(false).await {
        assert_eq!((reply.status, reply.code().as_str()), (400, "body_incomplete"));
    }
    // Half-closed, but whole: it may be answered, or the hang-up may win.
    nothing_was_signed(&world).await;
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order() {
    let world = World::new().await;
    let mut client = Client::tcp(world.public).await;
    let two = [request("GET", JWKS, &[], None), request("GET", "/nothing", &[], None)].concat();
    client.send(&two).await;
    assert_eq!(client.receive(false).await.unwrap().status, 200);
    assert_eq!(client.receive(false).await.unwrap().status, 404);
}
