//! Collects the faults of one file while the checks go on.

use crate::config::document::{Document, Misfit, Place};
use crate::config::fault::Fault;
use crate::config::value::{Field, plain};
use crate::lifecycle::time::Span;

/// The faults and warnings found so far.
#[derive(Debug)]
pub(super) struct Faults<'d> {
    document: &'d Document<'d>,
    /// Each with where it begins, by which they are put in order.
    found: Vec<(usize, Fault)>,
    warnings: Vec<(usize, Fault)>,
    /// Keys that were misspelt, as they should have been.
    meant: Vec<String>,
}

impl<'d> Faults<'d> {
    /// Begins with what did not fit the mirror.
    pub(super) fn new(document: &'d Document<'d>, misfits: Vec<Misfit>) -> Self {
        let mut faults = Self { document, found: Vec::new(), warnings: Vec::new(), meant: Vec::new() };
        for Misfit { fault, place, meant } in misfits {
            if let Some(meant) = meant {
                let table = fault.key.rsplit_once('.').map_or(String::new(), |(table, _)| format!("{table}."));
                faults.meant.push(table + &meant);
            }
            faults.found.push((place.start, fault));
        }
        faults
    }

    /// Something at `place` is wrong.
    pub(super) fn at(&mut self, place: &Place, problem: impl Into<String>) {
        self.found.push((place.start, self.document.fault(place, problem.into())));
    }

    /// Something at `place` is allowed, and probably not meant.
    pub(super) fn warn(&mut self, place: &Place, problem: impl Into<String>) {
        self.warnings.push((place.start, self.document.fault(place, problem.into())));
    }

    /// The file lacks something that is allowed to be absent, and probably not meant to be.
    pub(super) fn warn_absent(&mut self, key: &str, problem: impl Into<String>) {
        self.warnings.push((0, self.document.missing(None, key, problem.into())));
    }

    /// A key that the table at `table` does not hold is wrong, or wrongly absent. Says nothing if that key
    /// was there and has been found at fault already.
    pub(super) fn absent(&mut self, table: Option<&Place>, key: &str, problem: impl Into<String>) {
        let fault = self.document.missing(table, key, problem.into());
        if !self.doubted(&fault.key) {
            self.found.push((table.map_or(0, |table| table.start), fault));
        }
    }

    /// Whether the dotted `key`, anything below it or anything above it has a fault, so that what follows
    /// from it would only repeat that.
    pub(super) fn doubted(&self, key: &str) -> bool {
        let below = |long: &str, short: &str| {
            long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let keys = self.found.iter().map(|(_, fault)| fault.key.as_str()).chain(self.meant.iter().map(String::as_str));
        keys.filter(|found| !found.is_empty()).any(|found| below(found, key) || below(key, found))
    }

    /// The dotted key of what is at `place`.
    pub(super) fn key(&self, place: &Place) -> String {
        self.document.key(place)
    }

    /// The line of what is at `place`.
    pub(super) fn line(&self, place: &Place) -> usize {
        self.document.line(place)
    }

    /// The value of a key that must be there.
    pub(super) fn require<T>(&mut self, table: &Place, key: &str, field: Field<T>, remedy: &str) -> Option<T> {
        if field.is_none() {
            self.absent(Some(table), key, format!("missing; {remedy}"));
        }
        plain(field)
    }

    /// A duration that must be something.
    pub(super) fn nonzero(&mut self, field: Field<Span>, default: Span) -> Span {
        let Some(field) = field else { return default };
        if field.get_ref().0 == Span::ZERO {
            self.at(&field.span(), "0s is no time at all; set it to at least 1s");
            return default;
        }
        field.into_inner().0
    }

    /// The faults if there are any, else the warnings; both in the order of their lines.
    pub(super) fn finish(mut self) -> Result<Vec<Fault>, Vec<Fault>> {
        let ordered = |faults: &mut Vec<(usize, Fault)>| {
            faults.sort_by_key(|(start, _)| *start);
            faults.drain(..).map(|(_, fault)| fault).collect()
        };
        if self.found.is_empty() { Ok(ordered(&mut self.warnings)) } else { Err(ordered(&mut self.found)) }
    }
}

/// What is wrong when other than exactly one of several keys is set; nothing if exactly one is.
pub(super) fn exactly_one(keys: &[(&str, bool)]) -> Option<String> {
    let set: Vec<&str> = keys.iter().filter(|(_, set)| *set).map(|(key, _)| *key).collect();
    let all = keys.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", ");
    match set.len() {
        0 => Some(format!("none of {all} is set; set exactly one")),
        1 => None,
        _ => Some(format!("{} are set together; keep exactly one of {all}", set.join(" and "))),
    }
}

/// "the only one is a", "there are a, b", "there is none".
pub(super) fn configured<T: AsRef<str>>(names: impl Iterator<Item = T>) -> String {
    let names: Vec<String> = names.map(|name| name.as_ref().to_owned()).collect();
    match names.as_slice() {
        [] => "there is none".to_owned(),
        [only] => format!("the only one is {only}"),
        several => format!("there are {}", several.join(", ")),
    }
}
