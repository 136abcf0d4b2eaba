//! The backends, and the secrets that they need.

use std::collections::BTreeMap;

use toml::Spanned;

use super::faults::{Faults, exactly_one};
use super::issuer::Issuers;
use super::{Entry, entries};
use crate::config::document::Place;
use crate::config::file::{BackendTable, Named, SecretTable};
use crate::config::scalar::{AbsolutePath, BackendWord, Count};
use crate::config::secret::Secret;
use crate::config::token::{Isolation, ModuleArgs, OtherToken, Pkcs11, TokenChoice, TokenTable};
use crate::config::tree::{Backend, BackendKind, Sealing};
use crate::config::value::{Field, Section, plain};
use crate::ids::BackendId;
use crate::lifecycle::time::Span;

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
    let BackendTable {
        kind,
        sealing_key,
        passphrase,
        module,
        module_args,
        token,
        pin,
        isolation,
        workers,
        threads,
        hang_limit,
        sign_deadline,
        max_in_flight,
    } = table;
    let kind_place = kind.as_ref().map(Spanned::span);
    let kind = faults.require(place, "kind", kind, "set it to \"pkcs11\" or \"software\"");
    let sealing = Seal { sealing_key, passphrase };
    let token = Token { module, module_args, token, pin, isolation, workers, threads, hang_limit };
    let kind = match kind? {
        BackendWord::Software => {
            if let (Some(kind_place), Software::Refused) = (kind_place, software) {
                faults.at(
                    &kind_place,
                    "a software backend keeps private keys in files and in this process; if that is meant, set \
                     allow_software_keys = true at the top of the file",
                );
            }
            refuse(&token.keys(), "pkcs11", faults);
            BackendKind::Software(sealing.check(place, faults)?)
        }
        BackendWord::Pkcs11 => {
            refuse(&sealing.keys(), "software", faults);
            BackendKind::Pkcs11(Box::new(token.check(place, faults)?))
        }
    };
    let default = Backend::new(kind);
    let sign_deadline = faults.nonzero(sign_deadline, default.sign_deadline);
    if let BackendKind::Pkcs11(token) = &default.kind
        && token.isolation == Isolation::Process
        && token.hang_limit >= sign_deadline
    {
        let problem = format!(
            "a call that hangs is noticed after hang_limit {}, when whoever waits for it has given up after \
             sign_deadline {sign_deadline}; set hang_limit to less than half of that, so that another worker helps",
            token.hang_limit
        );
        faults.warn(place, problem);
    }
    Some(Backend {
        kind: default.kind,
        sign_deadline,
        max_in_flight: plain(max_in_flight).map_or(default.max_in_flight, |count| count.0),
    })
}

/// Reports keys of another kind of backend: whoever wrote them expects something of them.
fn refuse(keys: &[(&str, Option<Place>)], kind: &str, faults: &mut Faults<'_>) {
    for (key, place) in keys {
        if let Some(place) = place {
            faults.at(place, format!("{key} is for kind = \"{kind}\"; remove it, or change the kind"));
        }
    }
}

/// What software keys are sealed with.
struct Seal {
    sealing_key: Section<SecretTable>,
    passphrase: Section<SecretTable>,
}

