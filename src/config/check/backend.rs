//! The backends, and the secrets that they need.

use std::collections::BTreeMap;

use toml::Spanned;

use super::faults::{Faults, exactly_one};
use super::issuer::Issuers;
use super::{Entry, entries};
use crate::config::document::Place;
use crate::config::file::{BackendTable, Named, SecretTable};
use crate::config::scalar::BackendWord;
use crate::config::secret::Secret;
use crate::config::tree::{Backend, BackendKind, Sealing};
use crate::config::value::plain;
use crate::ids::BackendId;

/// The named backends, those with faults included, so that references to them are not called unknown.
pub(super) type Backends = BTreeMap<BackendId, FoundBackend>;

/// A backend that is named in the file.
#[derive(Debug)]
pub(super) struct FoundBackend {
    pub(super) place: Place,
    /// Absent if it has a fault.
    pub(super) backend: Option<Backend>,
}

/// Whether private keys may live outside an HSM or KMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Software {
    Allowed,
    Refused,
    /// The key that says so has a fault.
    Doubted,
}

pub(super) fn backends(tables: Named<BackendTable>, software: Software, faults: &mut Faults<'_>) -> Backends {
    let entries = entries(tables, BackendId::new, faults);
    let build = |Entry { name, place, table }| {
        let backend = backend(table, &place, software, faults);
        (name, FoundBackend { place, backend })
    };
    entries.into_iter().map(build).collect()
}

fn backend(table: BackendTable, place: &Place, software: Software, faults: &mut Faults<'_>) -> Option<Backend> {
    let BackendTable { kind, sealing_key, passphrase, sign_deadline, max_in_flight } = table;
    let kind_place = kind.as_ref().map(Spanned::span);
    let kind = faults.require(place, "kind", kind, "set it to \"software\"");
    if let (Some(BackendWord::Software), Some(kind_place), Software::Refused) = (kind, kind_place, software) {
        faults.at(
            &kind_place,
            "a software backend keeps private keys in files and in this process; if that is meant, set \
             allow_software_keys = true at the top of the file",
        );
    }
    let one = exactly_one(&[("sealing_key", sealing_key.is_some()), ("passphrase", passphrase.is_some())]);
    let doubted =
        ["sealing_key", "passphrase"].iter().any(|key| faults.doubted(&format!("{}.{key}", faults.key(place))));
    if let Some(problem) = one.filter(|_| !doubted) {
        faults.at(place, format!("{problem} (it encrypts the keys at rest)"));
    }
    let sealing = match (sealing_key, passphrase) {
        (Some(key), None) => secret(key, faults).map(Sealing::Key),
        (None, Some(passphrase)) => secret(passphrase, faults).map(Sealing::Passphrase),
        (Some(key), Some(passphrase)) => secret(key, faults).and(secret(passphrase, faults)).and(None),
        (None, None) => None,
    };
    let BackendWord::Software = kind?;
    let default = Backend::new(BackendKind::Software(sealing?));
    Some(Backend {
        kind: default.kind,
        sign_deadline: faults.nonzero(sign_deadline, default.sign_deadline),
        max_in_flight: plain(max_in_flight).map_or(default.max_in_flight, |count| count.0),
    })
}

fn secret(table: Spanned<SecretTable>, faults: &mut Faults<'_>) -> Option<Secret> {
    let place = table.span();
    let SecretTable { file, credential, env } = table.into_inner();
    let set = [("file", file.is_some()), ("credential", credential.is_some()), ("env", env.is_some())];
    if let Some(problem) = exactly_one(&set) {
        if set.iter().any(|(_, set)| *set) || !faults.doubted(&faults.key(&place)) {
            faults.at(&place, problem);
        }
        return None;
    }
    let file = plain(file).map(|path| Secret::File(path.0));
    let credential = plain(credential).map(|name| Secret::Credential(name.0));
    file.or(credential).or(plain(env).map(|name| Secret::Env(name.0)))
}

/// A backend that no ring uses is most often a ring that uses the wrong one.
pub(super) fn warn_of_unused(backends: &Backends, issuers: &Issuers, faults: &mut Faults<'_>) {
    for (id, found) in backends {
        if !issuers.values().any(|issuer| issuer.backends.contains(id)) {
            faults.warn(&found.place, format!("backend {id} is used by no ring"));
        }
    }
}
