//! What seals software keys: the operator's sealing key, and AES-256-GCM under it.

use std::fmt::{self, Debug};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::encoding::Base64;
use crate::chance;

/// The secret under which software keys are sealed at rest.
///
/// It is given by the operator, at every start, and never stored beside the keys.
pub struct SealingKey(Secret);

enum Secret {
    Key(Zeroizing<[u8; KEY_LEN]>),
    Passphrase(Zeroizing<Vec<u8>>),
}

/// Why a secret can't serve as a sealing key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealingKeyError {
    /// None of the three forms.
    #[error(
        "the sealing key ({0} bytes) is not 32 random bytes, raw, as 64 hexadecimal digits or in base64; \
         make one with `openssl rand -base64 32`"
    )]
    Form(usize),
    /// 32 characters that a person could type: far fewer than 256 bits of randomness.
    #[error(
        "the sealing key is 32 printable characters, not 32 random bytes; make one with `openssl rand -base64 32`, \
         or give the text as a passphrase"
    )]
    Printable,
    /// Fewer than [`PASSPHRASE_MIN`] bytes.
    #[error("the sealing passphrase is shorter than {PASSPHRASE_MIN} characters; a thief of the files could guess it")]
    ShortPassphrase,
}

impl SealingKey {
    /// Reads a key of 256 random bits: 32 raw bytes, 64 hexadecimal digits, or base64 of 32 bytes.
    ///
    /// Text may end in a line break, as files do.
    ///
    /// # Errors
    /// [`SealingKeyError`] if it is none of these, or if the raw bytes are a text.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealingKeyError> {
        if let Ok(raw) = <[u8; KEY_LEN]>::try_from(bytes) {
            let raw = Zeroizing::new(raw);
            // 32 random bytes are all printable once in 10^14 times; `openssl rand -hex 16` always.
            if raw.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
                return Err(SealingKeyError::Printable);
            }
            return Ok(Self(Secret::Key(raw)));
        }
        let text = bytes.trim_ascii();
        let hex = || decode_hex(text);
        let base64 = || {
            [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|alphabet| {
                let decoded = Zeroizing::new(alphabet.decode(text).ok()?);
                Some(Zeroizing::new(<[u8; KEY_LEN]>::try_from(decoded.as_slice()).ok()?))
            })
        };
        let key = hex().or_else(base64).ok_or(SealingKeyError::Form(bytes.len()))?;
        Ok(Self(Secret::Key(key)))
    }

    /// Takes a passphrase, from which the key is derived with Argon2id when the directory is opened.
    ///
    /// One line break at the end is dropped, as files have one and prompts do not.
    ///
    /// # Errors
    /// [`SealingKeyError::ShortPassphrase`] below [`PASSPHRASE_MIN`] bytes.
    pub fn from_passphrase(passphrase: &str) -> Result<Self, SealingKeyError> {
        let text = passphrase.strip_suffix('\n').unwrap_or(passphrase);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.len() < PASSPHRASE_MIN {
            return Err(SealingKeyError::ShortPassphrase);
        }
        Ok(Self(Secret::Passphrase(Zeroizing::new(text.as_bytes().to_vec()))))
    }

    /// How a directory that is made now is to be sealed.
    pub(super) fn new_sealing(&self) -> Sealing {
        match &self.0 {
            Secret::Key(_) => Sealing::Key {},
            Secret::Passphrase(_) => Sealing::Argon2id {
                salt: Base64(chance::bytes::<SALT_LEN>().to_vec()),
                memory_kib: MEMORY_KIB,
                passes: PASSES,
                lanes: LANES,
            },
        }
    }

    /// The sealer of a directory that says of itself `sealing`. Takes a tenth of a second for a passphrase.
    pub(super) fn sealer(&self, sealing: &Sealing) -> Result<Sealer, SealError> {
        match (&self.0, sealing) {
            (Secret::Key(key), Sealing::Key {}) => Sealer::new(key),
            (Secret::Passphrase(passphrase), Sealing::Argon2id { salt, memory_kib, passes, lanes }) => {
                // One set of parameters per format: whoever can write the file can't have us derive with others.
                if (*memory_kib, *passes, *lanes) != (MEMORY_KIB, PASSES, LANES) || salt.0.len() != SALT_LEN {
                    return Err(SealError::Parameters);
                }
                let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(KEY_LEN)).map_err(|_| SealError::Crypto)?;
                let mut key = Zeroizing::new([0; KEY_LEN]);
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(passphrase, &salt.0, key.as_mut())
                    .map_err(|_| SealError::Memory)?;
                Sealer::new(&key)
            }
            (Secret::Key(_) | Secret::Passphrase(_), _) => Err(SealError::OtherKind),
        }
    }

    /// What the operator gave, in a word for error messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.0 {
            Secret::Key(_) => "a key",
            Secret::Passphrase(_) => "a passphrase",
        }
    }
}

