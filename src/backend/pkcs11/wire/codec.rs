//! Bytes in and out: numbers in little-endian order, texts and byte strings behind their length.

use thiserror::Error;

/// A body that does not hold what its kind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a message between router and worker is malformed")]
pub struct Malformed;

/// Appends values to a frame.
pub(super) trait Put {
    fn byte(&mut self, value: u8);
    fn number(&mut self, value: u64);
    fn bytes(&mut self, value: &[u8]);

    fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }
}

impl Put for Vec<u8> {
    fn byte(&mut self, value: u8) {
        self.push(value);
    }

    fn number(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.extend_from_slice(value);
    }
}

/// Reads the values of a frame in the order in which they were put.
#[derive(Debug)]
pub(super) struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    fn some(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (value, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(value)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (value, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*value)
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let value = self.some(8)?;
        Ok(u64::from_le_bytes(value.try_into().map_err(|_| Malformed)?))
    }

    pub(super) fn count(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number()?).map_err(|_| Malformed)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count()?;
        self.some(len)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// Nothing may be left over.
    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}
