//! Remembers everything that one issuer was seen to say, and notes each word that it goes back on.
//!
//! It stands for every verifier, caller and operator at once, knows nothing of the daemon's inside, and
//! lives on while daemons are killed and started.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use jwksd::lifecycle::time::Timestamp;
use jwksd::server::api::{CompromiseReport, ImportReport, Issuer, Key, KeyState, Keys, RotateReport, Token};
use serde_json::{Value, json};

use super::daemon::{monotonic, now};
use super::http::{Address, Answer, Failure};

/// What is promised about an issuer, as its configuration says it.
#[derive(Debug, Clone)]
pub struct Promise {
    /// Its name.
    pub issuer: &'static str,
    /// Its path on the public listener.
    pub path: &'static str,
    /// How long a declared verifier, and a cache before it, hold a set: no token may be signed by a key that
    /// a set of this age lacks.
    pub holds: Duration,
    /// The claims' `exp - iat` at most.
    pub token_lifetime: i64,
}

/// One issuer's witness.
#[derive(Debug)]
pub struct Witness {
    pub promise: Promise,
    seen: Mutex<Seen>,
}

/// What it saw.
#[derive(Debug, Default)]
struct Seen {
    /// The bodies of sets by version.
    sets: BTreeMap<u64, Vec<u8>>,
    /// Sets that a verifier may still hold: when it asked, and the kids.
    held: VecDeque<(Duration, HashSet<String>)>,
    /// Public keys by kid.
    keys: HashMap<String, Value>,
    /// Tokens that may still be valid.
    alive: Vec<Received>,
    jtis: BTreeSet<String>,
    /// Kids for which a compromise was asked, whatever the answer.
    suspects: HashSet<String>,
    /// Kids whose compromise was acknowledged, and the first set without them.
    condemned: HashMap<String, u64>,
    /// Rings whose rotation was acknowledged, and the version that signed before.
    rotations: Vec<(String, u64)>,
    /// Imported kids that were acknowledged, and their end.
    imported: HashMap<String, i64>,
    revision: u64,
    served: u64,
    committed: u64,
    tally: BTreeMap<String, u64>,
    faults: Vec<String>,
}

#[derive(Debug)]
struct Received {
    token: String,
    kid: String,
    exp: i64,
    at: Duration,
    is_verified: bool,
}

