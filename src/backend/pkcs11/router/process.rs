//! Worker processes: how one is started, and how it is ended.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Starts worker processes, all from one thread of its own.
///
/// The kernel ends a worker when the *thread* that started it ends, so this must be none that comes and goes. It
/// ends when this is dropped, and the workers with it.
#[derive(Debug)]
pub(super) struct Spawner(mpsc::Sender<oneshot::Sender<io::Result<(Process, StdStream)>>>);

impl Spawner {
    /// Workers are started as `program` with [`super::super::WORKER`] as the only argument.
    pub(super) fn new(program: PathBuf) -> io::Result<Self> {
        let (sender, orders) = mpsc::channel::<oneshot::Sender<_>>();
        let run = move || {
            for reply in orders {
                // Whoever asked has left: what was started goes with the answer.
                let _ = reply.send(start(&program));
            }
        };
        thread::Builder::new().name("pkcs11-spawner".to_owned()).spawn(run)?;
        Ok(Self(sender))
    }

    /// A new worker process, and the way to talk to it.
    pub(super) async fn spawn(&self) -> io::Result<(Process, UnixStream)> {
        let gone = || io::Error::other("the thread that starts worker processes has ended");
        let (reply, answer) = oneshot::channel();
        self.0.send(reply).map_err(|_| gone())?;
        let (process, stream) = answer.await.map_err(|_| gone())??;
        stream.set_nonblocking(true)?;
        Ok((process, UnixStream::from_std(stream)?))
    }
}

fn start(program: &PathBuf) -> io::Result<(Process, StdStream)> {
    let (ours, theirs) = StdStream::pair()?;
    let child = Command::new(program)
        .arg0("jwksd")
        .arg(super::super::WORKER)
        // Everything else that we have open closes itself in the new program.
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        // Ctrl-C at a terminal is meant for the daemon, which finishes first what is under way.
        .process_group(0)
        .spawn()?;
    Ok((Process { child: Some(child), is_settled: false }, ours))
}

/// A worker process. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Process {
    /// Always there, but while it is dropped.
    child: Option<Child>,
    is_settled: bool,
}

impl Process {
    /// From now on it may be killed at any moment: it is logged in.
    pub(super) fn settled(&mut self) {
        self.is_settled = true;
    }

    pub(super) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Ends it whatever it is doing.
    pub(super) fn kill(mut self) {
        self.is_settled = true;
    }

    /// How it ended by itself, in words; nothing while it runs.
    pub(super) fn end(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(match (status.signal(), status.code()) {
            (Some(signal), _) => format!("ended by signal {signal}"),
            (None, code) => format!("ended with exit code {}", code.unwrap_or(-1)),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // SoftHSM rewrites its token while it logs in: a worker at that, or at making a key, is not torn away but
        // sees that nobody listens any more, and ends when it is through.
        if self.is_settled {
            let _ = child.kill();
        }
        // A process that is stuck in a driver can't even be killed, and must not hold up whoever lets go of it.
        let reap = move || drop(child.wait());
        let _ = thread::Builder::new().name("pkcs11-reaper".to_owned()).spawn(reap);
    }
}
