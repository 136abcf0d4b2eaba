//! TLS of the running daemon, as the openssl command meets it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::Signal;

use super::calm;
use crate::support::authority::{Authority, run};
use crate::support::daemon::{Installation, Layout, PATIENCE, free_port, until};

const JWKS: &str = "/main/.well-known/jwks.json";

/// A connection by `openssl s_client` that stays.
struct Standing {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Standing {
    fn open(authority: &Authority, port: u16) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-CAfile", "ca.pem", "-verify_return_error", "-connect"]);
        command.arg(format!("127.0.0.1:{port}")).current_dir(authority.path(""));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, stdin, stdout: BufReader::new(stdout) }
    }

    /// The first line of an answer.
    fn ask(&mut self) -> String {
        write!(self.stdin, "HEAD {JWKS} HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        self.stdin.flush().unwrap();
        let lines = self.stdout.by_ref().lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        head.into_iter().next().unwrap_or_default()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the daemon shows to a new client.
fn certificate(authority: &Authority, port: u16) -> String {
    let connect = format!("s_client -connect 127.0.0.1:{port} -CAfile ca.pem");
    let output = run("openssl", &connect, &authority.path(""));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
    text.split_once("-----BEGIN CERTIFICATE-----").unwrap().1.split_once("-----END").unwrap().0.to_owned()
}

#[test]
fn certificates_are_renewed_by_a_signal_and_without_one_and_connections_stand() {
    let port = free_port();
    let authority = Authority::new();
    let renew = || authority.issue("server", "DNS:localhost,IP:127.0.0.1");
    let (cert, key) = renew();
    let installation = Installation::new(Layout { issuers: calm(), port: Some(port), ..Layout::default() });
    let text = fs::read_to_string(installation.config()).unwrap();
    let plain = format!("public = {{ address = \"127.0.0.1:{port}\" }}");
    let tls = format!("public = {{ address = \"127.0.0.1:{port}\", tls = {{ cert = {cert:?}, key = {key:?} }} }}");
    assert!(text.contains(&plain), "{text}");
    fs::write(installation.config(), text.replace(&plain, &tls)).unwrap();
    installation.init();
    let daemon = installation.start();

    let mut standing = Standing::open(&authority, port);
    assert_eq!(standing.ask(), "HTTP/1.1 200 OK");
    let first = certificate(&authority, port);
    renew();
    daemon.signal(Signal::HUP);
    let another = |than: &String| until(PATIENCE, || Some(certificate(&authority, port)).filter(|shown| shown != than));
    let second = another(&first).expect("no new certificate after SIGHUP");
    assert_eq!(standing.ask(), "HTTP/1.1 200 OK");
    renew();
    assert!(another(&second).is_some(), "no new certificate without a signal");
    assert_eq!(standing.ask(), "HTTP/1.1 200 OK");

    for old in ["-tls1", "-tls1_1", "-tls1_2"] {
        let connect = format!("s_client -connect 127.0.0.1:{port} {old} -cipher ALL:@SECLEVEL=0");
        let output = run("openssl", &connect, &authority.path(""));
        assert!(!output.status.success(), "{old}: {}", String::from_utf8_lossy(&output.stdout));
    }
    drop(standing);
    assert!(daemon.stop().success());
}
