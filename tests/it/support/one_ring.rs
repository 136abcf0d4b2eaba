//! An installation with one issuer of one ring, where nothing happens unless it is asked for.

use serde_json::json;

use super::http::{Address, Answer, Failure};

/// One issuer whose first key is made in `backend`, signs at once and stays for hours, and then for `drain`.
pub fn issuer(backend: &str, drain: &str) -> String {
    format!(
        r#"
[issuers.main]
url = "http://127.0.0.1/main"
jwks_max_age = "1s"
skew = "1s"
verifiers = [{{ name = "ours", cache = "1s" }}]
[issuers.main.rings.es256]
algorithm = "ES256"
backend = "{backend}"
active_period = "6h"
token_lifetime_max = "5s"
drain = "{drain}"
"#
    )
}

/// Asks the one ring of `issuer` for a token.
pub fn ask(signing: &Address, issuer: &str) -> Result<Answer, Failure> {
    let path = format!("/v1/issuers/{issuer}/rings/es256/jwt");
    signing.post(&path, &json!({"claims": {"sub": "alice"}}))
}

#[cfg(any(feature = "aws", feature = "gcp", feature = "pkcs11"))]
mod keys {
    use std::collections::BTreeSet;

    #[cfg(feature = "gcp")]
    use jwksd::server::api::Issuer;
    use jwksd::server::api::Keys;

    use super::ask;
    use crate::support::daemon::{Daemon, Installation, PATIENCE, until};
    #[cfg(feature = "gcp")]
    use crate::support::http::Answer;
    use crate::support::witness::handles;

    /// What is asked of a daemon whose one ring has its keys in a backend of interest.
    impl Installation {
        /// What becomes of a signature.
        #[cfg(feature = "gcp")]
        pub fn sign(&self) -> Answer {
            ask(&self.signing, "main").expect("the daemon answers")
        }

        /// Waits until it signs.
        pub fn must_sign(&self, what: &str) {
            let signs = || ask(&self.signing, "main").is_ok_and(|answer| answer.status == 200).then_some(());
            assert!(until(PATIENCE, signs).is_some(), "{what}: it does not sign");
        }

        /// The handles of the keys that the daemon knows.
        pub fn known(&self) -> Option<BTreeSet<String>> {
            let keys: Keys = self.admin.get("/v1/issuers/main/keys").ok()?.read();
            Some(handles(&keys.keys).into_iter().collect())
        }

        /// Whether signer and standby are made.
        pub fn has_both(&self) -> bool {
            self.known().is_some_and(|known| known.len() == 2)
        }

        /// Waits until signer and standby are made; returns the handles of both.
        pub fn both_known(&self, what: &str) -> BTreeSet<String> {
            let known = until(PATIENCE, || self.known().filter(|known| known.len() == 2));
            known.unwrap_or_else(|| panic!("{what}: it has no standby: {:?}", self.known()))
        }

        /// Waits until the standby could take over.
        #[cfg(feature = "gcp")]
        pub fn must_have_standby(&self) {
            let is_ready = until(PATIENCE, || {
                let issuer: Issuer = self.admin.get("/v1/issuers/main").ok()?.read();
                issuer.rings.iter().all(|ring| ring.standby_ready).then_some(())
            });
            assert!(is_ready.is_some(), "the standby did not get ready");
        }

        /// Waits until the daemon is dead or has made both keys; says whether it is dead.
        pub fn dies_on_the_way(&self, daemon: &mut Daemon) -> bool {
            let died = until(PATIENCE, || {
                let is_over = !daemon.is_running() || self.has_both();
                is_over.then(|| !daemon.is_running())
            });
            died == Some(true)
        }

        /// Lets the daemon finish what it has to do and ends it: it signs, and knows signer and standby, whose handles
        /// are returned.
        pub fn settle(&self, daemon: Daemon, what: &str) -> BTreeSet<String> {
            self.must_sign(what);
            let known = self.both_known(what);
            assert!(daemon.stop().success(), "{what}");
            known
        }
    }
}
