//! A backend in memory that signs for real and fails on demand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jwksd::backend::usage::{Money, Price, PriceList, Quota, Usage};
use jwksd::backend::{Backend, BackendError, BoxFuture, Destroyed, Found, Generated, Input, KeyRef, Probe, Signature};
use jwksd::ids::{Handle, InstallationId, Label};
use jwksd::jose::alg::{Algorithm, KeySpec};
use jwksd::jose::jwk::PublicKey;
use jwksd::lifecycle::time::Timestamp;

/// A method of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Generate,
    Sign,
    Destroy,
    List,
    Probe,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing happened.
    FailedNotDone,
    /// It fails, but it happened: the answer was lost.
    FailedDone,
    /// It works, after so long.
    Slow(Duration),
    /// It never answers.
    Hang,
    /// It answers with a signature that does not verify. Of use for [`Call::Sign`] alone.
    WrongSignature,
    /// It wants to be left alone for so long.
    Throttled(Duration),
}

/// ES256 keys of one installation, in memory.
#[derive(Debug)]
pub struct FakeBackend {
    installation: InstallationId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: BTreeMap<Label, EcdsaKeyPair>,
    /// Labels that a second key carries.
    twins: BTreeSet<Label>,
    next: BTreeMap<Call, VecDeque<Fault>>,
    standing: BTreeMap<Call, Fault>,
    calls: BTreeMap<Call, u64>,
    gone_at: Option<Timestamp>,
}

/// What the fake pretends to cost.
static PRICES: PriceList = PriceList {
    of: "a fake",
    as_of: "2026-11-21",
    source: "nowhere",
    bills_pending_deletion: false,
    price: |_| Price { key_month: Money::cents(100), ten_thousand_signatures: Money::cents(15) },
};

impl FakeBackend {
    /// The one kind of key that it makes.
    pub fn spec() -> KeySpec {
        KeySpec::new(Algorithm::Es256, None).unwrap()
    }

    pub fn new(installation: &str) -> Self {
        Self { installation: installation.parse().unwrap(), state: Mutex::default() }
    }

    /// The next call of this kind that has no such order yet goes wrong so.
    pub fn fail_next(&self, call: Call, fault: Fault) {
        self.state().next.entry(call).or_default().push_back(fault);
    }

    /// Every call of this kind goes wrong so, until [`FakeBackend::recover`].
    pub fn fail_always(&self, call: Call, fault: Fault) {
        self.state().standing.insert(call, fault);
    }

    /// All is well again.
    pub fn recover(&self) {
        let mut state = self.state();
        state.next.clear();
        state.standing.clear();
    }

    /// Like a cloud, it keeps keys that it is told to destroy until this moment.
    pub fn deletes_only_at(&self, gone_at: Timestamp) {
        self.state().gone_at = Some(gone_at);
    }

    /// Leaves a second key with that label, as a cloud may that can't tell a repeated call.
    pub fn leave_twin(&self, label: &str) -> Handle {
        let label: Label = label.parse().unwrap();
        let handle = twin(&label);
        self.state().twins.insert(label);
        handle
    }

    /// How many calls of this kind there were, whatever came of them.
    pub fn calls(&self, call: Call) -> u64 {
        self.state().calls.get(&call).copied().unwrap_or(0)
    }

    /// The keys that exist now, without a call.
    pub fn labels(&self) -> Vec<Label> {
        self.state().keys.keys().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn enter(&self, call: Call) -> Option<Fault> {
        let mut state = self.state();
        *state.calls.entry(call).or_default() += 1;
        let next = state.next.get_mut(&call).and_then(VecDeque::pop_front);
        next.or_else(|| state.standing.get(&call).copied())
    }

    async fn act<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut State, Option<Fault>) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let fault = self.enter(call);
        let lost = || BackendError::Unavailable(format!("fake fault in {call:?}"));
        match fault {
            Some(Fault::FailedNotDone) => return Err(lost()),
            Some(Fault::Throttled(retry_after)) => return Err(BackendError::Throttled { retry_after }),
            Some(Fault::Slow(duration)) => tokio::time::sleep(duration).await,
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::FailedDone | Fault::WrongSignature) | None => {}
        }
        let done = effect(&mut self.state(), fault)?;
        if fault == Some(Fault::FailedDone) { Err(lost()) } else { Ok(done) }
    }
}

