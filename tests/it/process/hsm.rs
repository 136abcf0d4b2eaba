//! The daemon with keys in a token: killed at every step of making one, with a wrong PIN, and what it leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use pkcs11_shim::{Act, Function, Rule};
use rustix::process::Signal;

use crate::support::daemon::{Daemon, Installation, Layout, PATIENCE, until, variable};
use crate::support::dice::Dice;
use crate::support::one_ring::issuer;
use crate::support::shimmed::Shimmed;
use crate::support::tokens::{LABEL, PIN};

/// Kills in one run.
const KILLS: u64 = 30;
const KILLS_LONG: u64 = 200;

/// A token, and an installation whose one ring has its keys there.
struct Site {
    shimmed: Shimmed,
    installation: Installation,
}

impl Site {
    fn new() -> Self {
        let shimmed = Shimmed::new();
        let pin = shimmed.token.dir.path().join("user-pin");
        let issuers = format!(
            r#"
[backends.hsm]
kind = "pkcs11"
module = {module:?}
module_args = "{args}"
token = "{LABEL}"
pin = {{ file = {pin:?} }}
threads = 1
hang_limit = "1s"
{issuer}"#,
            module = shimmed.settings().module,
            args = shimmed.module_args(),
            issuer = issuer("hsm", "6h"),
        );
        let site = Self { installation: Installation::new(Layout { issuers, ..Layout::default() }), shimmed };
        site.set_pin(PIN);
        site.installation.init();
        site
    }

    fn set_pin(&self, pin: &str) {
        let path = self.shimmed.token.dir.path().join("user-pin");
        fs::write(&path, pin).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The ids of all objects of a kind that are in the token, as another tool sees them; a name for each without one.
    fn held(&self, kind: &str) -> BTreeSet<String> {
        let said = self.shimmed.token.pkcs11_tool(&["--list-objects", "--type", kind]);
        let mut ids = BTreeSet::new();
        for object in said.split(" Key Object").skip(1) {
            let id = object.lines().find_map(|line| line.trim().strip_prefix("ID:"));
            ids.insert(id.map_or_else(|| format!("none {}", ids.len()), |id| id.trim().to_owned()));
        }
        ids
    }

    /// Lets the daemon finish and ends it: the token holds the keys that it knows, the signer and its standby, and
    /// nothing else.
    fn settle(&self, daemon: Daemon, what: &str) {
        let id = |handle: String| handle.split('.').next().unwrap().to_owned();
        let known: BTreeSet<String> = self.installation.settle(daemon, what).into_iter().map(id).collect();
        // Now, since SoftHSM shows no token to one while another logs in.
        assert_eq!((self.held("privkey"), self.held("pubkey")), (known.clone(), known), "{what}");
    }
}

/// How a daemon ends.
#[derive(Debug)]
enum Death {
    /// At this passage of any named point of its own code.
    Point(usize),
    /// At this call of the module by a worker, which lives on and finishes, or dies with it.
    Call(u64, Act),
}

impl Death {
    /// One of those that are spread evenly over a start up to the second key: `points` of the first kind, `calls` of
    /// the other.
    fn nth(kill: u64, kills: u64, points: &[String], calls: u64, dice: &mut Dice) -> Self {
        let (nth, half) = (kill / 2, kills / 2);
        let mut within = |steps: u64| (nth * steps + dice.below(steps)) / half;
        match kill % 2 {
            0 => Self::Point(usize::try_from(within(points.len() as u64)).unwrap() + 1),
            _ => Self::Call(within(calls), if nth.is_multiple_of(2) { Act::KillBoth } else { Act::KillParent }),
        }
    }

