//! The contract of `Backend` in its exact form, over every implementation.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jwksd::backend::software::{SealingKey, Software};
use jwksd::backend::{Backend, BackendError, Destroyed, Found, Generated, Input, KeyRef, Signature};
use jwksd::ids::{Handle, Label};
use jwksd::jose::alg::{Algorithm, Curve, KeySpec, RsaBits};
use jwksd::jose::hash::{HashFunction, MessageDigest};
use jwksd::jose::jwk::Jwk;
use jwksd::jose::verify::Verifier;

use crate::support::fake_backend::FakeBackend;

#[cfg(feature = "aws")]
mod aws_kms;
#[cfg(feature = "gcp")]
mod gcp;
mod guarded;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod software;

/// What the contract leaves to a backend.
#[derive(Clone, Copy)]
struct Manners {
    /// The lengths of inputs that it signs with Ed25519.
    undigested: (usize, usize),
    /// Whether it keeps a key for a while that it has destroyed.
    schedules: bool,
}

/// Holds an empty `backend` of installation [`INSTALLATION`] to the contract, with every spec that it supports.
async fn conformance(backend: Arc<dyn Backend>, specs: &[KeySpec]) {
    mannered_conformance(backend, specs, Manners { undigested: (0, usize::MAX), schedules: false }).await;
}

async fn mannered_conformance(backend: Arc<dyn Backend>, specs: &[KeySpec], manners: Manners) {
    let backend = backend.as_ref();
    assert_eq!(backend.list().await, Ok(vec![]), "the suite wants an empty backend");
    backend.probe().await.unwrap();

    every_spec_signs_what_its_public_half_verifies(backend, specs, manners).await;
    let spec = specs[0];
    a_label_names_one_key_for_ever(backend, spec).await;
    a_label_of_another_kind_is_a_mismatch(backend, specs).await;
    a_handle_without_a_key_is_not_found(backend, spec).await;
    what_is_listed_is_what_there_is(backend, spec).await;
    a_destroyed_key_is_gone(backend, spec, manners).await;
}

async fn every_spec_signs_what_its_public_half_verifies(backend: &dyn Backend, specs: &[KeySpec], manners: Manners) {
    for (number, &spec) in (1..).zip(specs) {
        let key = backend.generate(&label("each", number), spec).await.unwrap();
        assert!(key.public.matches(spec), "{spec}");
        for input in [b"".as_slice(), b"eyJhbGciOiJub25lIn0.e30", &[b'x'; 64 * 1024]] {
            let signed = sign(backend, &key, spec, input).await;
            let (least, most) = manners.undigested;
            if spec.algorithm().curve() == Some(Curve::Ed25519) && !(least..=most).contains(&input.len()) {
                assert!(matches!(signed, Err(BackendError::Refused(_))), "{spec}, {} bytes: {signed:?}", input.len());
                continue;
            }
            let signature = signed.unwrap();
            assert_eq!(signature.0.len(), spec.signature_len(), "{spec}");
            assert!(verifies(&key, spec, input, &signature), "{spec}, {} bytes", input.len());
            assert!(!verifies(&key, spec, b"another input", &signature), "{spec}");
        }
        digests_are_signed_as_their_messages_are(backend, &key, spec).await;
        assert!(manners.is_end(&backend.destroy(&key.handle).await), "{spec}");
    }
}

/// By the one hash function of the algorithm, and by no other.
async fn digests_are_signed_as_their_messages_are(backend: &dyn Backend, key: &Generated, spec: KeySpec) {
    for hash in HashFunction::ALL {
        let digest = Input::Digest(MessageDigest::of(hash, b"a message"));
        let signed = backend.sign(KeyRef { handle: &key.handle, spec }, digest, SOON).await;
        if spec.algorithm().hash() == Some(hash) {
            let signature = signed.unwrap();
            assert!(verifies(key, spec, b"a message", &signature), "{spec}");
            assert!(!verifies(key, spec, b"another message", &signature), "{spec}");
        } else {
            assert!(matches!(signed, Err(BackendError::Refused(_))), "{spec}, {}: {signed:?}", hash.name());
        }
    }
}

impl Manners {
    fn is_end(self, destroyed: &Result<Destroyed, BackendError>) -> bool {
        match destroyed {
            Ok(Destroyed::Done) => !self.schedules,
            Ok(Destroyed::ScheduledFor(_)) => self.schedules,
            Err(_) => false,
        }
    }
}

async fn a_label_names_one_key_for_ever(backend: &dyn Backend, spec: KeySpec) {
    let (first, second) = (label("same", 1), label("same", 2));
    let at_once = join_all((0..8).map(|_| backend.generate(&first, spec))).await;
    let key = at_once[0].clone().unwrap();
    assert!(at_once.iter().all(|other| other.as_ref() == Ok(&key)), "{at_once:?}");
    assert_eq!(backend.generate(&first, spec).await.as_ref(), Ok(&key));
    let other = backend.generate(&second, spec).await.unwrap();
    assert_ne!(other.handle, key.handle);
    assert_ne!(other.public, key.public);
    for key in [key, other] {
        backend.destroy(&key.handle).await.unwrap();
    }
}

async fn a_label_of_another_kind_is_a_mismatch(backend: &dyn Backend, specs: &[KeySpec]) {
    let label = label("kind", 1);
    let key = backend.generate(&label, specs[0]).await.unwrap();
    let stranger = specs.get(1).copied().unwrap_or(KeySpec::new(Algorithm::Es384, None).unwrap());
    assert!(matches!(backend.generate(&label, stranger).await, Err(BackendError::Mismatch(_))));
    let asked = sign(backend, &key, stranger, b"input").await;
    assert!(matches!(asked, Err(BackendError::Mismatch(_))), "{asked:?}");
    // Neither question has hurt the key.
    let signature = sign(backend, &key, specs[0], b"input").await.unwrap();
    assert!(verifies(&key, specs[0], b"input", &signature));
    backend.destroy(&key.handle).await.unwrap();
}

