//! AWS KMS, as the file says it.

use std::path::PathBuf;

use super::value::Scalar;
use crate::lifecycle::time::Span;

/// Keys inside AWS KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsKms {
    /// The region; without one, that of the environment, the profile or the machine.
    pub region: Option<String>,
    /// The profile of the shared configuration files.
    pub profile: Option<String>,
    /// Where KMS is, instead of its public address.
    pub endpoint: Option<String>,
    /// Where the Resource Groups Tagging API is, instead of its public address.
    pub tagging_endpoint: Option<String>,
    /// Signatures per second and kind of key.
    pub sign_rate: u32,
    /// From a key's end to its deletion: 7 to 30 whole days.
    pub deletion_window: Span,
    /// How keys are made.
    pub create: AwsCreate,
}

impl Default for AwsKms {
    fn default() -> Self {
        Self {
            region: None,
            profile: None,
            endpoint: None,
            tagging_endpoint: None,
            sign_rate: 1_000,
            deletion_window: Span::from_days(30),
            create: AwsCreate::default(),
        }
    }
}

/// How keys are made in AWS KMS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AwsCreate {
    /// A file with the key policy.
    pub policy: Option<PathBuf>,
    /// What the console shows beside each key.
    pub description: Option<String>,
    /// Whether keys are multi-Region primaries.
    pub multi_region: bool,
    /// Tags beside our own.
    pub tags: Vec<(String, String)>,
    /// What the aliases of keys begin with; without it, keys have none.
    pub alias_prefix: Option<String>,
}

/// A region's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region(pub(super) String);

impl Scalar for Region {
    const EXPECTED: &'static str = "the name of a region in quotes, such as \"eu-west-1\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = (1..=32).contains(&text.len()) && text.bytes().all(word);
        Some(if good { Ok(Self(text.to_owned())) } else { Err(format!("{text:?} is not the name of a region")) })
    }
}

/// What an alias begins with, after `alias/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AliasPrefix(pub(super) String);

impl Scalar for AliasPrefix {
    const EXPECTED: &'static str = "a text in quotes, such as \"jwksd/\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let in_alphabet = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b));
        // AWS keeps alias/aws/ for itself.
        let good = (1..=32).contains(&text.len()) && in_alphabet && !text.starts_with("aws/");
        Some(match good {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is not 1 to 32 of a-z, A-Z, 0-9, / _ and -, or begins with aws/")),
        })
    }
}

/// A tag's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagText(pub(super) String);

impl Scalar for TagText {
    const EXPECTED: &'static str = "a text in quotes";

    fn text(text: &str) -> Option<Result<Self, String>> {
        Some(match is_tag_text(text, 256) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is not at most 256 letters, digits, blanks and _ . : / = + - @")),
        })
    }
}

/// Whether a tag can be called so. `aws:` is AWS's own, `jwksd:` ours.
pub(super) fn is_tag_key(text: &str) -> bool {
    !text.is_empty() && is_tag_text(text, 128) && !text.starts_with("aws:") && !text.starts_with("jwksd:")
}

fn is_tag_text(text: &str, most: usize) -> bool {
    text.chars().count() <= most && text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c))
}
