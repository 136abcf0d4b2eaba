//! How a single value of the file is read: one trait, one message for each kind of value.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use toml::Spanned;

use super::nearest::nearest;

/// A key of the file that may be absent, with the place of its value.
pub(super) type Field<T> = Option<Spanned<Parsed<T>>>;

/// A table of the file that may be absent, with the place of its header.
pub(super) type Section<T> = Option<Spanned<T>>;

/// A value that was read, or could not be: then serde carries the message and `toml` the place.
#[derive(Debug, Clone)]
pub(super) struct Parsed<T>(pub(super) T);

/// Something that a single value of the file can mean.
pub(super) trait Scalar: Sized {
    /// Completes "expected …".
    const EXPECTED: &'static str;

    /// Reads a text; `None` if no text will do.
    fn text(_: &str) -> Option<Result<Self, String>> {
        None
    }

    /// Reads a whole number; `None` if no number will do.
    fn number(_: i64) -> Option<Result<Self, String>> {
        None
    }

    /// Reads `true` or `false`; `None` if neither will do.
    fn boolean(_: bool) -> Option<Self> {
        None
    }
}

/// The value itself, if the key is there.
pub(super) fn plain<T>(field: Field<T>) -> Option<T> {
    field.map(|field| field.into_inner().0)
}

/// Reads one of a few words, and suggests the nearest if it is none of them.
pub(super) fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known = words.iter().map(|(word, _)| *word);
    let list = known.clone().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    Err(match nearest(text, known) {
        Some(word) => format!("{text:?} is not known here; did you mean {word:?}? Possible: {list}"),
        None => format!("{text:?} is not known here; possible: {list}"),
    })
}

impl<'de, T: Scalar> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(PhantomData))
    }
}

/// A table of the file: a struct that is read from a table alone. (Serde's own would take a list too, and fill
/// the keys in the order of their declaration.)
pub(super) trait Table<'de>: Sized {
    /// Completes "expected …".
    const EXPECTED: &'static str;

    /// Reads the keys.
    fn keys<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads a table, and nothing else.
pub(super) struct TableVisitor<T>(pub(super) PhantomData<T>);

impl<'de, T: Table<'de>> Visitor<'de> for TableVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<T, A::Error> {
        T::keys(MapAccessDeserializer::new(keys))
    }
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: Scalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = Parsed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match T::text(text) {
            Some(value) => value.map(Parsed).map_err(E::custom),
            // Not the text itself: it may be a secret in the wrong place.
            None => Err(E::invalid_type(Unexpected::Other("a text"), &self)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        match T::number(number) {
            Some(value) => value.map(Parsed).map_err(E::custom),
            None => Err(E::invalid_type(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        T::boolean(flag).map(Parsed).ok_or_else(|| E::invalid_type(Unexpected::Bool(flag), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_none_of_the_few_is_answered_with_the_nearest() {
        let words = [("always", 1), ("load", 2)];
        assert_eq!(choice("load", &words), Ok(2));
        assert_eq!(
            choice("allways", &words).unwrap_err(),
            "\"allways\" is not known here; did you mean \"always\"? Possible: \"always\", \"load\""
        );
        assert_eq!(choice("off", &words).unwrap_err(), "\"off\" is not known here; possible: \"always\", \"load\"");
    }
}
