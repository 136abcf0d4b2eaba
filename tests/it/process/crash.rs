//! The daemon is killed again and again, at random and at every named point, while it is at work.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, Installation, Layout, PATIENCE, pause, sources, until, variable};
use crate::support::dice::Dice;
use crate::support::traffic::{Traffic, two_issuers, witnesses};
use crate::support::witness::{Witness, handles};

/// Kills in one run, over all campaigns.
const KILLS: usize = 60;
const KILLS_LONG: usize = 500;

/// Campaigns side by side, each with a daemon of its own.
const CAMPAIGNS: usize = 2;

/// How long a daemon at work may take to come to a point at which it is to die.
const REACHED_WITHIN: Duration = Duration::from_secs(12);

/// The same for a point at which `init` has died already: some are not on a daemon's way.
const PERHAPS_REACHED_WITHIN: Duration = Duration::from_secs(4);

#[test]
fn kills_at_any_moment_lose_nothing_and_orphan_nothing() {
    let kills = if variable("JWKSD_LONG").is_some() { KILLS_LONG } else { KILLS };
    let seed = variable("JWKSD_SEED").map_or(20_260_801, |seed| seed.parse().expect("JWKSD_SEED is a number"));
    println!("JWKSD_SEED={seed}, {kills} kills");
    let mut dice = Dice::new(seed);
    let names = failpoints();
    assert!(names.len() > 15, "the scan of src found only {names:?}");
    let by_init = init_dies_everywhere(&names);
    // The points that only a daemon comes to go first: each is tried until it was reached.
    let (again, first): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| by_init.contains(*name));
    let mut queues: Vec<VecDeque<Target>> = vec![VecDeque::new(); CAMPAIGNS];
    for (at, name) in first.into_iter().chain(again).enumerate() {
        let target = Target { name: name.clone(), is_required: !by_init.contains(name) };
        queues[at % CAMPAIGNS].push_back(target);
    }
    let reached = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for queue in queues {
            let (dice, reached) = (dice.split(), &reached);
            scope.spawn(move || Campaign::new(dice, queue, reached).run(kills.div_ceil(CAMPAIGNS)));
        }
    });
    let by_daemon = reached.into_inner().unwrap();
    println!("by init alone: {:?}", by_init.difference(&by_daemon).collect::<Vec<_>>());
    let missed: Vec<&String> =
        names.iter().filter(|name| !by_init.contains(*name) && !by_daemon.contains(*name)).collect();
    assert!(missed.is_empty(), "no run came to these points, so nobody knows what a crash there leaves: {missed:?}");
    assert!(by_daemon.len() + 4 >= names.len(), "daemons died at {by_daemon:?} only");
}

/// A point at which a daemon is to die.
#[derive(Debug, Clone)]
struct Target {
    name: String,
    /// Whether nothing else has died there yet.
    is_required: bool,
}

/// Every name in `failpoint("…")` below `src`.
fn failpoints() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(&sources().join("src"), &mut names);
    names
}

fn collect(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let found = text.split("failpoint(\"").skip(1).filter_map(|rest| rest.split_once('"'));
            names.extend(found.map(|(name, _)| name.to_owned()));
        }
    }
}

/// Kills `jwksd init` at each point and each passage that it has; the next one must finish its work.
fn init_dies_everywhere(names: &BTreeSet<String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut deaths = 0;
    for name in names {
        for passage in 1.. {
            let installation = Installation::new(Layout { issuers: two_issuers(), ..Layout::default() });
            fs::create_dir(installation.path("www")).unwrap();
            let mut command = installation.command(&["init"]);
            command.env("JWKSD_FAILPOINT", format!("{name}:{passage}"));
            let mut init = installation.spawn_as(command);
            if !died(&mut init, PATIENCE, &format!("init at {name}:{passage}")) {
                break;
            }
            deaths += 1;
            reached.insert(name.clone());
            installation.init();
            // Each start is the price of a kill; the first passage of each point is enough for it.
            if passage == 1 {
                installation.start().kill();
            }
            installation.done(&["audit", "verify", installation.audit.to_str().unwrap()]);
        }
    }
    println!("init died {deaths} times");
    assert!(deaths >= 8, "init should have met the points of store and audit log, but died {deaths} times only");
    reached
}

/// Waits for its end: true if a point killed it, false if it ended well or goes on.
fn died(daemon: &mut Daemon, patience: Duration, what: &str) -> bool {
    let Some(status) = daemon.wait(patience) else { return false };
    let is_killed = status.signal() == Some(Signal::KILL.as_raw());
    assert!(is_killed || status.success(), "{what}: {status}\n{}", daemon.stderr());
    is_killed
}

struct Campaign<'a> {
    dice: Dice,
    /// Points at which no daemon has died yet.
    queue: VecDeque<Target>,
    reached: &'a Mutex<BTreeSet<String>>,
    installation: Installation,
    witnesses: Vec<Witness>,
}

impl<'a> Campaign<'a> {
    fn new(dice: Dice, queue: VecDeque<Target>, reached: &'a Mutex<BTreeSet<String>>) -> Self {
        // Small segments, so that the log begins a new one now and then.
        let audit = "segment_size = \"48KiB\"".to_owned();
        let installation = Installation::new(Layout { issuers: two_issuers(), audit, ..Layout::default() });
        fs::create_dir(installation.path("www")).unwrap();
        Self { dice, queue, reached, installation, witnesses: witnesses() }
    }

