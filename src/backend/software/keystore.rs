//! The keys of one directory: made, found, opened and destroyed. Everything here may block.

use std::collections::HashMap;
use std::error::Error;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::directory::{Commit, Directory, FileError};
use super::key_file::{self, KeyFileError, Loaded};
use super::material::Material;
use super::open::{OpenError, Opened, SEALING_FILE, open};
use super::seal::{Sealer, Sealing, SealingKey};
use crate::backend::{BackendError, Found, Generated};
use crate::failpoint::failpoint;
use crate::ids::{Handle, InstallationId, Label};
use crate::jose::alg::KeySpec;

/// A directory of keys, and those of them that were opened so far.
#[derive(Debug)]
pub(super) struct Keystore {
    directory: Directory,
    installation: InstallationId,
    sealing: Sealing,
    sealer: Sealer,
    /// Copied on every change, so that signing reads it without waiting for anybody.
    loaded: ArcSwap<HashMap<Arc<str>, Arc<Loaded>>>,
    /// Held over every change of a file or of `loaded`: a key that is destroyed while it is being opened
    /// must not come back into memory afterwards.
    changes: Mutex<()>,
}

impl Keystore {
    /// Opens or makes the directory; see [`OpenError`].
    pub(super) fn open(path: &Path, key: &SealingKey, installation: InstallationId) -> Result<Self, OpenError> {
        let Opened { directory, sealing, sealer } = open(path, key, &installation)?;
        let (loaded, changes) = (ArcSwap::default(), Mutex::default());
        Ok(Self { directory, installation, sealing, sealer, loaded, changes })
    }

    /// The key, if it is in memory. Takes no lock and does no I/O.
    pub(super) fn loaded(&self, handle: &Handle) -> Option<Arc<Loaded>> {
        self.loaded.load().get(handle.as_str()).cloned()
    }

    /// Makes the key, or finds it, and opens its file as written: what is returned is what will be found again.
    ///
    /// A crash leaves a temporary file, which the next open removes, or the whole key, which the next call
    /// finds by its label.
    pub(super) fn generate(&self, label: &Label, spec: KeySpec) -> Result<Generated, BackendError> {
        if label.installation != self.installation {
            return Err(BackendError::Refused(format!("{label} belongs to another installation")));
        }
        self.check_present()?;
        let handle = handle(label);
        if self.directory.has(&file_name(&handle)).map_err(file_error)? {
            // It may have been renamed by a process that died before it made the name durable.
            self.directory.sync().map_err(file_error)?;
        } else {
            self.make(label, spec, &handle)?;
        }
        let loaded = self.load(&handle)?;
        let found = loaded.material.spec();
        if found != spec {
            return Err(BackendError::Mismatch(format!("{label} was made for {found}, not for {spec}")));
        }
        Ok(Generated { handle, public: loaded.public.clone() })
    }

    fn make(&self, label: &Label, spec: KeySpec, handle: &Handle) -> Result<(), BackendError> {
        failpoint("software.generate.before");
        let name = file_name(handle);
        let crypto = || BackendError::Refused(format!("the cryptographic library made no {spec} key"));
        let material = Material::generate(spec).map_err(|_| crypto())?;
        let bytes = key_file::write(label, &material, &self.sealing, &self.sealer).map_err(|_| crypto())?;
        let _changing = self.changing();
        let staged = self.directory.stage(&name, &bytes).map_err(file_error)?;
        failpoint("software.generate.temp_written");
        // If another call was faster, its key counts, and ours was never seen by anybody.
        let commit = staged.commit().map_err(file_error)?;
        failpoint("software.generate.renamed");
        self.directory.sync().map_err(|error| {
            if commit == Commit::Done {
                // Perhaps durable, perhaps not: nobody has seen the public half, so without it all is well.
                let _ = self.directory.unlink(&name);
            }
            file_error(error)
        })
    }

    /// The key, from memory or from its file.
    pub(super) fn load(&self, handle: &Handle) -> Result<Arc<Loaded>, BackendError> {
        if let Some(loaded) = self.loaded(handle) {
            return Ok(loaded);
        }
        let not_found = || BackendError::NotFound(format!("{handle} in {}", self.directory.path().display()));
        let label = self.label(handle).ok_or_else(not_found)?;
        let name = file_name(handle);
        let Some(bytes) = self.directory.read(&name).map_err(file_error)? else {
            self.check_present()?;
            return Err(not_found());
        };
        let opened = key_file::open(&bytes, &label, &self.sealing, &self.sealer);
        let loaded = Arc::new(opened.map_err(|error| self.key_file_error(&name, &error))?);
        let _changing = self.changing();
        if !self.directory.has(&name).map_err(file_error)? {
            return Err(not_found());
        }
        let mut next = HashMap::clone(&self.loaded.load());
        next.insert(handle.as_str().into(), Arc::clone(&loaded));
        self.loaded.store(Arc::new(next));
        Ok(loaded)
    }

    /// Removes the key from memory and from the directory, durably.
    ///
    /// The file is not overwritten first: on today's disks that reaches no earlier copy, and what it holds is
    /// sealed. A crash leaves the key whole or gone; calling again finishes the work.
    pub(super) fn destroy(&self, handle: &Handle) -> Result<(), BackendError> {
        // A handle of some other backend must not be reported as destroyed.
        self.label(handle).ok_or_else(|| BackendError::Refused(format!("{handle} is no handle of software keys")))?;
        failpoint("software.destroy.before");
        self.check_present()?;
        let _changing = self.changing();
        let mut next = HashMap::clone(&self.loaded.load());
        next.remove(handle.as_str());
        self.loaded.store(Arc::new(next));
        self.directory.unlink(&file_name(handle)).map_err(file_error)?;
        self.directory.sync().map_err(file_error)?;
        failpoint("software.destroy.after");
        Ok(())
    }

