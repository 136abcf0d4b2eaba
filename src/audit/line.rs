//! One record as one line of bytes.

use std::io::Write;

use aws_lc_rs::digest::{Context, SHA256};

use super::digest::{Digest, push_hex};
use super::error::Flaw;
use super::event::Event;
use crate::lifecycle::time::Timestamp;

/// The end of a chain: the number and the hash of its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub seq: u64,
    pub hash: Digest,
}

impl Link {
    /// What stands before the first record.
    pub const ORIGIN: Self = Self { seq: 0, hash: Digest([0; 32]) };
}

/// Bytes of `,"sum":"0123456789abcdef"}`, with which every line ends.
const SUM_LENGTH: usize = 26;
const SUM_OPEN: &[u8] = b",\"sum\":\"";
/// Every line begins so, and inside of a line it can't stand: there its quotes would be escaped.
pub const OPEN: &[u8] = b"{\"seq\":";

/// Bytes of what a caller knows of a signature, and some more.
const BODY_USUAL: usize = 512;

/// Encodes what a caller knows of a record; the writer adds number, predecessor and sum.
///
/// # Errors
/// None that an event can cause; serde_json's signature has one.
pub fn body(at: Timestamp, event: &Event) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(BODY_USUAL);
    // Writing to a Vec can't fail.
    let _ = write!(out, "\"at\":\"{at}\"");
    let brace = out.len();
    serde_json::to_writer(&mut out, event)?;
    // The event's own braces go: its members become members of the line.
    if let Some(brace) = out.get_mut(brace) {
        *brace = b',';
    }
    out.pop();
    Ok(out)
}

/// Appends the record that follows `after`, with its newline, and returns the new end of the chain.
pub fn seal(out: &mut Vec<u8>, after: Link, synced: u64, body: &[u8]) -> Link {
    let start = out.len();
    let seq = after.seq + 1;
    // Writing to a Vec can't fail.
    let _ = write!(out, "{{\"seq\":{seq},\"prev\":\"");
    push_hex(out, &after.hash.0);
    let _ = write!(out, "\",\"synced\":{synced},");
    out.extend_from_slice(body);
    let mut context = Context::new(&SHA256);
    let mut hashed = hash_from(&mut context, out, start);
    out.extend_from_slice(SUM_OPEN);
    push_hex(out, &head(&Digest::taken(&context.clone().finish())));
    out.extend_from_slice(b"\"}");
    hashed = hash_from(&mut context, out, hashed);
    debug_assert_eq!(hashed, out.len(), "the chain covers the whole line");
    out.push(b'\n');
    Link { seq, hash: Digest::taken(&context.finish()) }
}

fn hash_from(context: &mut Context, bytes: &[u8], start: usize) -> usize {
    context.update(bytes.get(start..).unwrap_or_default());
    bytes.len()
}

fn head(digest: &Digest) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = digest.0;
    [a, b, c, d, e, f, g, h]
}

/// A line whose sum is right: somebody wrote exactly this.
#[derive(Debug)]
pub struct Framed<'a> {
    pub seq: u64,
    pub prev: Digest,
    pub synced: u64,
    pub hash: Digest,
    at: &'a str,
    event: &'a str,
}

/// Takes a line (without its newline) apart, or says `None` if it is not whole.
pub fn parse(line: &[u8]) -> Option<Framed<'_>> {
    let (summed, sum) = line.split_at_checked(line.len().checked_sub(SUM_LENGTH)?)?;
    let mut expected = SUM_OPEN.to_vec();
    push_hex(&mut expected, &head(&Digest::of(summed)));
    expected.extend_from_slice(b"\"}");
    if sum != expected {
        return None;
    }
    let text = str::from_utf8(summed).ok()?.strip_prefix("{\"seq\":")?;
    let (seq, text) = text.split_once(",\"prev\":\"")?;
    let (prev, text) = text.split_once("\",\"synced\":")?;
    let (synced, text) = text.split_once(",\"at\":\"")?;
    let (at, event) = text.split_once("\",")?;
    Some(Framed {
        seq: seq.parse().ok()?,
        prev: prev.parse().ok()?,
        synced: synced.parse().ok()?,
        hash: Digest::of(line),
        at,
        event,
    })
}

impl Framed<'_> {
    /// The moment and the event.
    ///
    /// # Errors
    /// [`Flaw::Unreadable`] if this build does not know them.
    pub fn content(&self) -> Result<(Timestamp, Event), Flaw> {
        let at = self.at.parse().map_err(|_| Flaw::Unreadable(format!("{:?} is no moment", self.at)))?;
        let event = serde_json::from_str(&format!("{{{}}}", self.event));
        Ok((at, event.map_err(|error| Flaw::Unreadable(error.to_string()))?))
    }
}