    /// What it is called in a report.
    fn name(&self, points: &[String]) -> String {
        match self {
            Self::Point(passage) => format!("passage {passage}, usually {}", points[passage - 1]),
            Self::Call(call, act) => format!("{act:?} at call {call}"),
        }
    }
}

#[test]
fn killed_at_any_step_of_making_keys_it_forgets_none() {
    let kills = if variable("JWKSD_LONG").is_some() { KILLS_LONG } else { KILLS };
    let seed = variable("JWKSD_SEED").map_or(20_261_122, |seed| seed.parse().expect("JWKSD_SEED is a number"));
    let mut dice = Dice::new(seed);
    // What there is on the way to both keys, from the start of the daemon on.
    let calm = Site::new();
    let trace = calm.installation.path("trace");
    let mut command = calm.installation.command(&["run"]);
    command.env("JWKSD_FAILPOINT_TRACE", &trace);
    let daemon = calm.installation.spawn_as(command);
    calm.installation.both_known("nothing has happened");
    let points: Vec<String> = fs::read_to_string(&trace).unwrap().lines().map(str::to_owned).collect();
    calm.settle(daemon, "nothing has happened");
    let made = points.iter().filter(|point| *point == "generate.made").count();
    assert_eq!(made, 2, "{points:?}");
    let calls: u64 = harmable().iter().map(|function| calm.shimmed.control.calls(*function)).sum();
    println!("JWKSD_SEED={seed}, {kills} kills over {} points and {calls} calls", points.len());
    let mut reached = 0;
    for kill in 0..kills {
        let site = Site::new();
        let death = Death::nth(kill, kills, &points, calls, &mut dice);
        let what = death.name(&points);
        let armed = match &death {
            Death::Point(passage) => Some(format!("*:{passage}")),
            Death::Call(skip, act) => {
                let (act, skip) = (*act, *skip);
                site.shimmed.control.set(Rule { functions: &harmable(), act, skip, times: 1, per_mille: 1000 });
                None
            }
        };
        let mut daemon = site.installation.spawn(armed.as_deref());
        reached += u64::from(site.installation.dies_on_the_way(&mut daemon));
        drop(daemon);
        site.shimmed.control.clear();
        let daemon = site.installation.start();
        site.settle(daemon, &what);
    }
    println!("{reached} of {kills} daemons died");
    assert!(reached * 4 > kills * 3, "{reached} of {kills}: nothing was tested");
}

/// All calls but the login: SoftHSM loses its token if it is cut off in there.
fn harmable() -> Vec<Function> {
    Function::ALL.into_iter().filter(|function| *function != Function::Login).collect()
}

#[test]
fn a_wrong_pin_is_tried_once_however_often_the_daemon_starts() {
    let site = Site::new();
    site.set_pin("999999");
    let logins = || site.shimmed.control.calls(Function::Login);
    for _ in 0..3 {
        let daemon = site.installation.spawn(None);
        let told = until(PATIENCE, || daemon.stderr().contains("jwksd backend unlock").then_some(()));
        assert!(told.is_some(), "the operator was not told\n{}", daemon.stderr());
        assert_eq!(logins(), 1);
        daemon.kill();
    }
    let daemon = site.installation.spawn(None);
    assert!(until(PATIENCE, || site.installation.admin.get("/v1/status").ok()).is_some(), "it serves what it can");
    site.set_pin(PIN);
    site.installation.must_sign("with the right PIN");
    assert!(daemon.stop().success());
}

#[test]
fn its_workers_end_with_the_daemon_however_it_ends() {
    let site = Site::new();
    for signal in [Signal::TERM, Signal::KILL] {
        let daemon = site.installation.start();
        site.installation.must_sign("at the start");
        let workers = children(&daemon);
        assert!(workers.len() >= 2, "{workers:?}");
        daemon.signal(signal);
        drop(daemon);
        let gone = until(PATIENCE, || workers.iter().all(|worker| !is_worker(worker)).then_some(()));
        assert!(gone.is_some(), "after {signal:?} some are left of {workers:?}");
    }
}

fn children(daemon: &Daemon) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let is_child = |pid: &String| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(1)) == Some(&daemon.pid().to_string())
    };
    processes.filter(|pid| is_child(pid) && is_worker(pid)).collect()
}

fn is_worker(pid: &String) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| command.ends_with(b"\0pkcs11-worker\0"))
}
