//! What a token says of itself, for people.

use cryptoki::context::Pkcs11;
use cryptoki::slot::{Limit, Slot, TokenInfo};
use serde::{Deserialize, Serialize};

use super::mechanism::Mechanisms;
use super::open::trimmed;
use crate::backend::Probe;
use crate::backend::pkcs11::fault::Fault;

/// A token and its module, as they described themselves when the token was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The module's description and version, and the version of PKCS#11 that it speaks.
    pub module: String,
    /// Who made the token.
    pub manufacturer: String,
    /// What it is.
    pub model: String,
    /// The version of its firmware.
    pub firmware: String,
    /// The version of its hardware.
    pub hardware: String,
    /// The serial number that its maker gave it.
    pub serial: String,
    /// The label that it was initialised with.
    pub label: String,
    /// The slot that it was found in.
    pub slot: u64,
    /// The most sessions that it gives one application; nothing if it does not say.
    pub sessions_max: Option<u64>,
    /// The bytes that are left for private objects; nothing if it does not say.
    pub free_private: Option<u64>,
    /// Whether a wrong PIN was tried since the last right one.
    pub pin_count_low: bool,
    /// The mechanisms that matter here, by their names in the standard.
    pub mechanisms: Vec<String>,
    /// The algorithms that we can have keys for.
    pub algorithms: Vec<String>,
}

impl Facts {
    pub(super) fn new(module: &Pkcs11, slot: Slot, info: &TokenInfo, mechanisms: &Mechanisms) -> Result<Self, Fault> {
        let library = module.get_library_info()?;
        let session_limit = match info.max_session_count() {
            Limit::Max(count) => Some(count),
            Limit::Unavailable | Limit::Infinite => None,
        };
        Ok(Self {
            module: format!(
                "{} {} (PKCS#11 {})",
                trimmed(library.library_description()),
                library.library_version(),
                library.cryptoki_version()
            ),
            manufacturer: trimmed(info.manufacturer_id()).to_owned(),
            model: trimmed(info.model()).to_owned(),
            firmware: info.firmware_version().to_string(),
            hardware: info.hardware_version().to_string(),
            serial: trimmed(info.serial_number()).to_owned(),
            label: trimmed(info.label()).to_owned(),
            slot: slot.id(),
            sessions_max: session_limit,
            free_private: info.free_private_memory().and_then(|bytes| u64::try_from(bytes).ok()),
            pin_count_low: info.user_pin_count_low(),
            mechanisms: mechanisms.names(),
            algorithms: mechanisms.algorithms(),
        })
    }
}

impl From<&Facts> for Probe {
    fn from(facts: &Facts) -> Self {
        let Facts {
            module,
            manufacturer,
            model,
            firmware,
            hardware,
            serial,
            label,
            slot,
            sessions_max,
            free_private,
            pin_count_low,
            mechanisms,
            algorithms,
        } = facts;
        let limit = |limit: &Option<u64>| limit.map_or_else(|| "not said".to_owned(), |limit| limit.to_string());
        let pin = if *pin_count_low { "a wrong one was tried since the last right one" } else { "accepted" };
        let facts = [
            ("token", format!("{label:?}, serial {serial:?}, slot {slot}")),
            ("module", module.clone()),
            ("hardware", hardware.clone()),
            ("PIN", pin.to_owned()),
            ("sessions at most", limit(sessions_max)),
            ("bytes left for private objects", limit(free_private)),
            ("mechanisms", mechanisms.join(" ")),
            ("algorithms", algorithms.join(" ")),
        ];
        Self {
            summary: format!("{manufacturer} {model}, firmware {firmware}, token {label:?}"),
            facts: facts.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }
}