impl Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({}, redacted)", self.kind())
    }
}

/// How a directory is sealed: public, and stored in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Sealing {
    /// Under the operator's 256-bit key itself.
    Key {},
    /// Under a key derived from a passphrase (RFC 9106).
    Argon2id {
        /// 128 random bits, made with the directory.
        salt: Base64,
        /// m
        memory_kib: u32,
        /// t
        passes: u32,
        /// p
        lanes: u32,
    },
}

impl Sealing {
    /// The secret that this sealing wants, in a word for error messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Key {} => "a key",
            Self::Argon2id { .. } => "a passphrase",
        }
    }
}

/// Why nothing could be sealed or opened at all; says nothing of a single file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealError {
    /// A key for a directory that wants a passphrase, or the reverse.
    OtherKind,
    /// Argon2 parameters that this format does not have.
    Parameters,
    /// No memory for Argon2.
    Memory,
    /// The library gave no reason.
    Crypto,
}

/// A sealed text and its nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    /// 96 random bits: with at most some thousand keys under one sealing key, no two will ever be equal.
    pub(super) nonce: Base64,
    /// Ciphertext and tag.
    pub(super) sealed: Base64,
}

/// Seals and opens. Its `Debug` shows nothing.
pub(super) struct Sealer(RandomizedNonceKey);

impl Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(redacted)")
    }
}

impl Sealer {
    fn new(key: &Zeroizing<[u8; KEY_LEN]>) -> Result<Self, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).map(Self).map_err(|_| SealError::Crypto)
    }

    /// Seals `plain`, bound to `context`.
    pub(super) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Sealed, SealError> {
        // Room for the tag from the start: growing would leave a copy of the plaintext behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
        buffer.extend_from_slice(plain);
        let nonce = self.0.seal_in_place_append_tag(Aad::from(context), &mut *buffer).map_err(|_| SealError::Crypto)?;
        Ok(Sealed { nonce: Base64(nonce.as_ref().to_vec()), sealed: Base64(std::mem::take(&mut *buffer)) })
    }

    /// Opens what was sealed for `context`; nothing if a bit of it, or the key, is another.
    pub(super) fn open(&self, context: &[u8], sealed: &Sealed) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce.0).ok()?;
        let mut buffer = Zeroizing::new(sealed.sealed.0.clone());
        let len = self.0.open_in_place(nonce, Aad::from(context), &mut buffer).ok()?.len();
        buffer.truncate(len);
        Some(buffer)
    }
}

