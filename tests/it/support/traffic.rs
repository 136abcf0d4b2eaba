//! Verifiers, callers and operators who never rest, whether the daemon is there or not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jwksd::jose::base64url;
use serde_json::{Value, json};

use super::daemon::{Installation, now, pause};
use super::dice::Dice;
use super::witness::{Promise, Witness};

/// Two issuers with two rings each, whose keys live for seconds; their sets also go to the directory `www`.
pub fn two_issuers() -> String {
    let issuer = |name: &str| {
        format!(
            r#"
[issuers.{name}]
url = "http://127.0.0.1/{name}"
jwks_max_age = "1s"
skew = "1s"
verifiers = [{{ name = "witness", cache = "1s" }}]
max_keys = 40
max_bytes = "48KiB"
publish.directory = "{{root}}/www"
[issuers.{name}.rings.es256]
algorithm = "ES256"
backend = "soft"
active_period = "5s"
token_lifetime_max = "5s"
drain = "2s"
[issuers.{name}.rings.eddsa]
algorithm = "EdDSA"
backend = "soft"
active_period = "20s"
token_lifetime_max = "5s"
drain = "2s"
"#
        )
    };
    ["alpha", "beta"].map(issuer).concat()
}

/// The witnesses of [`two_issuers`].
pub fn witnesses() -> Vec<Witness> {
    // The verifier's cache, and max-age for a cache before it.
    let holds = Duration::from_secs(2);
    let promise = |issuer, path| Promise { issuer, path, holds, token_lifetime: 5 };
    vec![Witness::new(promise("alpha", "/alpha")), Witness::new(promise("beta", "/beta"))]
}

/// What goes on while daemons come and go.
#[derive(Debug, Clone, Copy)]
pub struct Traffic<'a> {
    pub installation: &'a Installation,
    pub witnesses: &'a [Witness],
    pub is_over: &'a AtomicBool,
}

/// Ends the traffic when dropped, also if the test fails.
#[derive(Debug)]
pub struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<'a> Traffic<'a> {
    /// Goes on until the returned value is dropped.
    #[must_use]
    pub fn start<'s>(self, scope: &'s Scope<'s, '_>, mut dice: Dice) -> End<'a>
    where
        'a: 's,
    {
        let (verifying, signing, operating) = (self, self, self);
        let mut operator = dice.split();
        scope.spawn(move || verifying.verify());
        scope.spawn(move || signing.sign(&mut dice));
        scope.spawn(move || operating.operate(&mut operator));
        End(self.is_over)
    }

    fn goes_on(self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    fn verify(self) {
        while self.goes_on() {
            for witness in self.witnesses {
                witness.poll(&self.installation.public);
            }
            pause(Duration::from_millis(20));
        }
    }

    fn sign(self, dice: &mut Dice) {
        while self.goes_on() {
            for witness in self.witnesses {
                let ring = if dice.chance(50) { "es256" } else { "eddsa" };
                witness.sign(&self.installation.signing, ring, 5);
            }
            pause(Duration::from_millis(15));
        }
    }

    fn operate(self, dice: &mut Dice) {
        let admin = &self.installation.admin;
        while self.goes_on() {
            let Some(witness) = dice.choose(self.witnesses) else { return };
            match dice.below(100) {
                0..55 => witness.rotate(admin, if dice.chance(50) { "es256" } else { "eddsa" }),
                55..70 => witness.import(admin, &foreign_key(), now() + 10),
                70..80 => self.compromise(witness, dice),
                _ => drop(witness.look(admin)),
            }
            pause(Duration::from_millis(50 + dice.below(250)));
        }
    }

    /// Declares any listed key of the issuer compromised.
    fn compromise(self, witness: &Witness, dice: &mut Dice) {
        let Some((_, keys)) = witness.look(&self.installation.admin) else { return };
        let listed: Vec<&str> = keys
            .keys
            .iter()
            .filter(|key| key.listed && key.ring.is_some())
            .filter_map(|key| key.kid.as_deref())
            .collect();
        if let Some(kid) = dice.choose(&listed) {
            witness.compromise(&self.installation.admin, kid);
        }
    }
}

/// The public half of a key that the daemon has never seen.
pub fn foreign_key() -> Value {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (base64url::encode(&point[1..33]), base64url::encode(&point[33..]));
    json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": format!("legacy-{}", &x[..12]), "x": x, "y": y})
}
