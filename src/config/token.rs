//! PKCS#11 tokens, as the file says them.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::secret::Secret;
use super::value::{Field, Scalar, choice};
use crate::lifecycle::time::Span;

/// Keys inside a token that a PKCS#11 module drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11 {
    /// The module, a shared library.
    pub module: PathBuf,
    /// A text that the module takes beyond the standard.
    pub module_args: Option<String>,
    /// Which of the tokens that the module shows.
    pub token: TokenChoice,
    /// The PIN of the token's user.
    pub pin: Secret,
    /// What stands between the module and the daemon.
    pub isolation: Isolation,
    /// Worker processes.
    pub workers: usize,
    /// Threads in each that sign.
    pub threads: usize,
    /// A call into the module that lasts longer costs its worker.
    pub hang_limit: Span,
}

impl Pkcs11 {
    /// A token with the defaults.
    #[must_use]
    pub fn new(module: PathBuf, token: TokenChoice, pin: Secret) -> Self {
        Self {
            module,
            module_args: None,
            token,
            pin,
            isolation: Isolation::Process,
            workers: 2,
            threads: 4,
            hang_limit: Span::from_secs(2),
        }
    }
}

/// A token, by what distinguishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenChoice {
    /// The label that it was initialised with.
    Label(String),
    /// The serial number that its maker gave it.
    Serial(String),
    /// The number of its slot.
    Slot(u64),
}

/// What stands between a module and the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Worker processes, which may hang and crash.
    Process,
    /// Nothing: the module is loaded into the daemon.
    None,
}

impl Scalar for Isolation {
    const EXPECTED: &'static str = "\"process\" or \"none\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        Some(choice(text, &[("process", Self::Process), ("none", Self::None)]))
    }
}

/// A text that goes to the module as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModuleArgs(pub(super) String);

impl Scalar for ModuleArgs {
    const EXPECTED: &'static str = "a text in quotes";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let good = !text.is_empty() && !text.chars().any(char::is_control);
        Some(if good { Ok(Self(text.to_owned())) } else { Err(format!("{text:?} can't be handed to a module")) })
    }
}

/// A label or serial number, padded with blanks in the token, so without any at its end here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenText<const MAX: usize>(pub(super) String);

impl<const MAX: usize> Scalar for TokenText<MAX> {
    const EXPECTED: &'static str = "a text in quotes, as `pkcs11-tool --list-token-slots` shows it";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let good = (1..=MAX).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control);
        Some(if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is not a text of 1 to {MAX} bytes without blanks at either end"))
        })
    }
}

/// The number of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u64);

impl Scalar for Slot {
    const EXPECTED: &'static str = "the number of a slot without quotes";

    fn number(number: i64) -> Option<Result<Self, String>> {
        Some(u64::try_from(number).map(Self).map_err(|_| format!("{number} is not the number of a slot")))
    }
}

/// A token: its label, or a table for what else distinguishes it.
#[derive(Debug)]
pub(super) enum TokenTable {
    Label(TokenText<32>),
    Other(OtherToken),
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { serial = \"4f2a\" } or { slot = 0 }")]
pub(super) struct OtherToken {
    pub(super) serial: Field<TokenText<16>>,
    pub(super) slot: Field<Slot>,
}

impl<'de> Deserialize<'de> for TokenTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TokenVisitor)
    }
}

struct TokenVisitor;

impl<'de> Visitor<'de> for TokenVisitor {
    type Value = TokenTable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the label of a token in quotes, or a table such as { serial = \"4f2a\" } or { slot = 0 }")
    }

    fn visit_str<E: Error>(self, label: &str) -> Result<TokenTable, E> {
        let label = TokenText::text(label).unwrap_or_else(|| Err("not a label".to_owned()));
        label.map(TokenTable::Label).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<TokenTable, A::Error> {
        OtherToken::deserialize(MapAccessDeserializer::new(table)).map(TokenTable::Other)
    }
}
