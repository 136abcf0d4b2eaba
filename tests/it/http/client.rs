//! A client that says exactly what it is told to, and shows exactly what came back.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
pub struct Client {
    pub stream: Box<dyn Stream>,
    read: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// The one header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} stands twice in {self:?}");
        first
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The code of a problem, after a look at the rest of it.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], format!("urn:jwksd:problem:{}", problem["code"].as_str().unwrap()));
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        assert!(!problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty());
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// A request with a length and a JSON body, if there is one.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            text.push_str("content-type: application/json\r\n");
        }
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    text.into_bytes()
}

impl Client {
    pub async fn tcp(address: SocketAddr) -> Self {
        let stream = Box::new(TcpStream::connect(address).await.unwrap());
        Self { stream, read: Vec::new() }
    }

    pub fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub async fn unix(path: &Path) -> Self {
        let stream = Box::new(UnixStream::connect(path).await.unwrap());
        Self { stream, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // A server that has refused already may have hung up.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The answer to what was sent; nothing if the connection ends without one.
    pub async fn receive(&mut self, to_head: bool) -> Option<Reply> {
        timeout(Duration::from_secs(10), self.read_reply(to_head)).await.expect("an answer or an end within 10 s")
    }

    async fn read_reply(&mut self, to_head: bool) -> Option<Reply> {
        let end = loop {
            match self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        if status == 100 {
            return Box::pin(self.read_reply(to_head)).await;
        }
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        let has_body = !to_head && status != 304 && status != 204;
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        while has_body && self.read.len() < length {
            self.more().await?;
        }
        if has_body {
            reply.body = self.read.drain(..length).collect();
        }
        Some(reply)
    }

    async fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => None,
            Ok(read) => {
                self.read.extend_from_slice(&buffer[..read]);
                Some(())
            }
        }
    }

    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
        self.send(&request(method, path, headers, body)).await;
        self.receive(method == "HEAD").await.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }
}

/// One request over a connection of its own.
pub async fn ask(address: SocketAddr, method: &str, path: &str, body: Option<&str>) -> Reply {
    Client::tcp(address).await.ask(method, path, &[], body).await
}