impl Seal {
    fn keys(&self) -> [(&'static str, Option<Place>); 2] {
        [("sealing_key", place(&self.sealing_key)), ("passphrase", place(&self.passphrase))]
    }

    fn check(self, place: &Place, faults: &mut Faults<'_>) -> Option<Sealing> {
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

/// What a PKCS#11 backend needs.
struct Token {
    module: Field<AbsolutePath>,
    module_args: Field<ModuleArgs>,
    token: Option<Spanned<TokenTable>>,
    pin: Section<SecretTable>,
    isolation: Field<Isolation>,
    workers: Field<Count>,
    threads: Field<Count>,
    hang_limit: Field<Span>,
}

impl Token {
    fn keys(&self) -> [(&'static str, Option<Place>); 8] {
        [
            ("module", place(&self.module)),
            ("module_args", place(&self.module_args)),
            ("token", place(&self.token)),
            ("pin", place(&self.pin)),
            ("isolation", place(&self.isolation)),
            ("workers", place(&self.workers)),
            ("threads", place(&self.threads)),
            ("hang_limit", place(&self.hang_limit)),
        ]
    }

    fn check(self, place: &Place, faults: &mut Faults<'_>) -> Option<Pkcs11> {
        let Self { module, module_args, token, pin, isolation, workers, threads, hang_limit } = self;
        let remedy = "set it to the path of the module, such as module = \"/usr/lib/softhsm/libsofthsm2.so\"";
        let module = faults.require(place, "module", module, remedy);
        if token.is_none() {
            let remedy = "set it to the token's label, such as token = \"jwksd\"";
            faults.absent(Some(place), "token", format!("missing; {remedy}"));
        }
        if pin.is_none() {
            let remedy = "say where the PIN is, such as pin = { file = \"/etc/jwksd/pin\" }";
            faults.absent(Some(place), "pin", format!("missing; {remedy}"));
        }
        let token = token.and_then(|token| choice(token, faults));
        let pin = pin.and_then(|pin| secret(pin, faults));
        // The daemon's own process is one, whatever is said of workers.
        if let (Some(Isolation::None), Some(workers)) = (isolation.as_ref().map(|field| field.get_ref().0), &workers) {
            faults.at(&workers.span(), "there are no workers with isolation = \"none\"; remove it");
        }
        let default = Pkcs11::new(module?.0, token?, pin?);
        Some(Pkcs11 {
            module_args: plain(module_args).map(|text| text.0),
            isolation: plain(isolation).unwrap_or(default.isolation),
            workers: few("workers", workers, WORKERS_MAX, default.workers, faults),
            threads: few("threads", threads, THREADS_MAX, default.threads, faults),
            hang_limit: faults.nonzero(hang_limit, default.hang_limit),
            ..default
        })
    }
}

fn choice(token: Spanned<TokenTable>, faults: &mut Faults<'_>) -> Option<TokenChoice> {
    let place = token.span();
    let OtherToken { serial, slot } = match token.into_inner() {
        TokenTable::Label(label) => return Some(TokenChoice::Label(label.0)),
        TokenTable::Other(other) => other,
    };
    if let Some(problem) = exactly_one(&[("serial", serial.is_some()), ("slot", slot.is_some())]) {
        if serial.is_some() || !faults.doubted(&faults.key(&place)) {
            faults.at(&place, problem);
        }
        return None;
    }
    plain(serial).map(|serial| TokenChoice::Serial(serial.0)).or(plain(slot).map(|slot| TokenChoice::Slot(slot.0)))
}

/// A number that costs a process, or a session of the token, for each.
fn few(name: &str, field: Field<Count>, most: usize, default: usize, faults: &mut Faults<'_>) -> usize {
    let Some(field) = field else { return default };
    if field.get_ref().0.0 > most {
        faults.at(&field.span(), format!("more than {most} {name} only wait for each other; set it to at most {most}"));
        return default;
    }
    field.into_inner().0.0
}

fn place<T>(field: &Option<Spanned<T>>) -> Option<Place> {
    field.as_ref().map(Spanned::span)
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
pub(super) fn warn_of_unused(
    backends: &Backends,
    issuers: &Issuers,
    of_checkpoints: Option<&BackendId>,
    faults: &mut Faults<'_>,
) {
    for (id, found) in backends {
        if of_checkpoints != Some(id) && !issuers.values().any(|issuer| issuer.backends.contains(id)) {
            faults.warn(&found.place, format!("backend {id} is used by no ring"));
        }
    }
}

/// Worker processes of one backend.
const WORKERS_MAX: usize = 16;
/// Threads of one worker.
const THREADS_MAX: usize = 64;
