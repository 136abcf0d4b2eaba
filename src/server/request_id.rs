//! The name of a request: the same in the answer, the log and the audit trail.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;

use super::http::REQUEST_ID;
use crate::chance;

/// The most characters of a name.
pub const REQUEST_ID_MAX: usize = 64;

/// Names requests: `<16 random digits of this process>-<count>`, all hexadecimal. Unique, not secret.
#[derive(Debug)]
pub struct RequestIds {
    prefix: String,
    count: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self { prefix: format!("{:016x}-", u64::from_be_bytes(chance::bytes())), count: AtomicU64::new(0) }
    }
}

impl RequestIds {
    /// The caller's own name for its request, if it sent one and it is well-formed, else a new one.
    #[must_use]
    pub fn name(&self, headers: &HeaderMap) -> String {
        let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match sent.filter(|name| is_well_formed(name)) {
            Some(name) => name.to_owned(),
            None => self.new_name(),
        }
    }

    fn new_name(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut name = String::with_capacity(self.prefix.len() + 8);
        name.push_str(&self.prefix);
        // Writing to a String can't fail.
        let _ = write!(name, "{count:x}");
        name
    }
}

/// One to 64 of `A-Z a-z 0-9 . _ - : =`: nothing that a log or a shell could take for more than a name.
fn is_well_formed(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-:=".contains(&b);
    !name.is_empty() && name.len() <= REQUEST_ID_MAX && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_name_is_kept_if_it_is_harmless() {
        let ids = RequestIds::default();
        let named = |name: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, name.parse().unwrap());
            ids.name(&headers)
        };
        assert_eq!(named("Root=1-67891233-abcdef"), "Root=1-67891233-abcdef");
        for bad in ["", "a b", "a\"b", "a;b", &"x".repeat(65), "ü"] {
            let name = named(bad);
            assert_ne!(name, bad);
            assert!(is_well_formed(&name), "{name}");
        }
        assert_ne!(ids.new_name(), ids.new_name());
    }
}
