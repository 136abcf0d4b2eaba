//! The text of a configuration as a tree with places: from a place to its line and its dotted key, and
//! from the tree to its mirror with every fault that serde finds, not only the first.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::fault::Fault;
use super::unknown::unknown_key;

/// A range of bytes in the text. Every value and every header has its own.
pub(super) type Place = Range<usize>;

/// A text that is TOML.
#[derive(Debug)]
pub(super) struct Document<'t> {
    origin: &'t str,
    text: &'t str,
    root: Spanned<DeTable<'t>>,
    /// The dotted key of every place, made at the first question: thousands of issuers ask one each.
    keys: OnceCell<HashMap<Place, String>>,
}

/// What serde found wrong with a value or key, which has been taken out of the tree to find the next.
#[derive(Debug)]
pub(super) struct Misfit {
    /// The fault.
    pub(super) fault: Fault,
    /// Where it is.
    pub(super) place: Place,
    /// A key of the same table that was probably meant, and so must not be called missing.
    pub(super) meant: Option<String>,
}

impl<'t> Document<'t> {
    /// Parses `text`, which is called `origin` in faults.
    pub(super) fn parse(text: &'t str, origin: &'t str) -> Result<Self, Vec<Fault>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self { origin, text, root, keys: OnceCell::new() };
        if errors.is_empty() {
            return Ok(document);
        }
        let fault = |error: &toml::de::Error| Fault {
            origin: origin.to_owned(),
            line: error.span().map(|place| document.line(&place)),
            key: String::new(),
            problem: document.syntax(error),
        };
        Err(errors.iter().map(fault).collect())
    }

    fn syntax(&self, error: &toml::de::Error) -> String {
        let message = error.message().trim_end_matches(", expected literal string");
        let word = error.span().and_then(|place| self.text.get(place));
        match (message, word) {
            // Nothing else of the text is repeated: it may be a secret.
            ("duplicate key", Some(word)) => {
                format!("this is not TOML: {word} is set twice in the same table; keep one")
            }
            _ => format!("this is not TOML: {message}"),
        }
    }

    /// The fault of something at `place`.
    pub(super) fn fault(&self, place: &Place, problem: String) -> Fault {
        Fault { origin: self.origin.to_owned(), line: Some(self.line(place)), key: self.key(place), problem }
    }

    /// The fault that the table at `table`, or the whole file, lacks `key`.
    pub(super) fn missing(&self, table: Option<&Place>, key: &str, problem: String) -> Fault {
        let within = table.map(|table| self.key(table)).filter(|path| !path.is_empty());
        let key = within.map_or_else(|| key.to_owned(), |path| format!("{path}.{key}"));
        Fault { origin: self.origin.to_owned(), line: table.map(|table| self.line(table)), key, problem }
    }

    /// The line, from 1, on which `place` begins.
    pub(super) fn line(&self, place: &Place) -> usize {
        let before = self.text.as_bytes().get(..place.start).unwrap_or(self.text.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// The dotted key of what is at `place`; empty if nothing is.
    pub(super) fn key(&self, place: &Place) -> String {
        let keys = self.keys.get_or_init(|| {
            let mut keys = HashMap::new();
            index_table(self.root.get_ref(), &mut Vec::new(), &mut keys);
            keys
        });
        keys.get(place).cloned().unwrap_or_default()
    }

    /// Reads the mirror, leaving out what does not fit and saying why.
    pub(super) fn read<T: DeserializeOwned + Default>(&self) -> (T, Vec<Misfit>) {
        let mut tree = self.root.clone();
        let mut misfits = Vec::new();
        loop {
            let error = match T::deserialize(Deserializer::from(tree.clone())) {
                Ok(mirror) => return (mirror, misfits),
                Err(error) => error,
            };
            let place = error.span().unwrap_or_default();
            misfits.push(self.misfit(&error, &place));
            // Each round takes something out, so the last round reads an empty tree at the latest.
            if !remove_from_table(tree.get_mut(), &place) {
                return (T::default(), misfits);
            }
        }
    }

    fn misfit(&self, error: &toml::de::Error, place: &Place) -> Misfit {
        let found = find_in_table(self.root.get_ref(), place);
        let misfit = |problem, meant| {
            // The outermost thing at this place, unlike in `key`: it is what will be taken out.
            let key = found.as_ref().map(Found::path).unwrap_or_default();
            let fault = Fault { key, ..self.fault(place, problem) };
            Misfit { fault, place: place.clone(), meant }
        };
        let message = error.message();
        if let (Some(known), Some(found)) = (message.strip_prefix("unknown field "), &found) {
            let (problem, meant) = match found.value {
                // A date is a table to serde, with one key that nobody wrote.
                DeValue::Datetime(_) if known.starts_with("`$") => {
                    (format!("a date is not expected here, found {}", describe(found.value)), None)
                }
                DeValue::Table(_) => unknown_key("table", found.last_key(), known, &found.table()),
                _ => unknown_key("key", found.last_key(), known, &found.table()),
            };
            return misfit(problem, meant);
        }
        let wrong_type = message.starts_with("invalid type: ") || message.starts_with("invalid value: ");
        let problem = match (message.split_once(", expected "), &found) {
            (Some((_, expected)), Some(found)) if wrong_type => {
                format!("expected {}, found {}", in_our_words(expected), describe(found.value))
            }
            _ => message.to_owned(),
        };
        misfit(problem, None)
    }
}

/// What serde expects, for the few types that can't say it themselves.
fn in_our_words(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list in [ ], or tables under [[ ]]",
        "a map" => "tables with names, such as [issuers.main] or [backends.soft]",
        other => other,
    }
}