    fn run(mut self, kills: usize) {
        self.installation.init();
        let is_over = AtomicBool::new(false);
        let traffic_dice = self.dice.split();
        // Moved out, so that the traffic may look on while this campaign changes.
        let witnesses = std::mem::take(&mut self.witnesses);
        thread::scope(|scope| {
            let traffic = Traffic { installation: &self.installation, witnesses: &witnesses, is_over: &is_over };
            let _end = traffic.start(scope, traffic_dice);
            let mut done = 0;
            while done < kills {
                done += kill_twice(&mut self.dice, &mut self.queue, self.reached, &self.installation, &witnesses);
            }
        });
        self.witnesses = witnesses;
        self.settle();
    }

    /// After all that: the work that was begun is finished, and the books are right.
    fn settle(&self) {
        let Self { installation, witnesses, .. } = self;
        let daemon = installation.start();
        for witness in witnesses {
            let rotated = until(PATIENCE, || {
                witness.look(&installation.admin);
                witness.poll(&installation.public);
                witness.has_rotated().then_some(())
            });
            witness.assert_sound();
            assert!(rotated.is_some(), "an acknowledged rotation never happened");
            for ring in ["es256", "eddsa"] {
                let signs = until(PATIENCE, || witness.sign(&installation.signing, ring, 5).then_some(()));
                assert!(signs.is_some(), "{}/{ring} does not sign any more", witness.promise.issuer);
            }
        }
        check_keys(installation, witnesses);
        assert!(daemon.stop().success(), "the last daemon did not end in good order");
        installation.done(&["audit", "verify", installation.audit.to_str().unwrap()]);
        let log: String = installation.audit_segments().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert!(installation.audit_segments().len() > 1, "the log never began a new segment");
        for witness in witnesses {
            let jtis = witness.jtis();
            let unrecorded: Vec<&String> = jtis.iter().filter(|jti| !log.contains(*jti)).collect();
            assert!(unrecorded.is_empty(), "tokens without a record in the audit log: {unrecorded:?}");
            let tally = witness.tally();
            println!("{}: {tally:?}", witness.promise.issuer);
            for (what, least) in
                [("jwt", 100), ("tokens verified", 100), ("jwks", 100), ("rotate", 3), ("compromise", 1), ("import", 1)]
            {
                let count = tally.get(what).copied().unwrap_or(0);
                assert!(count >= least, "only {count} times {what}: nothing was tested");
            }
        }
    }
}

/// One daemon dies at a point, or at any moment from its start on; the next one is looked over, and killed
/// at work.
fn kill_twice(
    dice: &mut Dice,
    queue: &mut VecDeque<Target>,
    reached: &Mutex<BTreeSet<String>>,
    installation: &Installation,
    witnesses: &[Witness],
) -> usize {
    match queue.pop_front() {
        Some(Target { name, is_required }) => {
            // The first passages belong to the start, later ones to the work.
            let passage = 1 + dice.below(3);
            let armed = format!("{name}:{passage}");
            let mut daemon = installation.spawn(Some(&armed));
            let patience = if is_required { REACHED_WITHIN } else { PERHAPS_REACHED_WITHIN };
            if died(&mut daemon, patience, &armed) {
                reached.lock().unwrap().insert(name);
            } else {
                assert!(daemon.is_running(), "the daemon ended by itself, armed with {armed}");
                println!("{armed} was not reached in time");
                if is_required {
                    queue.push_back(Target { name, is_required });
                }
                daemon.kill();
            }
        }
        None => {
            let daemon = installation.spawn(None);
            pause(Duration::from_millis(dice.below(600)));
            daemon.kill();
        }
    }
    installation.done(&["audit", "verify", installation.audit.to_str().unwrap()]);
    let daemon = installation.start();
    for witness in witnesses {
        assert!(witness.poll(&installation.public), "no JWK Set after a restart");
        assert!(witness.look(&installation.admin).is_some(), "no answer to the operator after a restart");
        witness.assert_sound();
    }
    check_keys(installation, witnesses);
    pause(Duration::from_millis(dice.below(700)));
    daemon.kill();
    installation.done(&["audit", "verify", installation.audit.to_str().unwrap()]);
    2
}

/// The backend holds exactly the keys that the state knows: none lost, none forgotten.
fn check_keys(installation: &Installation, witnesses: &[Witness]) {
    let known = || {
        let looked: Option<Vec<_>> = witnesses.iter().map(|witness| witness.look(&installation.admin)).collect();
        let mut known: Vec<String> = looked?.iter().flat_map(|(_, keys)| handles(&keys.keys)).collect();
        known.sort();
        Some(known)
    };
    let mut last = None;
    // A key that is being made or destroyed is in one of the two for a moment.
    let agreed = until(PATIENCE, || {
        let (before, files, after) = (known()?, installation.key_files(), known()?);
        let agree = before == files && after == files;
        last = Some((after, files));
        agree.then_some(())
    });
    if agreed.is_none() {
        let (known, files) = last.expect("the daemon did not answer");
        let lost: Vec<&String> = known.iter().filter(|handle| !files.contains(handle)).collect();
        let orphans: Vec<&String> = files.iter().filter(|handle| !known.contains(handle)).collect();
        panic!("keys lost: {lost:?}; keys that nobody remembers: {orphans:?}");
    }
}
