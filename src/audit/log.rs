//! The handle by which everybody appends, and the thread behind it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::desk::{Desk, Message};
use super::digest::Digest;
use super::disk::{Directory, Disk};
use super::error::AuditError;
use super::event::{Event, Signatures};
use super::mailbox::{Mailbox, Pace, Refused};
use super::open::{Opened, open};
use super::options::Options;
use super::writer::Draft;
use crate::clock::Clock;

/// The log, open for writing. Clones write to the same log.
#[derive(Debug, Clone)]
pub struct Audit {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    mailbox: Arc<Mailbox<Message>>,
    clock: Arc<dyn Clock>,
    signatures: Signatures,
    within: Duration,
    /// The last write failed: nobody is told "written" on trust until one has succeeded.
    is_impaired: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The last record that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// The hash of its line.
    pub hash: Digest,
}

/// What an append is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The record's number; absent under [`Signatures::Async`], where it is not on disk yet.
    pub seq: Option<u64>,
}

impl Audit {
    /// Opens the log in `directory` (mode 0700), or makes it, and locks it against other processes.
    ///
    /// Reads and checks the last segment alone; [`super::verify`] checks all. A tail that a crash tore off
    /// is cut, and the cut is logged. Blocks on the disk.
    ///
    /// # Errors
    /// [`AuditError::Locked`] if another process writes it; [`AuditError::Damaged`] if the segment is not
    /// what was written, naming the place; [`AuditError::Unavailable`] if the disk fails.
    pub fn open(directory: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<(Self, Opened), AuditError> {
        let locked = Directory::lock(directory).map_err(AuditError::io("opening the log's directory"))?;
        let disk = locked.ok_or(AuditError::Locked)?;
        Self::open_on(Box::new(disk), options, clock)
    }

    pub(super) fn open_on(
        disk: Box<dyn Disk>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Opened), AuditError> {
        let (writer, opened) = open(disk, options.clone(), clock.now())?;
        let Options { signatures, segment_bytes: _, segment_age: _, ahead_bytes: _, queue, within } = options;
        let mailbox = Arc::new(Mailbox::new(queue, Pace::USUAL));
        let is_impaired = Arc::new(AtomicBool::new(false));
        let desk = Desk::new(writer, mailbox.clone(), clock.clone(), is_impaired.clone());
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || desk.run());
        let thread = thread.map_err(AuditError::io("starting the writer"))?;
        let thread = Mutex::new(Some(thread));
        let inner = Inner { mailbox, clock, signatures, within, is_impaired, thread };
        Ok((Self { inner: Arc::new(inner) }, opened))
    }

    /// Appends `event`. On return it is on disk; under [`Signatures::Async`] a record of a signature is
    /// only on its way there.
    ///
    /// Must run within a tokio runtime that has a timer. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// [`AuditError::Busy`] at once if too many wait; [`AuditError::Unavailable`] if the disk failed, or
    /// did not answer within [`Options::within`] (then the record may yet be written);
    /// [`AuditError::Closed`] after [`Audit::close`].
    pub fn append(&self, event: Event) -> impl Future<Output = Result<Receipt, AuditError>> + Send + use<> {
        let waits = !self.is_trusted(&event);
        let within = self.inner.within;
        let sent = self.send(event, waits);
        async move {
            match sent? {
                None => Ok(Receipt { seq: None }),
                Some(answer) => wait(answer, within).await.map(|seq| Receipt { seq: Some(seq) }),
            }
        }
    }

    /// Whether the last write failed: what is not yet on disk is not being acknowledged.
    #[must_use]
    pub fn is_impaired(&self) -> bool {
        self.inner.is_impaired.load(Ordering::Acquire)
    }

    /// The last durable record, once everything that waits now was written or refused.
    ///
    /// # Errors
    /// As for [`Audit::append`].
    pub async fn head(&self) -> Result<Head, AuditError> {
        let (reply, answer) = oneshot::channel();
        self.inner.hand_over(Message::Head(reply)).map_err(refused)?;
        wait(answer, self.inner.within).await
    }

    /// Ends the present segment and begins the next, so that it can be moved to an archive.
    ///
    /// # Errors
    /// As for [`Audit::append`].
    pub async fn rotate(&self) -> Result<(), AuditError> {
        let (reply, answer) = oneshot::channel();
        self.inner.hand_over(Message::Rotate(reply)).map_err(refused)?;
        wait(answer, self.inner.within).await.map(|_| ())
    }

    /// Writes what still waits and a last record [`Event::Stopped`], then ends the writer. Blocks for at
    /// most twice [`Options::within`]; appending to a clone fails from then on.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] if the disk failed or did not answer, [`AuditError::Closed`] if a clone
    /// was closed before.
    pub fn close(self) -> Result<(), AuditError> {
        let (reply, mut answer) = oneshot::channel();
        let mut message = Message::Close(reply);
        let mut patience = self.inner.within.as_millis() / PAUSE.as_millis();
        while let Err(error) = self.inner.hand_over(message) {
            message = match error {
                Refused::Full(message) if patience > 0 => message,
                error => return Err(refused(error)),
            };
            patience -= 1;
            thread::sleep(PAUSE);
        }
        for _ in 0..=self.inner.within.as_millis() / PAUSE.as_millis() {
            match answer.try_recv() {
                Ok(written) => {
                    let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let ended = thread.map_or(Ok(()), JoinHandle::join);
                    return ended.map_err(|_| AuditError::Closed).and(written.map(|_| ()));
                }
                Err(oneshot::error::TryRecvError::Empty) => thread::sleep(PAUSE),
                Err(oneshot::error::TryRecvError::Closed) => return Err(AuditError::Closed),
            }
        }
        Err(late())
    }

    fn is_trusted(&self, event: &Event) -> bool {
        self.inner.signatures == Signatures::Async
            && event.is_of_a_signature()
            && !self.inner.is_impaired.load(Ordering::Acquire)
    }

    fn send(&self, event: Event, waits: bool) -> Result<Option<Answer<u64>>, AuditError> {
        if matches!(event, Event::Segment(_)) {
            return Err(AuditError::Reserved);
        }
        let draft = Draft::new(self.inner.clock.now(), event)?;
        let (reply, answer) = waits.then(oneshot::channel).unzip();
        self.inner.hand_over(Message::Append(draft, reply)).map_err(refused)?;
        Ok(answer)
    }
}

impl Inner {
    fn hand_over(&self, message: Message) -> Result<(), Refused<Message>> {
        let is_urgent = !matches!(message, Message::Append(_, None));
        self.mailbox.put(message, is_urgent)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.mailbox.end();
    }
}

type Answer<T> = oneshot::Receiver<Result<T, AuditError>>;

/// How often a blocking wait looks again.
const PAUSE: Duration = Duration::from_millis(2);

async fn wait<T>(answer: Answer<T>, within: Duration) -> Result<T, AuditError> {
    match timeout(within, answer).await {
        Ok(Ok(written)) => written,
        Ok(Err(_)) => Err(AuditError::Closed),
        Err(_) => Err(late()),
    }
}

fn late() -> AuditError {
    AuditError::io("waiting for the disk")(io::ErrorKind::TimedOut.into())
}

fn refused(error: Refused<Message>) -> AuditError {
    match error {
        Refused::Full(_) => AuditError::Busy,
        Refused::Closed => AuditError::Closed,
    }
}
