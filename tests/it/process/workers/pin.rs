//! A wrong PIN is tried once, and not again before an operator has acted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jwksd::backend::pkcs11::Pin;
use jwksd::backend::pkcs11::router::PinSource;
use jwksd::backend::{Backend, BackendError, Input, KeyRef};
use jwksd::ids::Handle;
use pkcs11_shim::Function;
use tokio::time::Instant;

use super::WITHIN;
use crate::support::shimmed::{Shimmed, es256, key, label, metric, pin, start};
use crate::support::soon::soon;
use crate::support::tokens::PIN;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_is_tried_once_whoever_asks_and_however_often_it_starts() {
    let shimmed = Shimmed::new();
    let logins = || shimmed.control.calls(Function::Login);
    let mut plan = shimmed.plan();
    plan.pin = pin("999999");
    for _ in 0..3 {
        let (router, metrics) = start(plan.clone());
        let refused = || metric(&metrics, "jwksd_backend_workers_lost_total{backend=\"hsm\",cause=\"pin\"}");
        assert!(soon(|| refused() >= 3).await, "the workers did not try");
        let made = router.generate(&label(1), es256()).await;
        assert!(matches!(&made, Err(BackendError::Refused(text)) if text.contains("PIN")), "{made:?}");
        let handle = Handle::new("0123456789abcdef0123456789abcdef.x");
        let begun = Instant::now();
        let signed = router.sign(KeyRef { handle: &handle, spec: es256() }, Input::Message(b"input"), WITHIN).await;
        assert!(matches!(&signed, Err(BackendError::Refused(text)) if text.contains("unlock")), "{signed:?}");
        assert!(begun.elapsed() < WITHIN / 2, "nobody waits for what will not come");
        assert_eq!(logins(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_pin_is_taken_up_without_a_restart() {
    let shimmed = Shimmed::new();
    let tries = Arc::new(AtomicU64::new(0));
    let (count, mut plan) = (Arc::clone(&tries), shimmed.plan());
    // The first worker reads the wrong one, from a file that is then corrected.
    plan.pin = PinSource(Arc::new(move || {
        let (text, source) = if count.fetch_add(1, Ordering::SeqCst) == 0 { ("999999", "1") } else { (PIN, "2") };
        Ok(Pin::new(text.as_bytes(), source).unwrap())
    }));
    let (router, metrics) = start(plan);
    let ready = || metric(&metrics, "jwksd_backend_workers_ready{backend=\"hsm\"}");
    assert!(soon(|| ready() == 2).await, "the workers did not get ready");
    key(&router, 1).await;
    // One that was wrong, one for each worker, one to make the key.
    assert_eq!(shimmed.control.calls(Function::Login), 4);
    assert!(tries.load(Ordering::SeqCst) >= 4);
}
