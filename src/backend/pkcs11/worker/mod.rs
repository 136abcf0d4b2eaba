//! A worker: a process that loads the module, logs in and signs, and ends at the first thing that is not clearly
//! its caller's fault.
//!
//! Nothing is mended in here. After C_Finalize and C_Initialize an old handle may mean another key, return codes
//! don't tell what has happened, and a call that hangs can't be taken back; a new process knows none of that.

mod line;
mod opening;
mod watch;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use zeroize::Zeroizing;

pub use self::opening::{Opening, Role};

use self::line::{Line, end};
use self::watch::Calls;
use super::fault::Fault;
use super::gate::Gate;
use super::token::{Session, Token};
use super::wire::{Admin, BATCH, Order, Outcome, Report, Sign};
use crate::ids::Handle;
use crate::jose::alg::KeySpec;

/// Serves the router at the other end of standard input until it hangs up or the module is broken.
///
/// Returns only if it was not started by a router.
#[must_use]
pub fn run() -> ExitCode {
    let Ok((line, opening)) = begin() else {
        return ExitCode::from(NOT_A_WORKER);
    };
    let is_tender = Arc::new(AtomicBool::new(true));
    let (watched, tender) = (Arc::clone(&line), Arc::clone(&is_tender));
    thread::spawn(move || heed_hangup(&watched, &tender));
    let words = Arc::clone(&line);
    // A panic in one thread leaves sessions and locks in a state that nobody knows.
    panic::set_hook(Box::new(move |panic| words.last_words(&Report::Broken(0, format!("worker panicked: {panic}")))));
    match opening.role {
        Role::Admin => administer(&line, &opening),
        Role::Sign => sign(&line, &opening, &is_tender),
    }
}