impl Backend for FakeBackend {
    fn generate<'a>(&'a self, label: &'a Label, spec: KeySpec) -> BoxFuture<'a, Result<Generated, BackendError>> {
        Box::pin(self.act(Call::Generate, move |state, _| {
            if label.installation != self.installation {
                return Err(BackendError::Refused(format!("{label} belongs to another installation")));
            }
            if spec != Self::spec() {
                let text = format!("{label}: {spec}");
                let taken = state.keys.contains_key(label);
                return Err(if taken { BackendError::Mismatch(text) } else { BackendError::Refused(text) });
            }
            let make = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let pair = state.keys.entry(label.clone()).or_insert_with(make);
            let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            let public = PublicKey::from_spki(der.as_ref()).unwrap();
            Ok(Generated { handle: handle(label), public })
        }))
    }

    fn sign<'a>(
        &'a self,
        key: KeyRef<'a>,
        input: Input<'a>,
        _within: Duration,
    ) -> BoxFuture<'a, Result<Signature, BackendError>> {
        Box::pin(self.act(Call::Sign, move |state, fault| {
            let not_found = || BackendError::NotFound(key.handle.to_string());
            let label = label(key.handle).ok_or_else(not_found)?;
            let pair = state.keys.get(&label).ok_or_else(not_found)?;
            if key.spec != Self::spec() {
                return Err(BackendError::Mismatch(format!("{label}: {}", key.spec)));
            }
            input.check(key.spec)?;
            let signature = match input {
                Input::Message(message) => pair.sign(&SystemRandom::new(), message),
                Input::Digest(digest) => pair.sign_digest(&digest.to_digest()),
            };
            let mut bytes = signature.unwrap().as_ref().to_vec();
            if fault == Some(Fault::WrongSignature) {
                bytes[40] ^= 1;
            }
            Ok(Signature(bytes))
        }))
    }

    fn destroy<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<Destroyed, BackendError>> {
        Box::pin(self.act(Call::Destroy, move |state, _| {
            let refused = || BackendError::Refused(format!("{handle} is no handle of the fake"));
            if let Some(label) = state.twins.iter().find(|label| twin(label) == *handle).cloned() {
                state.twins.remove(&label);
                return Ok(Destroyed::Done);
            }
            state.keys.remove(&label(handle).ok_or_else(refused)?);
            Ok(state.gone_at.map_or(Destroyed::Done, Destroyed::ScheduledFor))
        }))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, BackendError>> {
        Box::pin(self.act(Call::List, |state, _| {
            let keys = state.keys.keys().map(|label| Found { label: label.clone(), handle: handle(label) });
            let twins = state.twins.iter().map(|label| Found { label: label.clone(), handle: twin(label) });
            Ok(twins.chain(keys).collect())
        }))
    }

    fn same_key(&self, one: &Handle, other: &Handle) -> bool {
        one == other
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        Box::pin(self.act(Call::Probe, |state, _| {
            let facts = vec![("keys".to_owned(), state.keys.len().to_string())];
            Ok(Probe { summary: "fake".to_owned(), facts })
        }))
    }

    fn usage(&self) -> Option<Usage> {
        let last_minute = self.calls(Call::Sign);
        let quota = Quota { of: "signatures", per_second: 10, last_minute, ten_thousand: Money::cents(15) };
        Some(Usage { prices: &PRICES, quotas: vec![quota] })
    }
}

/// Like a real backend's, it is not the label itself.
fn handle(label: &Label) -> Handle {
    Handle::new(&format!("fake:{label}"))
}

fn twin(label: &Label) -> Handle {
    Handle::new(&format!("twin:{label}"))
}

fn label(handle: &Handle) -> Option<Label> {
    handle.as_str().strip_prefix("fake:")?.parse().ok()
}
