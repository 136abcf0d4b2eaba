//! What goes wrong around a daemon: how it ends, what it refuses to start on, and a disk that takes no more.

mod adopt;
mod disk;
mod passed;
mod service;
mod start;
mod stop;
mod tls;

use serde_json::json;

use crate::support::daemon::{Installation, Layout};
use crate::support::http::{Address, Answer};

/// One issuer whose first key signs at once and stays for hours: nothing happens unless it is asked for.
pub fn calm() -> String {
    issuer("6h", "6h")
}

fn issuer(active_period: &str, drain: &str) -> String {
    format!(
        r#"
[issuers.main]
url = "http://127.0.0.1/main"
jwks_max_age = "1s"
skew = "1s"
verifiers = [{{ name = "ours", cache = "1s" }}]
[issuers.main.rings.es256]
algorithm = "ES256"
backend = "soft"
active_period = "{active_period}"
token_lifetime_max = "5s"
drain = "{drain}"
"#
    )
}

fn installed() -> Installation {
    let installation = Installation::new(Layout { issuers: calm(), ..Layout::default() });
    installation.init();
    installation
}

const JWT: &str = "/v1/issuers/main/rings/es256/jwt";

pub fn sign(signing: &Address) -> Answer {
    sign_as(signing, "main")
}

fn sign_as(signing: &Address, issuer: &str) -> Answer {
    let path = JWT.replace("main", issuer);
    signing.post(&path, &json!({"claims": {"sub": "alice"}})).expect("the daemon answers")
}
