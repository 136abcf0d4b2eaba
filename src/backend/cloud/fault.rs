//! What can go wrong between us and a cloud, told apart by what helps.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use crate::backend::BackendError;

/// The kinds of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The cloud wants fewer calls.
    Throttled,
    /// The cloud did not do it, and may later.
    Transient,
    /// Nobody knows whether the cloud did it: the answer was cut off, late or unreadable.
    Unknown,
    /// The answer, or our request, was damaged on the way: a checksum is wrong.
    Corrupt,
    /// Somebody disabled the key.
    KeyOff,
    /// The key is not there, or is going to be deleted.
    KeyGone,
    /// A limit of the account, which only an operator can have raised.
    Quota,
    /// Our credentials are missing, out of date, or don't allow it.
    Permission,
    /// The cloud finds the request wrong, or we find the answer wrong.
    Bad,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 9] = [
        Self::Throttled,
        Self::Transient,
        Self::Unknown,
        Self::Corrupt,
        Self::KeyOff,
        Self::KeyGone,
        Self::Quota,
        Self::Permission,
        Self::Bad,
    ];

    /// The word in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Unknown => "unknown",
            Self::Corrupt => "corrupt",
            Self::KeyOff => "key_off",
            Self::KeyGone => "key_gone",
            Self::Quota => "quota",
            Self::Permission => "permission",
            Self::Bad => "bad",
        }
    }

    /// Whether the same call may go well a moment later.
    pub(super) const fn may_pass(self) -> bool {
        matches!(self, Self::Transient | Self::Unknown | Self::Corrupt)
    }
}

/// A call that did not go well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// Of which kind.
    pub class: Class,
    /// What, for people, with the cloud's own code; never a token, never a credential.
    pub text: String,
    /// How long the cloud asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault of which the cloud did not say when to come again.
    #[must_use]
    pub fn new(class: Class, text: impl Into<String>) -> Self {
        Self { class, text: text.into(), retry_after: None }
    }
}

impl From<Fault> for BackendError {
    fn from(Fault { class, text, retry_after }: Fault) -> Self {
        match class {
            Class::Throttled => Self::Throttled { retry_after: retry_after.unwrap_or(REST) },
            Class::Transient | Class::Unknown | Class::Corrupt => Self::Unavailable(text),
            Class::KeyGone => Self::NotFound(text),
            Class::KeyOff | Class::Quota | Class::Permission | Class::Bad => Self::Refused(text),
        }
    }
}

/// An error and whatever caused it.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// An error and its causes, nothing said twice; [`shortened`].
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    shortened(&text)
}

/// What somebody else says, to be a part of what we say: on one line, no longer than one, and without a full stop.
#[must_use]
pub fn shortened(text: &str) -> String {
    const MOST: usize = 400;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    line.trim_end_matches('.').to_owned()
}

/// How long a cloud is left alone that did not say for how long: quotas are counted by the second.
pub(super) const REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_next_move() {
        for class in Class::ALL {
            let error = BackendError::from(Fault::new(class, "x"));
            let waits = matches!(error, BackendError::Unavailable(_) | BackendError::Throttled { .. });
            assert_eq!(waits, class.may_pass() || class == Class::Throttled, "{}", class.name());
        }
    }

    #[test]
    fn what_others_say_becomes_a_part_of_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Said(&'static str, #[source] Option<Box<Said>>);
        let because = |text, cause| Said(text, Some(Box::new(cause)));
        let error = because("no token:\n\tno file", because("no file", Said("it is gone.", None)));
        assert_eq!(chain(&error), "no token:  no file: it is gone");
        assert_eq!(shortened(&"x".repeat(401)), "x".repeat(400));
    }

    #[test]
    fn the_cloud_is_left_alone_for_as_long_as_it_asks() {
        let asked = Fault { retry_after: Some(Duration::from_secs(7)), ..Fault::new(Class::Throttled, "slow down") };
        assert_eq!(BackendError::from(asked), BackendError::Throttled { retry_after: Duration::from_secs(7) });
    }
}
