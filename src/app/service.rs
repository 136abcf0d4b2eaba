//! What the daemon tells the service manager, and how it keeps others on the machine out of its memory.

use std::time::Duration;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};
use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::AppError;
use super::start::system;

/// Keeps what is in memory there: no core file, no debugger of the same user, and no swap if there is no limit on
/// locked memory, as in the systemd unit.
///
/// Under a limit nothing is locked: the first allocation above it would end the daemon.
pub(super) fn harden() {
    let is_shut = set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .and_then(|()| setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }));
    if let Err(error) = is_shut {
        warn!(error = %error, "core files and debuggers can't be ruled out");
    }
    let is_exempt = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if getrlimit(Resource::Memlock).current.is_some() && !is_exempt {
        let reason = "locked memory is limited; LimitMEMLOCK=infinity in the systemd unit lifts that";
        return info!(reason, "memory is not locked: it may be swapped out");
    }
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        warn!(error = %error, "memory is not locked: it may be swapped out");
    }
}

/// Every listener takes connections.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Nothing new is begun any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the service manager that the daemon lives, twice as often as it wants to hear it. For ever.
///
/// It lives as long as its threads take turns; what a backend or a disk does is nothing that a restart would mend.
pub(super) async fn live() {
    let Some(every) = watchdog_enabled() else { return std::future::pending().await };
    let mut beats = interval((every / 2).max(Duration::from_millis(1)));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// SIGHUP, caught from here on: it never ends the daemon.
pub(super) fn hangups() -> Result<Signal, AppError> {
    signal(SignalKind::hangup()).map_err(|source| system("catching SIGHUP", source))
}

/// Answers SIGHUP. For ever. The listeners hear it, too, and look at their certificates.
pub(super) async fn hang_ups(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        info!(reason = "SIGHUP", "certificates are looked at; a changed configuration takes a restart");
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => warn!(error = %error, "the monotonic clock can't be read"),
        }
        ready();
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell, and this does nothing.
    if let Err(error) = notify(state) {
        warn!(error = %error, "service manager can't be told");
    }
}
