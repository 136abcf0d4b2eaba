//! Patterns of texts: one text, or all that begin alike.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One text, or every longer one with the same beginning: `user:*`. There is no other wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextPattern {
    /// Exactly this.
    Exact(String),
    /// Whatever goes on after this by at least one character.
    Prefix(String),
}

/// A text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a pattern is 1 to 1024 bytes without control characters, and a * may stand at its end alone")]
pub struct NotAPattern;

impl TextPattern {
    /// Whether it stands for `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(one) => one == text,
            Self::Prefix(start) => text.len() > start.len() && text.starts_with(start.as_str()),
        }
    }
}

impl FromStr for TextPattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let (start, is_prefix) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        let fits = !text.is_empty() && text.len() <= 1_024 && !start.contains(|c: char| c == '*' || c.is_control());
        match (fits, is_prefix) {
            (false, _) => Err(NotAPattern),
            (true, true) => Ok(Self::Prefix(start.to_owned())),
            (true, false) => Ok(Self::Exact(start.to_owned())),
        }
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(one) => f.write_str(one),
            Self::Prefix(start) => write!(f, "{start}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_text_or_a_beginning() {
        for (pattern, text, fits) in [
            ("alice", "alice", true),
            ("alice", "Alice", false),
            ("alice", "alice ", false),
            ("user:*", "user:a", true),
            ("user:*", "user:", false),
            ("user:*", "users:a", false),
            ("*", "a", true),
            ("*", "", false),
        ] {
            let parsed: TextPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(text), fits, "{pattern} {text}");
            assert_eq!(parsed.to_string(), pattern);
        }
        for bad in ["", "a*b", "**", "a\nb", &"a".repeat(1_025)] {
            assert_eq!(bad.parse::<TextPattern>(), Err(NotAPattern), "{bad}");
        }
    }
}
