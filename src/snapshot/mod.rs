//! The committed state as readers see it: the one read path for signing and serving.
//!
//! The rotator commits, then swaps a pointer. Readers take the pointer without a lock and never see
//! anything that is not durable.

mod served;
mod view;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::ids::{IssuerId, RingName};
use crate::jose::jws::Typ;
use crate::lifecycle::policy::IssuerPolicy;
use crate::lifecycle::time::Span;
use crate::store::Committed;

pub use served::Served;
pub use view::{RingView, SigningKey, Snapshot, Use};

/// When a signature is verified with the published key before it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfVerify {
    /// Every time.
    Always,
    /// The first of each key in this process.
    Load,
}

/// How a ring signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingSettings {
    /// The `typ` of tokens whose request names none.
    pub typ: Option<Typ>,
    /// When signatures are verified.
    pub self_verify: SelfVerify,
    /// Whether callers may have signing inputs signed that they assembled.
    pub raw_signatures: bool,
    /// Whether it signs digests, and nothing else.
    pub digests: bool,
}

/// How an issuer is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its name in `iss`, and where its JWK Set is published below.
    pub url: String,
    /// The path of that URL: empty, or like `/tenant-a`.
    pub path: String,
    /// The `max-age` of its JWK Set.
    pub jwks_max_age: Span,
    /// The clocks' allowance.
    pub skew: Span,
    /// Whether a discovery document is served beside the JWK Set.
    pub openid_configuration: bool,
    /// How its rings rotate.
    pub policy: IssuerPolicy,
    /// How its rings sign.
    pub rings: HashMap<RingName, RingSettings>,
}

/// One issuer's place: its settings, its committed state, and the JWK Set that is out.
#[derive(Debug)]
pub struct Place {
    /// Fixed while the process runs.
    pub settings: IssuerSettings,
    state: ArcSwap<Snapshot>,
    served: ArcSwapOption<Served>,
    /// Keeps writers of the two pointers apart; readers never take it.
    writing: Mutex<()>,
    /// Since when, on the monotonic clock, a commit is under way; 0 is never. See [`Place::commit_pending`].
    pending_since: AtomicU64,
}

impl Place {
    /// Whether a ring signs digests, and nothing else.
    #[must_use]
    pub fn signs_digests(&self, ring: &RingName) -> bool {
        self.settings.rings.get(ring).is_some_and(|settings| settings.digests)
    }

    /// A place for an issuer as it was loaded; no JWK Set is out yet.
    #[must_use]
    pub fn new(settings: IssuerSettings, committed: Committed) -> Self {
        let state = ArcSwap::from_pointee(Snapshot::new(&settings, committed, None));
        Self {
            settings,
            state,
            served: ArcSwapOption::empty(),
            writing: Mutex::new(()),
            pending_since: AtomicU64::new(0),
        }
    }

    /// The committed state.
    #[must_use]
    pub fn state(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.state.load()
    }

    /// The JWK Set that is out, if any is.
    #[must_use]
    pub fn served(&self) -> arc_swap::Guard<Option<Arc<Served>>> {
        self.served.load()
    }

