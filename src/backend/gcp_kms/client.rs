//! The official client, one call at a time: its own retries off, every checksum made and checked.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use google_cloud_auth::credentials::anonymous;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_kms_v1::client::KeyManagementService;
use google_cloud_kms_v1::model::crypto_key::CryptoKeyPurpose;
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState;
use google_cloud_kms_v1::model::{CryptoKey, CryptoKeyVersion, CryptoKeyVersionTemplate, Digest, KeyRing, PublicKey};
use google_cloud_wkt::FieldMask;

use super::settings::{Credentials, Settings};
use super::{algorithm, fault};
use crate::backend::Hashed;
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::cloud::renewable::Renewable;
use crate::clock::Clock;
use crate::jose::alg::KeySpec;
use crate::jose::hash::HashFunction;

/// The client, made at the first call: nothing about it can keep the daemon from starting.
pub(super) struct Client {
    endpoint: Option<String>,
    credentials: Credentials,
    service: Renewable<KeyManagementService>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// What became of a creation whose id was chosen by us.
#[derive(Debug)]
pub(super) enum Created {
    /// It is made, as it was made.
    Now(Box<CryptoKey>),
    /// That id is taken, perhaps by an earlier try of our own.
    Already,
}

/// What a key signs, in the form that it takes, with its checksum.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Digest(Digest, i64),
    Data(Bytes, i64),
}

impl Message {
    /// The digest where the algorithm has one, so that inputs of any length can be signed.
    pub(super) fn new(input: &Hashed<'_>) -> Self {
        let digest = match input {
            Hashed::Digest(digest) => digest,
            Hashed::Message(message) => return Self::Data(Bytes::copy_from_slice(message), checksum(message)),
        };
        let bytes = Bytes::copy_from_slice(digest.as_bytes());
        let form = match digest.hash() {
            HashFunction::Sha256 => Digest::new().set_sha256(bytes),
            HashFunction::Sha384 => Digest::new().set_sha384(bytes),
            HashFunction::Sha512 => Digest::new().set_sha512(bytes),
        };
        Self::Digest(form, checksum(digest.as_bytes()))
    }
}

impl Client {
    pub(super) fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Self {
        let Settings { endpoint, credentials, .. } = settings;
        Self { endpoint: endpoint.clone(), credentials: *credentials, service: Renewable::new(clock) }
    }

    async fn service(&self) -> Result<KeyManagementService, Fault> {
        self.service.get(|| self.build()).await
    }

    async fn build(&self) -> Result<KeyManagementService, Fault> {
        let mut builder = KeyManagementService::builder().with_retry_policy(NeverRetry);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if self.credentials == Credentials::Anonymous {
            builder = builder.with_credentials(anonymous::Builder::new().build());
        }
        builder.build().await.map_err(|error| fault::of_builder(&error))
    }

    /// Reads an error. After one about who we are, the credentials are looked for anew: the file may be another now.
    fn fault(&self, error: &google_cloud_gax::error::Error) -> Fault {
        let is_unknown = error.status().is_some_and(|status| status.code == Code::Unauthenticated);
        if is_unknown || error.is_authentication() {
            self.service.refused();
        }
        fault::of(error)
    }

    pub(super) async fn key_ring(&self, name: &str) -> Result<(), Fault> {
        let call = self.service().await?.get_key_ring().set_name(name);
        call.send().await.map(drop).map_err(|error| self.fault(&error))
    }

