//! Unique names of tokens.

use std::cell::RefCell;

use aws_lc_rs::rand;

use super::SignError;
use crate::jose::base64url;

/// A new name: 128 random bits, in base64url. Unique, not secret.
///
/// # Errors
/// [`SignError::NoRandomness`].
pub(super) fn new() -> Result<String, SignError> {
    let name = DRAWN.with_borrow_mut(Drawn::take).ok_or(SignError::NoRandomness)?;
    Ok(base64url::encode(&name))
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { names: [[0; LENGTH]; AT_ONCE], left: 0 }) };
}

/// Names that are ready. The generator is asked for many at once, since every question has a price of its
/// own: fresh entropy and a new key.
struct Drawn {
    names: [[u8; LENGTH]; AT_ONCE],
    /// How many of them were not taken yet.
    left: usize,
}

const LENGTH: usize = 16;
const AT_ONCE: usize = 64;

impl Drawn {
    fn take(&mut self) -> Option<[u8; LENGTH]> {
        if self.left == 0 {
            rand::fill(self.names.as_flattened_mut()).ok()?;
            self.left = AT_ONCE;
        }
        self.left -= 1;
        self.names.get(self.left).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let three_draws = || (0..3 * AT_ONCE).map(|_| new().unwrap()).collect::<Vec<_>>();
        let elsewhere = std::thread::spawn(three_draws);
        let names: BTreeSet<String> = three_draws().into_iter().chain(elsewhere.join().unwrap()).collect();
        assert_eq!(names.len(), 6 * AT_ONCE);
        assert!(names.iter().all(|name| name.len() == 22));
    }
}
