//! SPIFFE IDs, and patterns of them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A SPIFFE ID, such as `spiffe://prod.example.com/ns/idp/sa/issuer`.
///
/// # Source
/// SPIFFE-ID standard, sections 2.1 to 2.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiffeId(Box<str>);

/// A text that is neither a SPIFFE ID nor a pattern of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "not a SPIFFE ID such as spiffe://prod.example.com/idp: a trust domain of a-z, 0-9 and . - _, then segments of \
     letters, digits and . - _, none of them empty, . or .."
)]
pub struct NotSpiffe;

/// The longest ID that is taken, in bytes.
const LENGTH_MAX: usize = 2_048;

impl FromStr for SpiffeId {
    type Err = NotSpiffe;

    fn from_str(text: &str) -> Result<Self, NotSpiffe> {
        let rest = text.strip_prefix("spiffe://").filter(|_| text.len() <= LENGTH_MAX).ok_or(NotSpiffe)?;
        let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
        let in_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
        let in_path = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(in_path);
        let is_domain = (1..=255).contains(&domain.len()) && domain.bytes().all(in_domain);
        let is_path = path.is_none_or(|path| path.split('/').all(is_segment));
        if is_domain && is_path { Ok(Self(text.into())) } else { Err(NotSpiffe) }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One SPIFFE ID, or all below a path: `spiffe://td/ns/idp/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpiffePattern {
    /// Exactly this one.
    Exact(SpiffeId),
    /// Those that go on below this one by at least one segment.
    Below(SpiffeId),
}

impl SpiffePattern {
    /// Whether it stands for `id`.
    #[must_use]
    pub fn matches(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Exact(one) => one == id,
            Self::Below(root) => id.0.strip_prefix(&*root.0).is_some_and(|rest| rest.starts_with('/')),
        }
    }
}

impl FromStr for SpiffePattern {
    type Err = NotSpiffe;

    fn from_str(text: &str) -> Result<Self, NotSpiffe> {
        match text.strip_suffix("/*") {
            Some(root) => root.parse().map(Self::Below),
            None => text.parse().map(Self::Exact),
        }
    }
}

impl fmt::Display for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(id) => id.fmt(f),
            Self::Below(root) => write!(f, "{root}/*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        for good in ["spiffe://td", "spiffe://td/a", "spiffe://prod.example.com/ns/idp/sa/A_b-c.d"] {
            assert_eq!(good.parse::<SpiffeId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "spiffe://",
            "spiffe:///a",
            "SPIFFE://td/a",
            "spiffe://TD/a",
            "spiffe://td/",
            "spiffe://td//a",
            "spiffe://td/a/",
            "spiffe://td/./a",
            "spiffe://td/../a",
            "spiffe://td/a%2Fb",
            "spiffe://td/a?x",
            "spiffe://td/a#x",
            "spiffe://user@td/a",
            "spiffe://td:1/a",
            "spiffe://td/*",
            "https://td/a",
        ] {
            assert_eq!(bad.parse::<SpiffeId>(), Err(NotSpiffe), "{bad}");
        }
        assert_eq!(format!("spiffe://td/{}", "a".repeat(2_048)).parse::<SpiffeId>(), Err(NotSpiffe));
    }

    #[test]
    fn a_pattern_ends_at_a_segment() {
        for (pattern, id, fits) in [
            ("spiffe://td/idp", "spiffe://td/idp", true),
            ("spiffe://td/idp", "spiffe://td/idp/a", false),
            ("spiffe://td/idp", "spiffe://td2/idp", false),
            ("spiffe://td/idp/*", "spiffe://td/idp/a", true),
            ("spiffe://td/idp/*", "spiffe://td/idp/a/b", true),
            ("spiffe://td/idp/*", "spiffe://td/idp", false),
            ("spiffe://td/idp/*", "spiffe://td/idp2/a", false),
            ("spiffe://td/*", "spiffe://td/a", true),
            ("spiffe://td/*", "spiffe://td.evil/a", false),
            ("spiffe://td/*", "spiffe://td", false),
        ] {
            let parsed: SpiffePattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(&id.parse().unwrap()), fits, "{pattern} {id}");
            assert_eq!(parsed.to_string(), pattern);
        }
        for bad in ["spiffe://td/a*", "spiffe://td/*/a", "spiffe://*/a", "*", "/*"] {
            assert_eq!(bad.parse::<SpiffePattern>(), Err(NotSpiffe), "{bad}");
        }
    }
}