    /// Makes a key ring; one that is there already is as good.
    pub(super) async fn create_key_ring(&self, name: &str) -> Result<(), Fault> {
        let Some((parent, id)) = name.split_once("/keyRings/") else {
            return Err(Fault::new(Class::Bad, format!("{name} is not the name of a key ring")));
        };
        let call = self.service().await?.create_key_ring().set_parent(parent).set_key_ring_id(id);
        match call.set_key_ring(KeyRing::new()).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => Ok(()),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// Makes a CryptoKey, and with it its first version. May be repeated: an id is taken once and for ever.
    pub(super) async fn create_key(&self, key_ring: &str, id: &str, key: CryptoKey) -> Result<Created, Fault> {
        let call = self.service().await?.create_crypto_key().set_parent(key_ring).set_crypto_key_id(id);
        match call.set_crypto_key(key).send().await {
            Ok(key) => Ok(Created::Now(Box::new(key))),
            Err(error) if is_taken(&error) => Ok(Created::Already),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// A CryptoKey; nothing if there is none.
    pub(super) async fn key(&self, name: &str) -> Result<Option<CryptoKey>, Fault> {
        let call = self.service().await?.get_crypto_key().set_name(name);
        self.unless_absent(call.send().await)
    }

    /// A CryptoKeyVersion; nothing if there is none.
    pub(super) async fn version(&self, name: &str) -> Result<Option<CryptoKeyVersion>, Fault> {
        let call = self.service().await?.get_crypto_key_version().set_name(name);
        self.unless_absent(call.send().await)
    }

    fn unless_absent<T>(&self, answer: google_cloud_gax::Result<T>) -> Result<Option<T>, Fault> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.status().is_some_and(|status| status.code == Code::NotFound) => Ok(None),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// One page of the CryptoKeys that fit the filter, and where the next begins.
    pub(super) async fn keys(
        &self,
        key_ring: &str,
        filter: &str,
        page: &str,
    ) -> Result<(Vec<CryptoKey>, String), Fault> {
        let call = self.service().await?.list_crypto_keys().set_parent(key_ring).set_filter(filter);
        let answer = call.set_page_size(PAGE).set_page_token(page).send().await;
        answer.map(|page| (page.crypto_keys, page.next_page_token)).map_err(|error| self.fault(&error))
    }

    pub(super) async fn disable(&self, name: &str) -> Result<(), Fault> {
        let version = CryptoKeyVersion::new().set_name(name).set_state(CryptoKeyVersionState::Disabled);
        let call = self.service().await?.update_crypto_key_version().set_crypto_key_version(version);
        let answer = call.set_update_mask(FieldMask::default().set_paths(["state"])).send().await;
        answer.map(drop).map_err(|error| self.fault(&error))
    }

    pub(super) async fn destroy(&self, name: &str) -> Result<CryptoKeyVersion, Fault> {
        let call = self.service().await?.destroy_crypto_key_version().set_name(name);
        call.send().await.map_err(|error| self.fault(&error))
    }

    /// The public half in PEM, whose checksum is right.
    pub(super) async fn public_key(&self, name: &str) -> Result<PublicKey, Fault> {
        let call = self.service().await?.get_public_key().set_name(name);
        let key = call.send().await.map_err(|error| self.fault(&error))?;
        if key.pem_crc32c != Some(checksum(key.pem.as_bytes())) {
            return Err(Fault::new(Class::Corrupt, format!("the checksum of the public key of {name} is wrong")));
        }
        if key.name == name { Ok(key) } else { Err(another(&key.name, name)) }
    }

    /// A signature, as Google gives it, of which the checksums on both ways and the name of the key are right.
    pub(super) async fn sign(&self, name: &str, message: &Message) -> Result<Bytes, Fault> {
        let call = self.service().await?.asymmetric_sign().set_name(name);
        let call = match message.clone() {
            Message::Digest(digest, crc) => call.set_digest(digest).set_digest_crc32c(crc),
            Message::Data(data, crc) => call.set_data(data).set_data_crc32c(crc),
        };
        let signed = call.send().await.map_err(|error| {
            let fault = self.fault(&error);
            // The request is well-formed: that it arrived otherwise is the first thing to think of.
            let is_garbled = error.status().is_some_and(|status| status.code == Code::InvalidArgument);
            if is_garbled { Fault { class: Class::Corrupt, ..fault } } else { fault }
        })?;
        let verified = match message {
            Message::Digest(..) => signed.verified_digest_crc32c,
            Message::Data(..) => signed.verified_data_crc32c,
        };
        if !verified {
            return Err(Fault::new(Class::Corrupt, format!("{name} has not checked the checksum of what it signed")));
        }
        if signed.signature_crc32c != Some(checksum(&signed.signature)) {
            return Err(Fault::new(Class::Corrupt, format!("the checksum of a signature by {name} is wrong")));
        }
        if signed.name == name { Ok(signed.signature) } else { Err(another(&signed.name, name)) }
    }
}

/// A CryptoKey as it is to be made.
pub(super) fn key(
    spec: KeySpec,
    settings: &Settings,
    labels: std::collections::HashMap<String, String>,
) -> Option<CryptoKey> {
    let template = CryptoKeyVersionTemplate::new()
        .set_algorithm(algorithm::of(spec)?)
        .set_protection_level(algorithm::level(settings.protection));
    let after = i64::try_from(settings.deletion_window.as_secs()).unwrap_or(i64::MAX);
    let key = CryptoKey::new().set_purpose(CryptoKeyPurpose::AsymmetricSign).set_version_template(template);
    Some(key.set_labels(labels).set_destroy_scheduled_duration(google_cloud_wkt::Duration::clamp(after, 0)))
}

fn is_taken(error: &google_cloud_gax::error::Error) -> bool {
    error.status().is_some_and(|status| status.code == Code::AlreadyExists)
}

fn another(told: &str, asked: &str) -> Fault {
    let told: String = told.chars().take(300).collect();
    Fault::new(Class::Corrupt, format!("an answer of {told:?} to a question to {asked}"))
}

fn checksum(bytes: &[u8]) -> i64 {
    i64::from(crc32c::crc32c(bytes))
}

/// CryptoKeys on a page.
const PAGE: i32 = 500;
