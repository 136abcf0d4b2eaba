//! A blocking HTTP client of a hundred lines: one request per connection, every wait bounded.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longer than any limit of the daemon that a test waits for, and than it is ever frozen.
const PATIENCE: Duration = Duration::from_secs(40);

/// Where a listener is.
#[derive(Debug, Clone)]
pub enum Address {
    /// On 127.0.0.1.
    Tcp(u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// As the configuration and `--admin` write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "127.0.0.1:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// Nobody took the connection: nothing was asked.
    Unreachable(io::Error),
    /// The connection broke before the answer was whole: it is not known what was done.
    Broken(io::Error),
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

/// One connection, for tests that send a request in pieces.
pub trait Wire: Read + Write + Send {}

impl Wire for TcpStream {}
impl Wire for UnixStream {}

impl Address {
    /// Opens a connection.
    pub fn connect(&self) -> io::Result<Box<dyn Wire>> {
        match self {
            Self::Tcp(port) => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            }
        }
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(&request("GET", path, b""))
    }

    /// `POST path` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.ask(&request("POST", path, body.to_string().as_bytes()))
    }

    fn ask(&self, request: &[u8]) -> Result<Answer, Failure> {
        let mut wire = self.connect().map_err(Failure::Unreachable)?;
        wire.write_all(request).map_err(Failure::Broken)?;
        read_answer(&mut *wire).map_err(Failure::Broken)
    }
}

/// The bytes of a request after which the connection is closed.
pub fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Reads up to the end of the connection; an answer that was cut short is an error.
pub fn read_answer(wire: &mut dyn Wire) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let read = wire.read_to_end(&mut bytes);
    let answer = parse(&bytes);
    // A reset after the whole answer takes nothing back.
    match (answer, read) {
        (Some(answer), _) => Ok(answer),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut short")),
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = bytes[end + 4..].to_vec();
    let answer = Answer { status, head, body };
    let length: usize = answer.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
    (answer.body.len() == length).then_some(answer)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "nobody answers: {error}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, if the status says that all went well; else a panic that shows it.
    pub fn read<T: DeserializeOwned>(&self) -> T {
        assert!((200..300).contains(&self.status), "{}\n{}", self.head, self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The `code` of a problem document.
    pub fn code(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}