impl Witness {
    pub fn new(promise: Promise) -> Self {
        Self { promise, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the JWK Set. True if there was one.
    pub fn poll(&self, public: &Address) -> bool {
        let asked = monotonic();
        let floor = self.seen().served;
        let answer = match public.get(&format!("{}/.well-known/jwks.json", self.promise.path)) {
            Ok(answer) => answer,
            Err(failure) => return self.seen().unanswered("jwks", &failure),
        };
        let mut seen = self.seen();
        if answer.status != 200 {
            let is_known = answer.status == 503 && answer.code() == "not_published" && floor == 0;
            seen.demand(is_known, || format!("the JWK Set was answered with {}: {}", answer.status, answer.text()));
            return false;
        }
        let version = answer.header("jwk-set-version").and_then(|version| version.parse::<u64>().ok());
        seen.demand(version.is_some(), || "a JWK Set came without its version".to_owned());
        seen.set(version.unwrap_or(0), floor, &answer, asked, self.promise.holds);
        true
    }

    /// Has a token signed. True if one was.
    pub fn sign(&self, signing: &Address, ring: &str, ttl: u64) -> bool {
        let asked = monotonic();
        let condemned: Vec<String> = self.seen().condemned.keys().cloned().collect();
        let path = format!("/v1/issuers/{}/rings/{ring}/jwt", self.promise.issuer);
        let answer = match signing.post(&path, &json!({"claims": {"sub": "alice"}, "ttl": format!("{ttl}s")})) {
            Ok(answer) => answer,
            Err(failure) => return self.seen().unanswered("jwt", &failure),
        };
        let mut seen = self.seen();
        if answer.status != 200 {
            let code = answer.code();
            let is_known = NO_TOKEN_NOW.contains(&(answer.status, code.as_str()));
            seen.demand(is_known, || format!("signing was answered with {}: {}", answer.status, answer.text()));
            seen.count(&format!("jwt {code}"));
            return false;
        }
        let token: Token = answer.read();
        seen.demand(!condemned.contains(&token.kid), || format!("{} signed after its compromise", token.kid));
        seen.token(token, asked, &self.promise);
        true
    }

    /// Reads what the operator sees. `None` if the daemon does not answer.
    pub fn look(&self, admin: &Address) -> Option<(Issuer, Keys)> {
        let (revision, committed, served) = {
            let seen = self.seen();
            (seen.revision, seen.committed, seen.served)
        };
        let rotations = self.seen().rotations.clone();
        let condemned: Vec<String> = self.seen().condemned.keys().cloned().collect();
        let imported = self.seen().imported.clone();
        let path = format!("/v1/issuers/{}", self.promise.issuer);
        let issuer: Issuer = admin.get(&path).ok()?.read();
        let keys: Keys = admin.get(&format!("{path}/keys")).ok()?.read();
        let mut seen = self.seen();
        seen.demand(issuer.revision >= revision, || format!("revision {} after {revision}", issuer.revision));
        let least = committed.max(served);
        seen.demand(issuer.jwk_set_version >= least, || {
            format!("JWK Set {} is the newest after {least}", issuer.jwk_set_version)
        });
        seen.revision = seen.revision.max(issuer.revision);
        seen.committed = seen.committed.max(issuer.jwk_set_version);
        for (ring, before) in rotations {
            seen.rotation_stands(&issuer, &ring, before);
        }
        let find = |kid: &str| keys.keys.iter().find(|key| key.kid.as_deref() == Some(kid));
        for kid in condemned {
            let stands =
                find(&kid).map_or(keys.keys.len() > FORGETTING, |key| key.compromised.is_some() && !key.listed);
            seen.demand(stands, || format!("the compromise of {kid} was forgotten: {:?}", find(&kid)));
        }
        for (kid, until) in imported.into_iter().filter(|(_, until)| *until > now() + 1) {
            let stands = find(&kid).is_some_and(|key| key.state == KeyState::Imported && key.listed);
            seen.demand(stands, || format!("the import of {kid} until {until} was lost: {:?}", find(&kid)));
        }
        Some((issuer, keys))
    }

    /// Asks for a rotation.
    pub fn rotate(&self, admin: &Address, ring: &str) {
        let Some((issuer, _)) = self.look(admin) else { return };
        let signer = |issuer: &Issuer| Some(issuer.rings.iter().find(|r| r.ring == ring)?.signer.as_ref()?.version);
        let Some(before) = signer(&issuer) else { return };
        let path = format!("/v1/issuers/{}/rings/{ring}/rotate", self.promise.issuer);
        let answer = admin.post(&path, &json!({"reason": "drill"}));
        let mut seen = self.seen();
        if let Some(answer) = seen.accepted("rotate", answer) {
            let report: RotateReport = answer.read();
            seen.revision = seen.revision.max(report.revision);
            seen.rotations.push((ring.to_owned(), before));
        }
    }

    /// Declares a key compromised.
    pub fn compromise(&self, admin: &Address, kid: &str) -> Option<CompromiseReport> {
        self.seen().suspects.insert(kid.to_owned());
        let path = format!("/v1/issuers/{}/compromise", self.promise.issuer);
        let answer = admin.post(&path, &json!({"kid": kid, "reason": "drill"}));
        let mut seen = self.seen();
        let report: CompromiseReport = seen.accepted("compromise", answer)?.read();
        seen.revision = seen.revision.max(report.revision);
        seen.condemned.insert(kid.to_owned(), report.jwk_set_version);
        if report.withdrawal_seen_at.is_some() {
            // The daemon says that the set without the key is out.
            seen.served = seen.served.max(report.jwk_set_version);
        }
        Some(report)
    }

    /// Has a foreign key published until `until`.
    pub fn import(&self, admin: &Address, jwk: &Value, until: i64) {
        let path = format!("/v1/issuers/{}/import", self.promise.issuer);
        let body = json!({"jwk": jwk, "until": Timestamp::from_second(until).to_string(), "reason": "drill"});
        let answer = admin.post(&path, &body);
        let mut seen = self.seen();
        if let Some(answer) = seen.accepted("import", answer) {
            let report: ImportReport = answer.read();
            seen.revision = seen.revision.max(report.revision);
            seen.committed = seen.committed.max(report.jwk_set_version);
            seen.imported.extend(report.kids.into_iter().map(|kid| (kid, until)));
        }
    }

    /// Whether every acknowledged rotation has come about.
    pub fn has_rotated(&self) -> bool {
        self.seen().rotations.is_empty()
    }

    /// The names of all tokens that were received.
    pub fn jtis(&self) -> BTreeSet<String> {
        self.seen().jtis.clone()
    }

    /// How often each thing happened.
    pub fn tally(&self) -> BTreeMap<String, u64> {
        self.seen().tally.clone()
    }

    /// Fails if the issuer went back on its word so far.
    pub fn assert_sound(&self) {
        let seen = self.seen();
        assert!(seen.faults.is_empty(), "issuer {}:\n{}", self.promise.issuer, seen.faults.join("\n"));
    }
}

impl Seen {
    fn demand(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds && self.faults.len() < FAULTS_MAX {
            let text = format!("{} {}", now(), fault());
            self.faults.push(text);
        }
    }

    fn count(&mut self, what: &str) {
        *self.tally.entry(what.to_owned()).or_default() += 1;
    }

    fn unanswered(&mut self, what: &str, failure: &Failure) -> bool {
        match failure {
            Failure::Unreachable(_) => self.count(&format!("{what} unreachable")),
            Failure::Broken(_) => self.count(&format!("{what} broken")),
        }
        false
    }

    /// The answer of a command, if it says that the command was obeyed.
    fn accepted(&mut self, what: &str, answer: Result<Answer, Failure>) -> Option<Answer> {
        match answer {
            // 202: done, but not published yet.
            Ok(answer) if matches!(answer.status, 200..=202) => {
                self.count(&format!("{what} {}", answer.status));
                self.count(what);
                Some(answer)
            }
            Ok(answer) => {
                let (status, code) = (answer.status, answer.code());
                let is_known = matches!(status, 409 | 503) || (what == "compromise" && status == 404);
                self.demand(is_known, || format!("{what} was answered with {status}: {}", answer.text()));
                self.count(&format!("{what} {code}"));
                None
            }
            Err(failure) => {
                self.unanswered(what, &failure);
                None
            }
        }
    }

    fn set(&mut self, version: u64, floor: u64, answer: &Answer, asked: Duration, holds: Duration) {
        self.count("jwks");
        self.demand(version >= floor, || format!("JWK Set {version} was served after {floor}"));
        self.served = self.served.max(version);
        let known = self.sets.entry(version).or_insert_with(|| answer.body.clone());
        let is_same = *known == answer.body;
        self.demand(is_same, || format!("JWK Set {version} has two contents"));
        let set: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let mut kids = HashSet::new();
        for key in set["keys"].as_array().into_iter().flatten() {
            let kid = key["kid"].as_str().unwrap_or_default().to_owned();
            let is_same = self.keys.entry(kid.clone()).or_insert_with(|| key.clone()) == key;
            self.demand(is_same, || format!("two keys have the kid {kid}"));
            kids.insert(kid);
        }
        self.demand(!kids.is_empty(), || format!("JWK Set {version} is empty or no JWK Set"));
        let gone: Vec<String> = self
            .condemned
            .iter()
            .filter(|(kid, from)| version >= **from && kids.contains(*kid))
            .map(|(kid, _)| kid.clone())
            .collect();
        self.demand(gone.is_empty(), || format!("JWK Set {version} lists compromised keys: {gone:?}"));
        self.tokens_stand(version, &kids, asked);
        self.held.push_back((asked, kids));
        let horizon = asked.saturating_sub(holds + Duration::from_secs(2));
        while self.held.front().is_some_and(|(at, _)| *at < horizon) {
            self.held.pop_front();
        }
    }

    /// Every token that is still valid verifies with this set.
    fn tokens_stand(&mut self, version: u64, kids: &HashSet<String>, asked: Duration) {
        // The clock shows whole seconds: a token that ends with this one may be over.
        let latest = now() + 1;
        let mut alive = std::mem::take(&mut self.alive);
        for received in alive.iter_mut().filter(|received| received.at < asked && received.exp >= latest) {
            let (kid, exp) = (&received.kid, received.exp);
            if self.suspects.contains(kid) {
                continue;
            }
            self.demand(kids.contains(kid), || format!("JWK Set {version} lacks {kid}, whose token ends at {exp}"));
            if let Some(key) = self.keys.get(kid).filter(|_| !received.is_verified) {
                let verified = verify(&received.token, key);
                self.demand(verified.is_ok(), || format!("a token of {kid} does not verify: {verified:?}"));
                self.count("tokens verified");
                received.is_verified = true;
            }
        }
        alive.retain(|received| received.exp >= latest);
        self.alive = alive;
    }

    fn token(&mut self, token: Token, asked: Duration, promise: &Promise) {
        let at = monotonic();
        self.count("jwt");
        let Token { token, kid, jti, expires_at } = token;
        let exp = expires_at.0.as_second();
        let latest = now() + promise.token_lifetime;
        self.demand(exp <= latest, || format!("a token ends at {exp}, after {latest}"));
        let is_new = self.jtis.insert(jti.clone());
        self.demand(is_new, || format!("two tokens are called {jti}"));
        // A verifier that fetched within the promised time still holds what it got then.
        let horizon = at.saturating_sub(promise.holds);
        let lacking =
            self.held.iter().filter(|(fetched, kids)| *fetched >= horizon && *fetched < asked && !kids.contains(&kid));
        let lacking: Vec<Duration> = lacking.map(|(fetched, _)| at.saturating_sub(*fetched)).collect();
        self.demand(lacking.is_empty(), || format!("{kid} signed, but sets fetched {lacking:?} ago lack it"));
        self.alive.push(Received { token, kid, exp, at, is_verified: false });
    }

    /// A rotation that was acknowledged is still wanted, or has happened.
    fn rotation_stands(&mut self, issuer: &Issuer, ring: &str, before: u64) {
        let Some(found) = issuer.rings.iter().find(|found| found.ring == ring) else {
            return self.demand(false, || format!("ring {ring} is gone"));
        };
        match &found.signer {
            Some(signer) if signer.version > before => {
                self.count("rotations that came about");
                self.rotations.retain(|rotation| *rotation != (ring.to_owned(), before));
            }
            Some(_) => self.demand(found.requested_at.is_some(), || {
                format!("the acknowledged rotation of {ring} after v{before} is neither done nor wanted")
            }),
            None => {}
        }
    }
}

/// The keys that a backend must hold, by handle.
pub fn handles(keys: &[Key]) -> Vec<String> {
    let held = keys.iter().filter(|key| key.private_half == jwksd::server::api::PrivateHalf::Held);
    let mut handles: Vec<String> = held.filter_map(|key| key.handle.clone()).collect();
    handles.sort();
    handles
}

/// Checks a token with one public key, as a Rust service would.
pub fn verify(token: &str, key: &Value) -> Result<Value, String> {
    let fault = |error: jsonwebtoken::errors::Error| error.to_string();
    let jwk: Jwk = serde_json::from_value(key.clone()).map_err(|error| error.to_string())?;
    let header = jsonwebtoken::decode_header(token).map_err(fault)?;
    let mut validation = Validation::new(header.alg);
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(&jwk).map_err(fault)?, &validation);
    decoded.map(|decoded| decoded.claims).map_err(fault)
}

/// With these codes a caller is told to try again; no token was released.
const NO_TOKEN_NOW: &[(u16, &str)] =
    &[(503, "no_signer"), (409, "key_withdrawn"), (503, "state_unconfirmed"), (503, "audit_unavailable")];

/// A ring remembers 120 keys; below this many in all, none was forgotten.
const FORGETTING: usize = 120;

const FAULTS_MAX: usize = 20;
