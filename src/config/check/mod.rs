//! From the mirror to the tree: the checks that no single value can make.
//!
//! Every check reports and goes on; a part of the tree that has a fault is simply not built. Only at the
//! end does any fault refuse the whole.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use toml::Spanned;

use self::faults::Faults;
use super::document::{Document, Misfit, Place};
use super::fault::Fault;
use super::file::{File, LimitsTable, LogTable, Named};
use super::scalar::{Count, Rate};
use super::tree::{Audit, Config, Limits, Log, Share};
use super::value::{Field, Section, plain};
use crate::ids::NameError;

mod audit;
mod backend;
mod faults;
mod grant;
mod issuer;
mod listen;
mod ring;
mod rules;
mod size;
mod trust;

/// Builds the tree, or lists every fault.
pub(super) fn config(document: &Document<'_>, file: File, misfits: Vec<Misfit>) -> Result<Config, Vec<Fault>> {
    let mut faults = Faults::new(document, misfits);
    let tree = build(file, &mut faults);
    match (faults.finish()?, tree) {
        (warnings, Some(tree)) => Ok(Config { warnings, ..tree }),
        // A part is missing and nobody said why: a fault of ours, which must not pass as a good file.
        (_, None) => {
            Err(vec![document.missing(None, "", "the configuration could not be read; please report this".to_owned())])
        }
    }
}

fn build(file: File, faults: &mut Faults<'_>) -> Option<Config> {
    let File {
        installation,
        allow_software_keys,
        data,
        store,
        audit,
        runtime,
        listen,
        limits,
        log,
        backends,
        issuers,
        trusted_issuers,
        // The last to be checked: they refer to the others.
        grants,
    } = file;
    if installation.is_none() {
        faults.absent(
            None,
            "installation",
            "missing; set it to a name that no other installation has, such as installation = \"prod-eu\", since it \
             becomes part of every label in a backend",
        );
    }
    let data_dir = data.and_then(|data| plain(data.into_inner().dir));
    if data_dir.is_none() {
        faults.absent(
            None,
            "data.dir",
            "missing; name the directory for the daemon's state, such as \"/var/lib/jwksd\"",
        );
    }
    let software = match plain(allow_software_keys) {
        Some(true) => backend::Software::Allowed,
        None if faults.doubted("allow_software_keys") => backend::Software::Doubted,
        Some(false) | None => backend::Software::Refused,
    };
    let backends = backend::backends(backends, software, faults);
    let listen = listen::listen(listen, &backends, faults);
    let issuers = issuer::issuers(issuers, &backends, faults);
    let trusted_issuers = trust::trusted_issuers(trusted_issuers, faults);
    let known = grant::Known { issuers: &issuers, trusted: &trusted_issuers, listen: listen.as_ref() };
    let grants = grant::grants(grants, known, faults);
    let audit = audit::audit(audit, &backends, faults);
    backend::warn_of_unused(&backends, &issuers, audit.as_ref().and_then(audit::Found::backend), faults);
    let data_dir = data_dir?.0;
    Some(Config {
        installation: plain(installation)?,
        allow_software_keys: software == backend::Software::Allowed,
        audit: audit?.over(Audit::in_data_dir(&data_dir)),
        data_dir,
        store: store.and_then(|store| plain(store.into_inner().kind)).unwrap_or_default(),
        workers: runtime.and_then(|runtime| plain(runtime.into_inner().workers)).and_then(|n| NonZeroUsize::new(n.0)),
        listen: listen?,
        limits: build_limits(limits),
        log: build_log(log),
        backends: all(backends.into_iter().map(|(id, found)| Some((id, found.backend?))))?,
        issuers: all(issuers.into_iter().map(|(id, found)| Some((id, found.issuer?))))?,
        trusted_issuers: all(trusted_issuers.into_iter().map(|(name, issuer)| Some((name, issuer?))))?,
        grants: grants.into_iter().collect::<Option<_>>()?,
        warnings: Vec::new(),
    })
}

fn build_limits(table: Section<LimitsTable>) -> Limits {
    let LimitsTable { caller_rate, caller_concurrency, ring_rate, ring_concurrency } =
        table.map(Spanned::into_inner).unwrap_or_default();
    let share = |rate: Field<Rate>, concurrency: Field<Count>| Share {
        rate: plain(rate).map(|rate| rate.0),
        concurrency: plain(concurrency).map_or(Share::default().concurrency, |count| count.0),
    };
    Limits { caller: share(caller_rate, caller_concurrency), ring: share(ring_rate, ring_concurrency) }
}

fn build_log(table: Section<LogTable>) -> Log {
    let LogTable { format, level } = table.map(Spanned::into_inner).unwrap_or_default();
    let default = Log::default();
    Log { format: plain(format).unwrap_or(default.format), level: plain(level).map_or(default.level, |level| level.0) }
}

/// A map of every entry, or nothing if one of them could not be built.
fn all<K: Ord, V>(entries: impl Iterator<Item = Option<(K, V)>>) -> Option<BTreeMap<K, V>> {
    entries.collect()
}

/// One table of several with names: its name, the place of the name, its place and its content.
struct Entry<I, T> {
    name: I,
    place: Place,
    table: T,
}

/// The tables whose names are names; the others are reported.
fn entries<I, T>(
    tables: Named<T>,
    parse: fn(&str) -> Result<I, NameError>,
    faults: &mut Faults<'_>,
) -> Vec<Entry<I, T>> {
    let mut entries = Vec::new();
    for (name, table) in tables {
        match parse(name.get_ref()) {
            Ok(parsed) => entries.push(Entry { name: parsed, place: table.span(), table: table.into_inner() }),
            Err(error) => faults.at(&name.span(), error.to_string()),
        }
    }
    entries
}
