//! HTTP as AWS speaks it: POST with a body of known length, and nothing else.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A request or an answer, its first line and headers as they are.
pub struct Message {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    /// The next one; nothing if the other side has ended the connection.
    pub fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut head = String::new();
        loop {
            let from = head.len();
            if reader.read_line(&mut head)? == 0 {
                return Ok(None);
            }
            if head[from..].trim().is_empty() {
                break;
            }
        }
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let mut message = Self { status, head, body: Vec::new() };
        let length = message.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        message.body = vec![0; length];
        reader.read_exact(&mut message.body)?;
        Ok(Some(message))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// An answer in JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Self { status, head, body }
    }

    /// An error as AWS tells it.
    pub fn error(status: u16, code: &str, text: &str) -> Self {
        Self::json(status, &serde_json::json!({"__type": code, "message": text}))
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }
}

/// Makes a call of the emulator on that port.
pub fn ask(port: u16, target: &str, body: &Value) -> io::Result<Message> {
    let body = body.to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx-amz-target: {target}\r\ncontent-type: application/x-amz-json-1.1\
         \r\nauthorization: AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/{}/kms/aws4_request, SignedHeaders=host, \
         Signature=00\r\ncontent-length: {}\r\n\r\n",
        super::REGION,
        body.len()
    );
    pass(port, &Message { status: 0, head, body: body.into_bytes() })
}

/// Passes a request on, on a connection of its own.
pub fn pass(port: u16, request: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    stream.write_all(&request.bytes())?;
    Message::read(&mut BufReader::new(stream))?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