fn decode_hex(text: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if text.len() != 2 * KEY_LEN {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(key)
}

/// The fewest bytes of a passphrase (NIST SP 800-63B, section 5.1.1.2, asks for as many).
pub const PASSPHRASE_MIN: usize = 8;

const KEY_LEN: usize = 32;

// RFC 9106, section 4, second recommended option: for where 2 GiB of memory can't be had.
const MEMORY_KIB: u32 = 1 << 16;
const PASSES: u32 = 3;
const LANES: u32 = 4;
const SALT_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: [u8; 32] = *b"\x00\x01\x02\x03456789abcdefghijklmnopqrst\xfe\xff";

    fn opens(given: &[u8]) -> bool {
        let sealer = |key: SealingKey| key.sealer(&Sealing::Key {}).unwrap();
        let sealed = sealer(SealingKey::from_bytes(&RAW).unwrap()).seal(b"context", b"text").unwrap();
        let opened = sealer(SealingKey::from_bytes(given).unwrap()).open(b"context", &sealed);
        opened.is_some_and(|plain| *plain == b"text")
    }

    #[test]
    fn a_key_is_the_same_raw_in_hexadecimal_and_in_base64() {
        let hex: String = RAW.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [
            hex.clone(),
            hex.to_uppercase() + "\n",
            STANDARD.encode(RAW) + "\r\n",
            STANDARD_NO_PAD.encode(RAW),
            URL_SAFE.encode(RAW),
            URL_SAFE_NO_PAD.encode(RAW),
        ] {
            assert!(opens(text.as_bytes()), "{text:?}");
        }
        assert!(opens(&RAW));
        assert!(!opens(&[0; 32]));
    }

    #[test]
    fn a_weak_or_shapeless_key_is_refused() {
        let refused = |bytes: &[u8]| SealingKey::from_bytes(bytes).unwrap_err();
        assert_eq!(refused(b""), SealingKeyError::Form(0));
        assert_eq!(refused(&[0; 33]), SealingKeyError::Form(33));
        assert_eq!(refused(&[b'g'; 64]), SealingKeyError::Form(64));
        assert_eq!(refused(b"0123456789abcdef0123456789abcdef"), SealingKeyError::Printable);
        assert_eq!(SealingKey::from_passphrase("secret\n").unwrap_err(), SealingKeyError::ShortPassphrase);
    }

    #[test]
    fn what_was_sealed_opens_only_unchanged_and_in_its_context() {
        let sealer = SealingKey::from_bytes(&RAW).unwrap().sealer(&Sealing::Key {}).unwrap();
        let sealed = sealer.seal(b"context", b"text").unwrap();
        assert!(sealer.open(b"other", &sealed).is_none());
        for at in 0..sealed.sealed.0.len() {
            let mut flipped = sealed.clone();
            flipped.sealed.0[at] ^= 1;
            assert!(sealer.open(b"context", &flipped).is_none(), "byte {at}");
        }
        let short = Sealed { nonce: Base64(vec![0; 11]), sealed: sealed.sealed.clone() };
        assert!(sealer.open(b"context", &short).is_none());
    }

    #[test]
    fn a_passphrase_derives_one_key_per_salt() {
        let key = SealingKey::from_passphrase("correct horse battery\r\n").unwrap();
        let (one, two) = (key.new_sealing(), key.new_sealing());
        assert_ne!(one, two);
        let sealed = key.sealer(&one).unwrap().seal(b"", b"text").unwrap();
        let again = SealingKey::from_passphrase("correct horse battery").unwrap();
        assert!(again.sealer(&one).unwrap().open(b"", &sealed).is_some());
        assert!(again.sealer(&two).unwrap().open(b"", &sealed).is_none());
    }

    #[test]
    fn foreign_parameters_are_refused_before_any_memory_is_spent() {
        let key = SealingKey::from_passphrase("correct horse battery").unwrap();
        let Sealing::Argon2id { salt, passes, lanes, .. } = key.new_sealing() else { panic!("not a passphrase") };
        let greedy = Sealing::Argon2id { salt, memory_kib: u32::MAX, passes, lanes };
        assert_eq!(key.sealer(&greedy).unwrap_err(), SealError::Parameters);
        assert_eq!(key.sealer(&Sealing::Key {}).unwrap_err(), SealError::OtherKind);
    }

    #[test]
    fn no_secret_shows_in_debug() {
        let key = SealingKey::from_passphrase("correct horse battery").unwrap();
        assert_eq!(format!("{key:?}"), "SealingKey(a passphrase, redacted)");
    }
}
