//! The two places where the file may say the same thing in two shapes.
//!
//! Each reads its shapes by hand: what serde calls untagged would answer a typing error with "data did not
//! match any variant".

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::value::{Field, Parsed, Scalar};
use crate::lifecycle::time::Span;

/// One value, or a list of them.
#[derive(Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<Spanned<Parsed<T>>>);

impl<'de, T: Scalar> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shapes = Spanned::<Shapes<T>>::deserialize(deserializer)?;
        let place = shapes.span();
        Ok(Self(match shapes.into_inner() {
            Shapes::One(value) => vec![Spanned::new(place, value)],
            Shapes::Many(values) => values,
        }))
    }
}

enum Shapes<T> {
    One(Parsed<T>),
    Many(Vec<Spanned<Parsed<T>>>),
}

impl<'de, T: Scalar> Deserialize<'de> for Shapes<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapesVisitor(PhantomData))
    }
}

struct ShapesVisitor<T>(PhantomData<T>);

impl<'de, T: Scalar> Visitor<'de> for ShapesVisitor<T> {
    type Value = Shapes<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of such", T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let value = T::text(text).unwrap_or_else(|| Err(format!("expected {}", T::EXPECTED)));
        value.map(Parsed).map(Shapes::One).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            values.push(value);
        }
        Ok(Shapes::Many(values))
    }
}

/// A declared verifier: the name of one that we know, or a table for one of the operator's own.
#[derive(Debug)]
pub(super) enum Verifier {
    Known(String),
    Own(OwnVerifier),
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { name = \"in-house\", cache = \"2h\" }")]
pub(super) struct OwnVerifier {
    pub(super) name: Field<VerifierName>,
    pub(super) cache: Field<Span>,
}

/// What the operator calls a verifier of their own: free text, since only people read it.
#[derive(Debug)]
pub(super) struct VerifierName(pub(super) String);

impl Scalar for VerifierName {
    const EXPECTED: &'static str = "a name in quotes";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let good = (1..=63).contains(&text.len()) && !text.chars().any(char::is_control);
        Some(if good { Ok(Self(text.to_owned())) } else { Err(format!("{text:?} is not a name of 1 to 63 bytes")) })
    }
}

impl<'de> Deserialize<'de> for Verifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VerifierVisitor)
    }
}

struct VerifierVisitor;

impl<'de> Visitor<'de> for VerifierVisitor {
    type Value = Verifier;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a verifier in quotes, or a table such as { name = \"in-house\", cache = \"2h\" }")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Verifier, E> {
        Ok(Verifier::Known(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Verifier, A::Error> {
        OwnVerifier::deserialize(MapAccessDeserializer::new(table)).map(Verifier::Own)
    }
}
