//! A stream that gives up on a peer that dawdles.
//!
//! One timer per connection ticks every so often and looks whether anything has moved since the last tick;
//! requests themselves neither set a timer nor read a clock. A head or an unread answer is thus given
//! between one and two ticks.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What the connection is doing; shared with whatever answers its requests.
#[derive(Debug, Clone)]
pub struct Progress(Arc<AtomicU32>);

/// A head is being read; a connection that takes one request after the other begins so.
const HEAD: u32 = u32::MAX;
/// Between two requests. A larger number is that of the requests which are being answered.
const IDLE: u32 = 0;
const BUSY: u32 = 1;

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(HEAD)))
    }
}

impl Progress {
    /// A request's head has arrived.
    pub fn begin(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// Its answer is ready.
    pub fn end(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    /// For a connection that takes many requests at once: only they are progress, for as long as what this
    /// returns lives. Bytes are none, since such a connection is never without them.
    pub fn many(self) -> Many {
        self.0.store(IDLE, Ordering::Relaxed);
        Many(self)
    }

    fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The progress of a connection that takes many requests at once.
#[derive(Debug, Clone)]
pub struct Many(Progress);

impl Many {
    /// A request's head has arrived; it is answered, or given up, when what this returns is dropped.
    pub fn begin(&self) -> UnderWay {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.0.clone())
    }
}

/// One of many requests.
#[derive(Debug)]
pub struct UnderWay(Progress);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How requests follow one another on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The next begins after the answer to the last.
    OneByOne,
    /// Many at once, over [`Progress::many`].
    Many,
}

/// The stream.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    pace: Pace,
    progress: Progress,
    /// Boxed, so that the stream stays movable.
    tick: Pin<Box<Sleep>>,
    every: Duration,
    /// How many ticks an idle connection is given.
    idle_ticks: u32,
    /// Ticks since anything has moved.
    still: u32,
    /// A write waits for the peer to read.
    is_blocked: bool,
}

impl<S> Paced<S> {
    /// Ticks every `every`; an idle connection may last for `idle`.
    pub fn new(stream: S, pace: Pace, progress: Progress, every: Duration, idle: Duration) -> Self {
        let every = every.max(Duration::from_millis(1));
        let idle_ticks = idle.as_millis().div_ceil(every.as_millis());
        Self {
            stream,
            pace,
            progress,
            tick: Box::pin(tokio::time::sleep(every)),
            every,
            idle_ticks: u32::try_from(idle_ticks).unwrap_or(u32::MAX),
            still: 0,
            is_blocked: false,
        }
    }

    /// Fails once the peer has taken too long; otherwise wakes the task at the next tick.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.tick.as_mut().poll(cx).is_ready() {
            let next = Instant::now() + self.every;
            self.tick.as_mut().reset(next);
            self.still += 1;
            let allowed = match self.progress.now() {
                _ if self.is_blocked => 1,
                HEAD => 1,
                IDLE => self.idle_ticks,
                _ => u32::MAX,
            };
            if self.still > allowed {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => {
                if !self.is_blocked {
                    self.is_blocked = true;
                    self.still = 0;
                }
                self.check(cx)?;
                Poll::Pending
            }
            Poll::Ready(written) => {
                self.is_blocked = false;
                self.still = 0;
                Poll::Ready(written)
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                // The bytes of a head that trickles in are no progress: only its end is.
                if this.pace == Pace::OneByOne && buffer.filled().len() > before && this.progress.now() == IDLE {
                    this.progress.0.store(HEAD, Ordering::Relaxed);
                    this.still = 0;
                }
                if matches!(this.progress.now(), HEAD | IDLE) {
                    this.check(cx)?;
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                this.check(cx)?;
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const TICK: Duration = Duration::from_millis(20);

    fn paced(progress: &Progress) -> (Paced<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(64);
        (Paced::new(near, Pace::OneByOne, progress.clone(), TICK, 6 * TICK), far)
    }

    /// How many ticks pass, at least, until `wait` ends for want of a peer.
    async fn ticks_until_the_end(wait: impl Future<Output = io::Result<usize>>) -> u128 {
        let start = Instant::now();
        assert_eq!(wait.await.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        start.elapsed().as_millis() / TICK.as_millis()
    }

    #[tokio::test]
    async fn a_head_must_arrive_within_two_ticks_even_if_it_trickles() {
        let (mut stream, mut far) = paced(&Progress::default());
        let trickle = tokio::spawn(async move {
            while far.write_all(b"x").await.is_ok() {
                tokio::time::sleep(TICK / 20).await;
            }
        });
        let reading = async {
            let mut byte = [0];
            loop {
                stream.read_exact(&mut byte).await?;
            }
        };
        assert!(ticks_until_the_end(reading).await >= 1);
        drop(stream);
        trickle.await.unwrap();
    }

    #[tokio::test]
    async fn an_idle_connection_is_kept_for_longer_and_a_busy_one_without_end() {
        let progress = Progress::default();
        let (mut stream, _far) = paced(&progress);
        progress.begin();
        let silence = tokio::time::timeout(10 * TICK, stream.read(&mut [0])).await;
        assert!(silence.is_err());
        let (mut stream, _far) = paced(&progress);
        progress.end();
        assert!(ticks_until_the_end(stream.read(&mut [0])).await >= 6);
    }

    #[tokio::test]
    async fn an_answer_must_be_read_within_two_ticks() {
        let progress = Progress::default();
        let (mut stream, _far) = paced(&progress);
        progress.begin();
        stream.write_all(&[0; 64]).await.unwrap();
        ticks_until_the_end(stream.write(&[0; 64])).await;
    }
}
