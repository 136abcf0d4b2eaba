//! Whatever a worker of a PKCS#11 module sends is read as what it says, or refused.
#![no_main]

use jwksd::backend::pkcs11::wire::{HEAD, Order, Report, next};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some((frame, used))) = next(rest) {
        let _ = Order::parse(frame);
        if let Ok(report) = Report::parse(frame) {
            let mut written = Vec::new();
            report.write(&mut written);
            assert!(written.len() >= HEAD);
            let (again, _) = next(&written).expect("our own frame").expect("a whole one");
            assert_eq!(Report::parse(again).as_ref(), Ok(&report));
        }
        rest = &rest[used..];
    }
});
