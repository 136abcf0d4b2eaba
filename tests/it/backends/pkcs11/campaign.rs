//! The contract over tokens that only `./test --long` has.

use std::sync::Arc;
use std::time::Duration;

use jwksd::backend::{Backend, BackendError, BoxFuture, Destroyed, Found, Generated, Input, KeyRef, Probe, Signature};
use jwksd::ids::{Handle, Label};
use jwksd::jose::alg::KeySpec;
use rustix::process::getuid;

use crate::support::daemon::variable;
use crate::support::tokens::SoftToken;

#[test]
fn kryoptic_keeps_the_contract() {
    each(SoftToken::kryoptic);
}

#[test]
fn opencryptoki_keeps_the_contract() {
    each_as_root(SoftToken::opencryptoki);
}

#[test]
fn a_tpm_keeps_the_contract() {
    each_as_root(SoftToken::tpm);
}

/// In this process and in workers, each over a token of its own.
fn each(token: impl Fn() -> SoftToken) {
    if variable("JWKSD_LONG").is_none() {
        println!("left to ./test --long");
        return;
    }
    for test in ["conformance_in_process", "conformance_in_workers"] {
        token().in_child(&format!("backends::pkcs11::{test}"));
    }
}

/// Servers around a token are ended with it by means that only root has.
fn each_as_root(token: impl Fn() -> SoftToken) {
    if getuid().is_root() {
        each(token);
    } else {
        println!("SKIPPED: only root can start the servers of this token");
    }
}

/// Asks again for a key, as the rotator does, where that was unavailable.
#[derive(Debug)]
pub struct Insistent(pub Arc<dyn Backend>);

impl Backend for Insistent {
    fn generate<'a>(&'a self, label: &'a Label, spec: KeySpec) -> BoxFuture<'a, Result<Generated, BackendError>> {
        Box::pin(async move {
            for _ in 0..20 {
                match self.0.generate(label, spec).await {
                    Err(BackendError::Unavailable(text)) => println!("{label}: {text}"),
                    answer => return answer,
                }
            }
            self.0.generate(label, spec).await
        })
    }

    fn sign<'a>(
        &'a self,
        key: KeyRef<'a>,
        input: Input<'a>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Signature, BackendError>> {
        self.0.sign(key, input, within)
    }

    fn destroy<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<Destroyed, BackendError>> {
        self.0.destroy(handle)
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, BackendError>> {
        self.0.list()
    }

    fn same_key(&self, one: &Handle, other: &Handle) -> bool {
        self.0.same_key(one, other)
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        self.0.probe()
    }
}