    /// The keys of this installation, by the names of their files.
    pub(super) fn list(&self) -> Result<Vec<Found>, BackendError> {
        self.check_present()?;
        let names = self.directory.names().map_err(file_error)?;
        let found = names.iter().filter_map(|name| {
            let handle = Handle::new(name.strip_suffix(KEY_SUFFIX)?);
            Some(Found { label: self.label(&handle)?, handle })
        });
        let mut found: Vec<Found> = found.collect();
        found.sort_by(|one, other| one.label.cmp(&other.label));
        Ok(found)
    }

    /// Where the keys are.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The secret that seals them, in a word.
    pub(super) fn sealed_with(&self) -> &'static str {
        self.sealing.kind()
    }

    /// The label behind a handle of ours: `None` for any other text, and for another installation's.
    fn label(&self, handle: &Handle) -> Option<Label> {
        parse_handle(handle).filter(|label| label.installation == self.installation)
    }

    /// An unmounted directory looks empty; its keys are not gone for that.
    fn check_present(&self) -> Result<(), BackendError> {
        if self.directory.has(SEALING_FILE).map_err(file_error)? {
            return Ok(());
        }
        let path = self.directory.path().display();
        Err(BackendError::Unavailable(format!("{path} has no {SEALING_FILE} any more; is the volume mounted?")))
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        // It guards no value that a panic could have left half-changed.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_file_error(&self, name: &str, error: &KeyFileError) -> BackendError {
        let text = format!("{} {error}", self.directory.file(name).display());
        match error {
            KeyFileError::OtherLabel(_) | KeyFileError::Inconsistent(_) => BackendError::Mismatch(text),
            KeyFileError::Format(_) | KeyFileError::Shape(_) | KeyFileError::OtherSealing | KeyFileError::Sealed => {
                BackendError::Refused(text)
            }
        }
    }
}

/// The handle of the key `label`, and the stem of its file: `<installation>.<issuer>.<ring>.v<n>`.
///
/// No part of a label holds a dot or a slash, so two labels never share a handle. At most 215 bytes.
fn handle(label: &Label) -> Handle {
    let Label { installation, issuer, ring, version } = label;
    Handle::new(&format!("{installation}.{issuer}.{ring}.{version}"))
}

/// The label behind a handle, if it is one that [`handle`] writes. No other text becomes part of a path.
fn parse_handle(handle: &Handle) -> Option<Label> {
    let (installation, rest) = handle.as_str().split_once('.')?;
    // The label's own parser takes nothing but the canonical spelling.
    format!("{installation}/{rest}").parse().ok()
}

fn file_name(handle: &Handle) -> String {
    format!("{handle}{KEY_SUFFIX}")
}

/// Sorts a refusal of the operating system by what helps: waiting, or an operator.
fn file_error(error: FileError) -> BackendError {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let text = format!("{error}: {cause}");
    match error.source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::FileTooLarge => {
            BackendError::Refused(text)
        }
        _ => BackendError::Unavailable(text),
    }
}

const KEY_SUFFIX: &str = ".json";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_handle_leads_back_to_its_label() {
        let label: Label = "prod-eu/main.es256.v7".parse().unwrap();
        assert_eq!(handle(&label).as_str(), "prod-eu.main.es256.v7");
        assert_eq!(parse_handle(&handle(&label)), Some(label));
    }

    #[test]
    fn no_path_hides_in_a_handle() {
        let bad = "|.|..|a.b.c|a.b.c.v01|a.b.c.v1.json|a.b.c.v1/|/a.b.c.v1|../a.b.c.v1|a/b.c.v1|a.../x.v1|a.b.c.v-1|\
                   a.b.c.v1\0|A.b.c.v1|a..c.v1|sealing|a.b.c.v99999999999999999999";
        for bad in bad.split('|') {
            assert_eq!(parse_handle(&Handle::new(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn a_full_disk_is_waited_for_and_a_forbidden_one_is_not() {
        let kind = |kind: ErrorKind| {
            file_error(FileError { doing: "writing", path: "/keys/x".into(), source: std::io::Error::from(kind) })
        };
        let full = BackendError::Unavailable("writing /keys/x: no storage space".to_owned());
        assert_eq!(kind(ErrorKind::StorageFull), full);
        assert!(matches!(kind(ErrorKind::ReadOnlyFilesystem), BackendError::Refused(_)));
    }

    proptest! {
        #[test]
        fn only_what_we_write_is_read_as_a_handle(text in "([a-z0-9-]{0,6}[./]?){0,6}(v[0-9]{1,3})?") {
            let given = Handle::new(&text);
            if let Some(label) = parse_handle(&given) {
                prop_assert_eq!(handle(&label), given);
                prop_assert!(!text.contains('/') && !text.starts_with('.'));
            }
        }

        #[test]
        fn no_text_at_all_makes_the_parser_stumble(text in ".*") {
            if let Some(label) = parse_handle(&Handle::new(&text)) {
                prop_assert_eq!(handle(&label), Handle::new(&text));
            }
        }
    }
}
