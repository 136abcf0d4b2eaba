//! What goes wrong around a daemon: how it ends, what it refuses to start on, and a disk that takes no more.

mod adopt;
mod disk;
mod passed;
mod service;
mod start;
mod stop;
mod tls;

use crate::support::daemon::{Installation, Layout};
use crate::support::http::{Address, Answer};
use crate::support::one_ring::{ask, issuer};

/// One issuer of software keys: nothing happens unless it is asked for.
pub fn calm() -> String {
    issuer("soft", "6h")
}

fn installed() -> Installation {
    let installation = Installation::new(Layout { issuers: calm(), ..Layout::default() });
    installation.init();
    installation
}

const JWT: &str = "/v1/issuers/main/rings/es256/jwt";

pub fn sign(signing: &Address) -> Answer {
    ask(signing, "main").expect("the daemon answers")
}
