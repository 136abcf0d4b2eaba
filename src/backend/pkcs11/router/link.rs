//! One worker process as the router sees it: started, given orders, listened to, given up.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::super::wire::{self, Report};
use super::super::worker::{Opening, Role};
use super::metrics::Cause;
use super::process::Process;
use super::shared::{Shared, Waiting};
use crate::backend::{BackendError, Signature};
use crate::ids::Handle;

/// A worker process that is logged in.
#[derive(Debug)]
pub(super) struct Link {
    process: Process,
    stream: UnixStream,
    /// What has arrived and makes no whole frame yet.
    arrived: Vec<u8>,
}

/// Why there is no worker, or none any more.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) cause: Cause,
    /// What its callers are told, if no other worker helps them.
    pub(super) why: BackendError,
    /// The job that it was about, or 0.
    pub(super) culprit: u64,
    /// The key whose proof it was about.
    pub(super) key: Option<Handle>,
}

impl Loss {
    pub(super) fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, why: BackendError::Unavailable(text.into()), culprit: 0, key: None }
    }

    fn about(self, culprit: u64) -> Self {
        Self { culprit, ..self }
    }

    pub(super) fn pin(text: String) -> Self {
        Self { cause: Cause::Pin, why: BackendError::Refused(text), culprit: 0, key: None }
    }

    pub(super) fn nonsense() -> Self {
        Self::new(Cause::Broken, "a worker process talked nonsense")
    }
}

impl Link {
    /// Starts a worker and waits until it is logged in. One starts at a time, since some tokens answer nonsense to
    /// the one while another logs in.
    pub(super) async fn start(shared: &Shared, role: Role) -> Result<Self, Loss> {
        let _turn = shared.starting.lock().await;
        let opening = shared.opening(role).await.map_err(|text| Loss::new(Cause::Start, text))?;
        let started = shared.spawner.spawn().await;
        let (process, stream) =
            started.map_err(|error| Loss::new(Cause::Start, format!("starting a worker process: {error}")))?;
        let mut link = Self { process, stream, arrived: Vec::with_capacity(READ) };
        match timeout(shared.start_limit(), link.begin(&opening)).await {
            Ok(begun) => begun.map(|()| link),
            Err(_) => {
                let text = format!(
                    "a worker process was not logged in after {} s; the module does not answer",
                    shared.start_limit().as_secs_f64()
                );
                link.process.kill();
                Err(Loss::new(Cause::Start, text))
            }
        }
    }

    async fn begin(&mut self, opening: &Opening) -> Result<(), Loss> {
        if self.stream.write_all(&opening.frame()).await.is_err() {
            return Err(self.ended().await);
        }
        let key = |culprit: u64| {
            let place = usize::try_from(culprit).ok()?.checked_sub(1)?;
            opening.keys.get(place).map(|(handle, _)| handle.clone())
        };
        match self.report().await? {
            Report::Ready => {
                self.process.settled();
                Ok(())
            }
            Report::Broken(culprit, text) => Err(Loss { key: key(culprit), ..Loss::new(Cause::Start, text) }),
            Report::Hung(culprit, age) => Err(Loss { key: key(culprit), ..hung(age) }),
            Report::Pin(text) => Err(Loss::pin(text)),
            Report::Signed(..) | Report::Declined(..) | Report::Done(_) | Report::Alive => Err(Loss::nonsense()),
        }
    }

    /// Sends one order and waits for what comes of it.
    pub(super) async fn ask(&mut self, order: &[u8]) -> Result<Report, Loss> {
        // An error shows when the answer is waited for, and with it the worker's last words.
        let _ = self.stream.write_all(order).await;
        self.report().await
    }

    /// The next report but [`Report::Alive`].
    async fn report(&mut self) -> Result<Report, Loss> {
        loop {
            while let Some(report) = self.next_report()? {
                if report != Report::Alive {
                    return Ok(report);
                }
            }
            let read = match self.stream.readable().await {
                Ok(()) => self.read(),
                Err(error) => Err(error),
            };
            if read.is_err() {
                return Err(self.ended().await);
            }
        }
    }