async fn a_handle_without_a_key_is_not_found(backend: &dyn Backend, spec: KeySpec) {
    for text in ["nobody", "", "../../etc/passwd", "a.b.c.v1"] {
        let handle = Handle::new(text);
        let signed = backend.sign(KeyRef { handle: &handle, spec }, Input::Message(b"input"), SOON).await;
        assert!(matches!(signed, Err(BackendError::NotFound(_))), "{text:?}: {signed:?}");
    }
    // The handle of some other backend: its key was not destroyed.
    let destroyed = backend.destroy(&Handle::new("nobody")).await;
    assert!(matches!(destroyed, Err(BackendError::Refused(_))), "{destroyed:?}");
}

async fn what_is_listed_is_what_there_is(backend: &dyn Backend, spec: KeySpec) {
    let mut expected = Vec::new();
    for number in [1, 2, 10] {
        let label = label("list", number);
        let Generated { handle, .. } = backend.generate(&label, spec).await.unwrap();
        expected.push(Found { label, handle });
    }
    let listed = async || {
        let mut found = backend.list().await.unwrap();
        found.sort_by(|one, other| one.label.cmp(&other.label));
        found
    };
    assert_eq!(listed().await, expected);
    for (one, other) in expected.iter().flat_map(|one| expected.iter().map(move |other| (one, other))) {
        assert_eq!(backend.same_key(&one.handle, &other.handle), one == other, "{one:?}, {other:?}");
    }
    while let Some(found) = expected.pop() {
        backend.destroy(&found.handle).await.unwrap();
        assert_eq!(listed().await, expected);
    }
    let stranger: Label = "somebody-else/main.es256.v1".parse().unwrap();
    let made = backend.generate(&stranger, spec).await;
    assert!(matches!(made, Err(BackendError::Refused(_))), "{made:?}");
    assert_eq!(listed().await, expected);
}

async fn a_destroyed_key_is_gone(backend: &dyn Backend, spec: KeySpec, manners: Manners) {
    let key = backend.generate(&label("gone", 1), spec).await.unwrap();
    sign(backend, &key, spec, b"input").await.unwrap();
    for _ in 0..2 {
        assert!(manners.is_end(&backend.destroy(&key.handle).await));
        let signed = sign(backend, &key, spec, b"input").await;
        assert!(matches!(signed, Err(BackendError::NotFound(_))), "{signed:?}");
    }
    // No rotation ever reuses a label; should one, it gets a new key and not the old one.
    let again = backend.generate(&label("gone", 1), spec).await.unwrap();
    assert_ne!(again.public, key.public);
    backend.destroy(&again.handle).await.unwrap();
}

#[tokio::test]
async fn the_fake_keeps_the_contract() {
    let fake = Arc::new(FakeBackend::new(INSTALLATION));
    conformance(Arc::clone(&fake) as Arc<dyn Backend>, &[FakeBackend::spec()]).await;
    assert_eq!(fake.labels(), [], "the suite cleans up");
}

#[tokio::test(flavor = "multi_thread")]
async fn software_keeps_the_contract() {
    let home = tempfile::tempdir().unwrap();
    conformance(Arc::new(open(&home)), &every_spec()).await;
}

#[tokio::test]
async fn a_guard_changes_nothing_of_the_contract() {
    let home = tempfile::tempdir().unwrap();
    let short = [Algorithm::Ed25519, Algorithm::Es256, Algorithm::Ps256].map(|alg| KeySpec::new(alg, None).unwrap());
    conformance(Arc::new(guarded::guard(Arc::new(open(&home)))), &short).await;
}

fn every_spec() -> Vec<KeySpec> {
    let sizes = [RsaBits::B2048, RsaBits::B3072, RsaBits::B4096];
    let of = |alg: Algorithm| match alg.is_rsa() {
        true => sizes.map(|bits| KeySpec::new(alg, Some(bits)).unwrap()).to_vec(),
        false => vec![KeySpec::new(alg, None).unwrap()],
    };
    Algorithm::ALL.into_iter().flat_map(of).collect()
}

fn es256() -> KeySpec {
    KeySpec::new(Algorithm::Es256, None).unwrap()
}

fn label(ring: &str, number: u64) -> Label {
    format!("{INSTALLATION}/main.{ring}.v{number}").parse().unwrap()
}

/// Software keys in the directory `keys` of `home`.
fn open(home: &tempfile::TempDir) -> Software {
    let sealing = SealingKey::from_bytes(&SEALING_KEY).unwrap();
    Software::open(&home.path().join("keys"), sealing, INSTALLATION.parse().unwrap()).unwrap()
}

async fn sign(backend: &dyn Backend, key: &Generated, spec: KeySpec, input: &[u8]) -> Result<Signature, BackendError> {
    backend.sign(KeyRef { handle: &key.handle, spec }, Input::Message(input), SOON).await
}

fn verifies(key: &Generated, spec: KeySpec, input: &[u8], signature: &Signature) -> bool {
    let jwk = Jwk::with_thumbprint(spec.algorithm(), key.public.clone()).unwrap();
    Verifier::new(&jwk).verify(input, &signature.0).is_ok()
}

const INSTALLATION: &str = "it";
const SEALING_KEY: [u8; 32] = [7; 32];

/// Far more than any signature takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);
