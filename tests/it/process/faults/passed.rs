//! What a service manager hands over: sockets that it has bound, and secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use jwksd::jose::base64url;

use super::{calm, sign};
use crate::support::daemon::{Installation, Layout, free_port, sources};

/// The command, started with these sockets bound.
fn activated(command: &Command, mode: &str, addresses: &[&str]) -> Command {
    let mut activated = Command::new("/usr/bin/python3");
    activated.arg(sources().join("tests/systemd/activated.py")).arg(mode).args(addresses).arg("--");
    activated.arg(command.get_program()).args(command.get_args()).env_clear();
    activated.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    activated
}

fn installed(port: u16) -> Installation {
    let installation = Installation::new(Layout { issuers: calm(), port: Some(port), ..Layout::default() });
    installation.init();
    installation
}

#[test]
fn sockets_that_were_passed_on_are_served_and_outlive_the_daemon() {
    let port = free_port();
    let installation = installed(port);
    let (path, tcp) = (installation.path("signing"), format!("127.0.0.1:{port}"));
    let run = installation.command(&["run"]);
    let mut daemon = installation.spawn_as(activated(&run, "660", &[&tcp, path.to_str().unwrap()]));
    // The admin listener was not passed on: the daemon has bound it.
    daemon.wait_ready();
    assert_eq!(sign(&installation.signing).status, 200);
    assert_eq!(installation.public.get("/main/.well-known/jwks.json").unwrap().status, 200);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert!(daemon.stop().success());
    assert!(path.exists(), "the service manager's file was removed");
    assert!(!installation.path("admin").exists());
}

#[test]
fn a_socket_that_no_listener_has_or_that_lets_in_more_is_refused() {
    let port = free_port();
    let installation = installed(port);
    let signing = installation.path("signing");
    let signing = signing.to_str().unwrap();
    let stray = installation.path("stray");
    let connection = format!("127.0.0.1:{port}");
    for (mode, addresses, complaint) in [
        ("660", &[stray.to_str().unwrap()][..], "which is the address of no listener in the configuration"),
        ("666", &[signing], "was passed on with mode 0666, which lets in more than 0660 does; set SocketMode=0660"),
        ("connection", &[&connection], "socket 1 of those that the service manager passed on is not a listening one"),
    ] {
        let mut daemon = installation.spawn_as(activated(&installation.command(&["run"]), mode, addresses));
        assert!(!daemon.ended().success());
        assert!(daemon.stderr().contains(complaint), "{mode}: {}", daemon.stderr());
        let _ = fs::remove_file(signing);
    }
}

#[test]
fn a_sealing_key_comes_from_a_credential() {
    let installation = Installation::new(Layout { issuers: calm(), ..Layout::default() });
    let text = fs::read_to_string(installation.config()).unwrap();
    let file = format!("{{ file = {:?} }}", installation.path("sealing.key"));
    assert!(text.contains(&file), "{text}");
    fs::write(installation.config(), text.replace(&file, "{ credential = \"sealing.key\" }")).unwrap();
    fs::remove_file(installation.path("sealing.key")).unwrap();
    let credentials = installation.path("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("sealing.key"), base64url::encode(&[7; 32])).unwrap();
    installation.done(&["init"]);

    let (_, said) = installation.refused(&["run"]);
    assert!(said.contains("add LoadCredential=sealing.key:PATH"), "{said}");
    let mut command = installation.command(&["run"]);
    command.env("CREDENTIALS_DIRECTORY", &credentials);
    let mut daemon = installation.spawn_as(command);
    daemon.wait_ready();
    assert_eq!(sign(&installation.signing).status, 200);
    assert!(daemon.stop().success());
}
