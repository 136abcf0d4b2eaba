//! The daemon under a service manager: what it tells it, and what it can do under the systemd unit's restrictions.
//!
//! Where no systemd runs, `tests/systemd/filtered.py` stands in for it; it is stricter, and kills instead of refusing.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use jwksd::server::api::Issuer;
use rustix::process::Signal;

use super::{calm, installed, sign};
use crate::support::daemon::{Installation, Layout, PATIENCE, sources, until};

fn unit() -> PathBuf {
    sources().join("systemd/jwksd.service")
}

/// The command under the unit's filter of system calls.
fn filtered(command: &Command) -> Command {
    let mut filtered = Command::new("/usr/bin/python3");
    filtered.arg(sources().join("tests/systemd/filtered.py")).arg(unit());
    filtered.arg(command.get_program()).args(command.get_args()).env_clear();
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    filtered.envs(set).env("PATH", "/usr/bin:/bin");
    filtered
}

#[test]
fn the_filter_bites() {
    for (command, arguments) in [("/usr/bin/nice", &["-n", "5", "/bin/true"][..]), ("/bin/chown", &["0", "/nowhere"])] {
        let mut command = Command::new(command);
        let output = filtered(command.args(arguments)).output().unwrap();
        assert!(!output.status.success(), "{command:?} went through the filter");
    }
    let output = filtered(&Command::new("/bin/true")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn under_the_units_filter_the_daemon_does_its_work() {
    let publish = "\n[issuers.main.publish]\ndirectory = \"{root}/www\"\n";
    let issuers = calm().replace("\n[issuers.main.rings", &format!("{publish}[issuers.main.rings"));
    let installation = Installation::new(Layout { issuers, ..Layout::default() });
    fs::create_dir(installation.path("www")).unwrap();
    let done = |arguments: &[&str]| {
        let output = filtered(&installation.command(arguments)).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    done(&["init"]);
    let mut daemon = installation.spawn_as(filtered(&installation.command(&["run"])));
    daemon.wait_ready();
    assert_eq!(sign(&installation.signing).status, 200);
    let served = installation.public.get("/main/.well-known/jwks.json").unwrap();
    assert_eq!(served.body, fs::read(installation.path("www/main/.well-known/jwks.json")).unwrap());
    let signer = || {
        let issuer: Issuer = installation.admin.get("/v1/issuers/main").unwrap().read();
        (issuer.rings[0].standby_ready, issuer.rings[0].signer.clone().unwrap())
    };
    assert!(until(PATIENCE, || signer().0.then_some(())).is_some(), "no standby\n{}", daemon.stderr());
    let leaked = signer().1;
    done(&["compromise", "main", &leaked.kid, "--reason", "drill", "--yes"]);
    done(&["status"]);
    assert_ne!(signer().1.kid, leaked.kid);
    assert_eq!(sign(&installation.signing).status, 200);
    daemon.signal(Signal::HUP);
    assert!(daemon.stop().success());
    done(&["audit", "verify", installation.audit.to_str().unwrap()]);
}

#[test]
fn the_unit_leaves_little_exposed() {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["--no-pager", "security", "--offline=true", "--threshold=15"]).arg(unit());
    let output = analyze.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_service_manager_learns_when_it_is_ready_lives_reloads_and_stops() {
    let installation = installed();
    let path = installation.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut told = Vec::new();
    let mut wait_for = |word: &str| {
        let mut datagram = [0; 256];
        loop {
            let length = manager.recv(&mut datagram).unwrap_or_else(|error| panic!("{word} never came: {error}"));
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            let is_it = text.lines().any(|line| line == word);
            told.push(text.clone());
            if is_it {
                return text;
            }
        }
    };
    let mut command = installation.command(&["run"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut daemon = installation.spawn_as(command);
    wait_for("READY=1");
    daemon.wait_ready();
    wait_for("WATCHDOG=1");
    wait_for("WATCHDOG=1");
    daemon.signal(Signal::HUP);
    assert!(wait_for("RELOADING=1").contains("MONOTONIC_USEC="), "{told:?}");
    wait_for("READY=1");
    assert_eq!(sign(&installation.signing).status, 200);
    daemon.signal(Signal::TERM);
    wait_for("STOPPING=1");
    assert!(daemon.ended().success());
}

#[test]
fn nobody_else_reads_its_memory() {
    let installation = installed();
    let mut daemon = installation.spawn(None);
    daemon.wait_ready();
    let proc = PathBuf::from(format!("/proc/{}", daemon.pid()));
    let line = |file: &str, name: &str| {
        let text = fs::read_to_string(proc.join(file)).unwrap();
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    };
    let core: Vec<String> = line("limits", "Max core file size").split_whitespace().map(str::to_owned).collect();
    assert_eq!(core[4..6], ["0", "0"]);
    let locked: u64 = line("status", "VmLck").split_whitespace().nth(1).unwrap().parse().unwrap();
    // Who may not lock without a limit is told so.
    let is_told = daemon.stderr().contains("memory is not locked");
    assert_eq!(locked < 1_000, is_told, "{locked} KiB are locked\n{}", daemon.stderr());
    assert_eq!(sign(&installation.signing).status, 200);
    assert!(daemon.stop().success());
}
