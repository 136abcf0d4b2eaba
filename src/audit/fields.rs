//! How the fields of an event are written.

/// Names and moments as JSON texts: the core's types know no serde.
pub mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

pub mod as_optional_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserializer, Serializer};

    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        super::as_text::deserialize(deserializer).map(Some)
    }
}

pub mod as_kid {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::ids::Kid;

    pub fn serialize<S: Serializer>(value: &Kid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kid, D::Error> {
        Kid::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

pub mod as_number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::ids::{Revision, VersionId};

    pub trait Counter: Copy {
        fn number(self) -> u64;
        fn of(number: u64) -> Self;
    }

    impl Counter for Revision {
        fn number(self) -> u64 {
            self.get()
        }
        fn of(number: u64) -> Self {
            Self::new(number)
        }
    }

    impl Counter for VersionId {
        fn number(self) -> u64 {
            self.get()
        }
        fn of(number: u64) -> Self {
            Self::new(number)
        }
    }

    pub fn serialize<T: Counter, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.number().serialize(serializer)
    }

    pub fn deserialize<'de, T: Counter, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        u64::deserialize(deserializer).map(T::of)
    }
}

/// Free text, bounded and without tokens: whatever a caller or a backend said, no token stays in the log.
pub mod scrub {
    use std::borrow::Cow;

    use serde::Serializer;

    /// The longest free text, in bytes.
    const TEXT_MAX: usize = 512;

    pub fn text<S: Serializer>(value: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&scrubbed(value))
    }

    pub fn option<S: Serializer>(value: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => text(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// `text` with every compact JWS or JWE replaced, cut to [`TEXT_MAX`].
    pub fn scrubbed(text: &str) -> Cow<'_, str> {
        let mut text = without_tokens(text);
        if text.len() > TEXT_MAX {
            let end = text.floor_char_boundary(TEXT_MAX);
            text.to_mut().truncate(end);
            text.to_mut().push('…');
        }
        text
    }

    /// A token is a run of base64url and dots that begins with `eyJ` (`{"`) and holds a dot.
    fn without_tokens(text: &str) -> Cow<'_, str> {
        let in_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, from)) = rest.find("eyJ").and_then(|at| rest.split_at_checked(at)) {
            let (run, after) = from.split_at(from.find(|c| !in_token(c)).unwrap_or(from.len()));
            out.push_str(before);
            out.push_str(if run.contains('.') { "[token]" } else { run });
            rest = after;
        }
        if out.is_empty() && rest.len() == text.len() {
            return Cow::Borrowed(text);
        }
        out.push_str(rest);
        Cow::Owned(out)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_token_in_a_free_text_is_taken_out() {
            for (said, written) in [
                ("", ""),
                ("leaked on 2026-12-20", "leaked on 2026-12-20"),
                ("saw eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln, twice", "saw [token], twice"),
                ("Bearer=eyJh.eyJz", "Bearer=[token]"),
                ("kid eyJNoDotInHere", "kid eyJNoDotInHere"),
            ] {
                assert_eq!(scrubbed(said), written);
            }
            assert_eq!(scrubbed(&"ä".repeat(400)).chars().count(), 257);
        }
    }
}
