//! Keys in Google Cloud KMS.

use super::super::faults::Faults;
use crate::config::document::Place;
use crate::config::gcp::{Endpoint, GcpCredentials, GcpKms, KeyRingName, Protection};
use crate::config::scalar::Rate;
use crate::config::value::{Field, plain};
use crate::lifecycle::time::Span;

/// What a key ring in Google Cloud needs.
pub(super) struct KeyRing {
    pub(super) key_ring: Field<KeyRingName>,
    pub(super) create_key_ring: Field<bool>,
    pub(super) protection: Field<Protection>,
    pub(super) deletion_window: Field<Span>,
    pub(super) endpoint: Field<Endpoint>,
    pub(super) credentials: Field<GcpCredentials>,
    pub(super) sign_rate: Field<Rate>,
    pub(super) write_rate: Field<Rate>,
}

impl KeyRing {
    pub(super) fn check(self, place: &Place, faults: &mut Faults<'_>) -> Option<GcpKms> {
        let Self {
            key_ring,
            create_key_ring,
            protection,
            deletion_window,
            endpoint,
            credentials,
            sign_rate,
            write_rate,
        } = self;
        let remedy = "set it to the full name of the key ring, such as key_ring = \
                      \"projects/my-project/locations/europe-west1/keyRings/jwksd\"";
        let key_ring = faults.require(place, "key_ring", key_ring, remedy);
        if let Some(field) = credentials.as_ref().filter(|field| field.get_ref().0 == GcpCredentials::Anonymous)
            && endpoint.is_none()
        {
            faults.at(
                &field.span(),
                "Google lets nobody in without credentials; remove it, or set endpoint to the emulator that does",
            );
        }
        if let Some(field) = &deletion_window
            && !(Span::from_days(1)..=Span::from_days(120)).contains(&field.get_ref().0)
        {
            faults.at(&field.span(), "Cloud KMS keeps destroyed keys for 24h to 120d; choose something in between");
        }
        let default = GcpKms::new(key_ring?, plain(protection).unwrap_or_default());
        Some(GcpKms {
            create_key_ring: plain(create_key_ring).unwrap_or(default.create_key_ring),
            deletion_window: plain(deletion_window).unwrap_or(default.deletion_window),
            endpoint: plain(endpoint).map(|endpoint| endpoint.0),
            credentials: plain(credentials).unwrap_or_default(),
            sign_rate: plain(sign_rate).map_or(default.sign_rate, |rate| rate.0),
            write_rate: plain(write_rate).map_or(default.write_rate, |rate| rate.0),
            ..default
        })
    }
}