fn begin() -> io::Result<(Arc<Line>, Opening)> {
    // Before the PIN comes: a new program is open to debuggers again, whatever the daemon is.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let line = Arc::new(Line::new(stream)?);
    let mut frame = Zeroizing::new(Vec::new());
    line.order(&mut frame)?;
    match Order::parse(&frame) {
        Ok(Order::Open(body)) => Ok((line, Opening::parse(body).ok_or(io::ErrorKind::InvalidData)?)),
        Ok(_) | Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Ends with the router. What tears a token if it is cut off is let through first, within bounds.
fn heed_hangup(line: &Line, is_tender: &AtomicBool) -> ! {
    line.wait_for_hangup();
    let mut left = GRACE;
    while is_tender.load(Ordering::SeqCst) && !left.is_zero() {
        let pause = Duration::from_millis(20);
        thread::sleep(pause);
        left = left.saturating_sub(pause);
    }
    end()
}

/// Opens the token, alone among all processes that do.
fn open(line: &Line, opening: &Opening) -> Token {
    let opened = match gate(opening) {
        Ok(gate) => gate.open(&opening.settings, &opening.pin),
        Err(fault) => Err(fault),
    };
    opened.unwrap_or_else(|fault| give_up(line, 0, fault))
}

fn gate(opening: &Opening) -> Result<Gate, Fault> {
    let locks = |error| Fault::Broken(format!("lock files in {}: {error}", opening.gate.display()));
    Gate::new(&opening.gate).map_err(locks)
}

fn sign(line: &Arc<Line>, opening: &Opening, is_tender: &AtomicBool) -> ! {
    let token = open(line, opening);
    // Also a worker that was stopped, and sees no hangup, ends with the daemon.
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        line.last_words(&Report::Broken(0, format!("binding the worker process to the daemon's life: {error}")));
    }
    is_tender.store(false, Ordering::SeqCst);
    let threads = opening.settings.threads.max(1);
    let calls = Arc::new(Calls::new(threads));
    let (watched, limit) = (Arc::clone(line), opening.hang_limit);
    let watching = Arc::clone(&calls);
    thread::spawn(move || watch(&watched, &watching, limit));
    let mut sessions: Vec<Session> = (0..threads).map(|_| session(line, &token)).collect();
    if let Some(first) = sessions.first_mut() {
        prove(line, &calls, first, &opening.keys);
    }
    line.say(&Report::Ready);
    thread::scope(|scope| {
        for (thread, session) in sessions.into_iter().enumerate() {
            let calls = &calls;
            scope.spawn(move || serve(line, calls, thread, session));
        }
    });
    end()
}

fn session(line: &Line, token: &Token) -> Session {
    token.session().unwrap_or_else(|fault| give_up(line, 0, fault))
}

/// Proves the keys that sign at present. One that is gone is no fault of this process.
fn prove(line: &Line, calls: &Calls, session: &mut Session, keys: &[(Handle, KeySpec)]) {
    for (place, (handle, spec)) in (1..).zip(keys) {
        let (proven, _) = calls.during(0, place, || session.prove(handle, *spec));
        match proven {
            Ok(()) | Err(Fault::Caller(_)) => {}
            Err(fault) => give_up(line, place, fault),
        }
    }
}

/// Signs what comes in, as one of several threads.
fn serve(line: &Line, calls: &Calls, thread: usize, mut session: Session) {
    let mut frame = Vec::new();
    while line.order(&mut frame).is_ok() {
        let Ok(Order::Sign(Sign { id, handle, spec, input })) = Order::parse(&frame) else { break };
        let (signed, took) = calls.during(thread, id, || session.sign(&handle, spec, input));
        let report = match signed {
            Ok(signature) => Report::Signed(id, signature),
            Err(Fault::Caller(error)) => Report::Declined(id, error),
            Err(fault) => give_up(line, id, fault),
        };
        // Where a signature takes no longer than telling of it, several are told of at once.
        if line.hold(&report) >= BATCH || took > BRIEF {
            line.send();
        }
    }
    end()
}

/// Sees to it that a call which does not return costs this process, and no more.
fn watch(line: &Line, calls: &Calls, limit: Duration) -> ! {
    loop {
        thread::sleep(limit / 4);
        if let Some((id, age)) = calls.oldest() {
            if age > limit {
                line.last_words(&Report::Hung(id, age));
            }
            line.say(&Report::Alive);
        }
    }
}

fn administer(line: &Line, opening: &Opening) -> ! {
    let token = open(line, opening);
    line.say(&Report::Ready);
    let mut frame = Vec::new();
    if line.order(&mut frame).is_ok()
        && let Ok(Order::Admin(admin)) = Order::parse(&frame)
    {
        let alone = gate(opening).and_then(|gate| {
            gate.admin().map_err(|error| Fault::Broken(format!("lock in {}: {error}", opening.gate.display())))
        });
        let done = alone.and_then(|_alone| perform(&token, &admin));
        match done {
            Ok(outcome) => line.say(&Report::Done(Ok(outcome))),
            Err(Fault::Caller(error)) => line.say(&Report::Done(Err(error))),
            Err(fault) => give_up(line, 0, fault),
        }
    }
    end()
}

fn perform(token: &Token, admin: &Admin) -> Result<Outcome, Fault> {
    match admin {
        Admin::Generate(label, spec) => token.generate(label, *spec).map(Outcome::Generated),
        Admin::Destroy(handle) => token.destroy(handle).map(Outcome::Destroyed),
        Admin::List => token.list().map(Outcome::Found),
        Admin::Probe => Ok(Outcome::Probed(token.facts().into())),
    }
}

fn give_up(line: &Line, id: u64, fault: Fault) -> ! {
    line.last_words(&match fault {
        Fault::Broken(text) => Report::Broken(id, text),
        Fault::Pin(text) => Report::Pin(text),
        Fault::Caller(error) => Report::Broken(id, error.to_string()),
    })
}

/// Calls that take no longer than this are told of together, if the next order is at hand.
const BRIEF: Duration = Duration::from_micros(200);

/// The exit code of a program that was started as a worker by hand.
const NOT_A_WORKER: u8 = 2;

/// What a token may be left in disorder by is given so long after the daemon has gone.
const GRACE: Duration = Duration::from_secs(10);
