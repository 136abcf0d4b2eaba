//! The worker's end of the socket: orders come in, reports go out.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError, TryLockError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

use super::super::wire::{self, Report};

/// The socket to the router, for all threads.
#[derive(Debug)]
pub(super) struct Line {
    input: Mutex<Input>,
    held: Mutex<Held>,
    output: Mutex<Output>,
    /// For looking whether anybody is there, without getting into the way of the others.
    lifeline: UnixStream,
}

#[derive(Debug)]
struct Input {
    stream: UnixStream,
    /// All of it is there from the start, so that nothing is cleared before each read.
    buffer: Vec<u8>,
    /// Where in it there are bytes that have arrived and are not done with.
    pending: Range<usize>,
}

/// Reports that are not sent yet.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    count: usize,
}

#[derive(Debug)]
struct Output {
    stream: UnixStream,
    batch: Vec<u8>,
}

impl Line {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let input = Input { stream: stream.try_clone()?, buffer: vec![0; BUFFER], pending: 0..0 };
        let output = Output { stream: stream.try_clone()?, batch: Vec::new() };
        Ok(Self { input: Mutex::new(input), held: Mutex::default(), output: Mutex::new(output), lifeline: stream })
    }

    /// Puts the next order into `frame`. The threads take turns at it: the one that reads an order also does it,
    /// so that none is handed from thread to thread. Before it waits for one, it sends what was held back.
    ///
    /// # Errors
    /// The router is gone, or talks nonsense.
    pub(super) fn order(&self, frame: &mut Vec<u8>) -> io::Result<()> {
        let mut input = match self.input.try_lock() {
            Ok(input) => input,
            Err(TryLockError::Poisoned(input)) => input.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.send();
                self.input.lock().unwrap_or_else(PoisonError::into_inner)
            }
        };
        let Input { stream, buffer, pending } = &mut *input;
        loop {
            let arrived = buffer.get(pending.clone()).unwrap_or_default();
            if let Some((whole, len)) = wire::next(arrived).map_err(io::Error::other)? {
                frame.clear();
                frame.extend_from_slice(whole);
                pending.start += len;
                return Ok(());
            }
            self.send();
            buffer.copy_within(pending.clone(), 0);
            *pending = 0..pending.len();
            if pending.end == buffer.len() {
                buffer.resize(2 * buffer.len(), 0);
            }
            let read = stream.read(buffer.get_mut(pending.end..).unwrap_or_default())?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            pending.end += read;
        }
    }

    /// Sends a report, and those that were held back.
    pub(super) fn say(&self, report: &Report) {
        self.hold(report);
        self.send();
    }

    /// Keeps a report back until one is sent, or nobody has an order to do; returns how many are kept by now.
    pub(super) fn hold(&self, report: &Report) -> usize {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        report.write(&mut held.bytes);
        held.count += 1;
        held.count
    }

    /// Sends what was held back.
    pub(super) fn send(&self) {
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).count == 0 {
            return;
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let Output { stream, batch } = &mut *output;
        {
            // While another thread was sending, more may have come up, or nothing be left.
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(batch, &mut held.bytes);
            held.count = 0;
        }
        // An error means that nobody listens: the lifeline ends this process.
        let _ = stream.write_all(batch);
        batch.clear();
    }

    /// Says why and ends, unless another thread is stuck in saying something. Signatures that were made are told of
    /// first.
    pub(super) fn last_words(&self, report: &Report) -> ! {
        if let Ok(mut output) = self.output.try_lock() {
            let mut bytes = self.held.try_lock().map(|mut held| std::mem::take(&mut held.bytes)).unwrap_or_default();
            report.write(&mut bytes);
            let _ = output.stream.write_all(&bytes);
        }
        end()
    }

    /// Returns when the router has let go of this worker.
    pub(super) fn wait_for_hangup(&self) {
        let mut ends = [PollFd::new(&self.lifeline, PollFlags::RDHUP)];
        while let Err(rustix::io::Errno::INTR) = poll(&mut ends, None) {}
    }
}

/// Ends this process at once. Nothing of the module runs any more: of four modules that were tried, two crash if the
/// process winds down in good order while they sign.
pub(super) fn end() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

const BUFFER: usize = 64 * 1024;
