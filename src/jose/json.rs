//! Strict JSON objects, read once and kept as text: nothing is ever serialised again.
//!
//! Two readers must never see two documents. Go's decoder takes the last of several equal members
//! and matches names regardless of case, others take the first and the exact one; so whatever they
//! could read differently is refused here, at every depth. Values keep their exact text.

mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;
use thiserror::Error;

pub(super) use scan::fold;
use scan::{Member, Scanner};

/// Whether a reader that ignores case could take a member of this name for `known`, which is in lower case.
#[must_use]
pub fn reads_as(name: &str, known: &str) -> bool {
    fold(name).as_deref().unwrap_or(name) == known
}

/// Whether a reader that ignores case could take one name for the other.
#[must_use]
pub fn read_alike(name: &str, other: &str) -> bool {
    fold(name).as_deref().unwrap_or(name) == fold(other).as_deref().unwrap_or(other)
}

/// How large a document may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The length of the text in bytes.
    pub bytes: usize,
    /// Objects and arrays inside one another, the outermost included; values above 128 count as 128.
    pub depth: usize,
    /// Members of all objects of the document together.
    pub members: usize,
}

impl Limits {
    /// 64 KiB, 16 levels, 1024 members: far more than any token, far less than a nuisance.
    pub const DEFAULT: Self = Self { bytes: 64 * 1024, depth: 16, members: 1024 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The members of a JSON object, in their order, each with the exact text of its value.
///
/// `Debug` shows the names only: values may be claims.
#[derive(Clone, PartialEq, Eq)]
pub struct Object<'a> {
    members: Vec<Member<'a>>,
}

impl<'a> Object<'a> {
    /// Reads a text that is one JSON object and nothing else.
    ///
    /// # Errors
    /// [`JsonError`] if the text is not JSON of RFC 8259, is not an object, exceeds `limits`, begins
    /// with a byte order mark, or holds at any depth half of a surrogate pair, a member twice, or two
    /// members whose names differ only in case.
    /// # Source
    /// RFC 8259, sections 4 and 8; RFC 7515, section 4; RFC 7519, section 4.
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, JsonError> {
        Scanner::new(text, limits).document().map(|members| Self { members })
    }

    /// The text of a member's value, exactly as it was written.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|member| member.name == name).map(|member| member.raw)
    }

    /// Every member's name and the text of its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members.iter().map(|member| (&*member.name, member.raw))
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member's value as a string; nothing if there is no such member.
    ///
    /// # Errors
    /// [`JsonFault::Type`] if the member is not a string; `null` is none either.
    pub fn get_str(&self, name: &str) -> Result<Option<String>, JsonError> {
        let wrong = || JsonError::at_member(name, JsonFault::Type("a string"));
        self.get(name).map(|raw| serde_json::from_str(raw).map_err(|_| wrong())).transpose()
    }

    /// A member's value as a whole number; nothing if there is no such member.
    ///
    /// # Errors
    /// [`JsonFault::Type`] if the member is not a number of at most 64 bits, written without
    /// fraction and exponent.
    pub fn get_i64(&self, name: &str) -> Result<Option<i64>, JsonError> {
        let wrong = || JsonError::at_member(name, JsonFault::Type("a whole number of 64 bits"));
        self.get(name).map(|raw| raw.parse().map_err(|_| wrong())).transpose()
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.name)).finish()
    }
}

/// The texts of an array's elements; nothing if `raw` is not the text of an array.
///
/// `raw` comes out of an [`Object`]: its strictness holds for the elements too.
pub(super) fn elements(raw: &str) -> Option<Vec<&str>> {
    let values: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(values.into_iter().map(RawValue::get).collect())
}

/// Why a text is not a JSON object that we take, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    path: String,
    fault: JsonFault,
}

/// What is wrong with a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// The text has more bytes than [`Limits::bytes`].
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// Values are nested deeper than [`Limits::depth`].
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// The objects hold more members than [`Limits::members`].
    #[error("more than {0} members")]
    TooManyMembers(usize),
    /// The text begins with U+FEFF.
    #[error("begins with a byte order mark")]
    ByteOrderMark,
    /// The outermost value is not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// Something follows the object.
    #[error("text after the object, at byte {0}")]
    Trailing(usize),
    /// The grammar is broken.
    #[error("expected {expected} at byte {offset}")]
    Syntax {
        /// What had to come.
        expected: &'static str,
        /// Where, in bytes from the start of the text.
        offset: usize,
    },
    /// An escape stands for half of a surrogate pair, which is no character.
    #[error("half of a surrogate pair at byte {0}")]
    LoneSurrogate(usize),
    /// A number is too large for a double, so that readers make infinity of it, or refuse it.
    #[error("a number that is too large, up to byte {0}")]
    Number(usize),
    /// The member stands twice in its object.
    #[error("duplicate member")]
    Duplicate,
    /// The member's name differs only in case from that of another, named here.
    #[error("differs only in case from member {0}")]
    CaseVariant(String),
    /// The member has a value of another type than this.
    #[error("not {0}")]
    Type(&'static str),
}

impl JsonError {
    /// A fault of the member `name`.
    pub(super) fn at_member(name: &str, fault: JsonFault) -> Self {
        Self { path: String::new(), fault }.within(name)
    }

    fn new(fault: JsonFault) -> Self {
        Self { path: String::new(), fault }
    }

    /// Which member is meant, such as `claims.act.sub` or `keys[2].kid`; empty if it is the whole text.
    ///
    /// Names are shown as they were written, shortened, and quoted where they are unusual.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> &JsonFault {
        &self.fault
    }

    /// The same error, seen from an enclosing object that holds this text as member `name`.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{}{dot}{}", shown(name), self.path);
        self
    }

    fn within_element(mut self, index: usize) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{dot}{}", self.path);
        self
    }

    /// A stable name of the fault, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.fault {
            JsonFault::TooLong(_) => "json_too_long",
            JsonFault::TooDeep(_) => "json_too_deep",
            JsonFault::TooManyMembers(_) => "json_too_many_members",
            JsonFault::ByteOrderMark => "json_byte_order_mark",
            JsonFault::NotAnObject => "json_not_object",
            JsonFault::Trailing(_) => "json_trailing_text",
            JsonFault::Syntax { .. } => "json_syntax",
            JsonFault::LoneSurrogate(_) => "json_lone_surrogate",
            JsonFault::Number(_) => "json_number_range",
            JsonFault::Duplicate => "json_duplicate_member",
            JsonFault::CaseVariant(_) => "json_case_variant_member",
            JsonFault::Type(_) => "json_wrong_type",
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { self.fault.fmt(f) } else { write!(f, "{}: {}", self.path, self.fault) }
    }
}

impl std::error::Error for JsonError {}

/// A member's name as it may stand in an error: whole if it is short and plain, else quoted and cut.
pub(super) fn shown(name: &str) -> Cow<'_, str> {
    const MAX: usize = 64;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-:/#".contains(&b);
    if !name.is_empty() && name.len() <= MAX && name.bytes().all(plain) {
        return Cow::Borrowed(name);
    }
    let start: String = name.chars().take(MAX).collect();
    let cut = if start.len() < name.len() { "…" } else { "" };
    Cow::Owned(format!("{start:?}{cut}"))
}
