//! How listeners bear with bad clients, and how they end.

use std::time::Duration;

use jwksd::server::listen::{Address, BindError, Limits, Listener};
use jwksd::server::sign;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::client::{Client, ask, request};
use super::world::{JWKS, RING, Setup, World};
use crate::support::fake_backend::{Call, Fault};

const LONG: Duration = Duration::from_secs(10);

async fn ends(client: &mut Client) -> bool {
    let mut rest = Vec::new();
    timeout(LONG, client.stream.read_to_end(&mut rest)).await.is_ok() && rest.is_empty()
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_off() {
    let limits = Limits { head: Duration::from_millis(50), ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    let mut silent = Client::tcp(world.public).await;
    let mut slow = Client::tcp(world.public).await;
    slow.send(b"GET / HTTP/1.1\r\nx: ").await;
    let mut fast = Client::tcp(world.public).await;
    assert_eq!(fast.ask("GET", JWKS, &[], None).await.status, 200);
    assert!(ends(&mut silent).await && ends(&mut slow).await);
    // Between requests it is given longer.
    assert_eq!(fast.ask("GET", JWKS, &[], None).await.status, 200);
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_off() {
    let sign = sign::Settings { body_within: Duration::from_millis(100), ..sign::Settings::default() };
    let world = World::with(Setup { sign, ..Setup::default() }).await;
    let mut slow = Client::tcp(world.signing).await;
    let whole = request("POST", &format!("{RING}/jwt"), &[], Some(r#"{"claims":{}}"#));
    slow.send(&whole[..whole.len() - 5]).await;
    let reply = slow.receive(false).await.unwrap();
    assert!(matches!((reply.status, reply.code().as_str()), (408, "body_timeout")), "{reply:?}");
    assert_eq!(world.signatures(), 0);
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away_at_once() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    let mut first = Client::tcp(world.public).await;
    let mut second = Client::tcp(world.public).await;
    for client in [&mut first, &mut second] {
        assert_eq!(client.ask("GET", JWKS, &[], None).await.status, 200);
    }
    let mut third = Client::tcp(world.public).await;
    assert!(ends(&mut third).await);
    assert_eq!((world.counters.accepted.get(), world.counters.turned_away.get()), (2, 1));
    drop(first);
    for _ in 0..100 {
        let mut next = Client::tcp(world.public).await;
        next.send(&request("GET", JWKS, &[], None)).await;
        if next.receive(false).await.is_some_and(|reply| reply.status == 200) {
            return;
        }
    }
    panic!("no room was made");
}

#[tokio::test]
async fn a_flood_of_signatures_is_shed() {
    let sign = sign::Settings { in_flight: 1, ..sign::Settings::default() };
    let world = World::with(Setup { sign, ..Setup::default() }).await;
    world.backend.fail_always(Call::Sign, Fault::Hang);
    let mut stuck = Client::tcp(world.signing).await;
    stuck.send(&request("POST", &format!("{RING}/jwt"), &[], Some(r#"{"claims":{}}"#))).await;
    while world.signatures() == 0 {
        tokio::task::yield_now().await;
    }
    let reply = ask(world.signing, "POST", &format!("{RING}/jwt"), Some(r#"{"claims":{}}"#)).await;
    assert_eq!((reply.status, reply.code().as_str(), reply.header("retry-after")), (503, "busy", Some("1")));
    // Whoever hangs up makes room.
    drop(stuck);
    world.backend.recover();
    while ask(world.signing, "POST", &format!("{RING}/jwt"), Some(r#"{"claims":{}}"#)).await.status != 200 {}
}

#[tokio::test]
async fn whoever_is_turned_away_is_so_before_the_body() {
    let caller = sign::admission::Share { rate: Some(1), at_once: 8 };
    let limits = sign::admission::Limits { caller, ..sign::admission::Limits::default() };
    let sign = sign::Settings { in_flight: 1, limits, ..sign::Settings::default() };
    let world = World::with(Setup { sign, ..Setup::default() }).await;
    let text = r#"{"claims":{}}"#;
    let body = Some(text);
    assert_eq!(ask(world.signing, "POST", &format!("{RING}/jwt"), body).await.status, 200);
    // The head alone: no byte of the body is sent.
    let mut client = Client::tcp(world.signing).await;
    let whole = request("POST", &format!("{RING}/jwt"), &[], body);
    client.send(&whole[..whole.len() - text.len()]).await;
    let reply = client.receive(false).await.unwrap();
    assert_eq!((reply.status, reply.code().as_str(), reply.header("retry-after")), (429, "rate_limited", Some("1")));
    assert_eq!(world.signatures(), 1);
    // A batch is charged for every signature in it.
    world.sleep(jwksd::lifecycle::time::Span::from_secs(60));
    let batch = Some(r#"{"requests":[{"claims":{}},{"claims":{}},{"claims":{}}]}"#);
    assert_eq!(ask(world.signing, "POST", &format!("{RING}/jwt/batch"), batch).await.status, 200);
    let reply = ask(world.signing, "POST", &format!("{RING}/jwt"), body).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("3")));
}

#[tokio::test]
async fn what_is_under_way_is_finished_before_the_end() {
    let mut world = World::new().await;
    world.backend.fail_always(Call::Sign, Fault::Slow(Duration::from_millis(200)));
    let mut idle = Client::tcp(world.signing).await;
    assert_eq!(idle.ask("GET", &format!("{RING}/signer"), &[], None).await.status, 200);
    let mut busy = Client::tcp(world.signing).await;
    busy.send(&request("POST", &format!("{RING}/jwt"), &[], Some(r#"{"claims":{}}"#))).await;
    while world.signatures() == 0 {
        tokio::task::yield_now().await;
    }
    world.stop();
    assert!(ends(&mut idle).await);
    let reply = busy.receive(false).await.unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(tokio::net::TcpStream::connect(world.signing).await.is_err());
    assert!(!world.socket.exists());
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off_at_the_end_of_the_grace_period() {
    let limits = Limits { grace: Duration::from_millis(50), ..Limits::default() };
    let mut world = World::with(Setup { limits, ..Setup::default() }).await;
    world.backend.fail_always(Call::Sign, Fault::Hang);
    let mut busy = Client::tcp(world.signing).await;
    busy.send(&request("POST", &format!("{RING}/jwt"), &[], Some(r#"{"claims":{}}"#))).await;
    while world.signatures() == 0 {
        tokio::task::yield_now().await;
    }
    world.stop();
    assert!(ends(&mut busy).await);
}

#[tokio::test]
async fn an_address_that_is_taken_is_found_out_at_once() {
    let world = World::new().await;
    let tcp = Listener::bind("public", &Address::Tcp(world.public), Limits::default()).await;
    assert!(matches!(tcp, Err(BindError::Io { .. })));
    let unix = Address::Unix { path: world.socket.clone(), mode: 0o600 };
    assert!(matches!(Listener::bind("signing", &unix, Limits::default()).await, Err(BindError::InUse(_))));
}
