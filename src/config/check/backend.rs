//! The backends, and the secrets that they need; what each kind asks for is in a file of its own.

mod aws_kms;
mod gcp;
mod pkcs11;
mod software;

use std::collections::BTreeMap;

use toml::Spanned;

use super::faults::{Faults, exactly_one};
use super::issuer::Issuers;
use super::{Entry, entries};
use crate::config::document::Place;
use crate::config::file::{BackendTable, Named, SecretTable};
use crate::config::gcp::gcp_has;
use crate::config::scalar::BackendWord;
use crate::config::secret::Secret;
use crate::config::tree::{Backend, BackendKind};
use crate::config::value::plain;
use crate::ids::BackendId;
use crate::jose::alg::KeySpec;

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
        region,
        profile,
        tagging_endpoint,
        create,
        key_ring,
        create_key_ring,
        protection,
        deletion_window,
        endpoint,
        credentials,
        sign_rate,
        write_rate,
        sign_deadline,
        max_in_flight,
    } = table;
    let kind_place = kind.as_ref().map(Spanned::span);
    let remedy = "set it to \"aws-kms\", \"gcp-kms\", \"pkcs11\" or \"software\"";
    let kind = faults.require(place, "kind", kind, remedy);
    if let Some(kind) = kind {
        // Each key with the kinds that it is for.
        use BackendWord::{AwsKms, GcpKms, Pkcs11, Software};
        refuse(kind, "sealing_key", &sealing_key, &[Software], faults);
        refuse(kind, "passphrase", &passphrase, &[Software], faults);
        refuse(kind, "module", &module, &[Pkcs11], faults);
        refuse(kind, "module_args", &module_args, &[Pkcs11], faults);
        refuse(kind, "token", &token, &[Pkcs11], faults);
        refuse(kind, "pin", &pin, &[Pkcs11], faults);
        refuse(kind, "isolation", &isolation, &[Pkcs11], faults);
        refuse(kind, "workers", &workers, &[Pkcs11], faults);
        refuse(kind, "threads", &threads, &[Pkcs11], faults);
        refuse(kind, "hang_limit", &hang_limit, &[Pkcs11], faults);
        refuse(kind, "region", &region, &[AwsKms], faults);
        refuse(kind, "profile", &profile, &[AwsKms], faults);
        refuse(kind, "tagging_endpoint", &tagging_endpoint, &[AwsKms], faults);
        refuse(kind, "create", &create, &[AwsKms], faults);
        refuse(kind, "key_ring", &key_ring, &[GcpKms], faults);
        refuse(kind, "create_key_ring", &create_key_ring, &[GcpKms], faults);
        refuse(kind, "protection", &protection, &[GcpKms], faults);
        refuse(kind, "deletion_window", &deletion_window, &[AwsKms, GcpKms], faults);
        refuse(kind, "endpoint", &endpoint, &[AwsKms, GcpKms], faults);
        refuse(kind, "credentials", &credentials, &[GcpKms], faults);
        refuse(kind, "sign_rate", &sign_rate, &[AwsKms, GcpKms], faults);
        refuse(kind, "write_rate", &write_rate, &[GcpKms], faults);
    }
    let kind = match kind? {
        BackendWord::Software => {
            if let (Some(kind_place), Software::Refused) = (kind_place, software) {
                faults.at(
                    &kind_place,
                    "a software backend keeps private keys in files and in this process; if that is meant, set \
                     allow_software_keys = true at the top of the file",
                );
            }
            BackendKind::Software(software::Seal { sealing_key, passphrase }.check(place, faults)?)
        }
        BackendWord::AwsKms => {
            let aws = aws_kms::Aws { region, profile, endpoint, tagging_endpoint, sign_rate, deletion_window, create };
            BackendKind::AwsKms(Box::new(aws.check(place, faults)))
        }
        BackendWord::Pkcs11 => {
            let token = pkcs11::Token { module, module_args, token, pin, isolation, workers, threads, hang_limit };
            BackendKind::Pkcs11(Box::new(token.check(place, faults)?))
        }
        BackendWord::GcpKms => {
            let key_ring = gcp::KeyRing {
                key_ring,
                create_key_ring,
                protection,
                deletion_window,
                endpoint,
                credentials,
                sign_rate,
                write_rate,
            };
            BackendKind::GcpKms(Box::new(key_ring.check(place, faults)?))
        }
    };
    let default = Backend::new(kind);
    let sign_deadline = faults.nonzero(sign_deadline, default.sign_deadline);
    if let BackendKind::Pkcs11(token) = &default.kind {
        pkcs11::warn_of_late_limit(token, sign_deadline, place, faults);
    }
    Some(Backend {
        kind: default.kind,
        sign_deadline,
        max_in_flight: plain(max_in_flight).map_or(default.max_in_flight, |count| count.0),
    })
}

/// Reports a key of other kinds of backend: whoever wrote it expects something of it.
fn refuse<T>(
    kind: BackendWord,
    key: &str,
    field: &Option<Spanned<T>>,
    meant_for: &[BackendWord],
    faults: &mut Faults<'_>,
) {
    if let Some(field) = field.as_ref().filter(|_| !meant_for.contains(&kind)) {
        let kinds: Vec<String> = meant_for.iter().map(|kind| format!("kind = \"{}\"", kind.name())).collect();
        let problem = format!("{key} is for {}; remove it, or change the kind", kinds.join(" or "));
        faults.at(&field.span(), problem);
    }
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

/// Reports a kind of key that the backend can never have.
pub(super) fn refuse_lacking(id: &BackendId, key: KeySpec, backends: &Backends, at: &Place, faults: &mut Faults<'_>) {
    let kind = backends.get(id).and_then(|found| found.backend.as_ref()).map(|backend| &backend.kind);
    if matches!(kind, Some(BackendKind::GcpKms(_))) && !gcp_has(key) {
        let problem = format!(
            "backend {id} is Google Cloud KMS, which has no keys for {key}; it has ES256, ES384, Ed25519 and EdDSA, RS256 \
             and PS256, and with rsa_bits = 4096 also RS512 and PS512"
        );
        faults.at(at, problem);
    }
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
