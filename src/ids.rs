//! The names and numbers of the domain, one type each, so that none can stand in for another.
//!
//! Names are parsed once, at the door; afterwards they are trusted. They go into URLs, file
//! names, HSM labels and KMS tags, hence the narrow alphabet.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest name we accept, in bytes: a DNS label's length, and well inside every backend's limit.
pub const NAME_MAX: usize = 63;

/// The issuer under whose name the daemon's own keys are labelled in a backend; no issuer can be called so.
pub const RESERVED_ISSUER: &str = "jwksd";

/// The longest kid we accept, in bytes (kube-apiserver refuses more).
pub const KID_MAX: usize = 1024;

/// Why a text is not a name of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name is empty")]
    Empty,
    /// More than [`NAME_MAX`] bytes.
    #[error("name {0:?} is longer than {NAME_MAX} characters")]
    TooLong(String),
    /// A character outside the alphabet, or a hyphen at either end.
    #[error("name {0:?} may hold only a-z, 0-9 and inner hyphens")]
    Alphabet(String),
}

fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_MAX {
        return Err(NameError::TooLong(text.to_owned()));
    }
    let alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !text.bytes().all(alphabet) || text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Alphabet(text.to_owned()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses a name of 1 to [`NAME_MAX`] bytes out of `a-z`, `0-9` and inner hyphens.
            ///
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_name(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// One installation of `jwksd`; part of every label in a backend.
    InstallationId
);
name!(
    /// One published JWK Set.
    IssuerId
);
name!(
    /// One key ring inside an issuer.
    RingName
);
name!(
    /// One configured backend.
    BackendId
);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a number that was counted elsewhere (a stored record, a request).
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The bare number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number after this one. Saturates: 2^64 changes outlast every installation.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
    };
}

counter!(
    /// The n-th key pair of a ring, from 1; a number is never used again.
    VersionId
);
counter!(
    /// The n-th committed state of an issuer: the compare-and-swap token. Only grows.
    Revision
);
counter!(
    /// Grows by one whenever the published content of an issuer changes; 0 is "nothing published yet".
    JwkSetVersion
);

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for JwkSetVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A key's public name in tokens and JWK Sets: its RFC 7638 SHA-256 thumbprint, or, for an
/// imported verify-only key, whatever its former issuer called it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(Box<str>);

/// Why a text is not a kid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a kid has 1 to {KID_MAX} printable ASCII characters, without quotes, backslashes or blanks")]
pub struct KidError;

impl Kid {
    /// Parses a kid: 1 to [`KID_MAX`] printable ASCII bytes, none of which needs escaping in JSON.
    ///
    /// # Errors
    /// [`KidError`] if the text is anything else.
    pub fn new(text: &str) -> Result<Self, KidError> {
        let fits = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if text.is_empty() || text.len() > KID_MAX || !text.bytes().all(fits) {
            return Err(KidError);
        }
        Ok(Self(text.into()))
    }

    /// The kid as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Kid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Our own name for a version inside a backend: `<installation>/<issuer>.<ring>.v<n>`.
///
/// It is chosen before the key exists, so that a key made just before a crash is found again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The installation that owns the key.
    pub installation: InstallationId,
    /// The issuer that publishes it.
    pub issuer: IssuerId,
    /// The ring that it belongs to.
    pub ring: RingName,
    /// Its number in the ring.
    pub version: VersionId,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}.{}", self.installation, self.issuer, self.ring, self.version)
    }
}

/// A text in a backend that is not a label of ours: the key belongs to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a label of the form installation/issuer.ring.vN")]
pub struct LabelError(pub String);

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (installation, rest) = text.split_once('/')?;
            let mut parts = rest.split('.');
            let (issuer, ring, version) = (parts.next()?, parts.next()?, parts.next()?);
            let number: u64 = version.strip_prefix('v')?.parse().ok()?;
            let label = Self {
                installation: installation.parse().ok()?,
                issuer: issuer.parse().ok()?,
                ring: ring.parse().ok()?,
                version: VersionId::new(number),
            };
            // Only the canonical spelling is ours: "v01" or a fourth part is a stranger's.
            (label.to_string() == text).then_some(label)
        };
        parse().ok_or_else(|| LabelError(text.to_owned()))
    }
}

/// The backend's own locator of a key: an opaque text that we store and hand back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(Box<str>);

impl Handle {
    /// Wraps the locator that a backend returned.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The locator as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! random_name {
    ($(#[$doc:meta])* $name:ident, $error:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Wraps 16 random bytes.
            #[must_use]
            pub const fn new(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        /// A text that is not 32 lower-case hexadecimal digits.
        #[derive(Debug, Clone, PartialEq, Eq, Error)]
        #[error("{} has 32 lower-case hexadecimal digits", $what)]
        pub struct $error;

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let digit = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
                if text.len() != 32 || !text.as_bytes().iter().all(digit) {
                    return Err($error);
                }
                u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| $error)
            }
        }
    };
}

random_name! {
    /// The random name of one commit, by which a writer recognises its own after an unknown outcome.
    CommitId, CommitIdError, "a commit id"
}

random_name! {
    /// The random name of one run of the machine, from its start to its end: the kernel's `boot_id`.
    BootId, BootIdError, "a boot id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_only_the_narrow_alphabet() {
        for good in ["a", "main", "tenant-a", "0", "es256", &"x".repeat(63)] {
            assert!(IssuerId::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "ä", "a b", "..", &"x".repeat(64)] {
            assert!(IssuerId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_label_is_read_back_only_in_its_canonical_spelling() {
        let text = "prod-eu/main.es256.v12";
        assert_eq!(text.parse::<Label>().map(|l| l.to_string()).as_deref(), Ok(text));
        for foreign in ["", "x", "prod/main.es256.v012", "prod/main.es256.12", "prod/main.es256.v1.2", "prod/m/es.v1"] {
            assert!(foreign.parse::<Label>().is_err(), "{foreign:?}");
        }
    }

    #[test]
    fn a_kid_never_needs_escaping() {
        assert!(Kid::new("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs").is_ok());
        for bad in ["", "a b", "a\"b", "a\\b", "a\n", "é", &"k".repeat(1025)] {
            assert!(Kid::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_commit_id_survives_its_text_form() {
        let id = CommitId::new([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("AB".repeat(16).parse::<CommitId>().is_err());
    }
}
