//! The listeners over TLS, as openssl and curl meet them.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jwksd::access::grant::{Grant, Operation, Pattern};
use jwksd::server::listen::Limits;
use jwksd::tls::{ClientAuth, Clients, Endpoint, Files, MinVersion, Reload};
use prometheus_client::encoding::text::encode;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::world::{JWKS, Setup, World};
use crate::support::authority::{Authority, run};
use crate::support::soon::soon;

struct Site {
    authority: Authority,
    endpoint: Arc<Endpoint>,
    world: World,
}

impl Site {
    async fn new(min_version: MinVersion, clients: Option<ClientAuth>) -> Self {
        let authority = Authority::new();
        let (cert, key) = authority.issue("server", "DNS:localhost,IP:127.0.0.1");
        for (name, alternatives) in [
            ("idp", "URI:spiffe://td/idp/a"),
            ("web", "DNS:web.example.com"),
            ("two", "URI:spiffe://td/idp/a,URI:spiffe://td/idp/b"),
        ] {
            authority.issue(name, alternatives);
        }
        let clients =
            clients.map(|auth| Clients { ca: authority.path("ca.pem"), auth, crls: vec![authority.revocation_list()] });
        let endpoint = Arc::new(Endpoint::load(Files { cert, key, min_version, clients }).unwrap());
        let grant = |caller| Grant::new(caller, Operation::ALL);
        let grants = vec![
            grant(Pattern::Spiffe("spiffe://td/idp/*".parse().unwrap())),
            grant(Pattern::Dns("web.example.com".to_owned())),
        ];
        let limits = Limits { head: Duration::from_millis(500), ..Limits::default() };
        let setup = Setup { grants, limits, tls: Some(Arc::clone(&endpoint)), ..Setup::default() };
        Self { world: World::with(setup).await, authority, endpoint }
    }