    /// Shows readers a newly committed state; an older one never replaces a newer one. Only the rotator
    /// calls this.
    pub fn swap(&self, committed: Committed) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.state.load();
        if present.revision() <= committed.revision {
            self.state.store(Arc::new(Snapshot::new(&self.settings, committed, Some(&present))));
        }
    }

    /// Serves the newest JWK Set of the committed state; an older one never replaces a newer one.
    pub fn serve(&self) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = Served::new(&self.settings, &self.state.load()) {
            self.offer(served);
        }
    }

    /// Compares and stores in one step: somebody else may have served a newer set since this one was made.
    fn offer(&self, served: Served) {
        let served = Arc::new(served);
        self.served.rcu(|there| match there {
            Some(newer) if newer.version > served.version => Some(Arc::clone(newer)),
            _ => Some(Arc::clone(&served)),
        });
    }

    /// Marks that a commit dated now may become the truth before readers see it.
    ///
    /// The dates in a commit count from the moment at which it was decided. Until readers see it they
    /// may sign as before, which its `drain` allows for, but only for so long: see [`Place::pending_for`].
    /// One that is pending already counts on. Returns whether none was.
    pub fn commit_pending(&self, monotonic: Duration) -> bool {
        let since = millis(monotonic).max(1);
        self.pending_since.compare_exchange(0, since, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Marks that readers see everything that was decided.
    pub fn commit_settled(&self) {
        self.pending_since.store(0, Ordering::SeqCst);
    }

    /// Whether a commit is under way that readers don't see.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending_since.load(Ordering::SeqCst) != 0
    }

    /// How long a commit has been under way that readers don't see.
    #[must_use]
    pub fn pending_for(&self, monotonic: Duration) -> Duration {
        match self.pending_since.load(Ordering::SeqCst) {
            0 => Duration::ZERO,
            since => Duration::from_millis(millis(monotonic).saturating_sub(since)),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Every issuer's place. The set of issuers is fixed while the process runs.
#[derive(Debug, Default)]
pub struct Places(HashMap<IssuerId, Arc<Place>>);

impl Places {
    /// Takes the places of all issuers.
    #[must_use]
    pub fn new(places: impl IntoIterator<Item = (IssuerId, Place)>) -> Self {
        Self(places.into_iter().map(|(id, place)| (id, Arc::new(place))).collect())
    }

    /// The place of the issuer with that name.
    #[must_use]
    pub fn get(&self, issuer: &str) -> Option<&Arc<Place>> {
        self.0.get(issuer)
    }

    /// Every issuer and its place, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&IssuerId, &Arc<Place>)> {
        self.0.iter()
    }

    /// How many issuers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CommitId, Revision};
    use crate::jose::jwk::Jwk;
    use crate::lifecycle::event::{Event, Fact};
    use crate::lifecycle::issuer::Issuer;
    use crate::lifecycle::policy::MAX_BYTES;
    use crate::lifecycle::time::Timestamp;
    use crate::store::RecordHash;

    const FOREIGN: &str = r#"{"kty":"EC","crv":"P-256","kid":"KID","alg":"ES256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    fn settings() -> IssuerSettings {
        IssuerSettings {
            url: "https://id.example.com".to_owned(),
            path: String::new(),
            jwks_max_age: Span::from_mins(5),
            skew: Span::from_mins(1),
            openid_configuration: false,
            policy: IssuerPolicy { rings: [].into(), max_bytes: MAX_BYTES },
            rings: HashMap::new(),
        }
    }

    /// States whose JWK Sets have the versions 1, 2, 3 ….
    fn states(number: u64) -> Vec<Committed> {
        let mut issuer = Issuer::new("main".parse().unwrap(), true);
        let policy = settings().policy;
        let mut next = |number| {
            let jwk = Jwk::parse(&FOREIGN.replace("KID", &format!("k{number}"))).unwrap();
            let fact = Fact::Imported { jwk, withdraw_at: None };
            issuer.apply(&policy, &Event { at: Timestamp::from_second(0), fact }).unwrap();
            let (revision, commit_id) = (Revision::new(number), CommitId::new([0; 16]));
            Committed { issuer: issuer.clone(), revision, commit_id, hash: RecordHash([0; 32]) }
        };
        (1..=number).map(&mut next).collect()
    }

    #[test]
    fn a_set_that_was_made_before_a_newer_one_came_out_stays_behind() {
        let [first, second] = states(2).try_into().unwrap();
        let place = Place::new(settings(), first);
        let late = Served::new(&place.settings, &place.state()).unwrap();
        place.swap(second);
        place.serve();
        place.offer(late);
        assert_eq!(place.served().as_ref().map(|served| served.version.get()), Some(2));
    }
}
