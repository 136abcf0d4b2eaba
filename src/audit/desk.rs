//! The writer's thread: gathers what waits, writes it as one group, answers.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::error::AuditError;
use super::event::Event;
use super::log::Head;
use super::mailbox::{Before, Mailbox};
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

/// What the thread owns.
#[derive(Debug)]
pub struct Desk {
    writer: Writer,
    mailbox: Arc<Mailbox<Message>>,
    clock: Arc<dyn Clock>,
    is_impaired: Arc<AtomicBool>,
    /// Records that were taken on trust and could not be written yet.
    owed: Vec<Draft>,
}

impl Drop for Desk {
    /// Also if the thread panics: whoever waits is to hear that nobody writes any more.
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl Desk {
    pub fn new(
        writer: Writer,
        mailbox: Arc<Mailbox<Message>>,
        clock: Arc<dyn Clock>,
        is_impaired: Arc<AtomicBool>,
    ) -> Self {
        Self { writer, mailbox, clock, is_impaired, owed: Vec::new() }
    }

    /// Ends with [`Message::Close`], or when the last handle is gone.
    pub fn run(mut self) {
        let mut drafts = Vec::new();
        let mut replies = Vec::new();
        let mut before = Before::default();
        while let Some(messages) = self.mailbox.take(before) {
            let begun = self.clock.monotonic();
            let mut urgent = 0;
            for message in messages {
                match message {
                    Message::Append(draft, reply) => {
                        urgent += usize::from(reply.is_some());
                        drafts.push(draft);
                        replies.push(reply);
                    }
                    Message::Rotate(reply) => {
                        self.flush(&mut drafts, &mut replies);
                        let _ = reply.send(self.writer.rotate(self.clock.now()).map(|()| self.writer.seq()));
                    }
                    Message::Head(reply) => {
                        self.flush(&mut drafts, &mut replies);
                        let _ = reply.send(Ok(self.writer.head()));
                    }
                    Message::Close(reply) => {
                        self.flush(&mut drafts, &mut replies);
                        let _ = reply.send(self.stop());
                        return;
                    }
                }
            }
            self.flush(&mut drafts, &mut replies);
            before = Before { urgent, took: self.clock.monotonic().saturating_sub(begun) };
        }
        // The handles are gone without a word: no "stopped", but nothing that was taken on trust is lost.
        let _ = self.settle();
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
