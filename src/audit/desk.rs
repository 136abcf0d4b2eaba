//! The writer's thread: gathers what waits, writes it as one group, answers.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::AuditError;
use super::event::Event;
use super::log::Head;
use super::writer::{Draft, Writer};
use crate::clock::Clock;

/// Where the number of a record goes once it is on disk.
pub type Reply = oneshot::Sender<Result<u64, AuditError>>;

/// What the handles ask of the thread.
#[derive(Debug)]
pub enum Message {
    /// Write this; without a reply nobody waits for it.
    Append(Draft, Option<Reply>),
    /// Begin a new segment.
    Rotate(Reply),
    /// Say which record is the last that is on disk.
    Head(oneshot::Sender<Result<Head, AuditError>>),
    /// Write the last record and end.
    Close(Reply),
}

/// Records in one group, at most: bounds the memory and how long the first one waits.
const GROUP_MAX: usize = 4_096;

/// How long the thread rests while it gathers records that nobody waits for: the queue must hold what comes
/// in that time.
const REST: Duration = Duration::from_millis(5);

/// How often it rests before it writes them: 100 ms.
const RESTS: u32 = 20;

/// What the thread owns.
#[derive(Debug)]
pub struct Desk {
    writer: Writer,
    messages: Receiver<Message>,
    clock: Arc<dyn Clock>,
    is_impaired: Arc<AtomicBool>,
    /// Records that were taken on trust and could not be written yet.
    owed: Vec<Draft>,
}

impl Desk {
    pub fn new(
        writer: Writer,
        messages: Receiver<Message>,
        clock: Arc<dyn Clock>,
        is_impaired: Arc<AtomicBool>,
    ) -> Self {
        Self { writer, messages, clock, is_impaired, owed: Vec::new() }
    }

    /// Ends with [`Message::Close`], or when the last handle is gone.
    pub fn run(mut self) {
        let mut drafts = Vec::new();
        let mut replies = Vec::new();
        while let Ok(first) = self.messages.recv() {
            let mut next = Some(first);
            let mut other = None;
            let mut is_unhurried = true;
            let mut rests = RESTS;
            while let Some(message) = next.take() {
                match message {
                    Message::Append(draft, reply) => {
                        is_unhurried &= reply.is_none();
                        drafts.push(draft);
                        replies.push(reply);
                    }
                    Message::Rotate(_) | Message::Head(_) | Message::Close(_) => {
                        other = Some(message);
                        break;
                    }
                }
                if drafts.len() < GROUP_MAX {
                    next = self.next(is_unhurried, &mut rests);
                }
            }
            self.flush(&mut drafts, &mut replies);
            match other {
                Some(Message::Rotate(reply)) => {
                    let _ = reply.send(self.writer.rotate(self.clock.now()).map(|()| self.writer.seq()));
                }
                Some(Message::Head(reply)) => {
                    let _ = reply.send(Ok(self.writer.head()));
                }
                Some(Message::Close(reply)) => {
                    let _ = reply.send(self.stop());
                    return;
                }
                Some(Message::Append(..)) | None => {}
            }
        }
        // The handles are gone without a word: no "stopped", but nothing that was taken on trust is lost.
        let _ = self.settle();
    }

    /// The next message of the group, or `None` if the group is to be written now.
    fn next(&self, is_unhurried: bool, rests: &mut u32) -> Option<Message> {
        loop {
            match self.messages.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Empty) if is_unhurried && *rests > 0 => {
                    *rests -= 1;
                    // Not on the queue, where every record would wake the thread: that is dearer than the
                    // record. Who waits for an answer wakes it; see `Audit::send`.
                    thread::park_timeout(REST);
                }
                Err(_) => return None,
            }
        }
    }

    fn flush(&mut self, drafts: &mut Vec<Draft>, replies: &mut Vec<Option<Reply>>) {
        let owed = self.owed.len();
        let group: Vec<Draft> = mem::take(&mut self.owed).into_iter().chain(drafts.drain(..)).collect();
        if group.is_empty() {
            return;
        }
        let written = self.writer.write(&group, self.clock.now());
        self.is_impaired.store(self.writer.is_impaired() || written.is_err(), Ordering::Release);
        if written.is_err() {
            let mut replies = replies.iter();
            // Of a group that failed, only what nobody was told about is tried again.
            self.owed = group
                .into_iter()
                .enumerate()
                .filter(|(at, _)| *at < owed || replies.next().is_some_and(Option::is_none))
                .map(|(_, draft)| draft)
                .collect();
        }
        for (at, reply) in replies.drain(..).enumerate() {
            let answer = written.clone().map(|first| first + (owed + at) as u64);
            // Who does not wait any more was told nothing, and may find the record in the log.
            let _ = reply.map(|reply| reply.send(answer));
        }
    }

    fn settle(&mut self) -> Result<(), AuditError> {
        let owed = mem::take(&mut self.owed);
        if owed.is_empty() { Ok(()) } else { self.writer.write(&owed, self.clock.now()).map(|_| ()) }
    }

    fn stop(&mut self) -> Result<u64, AuditError> {
        self.settle()?;
        let now = self.clock.now();
        let seq = self.writer.write(&[Draft::new(now, Event::Stopped {})?], now)?;
        self.writer.trim()?;
        Ok(seq)
    }
}
