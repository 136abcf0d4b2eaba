//! Base64url without padding and with zero spare bits: the one spelling that JOSE knows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text of `bytes`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends the text of `bytes` to `text`.
pub fn append(bytes: &[u8], text: &mut String) {
    URL_SAFE_NO_PAD.encode_string(bytes, text);
}

/// The bytes that `text` spells, or nothing if it has padding, blanks, letters of the standard
/// alphabet, spare bits that are not zero, or an impossible length.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The length in characters of `bytes` bytes, encoded.
pub(super) const fn encoded_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_pairs_hold_in_both_directions() {
        // RFC 4648, section 10, without its padding; RFC 7515, appendix C.
        let pairs: [(&[u8], &str); 9] = [
            (b"", ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (b"fooba", "Zm9vYmE"),
            (b"foobar", "Zm9vYmFy"),
            (&[3, 236, 255, 224, 193], "A-z_4ME"),
            (&[0xfb, 0xff], "-_8"),
        ];
        for (bytes, text) in pairs {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
            assert_eq!(encoded_len(bytes.len()), text.len());
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let bad =
            ["Zg==", "Zm8=", "Zh", "Zm9", "Z", "Zm9vY", "Z g", "Zg\n", " Zg", "+_8", "-/8", "Zm9v=", "=", "Zé", "Zg\0"];
        for text in bad {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn exactly_the_spellings_with_zero_spare_bits_are_accepted() {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let accepted = |prefix: &str| {
            ALPHABET.iter().filter(|&&last| decode(&format!("{prefix}{}", char::from(last))).is_some()).count()
        };
        assert_eq!((accepted("A"), accepted("AA"), accepted("AAA"), accepted("")), (4, 16, 64, 0));
    }
}
