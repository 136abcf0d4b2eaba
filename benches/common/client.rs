//! A client that costs next to nothing: blocking connections served in turn, requests written from ready bytes.
//!
//! Every connection has one request under way at any time. Answers are read in the order in which requests
//! were written, which is nearly the order in which a busy server answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::figures::percentile;
use super::machine;

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// One connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

/// An answer's status and the length of its body as declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub declared: usize,
    /// Bytes of the head.
    head: usize,
}

/// Whether answers carry the body that they declare; those to HEAD and of status 304 do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodies {
    Sent,
    Omitted,
}

impl Connection {
    pub fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Box::new(stream), buffer: vec![0; 64 * 1_024] })
    }

    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Box::new(stream), buffer: vec![0; 64 * 1_024] })
    }

    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// Reads one answer whole.
    pub fn receive(&mut self, bodies: Bodies) -> io::Result<Answer> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            let Some(answer) = parse(&self.buffer[..filled]) else { continue };
            let body = if bodies == Bodies::Sent { answer.declared } else { 0 };
            if filled >= answer.head + body {
                return Ok(answer);
            }
        }
    }

    /// Sends a request and returns the answer with its body as text.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<(Answer, String)> {
        self.send(request)?;
        let answer = self.receive(Bodies::Sent)?;
        let body = &self.buffer[answer.head..answer.head + answer.declared];
        Ok((answer, String::from_utf8_lossy(body).into_owned()))
    }

    /// The value of a header of the last answer.
    pub fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.buffer);
        let (head, _) = text.split_once("\r\n\r\n")?;
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    }
}

/// Longer than any answer of a server that works.
const PATIENCE: Duration = Duration::from_secs(10);

fn parse(bytes: &[u8]) -> Option<Answer> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let status = str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let is_name = |window: &[u8]| window[2] | 0x20 == b'c' && window.eq_ignore_ascii_case(NAME);
    let at = bytes[..head].windows(NAME.len()).position(is_name);
    let digits = at.map_or(&bytes[..0], |at| &bytes[at + NAME.len()..head]);
    let declared = digits.iter().take_while(|b| b.is_ascii_digit()).fold(0, |n, b| n * 10 + usize::from(b - b'0'));
    Some(Answer { status, declared, head })
}

/// What a round of load came to.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub answers: u64,
    /// Answers per second.
    pub rate: f64,
    /// The share of one processor that the client used.
    pub client: f64,
}

/// Keeps one request under way on each connection for so long. Every answer must have `status`.
pub fn load(
    connections: &mut [Connection],
    request: &[u8],
    bodies: Bodies,
    status: u16,
    time: Duration,
) -> io::Result<Load> {
    let begun = (Instant::now(), machine::thread_time());
    let mut answers = 0_u64;
    connections.iter_mut().try_for_each(|connection| connection.send(request))?;
    while begun.0.elapsed() < time {
        for connection in &mut *connections {
            check(connection.receive(bodies)?, status)?;
            connection.send(request)?;
            answers += 1;
        }
    }
    let (elapsed, busy) = (begun.0.elapsed(), machine::thread_time().saturating_sub(begun.1));
    connections.iter_mut().try_for_each(|connection| connection.receive(bodies).map(|_| ()))?;
    Ok(Load {
        answers,
        rate: answers as f64 / elapsed.as_secs_f64(),
        client: busy.as_secs_f64() / elapsed.as_secs_f64(),
    })
}

/// The median and the 99th percentile of the time of a lone request, in microseconds.
pub fn latency(connection: &mut Connection, request: &[u8], status: u16, count: usize) -> io::Result<(f64, f64)> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        connection.send(request)?;
        check(connection.receive(Bodies::Sent)?, status)?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok((percentile(&mut times, 0.5), percentile(&mut times, 0.99)))
}

fn check(answer: Answer, status: u16) -> io::Result<()> {
    if answer.status == status {
        return Ok(());
    }
    Err(io::Error::other(format!("an answer had status {}, not {status}", answer.status)))
}
