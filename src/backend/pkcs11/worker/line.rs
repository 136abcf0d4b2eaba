//! The worker's end of the socket: orders come in, reports go out.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

use super::super::wire::{self, Report};

/// The socket to the router, for all threads.
#[derive(Debug)]
pub(super) struct Line {
    input: Mutex<Input>,
    waiting: Mutex<Vec<u8>>,
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

#[derive(Debug)]
struct Output {
    stream: UnixStream,
    batch: Vec<u8>,
}

impl Line {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let input = Input { stream: stream.try_clone()?, buffer: vec![0; BUFFER], pending: 0..0 };
        let output = Output { stream: stream.try_clone()?, batch: Vec::new() };
        Ok(Self { input: Mutex::new(input), waiting: Mutex::default(), output: Mutex::new(output), lifeline: stream })
    }

    /// Puts the next order into `frame`. The threads take turns at it: the one that reads an order also does it,
    /// so that none is handed from thread to thread.
    ///
    /// # Errors
    /// The router is gone, or talks nonsense.
    pub(super) fn order(&self, frame: &mut Vec<u8>) -> io::Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let Input { stream, buffer, pending } = &mut *input;
        loop {
            let arrived = buffer.get(pending.clone()).unwrap_or_default();
            if let Some((whole, len)) = wire::next(arrived).map_err(io::Error::other)? {
                frame.clear();
                frame.extend_from_slice(whole);
                pending.start += len;
                return Ok(());
            }
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

    /// Sends a report, together with those that came up while another thread was sending.
    pub(super) fn say(&self, report: &Report) {
        report.write(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let Output { stream, batch } = &mut *output;
        std::mem::swap(batch, &mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // An error means that nobody listens: the lifeline ends this process.
        let _ = stream.write_all(batch);
        batch.clear();
    }

    /// Says why and ends, unless another thread is stuck in saying something.
    pub(super) fn last_words(&self, report: &Report) -> ! {
        if let Ok(mut output) = self.output.try_lock() {
            let mut bytes = Vec::new();
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
