//! A daemon that answers from a list, one answer per connection, and keeps what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::{self, JoinHandle};

/// What the stub does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with this status and this body.
    Json(u16, String),
    /// Reads the request and hangs up.
    Silence,
}

/// One request: its first line, its headers, its body.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<String>,
    pub body: String,
}

pub struct Stub {
    pub address: SocketAddr,
    thread: JoinHandle<Vec<Asked>>,
}

impl Stub {
    /// Listens at once, answers each connection with the next reply, and ends with the last one.
    pub fn new(replies: Vec<Reply>) -> Self {
        let (listener, address) = Self::listener();
        let thread = thread::spawn(move || serve(|| listener.accept().unwrap().0, replies));
        Self { address, thread }
    }

    /// A listener whose first connection waits until somebody serves it.
    pub fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// The same on a Unix socket.
    pub fn unix(path: &Path, replies: Vec<Reply>) -> JoinHandle<Vec<Asked>> {
        let listener = UnixListener::bind(path).unwrap();
        thread::spawn(move || serve(|| listener.accept().unwrap().0, replies))
    }

    /// Everything that was asked.
    pub fn asked(self) -> Vec<Asked> {
        self.thread.join().unwrap()
    }
}

pub fn serve<S: Read + Write>(accept: impl Fn() -> S, replies: Vec<Reply>) -> Vec<Asked> {
    let mut asked = Vec::new();
    for reply in replies {
        let mut stream = BufReader::new(accept());
        asked.push(read(&mut stream));
        if let Reply::Json(status, body) = reply {
            let head =
                format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
            // Who hung up in between does not want to know.
            let _ = stream.get_mut().write_all(format!("{head}\r\nconnection: close\r\n\r\n{body}").as_bytes());
        }
    }
    asked
}

fn read(stream: &mut impl BufRead) -> Asked {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    let line = lines.remove(0);
    Asked { line, headers: lines, body: String::from_utf8(body).unwrap() }
}
