//! Keys in files.

use super::super::faults::{Faults, exactly_one};
use super::secret;
use crate::config::document::Place;
use crate::config::file::SecretTable;
use crate::config::tree::Sealing;
use crate::config::value::Section;

/// What software keys are sealed with.
pub(super) struct Seal {
    pub(super) sealing_key: Section<SecretTable>,
    pub(super) passphrase: Section<SecretTable>,
}

impl Seal {
    pub(super) fn check(self, place: &Place, faults: &mut Faults<'_>) -> Option<Sealing> {
        let Self { sealing_key, passphrase } = self;
        let one = exactly_one(&[("sealing_key", sealing_key.is_some()), ("passphrase", passphrase.is_some())]);
        let doubted =
            ["sealing_key", "passphrase"].iter().any(|key| faults.doubted(&format!("{}.{key}", faults.key(place))));
        if let Some(problem) = one.filter(|_| !doubted) {
            faults.at(place, format!("{problem} (it encrypts the keys at rest)"));
        }
        match (sealing_key, passphrase) {
            (Some(key), None) => secret(key, faults).map(Sealing::Key),
            (None, Some(passphrase)) => secret(passphrase, faults).map(Sealing::Passphrase),
            (Some(key), Some(passphrase)) => secret(key, faults).and(secret(passphrase, faults)).and(None),
            (None, None) => None,
        }
    }
}