/// A value, without repeating a text: it may be a secret in the wrong place.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a text in quotes".to_owned(),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(moment) => format!("{moment} without quotes"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A node of the tree and the way to it.
struct Found<'d, 't> {
    value: &'d DeValue<'t>,
    steps: Vec<Step<'d>>,
}

enum Step<'d> {
    Key(&'d str),
    Index(usize),
}

impl Found<'_, '_> {
    fn path(&self) -> String {
        path(&self.steps)
    }

    /// The dotted key of the table around this node.
    fn table(&self) -> String {
        path(self.steps.split_last().map_or(&[], |(_, around)| around))
    }

    fn last_key(&self) -> &str {
        match self.steps.last() {
            Some(Step::Key(key)) => key,
            Some(Step::Index(_)) | None => "",
        }
    }
}

fn path(steps: &[Step<'_>]) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                match !key.is_empty() && key.bytes().all(bare) {
                    true => path.push_str(key),
                    false => path.push_str(&format!("{key:?}")),
                }
            }
        }
    }
    path
}

/// Finds the key or value at `place`, the outermost if a list of tables shares its place with its first.
fn find_in_table<'d, 't>(table: &'d DeTable<'t>, place: &Place) -> Option<Found<'d, 't>> {
    table.iter().find_map(|(key, value)| {
        let mut found = if key.span() == *place { Some(here(value)) } else { find(value, place) }?;
        found.steps.insert(0, Step::Key(key.get_ref()));
        Some(found)
    })
}

fn find<'d, 't>(value: &'d Spanned<DeValue<'t>>, place: &Place) -> Option<Found<'d, 't>> {
    if value.span() == *place {
        return Some(here(value));
    }
    match value.get_ref() {
        DeValue::Table(table) => find_in_table(table, place),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let mut found = find(item, place)?;
            found.steps.insert(0, Step::Index(index));
            Some(found)
        }),
        _ => None,
    }
}

fn here<'d, 't>(value: &'d Spanned<DeValue<'t>>) -> Found<'d, 't> {
    Found { value: value.get_ref(), steps: Vec::new() }
}

/// Notes the dotted key of every key and value in `table`, which `steps` lead to; the outermost, if several
/// share a place.
fn index_table<'d>(table: &'d DeTable<'_>, steps: &mut Vec<Step<'d>>, keys: &mut HashMap<Place, String>) {
    for (key, value) in table {
        steps.push(Step::Key(key.get_ref()));
        keys.entry(key.span()).or_insert_with(|| path(steps));
        index(value, steps, keys);
        steps.pop();
    }
}

fn index<'d>(value: &'d Spanned<DeValue<'_>>, steps: &mut Vec<Step<'d>>, keys: &mut HashMap<Place, String>) {
    match value.get_ref() {
        DeValue::Table(table) => {
            keys.entry(value.span()).or_insert_with(|| path(steps));
            index_table(table, steps, keys);
        }
        DeValue::Array(items) => {
            // A list of tables shares its place with its first table, and it is the tables that have faults.
            let is_shared = items.first().is_some_and(|first| first.span() == value.span());
            if !is_shared {
                keys.entry(value.span()).or_insert_with(|| path(steps));
            }
            for (at, item) in items.iter().enumerate() {
                steps.push(Step::Index(at));
                index(item, steps, keys);
                steps.pop();
            }
        }
        _ => drop(keys.entry(value.span()).or_insert_with(|| path(steps))),
    }
}

/// Takes out what [`find_in_table`] finds.
fn remove_from_table(table: &mut DeTable<'_>, place: &Place) -> bool {
    let hit = table.iter().find(|(key, value)| key.span() == *place || value.span() == *place);
    if let Some(key) = hit.map(|(key, _)| key.get_ref().to_string()) {
        return table.remove(key.as_str()).is_some();
    }
    table.iter_mut().any(|(_, value)| remove_from_value(value.get_mut(), place))
}

fn remove_from_value(value: &mut DeValue<'_>, place: &Place) -> bool {
    match value {
        DeValue::Table(table) => remove_from_table(table, place),
        DeValue::Array(items) => {
            let before = items.len();
            *items =
                std::mem::replace(items, DeArray::new()).into_iter().filter(|item| item.span() != *place).collect();
            items.len() < before || items.iter_mut().any(|item| remove_from_value(item.get_mut(), place))
        }
        _ => false,
    }
}