    /// The exit code and what was printed; with a certificate if `name` is one.
    fn curl(&self, name: &str, arguments: &str, address: SocketAddr, path: &str) -> (i32, String) {
        let identity = if name.is_empty() { String::new() } else { format!("--cert {name}.pem --key {name}.key") };
        let arguments = format!(
            "-sS --max-time 10 --cacert ca.pem {identity} {arguments} https://127.0.0.1:{}{path}",
            address.port()
        );
        let output = run("curl", &arguments, &self.authority.path(""));
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).unwrap())
    }

    fn whoami(&self, name: &str) -> Value {
        let (code, text) = self.curl(name, "", self.world.admin, "/v1/whoami");
        assert_eq!(code, 0, "{name}");
        serde_json::from_str(&text).unwrap()
    }

    /// What `openssl s_client` has agreed on.
    fn s_client(&self, arguments: &str) -> Option<String> {
        let arguments = format!("s_client -connect 127.0.0.1:{} {arguments}", self.world.public.port());
        let text = String::from_utf8_lossy(&run("openssl", &arguments, &self.authority.path("")).stdout).into_owned();
        let (_, rest) = text.split_once(", Cipher is ")?;
        let cipher = rest.lines().next().unwrap().to_owned();
        (cipher != "(NONE)").then_some(cipher)
    }

    /// Whether a handshake failed so, by the metrics; they come a moment after the client has noticed.
    async fn failed(&self, reason: &str) -> bool {
        let counter = format!("jwksd_handshakes_failed_total{{listener=\"test\",reason=\"{reason}\"}}");
        soon(|| {
            let mut page = String::new();
            encode(&mut page, &self.world.registry).unwrap();
            page.contains(&counter)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_older_than_agreed_and_no_weak_suite_is_spoken() {
    let strict = Site::new(MinVersion::Tls13, None).await;
    let willing = "-cipher ALL:COMPLEMENTOFALL:@SECLEVEL=0";
    assert!(strict.s_client("-tls1_3").is_some_and(|cipher| cipher.starts_with("TLS_")));
    for old in ["-tls1_2", "-tls1_1", "-tls1"] {
        assert_eq!(strict.s_client(&format!("{old} {willing}")), None, "{old}");
    }
    assert!(strict.failed("nothing_in_common").await);
    let lenient = Site::new(MinVersion::Tls12, None).await;
    for old in ["-tls1_1", "-tls1"] {
        assert_eq!(lenient.s_client(&format!("{old} {willing}")), None, "{old}");
    }
    let listed = run("openssl", "ciphers -s -tls1_2 ALL:COMPLEMENTOFALL:@SECLEVEL=0", &lenient.authority.path(""));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let known: Vec<&str> = listed.trim().split(':').filter(|name| !name.starts_with("TLS_")).collect();
    assert!(known.len() > 50 && known.contains(&"AES128-SHA"), "{known:?}");
    let spoken: BTreeSet<String> =
        known.iter().filter_map(|name| lenient.s_client(&format!("-tls1_2 -cipher {name}:@SECLEVEL=0"))).collect();
    let strong = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"];
    assert_eq!(spoken, strong.map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_agree_on_a_version_of_http() {
    let site = Site::new(MinVersion::Tls13, None).await;
    for (wish, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
        let (code, text) =
            site.curl("", &format!("{wish} -o /dev/null -w %{{http_version}},%{{http_code}}"), site.world.public, JWKS);
        assert_eq!((code, text), (0, format!("{version},200")), "{wish}");
    }
    // Ten requests at once on one connection, one of them refused.
    let body = "--http2 -X POST -H content-type:application/json -d {\"claims\":{}} -o /dev/null -w %{http_code}";
    let (code, text) = site.curl("", body, site.world.signing, "/v1/issuers/main/rings/es256/jwt");
    assert_eq!((code, text.as_str()), (0, "403"));
    // Whoever is refused on the admin listener has sent a body all the same, and gets an answer, not a reset.
    let large = site.authority.path("large");
    fs::write(&large, vec![b' '; 60_000]).unwrap();
    let body = "--http2 -X POST -H content-type:application/json --data-binary @large -o /dev/null -w %{http_code}";
    for (path, status) in [
        ("/v1/nothing", "404"),
        ("/v1/status", "405"),
        ("/v1/a//b", "400"),
        ("/v1/issuers/main/rings/es256/rotate", "400"),
    ] {
        let (code, text) = site.curl("", body, site.world.admin, path);
        assert_eq!((code, text.as_str()), (0, status), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_known_by_the_names_in_its_certificate() {
    let site = Site::new(MinVersion::Tls13, Some(ClientAuth::Optional)).await;
    assert_eq!(site.whoami("idp")["caller"], "spiffe://td/idp/a");
    assert_eq!(site.whoami("web")["caller"], "dns:web.example.com");
    assert_eq!(site.whoami("web")["allowed"].as_array().unwrap().len(), 1);
    // Two URIs are no SPIFFE ID, and without a certificate one is nobody.
    for nobody in ["two", ""] {
        let shown = site.whoami(nobody);
        assert!(shown["caller"].as_str().unwrap().starts_with("tcp:127.0.0.1:"), "{shown}");
        assert_eq!(shown["allowed"], serde_json::json!([]));
    }
    // A stranger of the same name.
    let other = Authority::new();
    let (cert, key) = other.issue("idp", "URI:spiffe://td/idp/a");
    let shown = format!("--cert {} --key {}", cert.display(), key.display());
    assert_ne!(site.curl("", &shown, site.world.admin, "/v1/whoami").0, 0);
    assert!(site.failed("certificate_of_a_stranger").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_refused_and_its_connection_ends() {
    let site = Site::new(MinVersion::Tls13, Some(ClientAuth::Required)).await;
    assert_ne!(site.curl("", "", site.world.admin, "/v1/whoami").0, 0);
    assert!(site.failed("certificate_missing").await);
    assert_eq!(site.whoami("idp")["caller"], "spiffe://td/idp/a");
    // Let in before: over a connection that stands while the list changes.
    let identity = (site.authority.path("idp.pem"), site.authority.path("idp.key"));
    let files = jwksd::tls::ClientFiles { ca: Some(site.authority.path("ca.pem")), identity: Some(identity) };
    let connector = tokio_rustls::TlsConnector::from(jwksd::tls::client_config(&files).unwrap());
    let stream = TcpStream::connect(site.world.admin).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let mut standing = super::client::Client::over(Box::new(stream));
    assert_eq!(standing.ask("GET", "/v1/whoami", &[], None).await.status, 200);
    site.authority.revoke("idp");
    site.authority.revocation_list();
    assert_eq!(site.endpoint.reload().unwrap(), Reload::Loaded);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), standing.stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty());
    assert_ne!(site.curl("idp", "", site.world.admin, "/v1/whoami").0, 0);
    assert!(site.failed("certificate_revoked").await);
    assert_eq!(site.whoami("web")["caller"], "dns:web.example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_and_a_broken_one_is_not() {
    let site = Site::new(MinVersion::Tls13, None).await;
    let serial = || {
        let connect = format!("s_client -connect 127.0.0.1:{} -CAfile ca.pem", site.world.public.port());
        let shown = run("openssl", &connect, &site.authority.path("")).stdout;
        let text = String::from_utf8_lossy(&shown).into_owned();
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
        text.split_once("-----BEGIN CERTIFICATE-----").unwrap().1.split_once("-----END").unwrap().0.to_owned()
    };
    let first = serial();
    let connector = jwksd::tls::ClientFiles { ca: Some(site.authority.path("ca.pem")), identity: None };
    let connector = tokio_rustls::TlsConnector::from(jwksd::tls::client_config(&connector).unwrap());
    let stream = TcpStream::connect(site.world.public).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let mut standing = super::client::Client::over(Box::new(stream));
    assert_eq!(standing.ask("GET", JWKS, &[], None).await.status, 200);
    assert_eq!(site.endpoint.reload().unwrap(), Reload::Unchanged);

    site.authority.issue("server", "DNS:localhost,IP:127.0.0.1");
    assert_eq!(site.endpoint.reload().unwrap(), Reload::Loaded);
    let second = serial();
    assert_ne!(first, second);
    assert_eq!(standing.ask("GET", JWKS, &[], None).await.status, 200, "the old connection stands");

    let key = site.authority.path("server.key");
    fs::copy(site.authority.path("web.key"), &key).unwrap();
    let error = site.endpoint.reload().unwrap_err();
    assert!(error.to_string().ends_with("server.key do not go together"), "{error}");
    assert_eq!(site.endpoint.reload().unwrap(), Reload::Unchanged, "a fault is told once");
    fs::write(&key, "no key").unwrap();
    assert!(site.endpoint.reload().unwrap_err().to_string().contains("holds no usable private key"));
    fs::remove_file(&key).unwrap();
    assert!(site.endpoint.reload().is_err());
    assert_eq!(serial(), second);
    assert_eq!(standing.ask("GET", JWKS, &[], None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_shake_hands_is_cut_off() {
    let site = Site::new(MinVersion::Tls13, None).await;
    let mut silent = TcpStream::connect(site.world.public).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut rest)).await;
    assert!(ended.is_ok());
    assert!(site.failed("timed_out").await);
    let plain = format!("-s --max-time 10 http://127.0.0.1:{}{JWKS}", site.world.public.port());
    assert_ne!(run("curl", &plain, &site.authority.path("")).status.code(), Some(0));
    assert!(site.failed("not_tls").await);
}
