//! Worker processes and what may befall them, while signatures are asked for all the time. After each fault they
//! recover without a restart, and nothing is ever signed wrongly.

mod answers;
mod keys;
mod losses;
mod pin;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jwksd::backend::Generated;
use jwksd::backend::pkcs11::router::Router;
use prometheus_client::registry::Registry;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::daemon::variable;
use crate::support::load::Load;
use crate::support::shimmed::{Shimmed, es256, key, metric};
use crate::support::soon::soon;

/// The longest time without a signature, while one worker is lost and another goes on: a tenth of a second where
/// the campaign has the machine to itself, and what a busy machine takes otherwise.
fn gap_max() -> Duration {
    if variable("JWKSD_LONG").is_some() { Duration::from_millis(100) } else { Duration::from_secs(1) }
}

/// A router whose workers are all ready, with one key.
struct Site {
    shimmed: Shimmed,
    router: Arc<Router>,
    metrics: Registry,
    key: Generated,
}

impl Site {
    async fn new() -> Self {
        let shimmed = Shimmed::new();
        let (router, metrics) = shimmed.start();
        let router = Arc::new(router);
        let key = key(&*router, 1).await;
        let site = Self { shimmed, router, metrics, key };
        site.whole().await;
        site
    }

    /// As many signatures a second as the issue of this backend promises to keep up.
    fn load(&self) -> Load {
        self.load_of(1_000)
    }

    fn load_of(&self, rate: u64) -> Load {
        let backend = Arc::clone(&self.router);
        Load::start(backend, std::slice::from_ref(&self.key), es256(), rate, WITHIN)
    }

    /// Waits until both workers are ready.
    async fn whole(&self) {
        assert!(soon(|| self.ready() == 2).await, "the workers did not get ready");
    }

    fn ready(&self) -> u64 {
        metric(&self.metrics, "jwksd_backend_workers_ready{backend=\"hsm\"}")
    }

    /// Workers that were lost so far, for this cause.
    fn lost(&self, cause: &str) -> u64 {
        metric(&self.metrics, &format!("jwksd_backend_workers_lost_total{{backend=\"hsm\",cause=\"{cause}\"}}"))
    }

    fn lost_in_all(&self) -> u64 {
        ["broken", "hung", "silent", "died", "stale", "pin", "start"].into_iter().map(|cause| self.lost(cause)).sum()
    }
}

/// The worker processes that this process has started.
fn workers() -> BTreeSet<i32> {
    let me = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let is_worker = |pid: &String| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, parent) = (fields.next().unwrap_or("Z"), fields.next().unwrap_or_default());
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        state != "Z" && parent == me && command.ends_with(b"\0pkcs11-worker\0")
    };
    processes.filter(is_worker).map(|pid| pid.parse().unwrap()).collect()
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// How long a caller waits.
const WITHIN: Duration = Duration::from_secs(1);
