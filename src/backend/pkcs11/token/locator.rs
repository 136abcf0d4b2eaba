//! How a key is found: the CKA_ID that it gets, and the handle that we remember it by.

use std::fmt;

use aws_lc_rs::digest;

use crate::ids::{Handle, Kid, Label};
use crate::jose::alg::KeySpec;

/// The CKA_ID of a key: derived from its label and from what it is for.
///
/// It is known before the key is made, so a crash does not hide the key; and a key that was made for one algorithm
/// is never used for another, though the token sees no difference between keys for RS256 and for PS256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyId([u8; 16]);

impl KeyId {
    pub(super) fn of(label: &Label, spec: KeySpec) -> Self {
        let hash = digest::digest(&digest::SHA256, format!("{label} {spec}").as_bytes());
        let mut id = [0; 16];
        id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self(id)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(digit) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a handle says: where the key is, and which key it must be.
///
/// Its text is `<CKA_ID>.<thumbprint>`. The thumbprint is that of the key that was published, so a key that took
/// its place is noticed before it signs anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locator {
    pub(super) id: KeyId,
    /// Absent for remains whose public half is lost; those never sign.
    pub(super) thumbprint: Option<Kid>,
}

impl Locator {
    pub(super) fn parse(handle: &Handle) -> Option<Self> {
        let (id, thumbprint) = match handle.as_str().split_once('.') {
            Some((id, thumbprint)) => (id, Some(Kid::new(thumbprint).ok()?)),
            None => (handle.as_str(), None),
        };
        Some(Self { id: KeyId::parse(id)?, thumbprint })
    }

    pub(super) fn handle(&self) -> Handle {
        match &self.thumbprint {
            Some(thumbprint) => Handle::new(&format!("{}.{thumbprint}", self.id)),
            None => Handle::new(&self.id.to_string()),
        }
    }
}

/// Whether two handles have one CKA_ID. The thumbprint tells who takes a key's place, and is absent if the public half
/// is; what carries one CKA_ID is destroyed together.
#[must_use]
pub fn same_id(one: &Handle, other: &Handle) -> bool {
    let id = |handle| Locator::parse(handle).map(|locator| locator.id);
    one == other || id(one).is_some_and(|one| id(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::alg::Algorithm;

    #[test]
    fn an_id_tells_labels_and_algorithms_apart() {
        let label: Label = "it/main.rs256.v1".parse().unwrap();
        let other: Label = "it/main.rs256.v2".parse().unwrap();
        let spec = |alg| KeySpec::new(alg, None).unwrap();
        let id = KeyId::of(&label, spec(Algorithm::Rs256));
        assert_eq!(id, KeyId::of(&label, spec(Algorithm::Rs256)));
        assert_ne!(id, KeyId::of(&label, spec(Algorithm::Ps256)));
        assert_ne!(id, KeyId::of(&other, spec(Algorithm::Rs256)));
        // What is in tokens out there must be found by every later release.
        assert_eq!(id.to_string(), "d29848ba6b4a059f4c36f770be4168f4");
    }

    #[test]
    fn a_handle_is_read_back_and_nothing_else_is_one() {
        let id = "00112233445566778899aabbccddeeff";
        for text in [format!("{id}.NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), id.to_owned()] {
            let handle = Handle::new(&text);
            assert_eq!(Locator::parse(&handle).map(|locator| locator.handle()), Some(handle));
        }
        for text in ["", "nobody", "../../etc/passwd", "00112233445566778899AABBCCDDEEFF.x", &format!("{id}.")] {
            assert_eq!(Locator::parse(&Handle::new(text)), None, "{text:?}");
        }
    }

    #[test]
    fn a_key_that_lost_its_public_half_is_still_the_same() {
        let id = "00112233445566778899aabbccddeeff";
        let whole = Handle::new(&format!("{id}.NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
        assert!(same_id(&whole, &Handle::new(id)) && same_id(&Handle::new(id), &whole) && same_id(&whole, &whole));
        for other in ["ff112233445566778899aabbccddeeff", "ff.NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "x"] {
            assert!(!same_id(&whole, &Handle::new(other)) && !same_id(&Handle::new(other), &whole), "{other}");
        }
        assert!(!same_id(&Handle::new("x"), &Handle::new("y")));
    }
}