    /// Passes orders and reports until the worker, whose start began at `begun`, is lost.
    pub(super) async fn serve(&mut self, shared: &Shared, seat: usize, begun: Instant) -> Loss {
        let Some(wake) = shared.wake.get(seat) else { return Loss::nonsense() };
        let mut orders = Vec::new();
        let mut written = 0;
        let mut answers = Vec::new();
        let mut look = interval(shared.hang_limit() / 4);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if written == orders.len() {
                orders.clear();
                written = 0;
                shared.state().pool.take_orders(seat, &mut orders);
            }
            let is_writing = match self.write(&orders, &mut written) {
                Ok(()) => written < orders.len(),
                // It may have said why before it ended; that is read below.
                Err(_) => false,
            };
            let interest = if is_writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            tokio::select! {
                biased;
                ready = self.stream.ready(interest) => {
                    let is_readable = ready.is_ok_and(|ready| ready.is_readable() || ready.is_read_closed());
                    let end = if is_readable { self.read().err() } else { None };
                    if let Err(loss) = self.take_reports(shared, seat, begun, &mut answers) {
                        return loss;
                    }
                    if end.is_some() {
                        return self.ended().await;
                    }
                }
                // Others that are about to ask go first, so that their orders travel with this one.
                () = wake.notified(), if !is_writing => tokio::task::yield_now().await,
                _ = look.tick() => {
                    let silence = shared.state().pool.silence(seat, Instant::now());
                    // It says that it lives twice within the limit: more than that has been missed, not delayed.
                    if let Some(silence) = silence.filter(|silence| *silence > shared.hang_limit()) {
                        let text = format!("a worker process was silent for {} ms", silence.as_millis());
                        return Loss::new(Cause::Silent, text);
                    }
                }
            }
        }
    }

    /// Takes in all whole frames that have arrived.
    fn take_reports(
        &mut self,
        shared: &Shared,
        seat: usize,
        begun: Instant,
        answers: &mut Vec<(u64, Result<Signature, BackendError>)>,
    ) -> Result<(), Loss> {
        let mut outcome = Ok(());
        let mut is_alive = false;
        while outcome.is_ok() {
            match self.next_report() {
                Ok(None) => break,
                Ok(Some(Report::Signed(id, signature))) => answers.push((id, Ok(signature))),
                Ok(Some(Report::Declined(id, error))) => answers.push((id, Err(error))),
                Ok(Some(Report::Alive)) => is_alive = true,
                Ok(Some(Report::Broken(id, text))) => outcome = Err(Loss::new(Cause::Broken, text).about(id)),
                Ok(Some(Report::Hung(id, age))) => outcome = Err(hung(age).about(id)),
                Ok(Some(Report::Pin(text))) => outcome = Err(Loss::pin(text)),
                Ok(Some(Report::Ready | Report::Done(_))) => outcome = Err(Loss::nonsense()),
                Err(loss) => outcome = Err(loss),
            }
        }
        let stale = shared.answer(seat, begun, answers, is_alive);
        outcome.and(stale)
    }

    fn next_report(&mut self) -> Result<Option<Report>, Loss> {
        let Some((frame, len)) = wire::next(&self.arrived).map_err(|_| Loss::nonsense())? else { return Ok(None) };
        let report = Report::parse(frame).map_err(|_| Loss::nonsense())?;
        self.arrived.drain(..len);
        Ok(Some(report))
    }

    fn read(&mut self) -> io::Result<()> {
        self.arrived.reserve(READ);
        match self.stream.try_read_buf(&mut self.arrived) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn write(&self, orders: &[u8], written: &mut usize) -> io::Result<()> {
        while let Some(rest) = orders.get(*written..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The worker has hung up; how it ended is known a moment later.
    async fn ended(&mut self) -> Loss {
        for _ in 0..10 {
            if let Some(end) = self.process.end() {
                return Loss::new(Cause::Died, format!("worker process {} {end}", self.process.id()));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Loss::new(Cause::Died, format!("worker process {} hung up", self.process.id()))
    }

    /// Ends the worker whatever it is doing.
    pub(super) fn kill(self) {
        self.process.kill();
    }
}

fn hung(age: Duration) -> Loss {
    Loss::new(Cause::Hung, format!("a call into the module has not returned for {} ms", age.as_millis()))
}

impl super::pool::Caller for Waiting {
    fn has_left(&self) -> bool {
        self.0.is_closed()
    }

    fn answer(self, answer: Result<Signature, BackendError>) {
        // A caller that left meanwhile needs no answer.
        let _ = self.0.send(answer);
    }
}

/// Room for some hundred answers.
const READ: usize = 32 * 1024;
