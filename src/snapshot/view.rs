//! One issuer's committed state, prepared so that signing looks nothing up twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::ids::{BackendId, Handle, JwkSetVersion, Kid, Revision, RingName, VersionId};
use crate::jose::alg::KeySpec;
use crate::jose::jwk::Jwk;
use crate::jose::jws::encode_header;
use crate::jose::verify::Verifier;
use crate::lifecycle::issuer::Issuer;
use crate::lifecycle::key_ring::KeyRing;
use crate::lifecycle::policy::RingPolicy;
use crate::lifecycle::state::{Key, Private};
use crate::lifecycle::time::{Span, Timestamp};
use crate::store::Committed;

use super::{IssuerSettings, RingSettings};

/// One issuer's committed state.
#[derive(Debug)]
pub struct Snapshot {
    /// The record behind it.
    pub committed: Committed,
    /// The issuer's URL as JSON text, quotes included.
    pub iss_json: String,
    rings: HashMap<RingName, Arc<RingView>>,
}

impl Snapshot {
    pub(super) fn new(settings: &IssuerSettings, committed: Committed, previous: Option<&Self>) -> Self {
        let mut rings = HashMap::new();
        for (name, ring) in &committed.issuer.state().rings {
            let (Some(policy), Some(sign)) = (settings.policy.rings.get(name), settings.rings.get(name)) else {
                continue;
            };
            let previous = previous.and_then(|snapshot| snapshot.rings.get(name));
            rings.insert(name.clone(), Arc::new(RingView::new(ring, policy, sign, previous.map(Arc::as_ref))));
        }
        let iss_json = serde_json::Value::from(settings.url.as_str()).to_string();
        Self { committed, iss_json, rings }
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.committed.issuer
    }

    /// The number of the committed state.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.committed.revision
    }

    /// The newest version of the JWK Set.
    #[must_use]
    pub fn jwk_set_version(&self) -> JwkSetVersion {
        self.issuer().state().jwk_set_version
    }

    /// The ring of that name.
    #[must_use]
    pub fn ring(&self, name: &str) -> Option<&Arc<RingView>> {
        self.rings.get(name)
    }
}

/// A ring, as far as signing is concerned.
#[derive(Debug)]
pub struct RingView {
    /// Its name.
    pub name: RingName,
    /// The version that signs, if one does.
    pub signer: Option<Arc<SigningKey>>,
    /// Deactivated versions that callers may still name.
    pub draining: Vec<Arc<SigningKey>>,
    /// When the next version may sign, if that is known.
    pub next_may_sign_at: Option<Timestamp>,
    /// The longest token.
    pub token_lifetime: Span,
    /// The longest that one signature may take.
    pub sign_deadline: Duration,
    /// How long a decision may stay unseen by readers before signing has to stop: the drain covers it.
    pub stale_after: Duration,
    /// How the ring signs.
    pub settings: RingSettings,
}

/// What a version may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It signs; it is due to be replaced at `rotate_at`.
    Signer {
        /// When.
        rotate_at: Timestamp,
    },
    /// It signs for callers that name it, until `until`, tokens that have expired before `withdraw_at`.
    Draining {
        /// The end of its drain.
        until: Timestamp,
        /// The end of its retention.
        withdraw_at: Timestamp,
    },
}

/// A version that can sign.
#[derive(Debug)]
pub struct SigningKey {
    /// Its number.
    pub version: VersionId,
    /// The published key.
    pub jwk: Jwk,
    /// The published key, ready to verify.
    pub verifier: Verifier,
    /// What it is.
    pub spec: KeySpec,
    /// Where its private half is.
    pub backend: BackendId,
    /// The backend's locator.
    pub handle: Handle,
    /// What it may be used for.
    pub usage: Use,
    /// The encoded header of tokens with the ring's own `typ`, and the dot after it.
    pub header: String,
    proven: Arc<AtomicBool>,
}

impl SigningKey {
    fn new(
        key: &Key,
        version: VersionId,
        spec: KeySpec,
        usage: Use,
        sign: &RingSettings,
        previous: Option<&RingView>,
    ) -> Self {
        let known = previous.and_then(|ring| ring.find(key.jwk.kid()));
        let mut header = encode_header(key.jwk.alg(), key.jwk.kid(), sign.typ.as_ref());
        header.push('.');
        Self {
            version,
            jwk: key.jwk.clone(),
            verifier: known.map_or_else(|| Verifier::new(&key.jwk), |known| known.verifier.clone()),
            spec,
            backend: key.backend.clone(),
            handle: key.handle.clone(),
            usage,
            header,
            proven: known.map_or_else(Arc::default, |known| Arc::clone(&known.proven)),
        }
    }

    /// Its name in tokens.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        self.jwk.kid()
    }

    /// Whether a signature of this process was verified with the published key.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Records that one was.
    pub fn set_proven(&self) {
        self.proven.store(true, Ordering::Release);
    }
}

impl RingView {
    fn new(ring: &KeyRing, policy: &RingPolicy, sign: &RingSettings, previous: Option<&Self>) -> Self {
        let state = ring.state();
        let view =
            |key: &Key, version, usage| Arc::new(SigningKey::new(key, version, state.spec, usage, sign, previous));
        let signer = state.signer.as_ref().map(|v| view(&v.key, v.id, Use::Signer { rotate_at: v.rotate_at }));
        let held = state.retained.iter().filter(|v| v.private == Private::Held && v.withdrawn.is_none());
        let draining = held
            .map(|v| view(&v.key, v.id, Use::Draining { until: v.destroy_private_at, withdraw_at: v.withdraw_at }))
            .collect();
        let terms = policy.policy.terms();
        Self {
            name: state.name.clone(),
            signer,
            draining,
            next_may_sign_at: ring.next_may_sign_at(),
            // A longer lifetime counts from the commit that promises it, a shorter one at once.
            token_lifetime: state.promise.token_lifetime.min(terms.token_lifetime_max),
            sign_deadline: terms.sign_deadline.as_duration(),
            stale_after: terms.drain.saturating_sub(terms.sign_deadline).as_duration(),
            settings: sign.clone(),
        }
    }

    /// The version of that kid, if it can sign.
    #[must_use]
    pub fn find(&self, kid: &Kid) -> Option<&Arc<SigningKey>> {
        self.signer.iter().chain(&self.draining).find(|key| key.kid() == kid)
    }
}
