//! Keys inside AWS KMS: one KMS key for each version, found by its tags, used by its ARN.
//!
//! CreateKey has no token by which a repeated request is known, and no answer is ever certain to arrive. So a creation
//! is never repeated blindly: the label is committed before, travels in the same call as tags, and is searched for
//! before another key is made. Whatever reads in KMS may be some seconds old.

mod client;
mod end;
mod fault;
mod found;
mod generate;
mod names;
mod settings;
mod sign;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use self::client::Account;
use self::generate::Trace;
use super::cloud::metrics::CloudMetrics;
use super::cloud::prices;
use super::usage::{Money, Usage};
use super::{Backend, BackendError, BoxFuture, Destroyed, Found, Generated, Input, KeyRef, Probe, Signature};
use crate::clock::Clock;
use crate::ids::{BackendId, Handle, Label};
use crate::jose::alg::KeySpec;

pub use settings::{Creation, SIGN_RATE, Settings};

/// The keys of one installation in one account and region.
pub struct AwsKms {
    account: Account,
    /// What this process has asked for lately and may not see yet. Whoever holds it is the only one to make a key.
    making: Mutex<HashMap<Label, Trace>>,
}

impl AwsKms {
    /// Keys as `settings` say. Nothing is asked of AWS yet: credentials and region are looked up by the first call.
    #[must_use]
    pub fn new(id: &BackendId, settings: Settings, metrics: &CloudMetrics, clock: Arc<dyn Clock>) -> Self {
        Self { account: Account::new(id, settings, metrics, clock), making: Mutex::default() }
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKms").field("settings", &self.account.settings).finish_non_exhaustive()
    }
}

impl Backend for AwsKms {
    fn generate<'a>(&'a self, label: &'a Label, spec: KeySpec) -> BoxFuture<'a, Result<Generated, BackendError>> {
        Box::pin(generate::generate(&self.account, &self.making, label, spec))
    }

    fn sign<'a>(
        &'a self,
        key: KeyRef<'a>,
        input: Input<'a>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Signature, BackendError>> {
        Box::pin(sign::sign(&self.account, key, input, within))
    }

    fn destroy<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<Destroyed, BackendError>> {
        Box::pin(end::destroy(&self.account, handle))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, BackendError>> {
        Box::pin(found::list(&self.account))
    }

    fn same_key(&self, one: &Handle, other: &Handle) -> bool {
        one == other
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        Box::pin(found::probe(&self.account))
    }

    fn usage(&self) -> Option<Usage> {
        let Account { gate, lanes, .. } = &self.account;
        let quotas = vec![
            gate.quota(&lanes.rsa, "signatures with RSA keys", DEAREST),
            gate.quota(&lanes.ecc, "signatures with ECC keys", DEAREST),
        ];
        Some(Usage { prices: &prices::AWS, quotas })
    }
}

/// Ten thousand signatures at most: an RSA key may be of any size, and only the smallest is cheap.
const DEAREST: Money = Money::cents(15);
