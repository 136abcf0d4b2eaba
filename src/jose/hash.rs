//! Hashes of messages, which is what most algorithms sign.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use thiserror::Error;

use super::alg::Algorithm;

/// A hash function of RFC 7518, section 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashFunction {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashFunction {
    /// Every hash function, in declaration order.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The length of its digests in bytes.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The name of FIPS 180-4 in lower case, as registries of hash functions write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl Algorithm {
    /// The hash that it signs; nothing for Ed25519, which signs messages themselves.
    #[must_use]
    pub const fn hash(self) -> Option<HashFunction> {
        match self {
            Self::Es256 | Self::Rs256 | Self::Ps256 => Some(HashFunction::Sha256),
            Self::Es384 | Self::Rs384 | Self::Ps384 => Some(HashFunction::Sha384),
            Self::Es512 | Self::Rs512 | Self::Ps512 => Some(HashFunction::Sha512),
            Self::Ed25519 | Self::EdDsa => None,
        }
    }
}

/// The hash of a message, with the function that it is said to be made by. As text `sha-256:` and hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageDigest {
    hash: HashFunction,
    /// Zero behind the digest.
    bytes: [u8; DIGEST_MAX],
}

/// The length of the longest digest.
const DIGEST_MAX: usize = 64;

impl MessageDigest {
    /// Hashes `message`.
    #[must_use]
    pub fn of(hash: HashFunction, message: &[u8]) -> Self {
        let digest = digest::digest(hash.algorithm(), message);
        Self::made_elsewhere(hash, digest.as_ref()).expect("invariant: a digest is as long as its function says")
    }

    /// Takes over what somebody else has hashed.
    ///
    /// # Errors
    /// [`DigestLen`] if it is not as long as digests of `hash` are.
    pub fn made_elsewhere(hash: HashFunction, digest: &[u8]) -> Result<Self, DigestLen> {
        if digest.len() != hash.digest_len() {
            return Err(DigestLen { hash, found: digest.len() });
        }
        let mut bytes = [0; DIGEST_MAX];
        bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
        Ok(Self { hash, bytes })
    }

    /// The function.
    #[must_use]
    pub fn hash(&self) -> HashFunction {
        self.hash
    }

    /// As many bytes as [`HashFunction::digest_len`] says.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.hash.digest_len()).unwrap_or(&self.bytes)
    }

    /// For the library that signs and verifies.
    #[must_use]
    pub fn to_digest(&self) -> digest::Digest {
        digest::Digest::import_less_safe(self.as_bytes(), self.hash.algorithm())
            .expect("invariant: a digest is as long as its function says")
    }
}

impl fmt::Debug for MessageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageDigest({self})")
    }
}

impl fmt::Display for MessageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.hash.name())?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest of another length than its hash function makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a {} digest has {} bytes, and this one {found}", hash.name(), hash.digest_len())]
pub struct DigestLen {
    /// The function.
    pub hash: HashFunction,
    /// How many bytes there are.
    pub found: usize,
}

/// A text that [`MessageDigest`] is not written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a digest is written as the name of its hash function, a colon and lower-case hexadecimal digits")]
pub struct DigestText;

impl FromStr for MessageDigest {
    type Err = DigestText;

    fn from_str(text: &str) -> Result<Self, DigestText> {
        let (name, digits) = text.split_once(':').ok_or(DigestText)?;
        let hash = HashFunction::ALL.into_iter().find(|hash| hash.name() == name).ok_or(DigestText)?;
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(DigestText),
        };
        let bytes: Result<Vec<u8>, DigestText> =
            pairs.iter().map(|[high, low]| Ok(digit(*high)? << 4 | digit(*low)?)).collect();
        let digest = Self::made_elsewhere(hash, &bytes?).map_err(|_| DigestText)?;
        if rest.is_empty() { Ok(digest) } else { Err(DigestText) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_as_long_as_its_function_says() {
        for hash in HashFunction::ALL {
            for len in [0, 20, 32, 48, 64, 65] {
                let made = MessageDigest::made_elsewhere(hash, &vec![7; len]);
                assert_eq!(made.is_ok(), len == hash.digest_len(), "{hash:?} of {len}");
            }
            assert_eq!(MessageDigest::of(hash, b"abc").as_bytes().len(), hash.digest_len());
        }
        let error = MessageDigest::made_elsewhere(HashFunction::Sha384, &[7; 32]).unwrap_err();
        assert_eq!(error.to_string(), "a sha-384 digest has 48 bytes, and this one 32");
    }

    #[test]
    fn its_text_is_read_back_in_that_form_alone() {
        // FIPS 180-4, example of SHA-256 for "abc".
        let text = "sha-256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = MessageDigest::of(HashFunction::Sha256, b"abc");
        assert_eq!((digest.to_string().as_str(), text.parse()), (text, Ok(digest)));
        let upper = text.to_uppercase();
        for bad in ["", ":", "sha-256:", &text[..70], &upper, &text.replace("256", "384"), &format!("{text}0")] {
            assert_eq!(bad.parse::<MessageDigest>(), Err(DigestText), "{bad}");
        }
    }

    #[test]
    fn every_algorithm_but_ed25519_signs_a_hash_of_its_number() {
        for alg in Algorithm::ALL {
            let expected =
                alg.name().get(2..).filter(|_| alg.name().starts_with(['E', 'R', 'P']) && alg.name().len() == 5);
            let found = alg.hash().map(|hash| hash.name().trim_start_matches("sha-"));
            assert_eq!(found, expected.filter(|number| number.parse::<u16>().is_ok()), "{alg}");
        }
    }
}
