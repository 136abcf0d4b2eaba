//! What keys are called in Google Cloud: names from labels, and labels from names.
//!
//! Every version of a ring has a CryptoKey of its own, whose id is made from its label. A caller-chosen id is what
//! makes creation repeatable: docs/adr/0006-one-cryptokey-per-version.md.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};

use crate::ids::{InstallationId, Label, VersionId};
use crate::jose::base64url;

/// The names in one key ring that belong to one installation.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// `projects/<project>/locations/<location>/keyRings/<key ring>`
    key_ring: String,
    installation: InstallationId,
}

impl Names {
    pub(super) fn new(key_ring: &str, installation: &InstallationId) -> Self {
        Self { key_ring: key_ring.to_owned(), installation: installation.clone() }
    }

    pub(super) fn key_ring(&self) -> &str {
        &self.key_ring
    }

    pub(super) fn owns(&self, label: &Label) -> bool {
        label.installation == self.installation
    }

    /// The full name of the CryptoKey with this id.
    pub(super) fn key(&self, id: &str) -> String {
        format!("{}/cryptoKeys/{id}", self.key_ring)
    }

    /// Whether `handle` is the name of a version that we make: the first of a CryptoKey of this installation, in this
    /// key ring.
    pub(super) fn is_version(&self, handle: &str) -> bool {
        let inside = handle.strip_prefix(&self.key_ring).and_then(|rest| rest.strip_prefix("/cryptoKeys/"));
        let id = inside.and_then(|rest| rest.strip_suffix(FIRST_VERSION));
        id.is_some_and(|id| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            let plain = id.strip_prefix(self.installation.as_str()).is_some_and(|rest| rest.starts_with('_'));
            id.bytes().all(allowed) && (plain || id.starts_with(&short_mark(&self.installation)))
        })
    }

    /// What a list of our CryptoKeys is filtered by. Quoted: a hyphen is an operator of the filter's language.
    pub(super) fn filter(&self) -> String {
        format!("labels.{INSTALLATION}=\"{}\"", self.installation)
    }

    /// The label of the CryptoKey with this name and these labels; nothing if we have not made it.
    pub(super) fn label(&self, name: &str, labels: &HashMap<String, String>) -> Option<Label> {
        let text = |name| labels.get(name).map(String::as_str);
        let label = Label {
            installation: text(INSTALLATION)?.parse().ok()?,
            issuer: text(ISSUER)?.parse().ok()?,
            ring: text(RING)?.parse().ok()?,
            version: VersionId::new(text(VERSION)?.parse().ok()?),
        };
        let is_named_so = (0..TRIES).any(|attempt| self.key(&key_id(&label, attempt)) == name);
        (self.owns(&label) && is_named_so && self::labels(&label) == *labels).then_some(label)
    }
}

/// The id of the CryptoKey for `label`: no two labels have the same, and none that of another attempt.
///
/// `attempt` is 0 unless what an earlier id names can never be used: its generation failed, or it was destroyed.
pub(super) fn key_id(label: &Label, attempt: u32) -> String {
    let Label { installation, issuer, ring, version } = label;
    // No name has an underscore or a capital, so neither form is ever taken for the other.
    let readable = format!("{installation}_{issuer}_{ring}_{version}");
    let suffix = if attempt == 0 { String::new() } else { format!("_a{}", attempt + 1) };
    if readable.len() <= READABLE_MAX {
        return readable + &suffix;
    }
    let hash = base64url::encode(digest(&SHA256, label.to_string().as_bytes()).as_ref());
    format!("{}{hash}{suffix}", short_mark(installation))
}

/// How the ids of an installation begin where its name and the others don't fit.
fn short_mark(installation: &InstallationId) -> String {
    let mut hash = base64url::encode(digest(&SHA256, installation.as_str().as_bytes()).as_ref());
    hash.truncate(8);
    format!("H{hash}-")
}

/// The labels of the CryptoKey for `label`. All of our names fit into Google's alphabet and length.
pub(super) fn labels(label: &Label) -> HashMap<String, String> {
    let Label { installation, issuer, ring, version } = label;
    let pairs = [
        (INSTALLATION, installation.to_string()),
        (ISSUER, issuer.to_string()),
        (RING, ring.to_string()),
        (VERSION, version.get().to_string()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The name of the one version that a CryptoKey of ours has.
pub(super) fn first_version(key: &str) -> String {
    format!("{key}{FIRST_VERSION}")
}

/// Ids that are tried for one label.
pub(super) const TRIES: u32 = 9;

const FIRST_VERSION: &str = "/cryptoKeyVersions/1";
const INSTALLATION: &str = "jwksd_installation";
const ISSUER: &str = "jwksd_issuer";
const RING: &str = "jwksd_ring";
const VERSION: &str = "jwksd_version";

/// An id has at most 63 characters, of which three are left for a later attempt.
const READABLE_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn label(installation: &str, issuer: &str, number: u64) -> Label {
        format!("{installation}/{issuer}.es256.v{number}").parse().unwrap()
    }

    fn names() -> Names {
        Names::new("projects/p/locations/l/keyRings/r", &"prod-eu".parse().unwrap())
    }

    #[test]
    fn no_two_labels_share_an_id_and_each_is_known_again() {
        let long = "x".repeat(63);
        let longer = format!("{}y", "x".repeat(62));
        let mut ids = HashSet::new();
        for issuer in ["main", "main-a", &long, &longer] {
            for number in [1, 12, u64::MAX] {
                let label = label("prod-eu", issuer, number);
                for attempt in 0..TRIES {
                    let id = key_id(&label, attempt);
                    assert!(id.len() <= 63, "{id}");
                    let name = names().key(&id);
                    assert!(names().is_version(&first_version(&name)), "{name}");
                    assert_eq!(names().label(&name, &labels(&label)).as_ref(), Some(&label));
                    assert!(ids.insert(id));
                }
            }
        }
        assert_eq!(key_id(&label("prod-eu", "main", 12), 0), "prod-eu_main_es256_v12");
        assert_eq!(key_id(&label("prod-eu", "main", 12), 1), "prod-eu_main_es256_v12_a2");
    }

    #[test]
    fn what_we_have_not_made_is_not_ours() {
        let handle = first_version(&names().key(&key_id(&label("prod-eu", "main", 1), 0)));
        assert!(names().is_version(&handle));
        let long = "x".repeat(63);
        for stranger in [
            "",
            "nobody",
            &handle.replace("/cryptoKeyVersions/1", "/cryptoKeyVersions/2"),
            &handle.replace("keyRings/r", "keyRings/q"),
            &handle.replace("prod-eu_main", "prod-eu-2_main"),
            &handle.replace("_main", "/../x_main"),
            &first_version(&names().key(&key_id(&label("prod-us", &long, 1), 0))),
        ] {
            assert!(!names().is_version(stranger), "{stranger}");
        }
    }

    #[test]
    fn labels_alone_make_no_key_ours() {
        let label = label("prod-eu", "main", 1);
        let name = names().key(&key_id(&label, 0));
        let ours = labels(&label);
        assert!(names().label(&name, &ours).is_some());
        assert!(names().label(&names().key("something"), &ours).is_none());
        for (changed, value) in [(VERSION, "2"), (VERSION, "01"), (INSTALLATION, "prod-us"), ("more", "x")] {
            let mut labels = ours.clone();
            labels.insert(changed.to_owned(), value.to_owned());
            assert!(names().label(&name, &labels).is_none(), "{changed} = {value}");
        }
    }
}
