//! A whole rotator and signer over a fake backend and a store in memory, under a clock that tests set.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jwksd::access::caller::{Caller, Peer};
use jwksd::audit::{Audit, Options};
use jwksd::backend::{Backend, BoxFuture};
use jwksd::clock::{Clock, SteadyClock};
use jwksd::ids::{CommitId, IssuerId, RingName};
use jwksd::jose::json::{Limits, Object};
use jwksd::lifecycle::adopt::adoptions;
use jwksd::lifecycle::event::{Event, Fact};
use jwksd::lifecycle::issuer::Issuer;
use jwksd::lifecycle::policy::{IssuerPolicy, MAX_BYTES, Policy, RingPolicy, Rotation, Terms};
use jwksd::lifecycle::time::{Span, Timestamp};
use jwksd::publish::{Publication, PublishError, Publisher};
use jwksd::rotator::{Cause, Committer, Effector, Rotator, TickError};
use jwksd::signer::{Asker, JwtRequest, SignError, SignedJwt, Signer, Target};
use jwksd::snapshot::{IssuerSettings, Place, Places, RingSettings, SelfVerify};
use jwksd::store::{Committed, Store};
use jwksd::telemetry::Metrics;

use crate::support::fake_backend::FakeBackend;
use crate::support::memory_store::MemoryStore;

/// A clock with two hands that tests move.
#[derive(Debug)]
pub struct Hands {
    wall: AtomicI64,
    monotonic: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.monotonic.load(Ordering::SeqCst))
    }
}

/// A publisher that can be out of reach.
#[derive(Debug, Default)]
pub struct Mirror {
    pub is_away: AtomicBool,
    pub newest: AtomicU64,
}

impl Publisher for Mirror {
    fn publish<'a>(&'a self, publication: &'a Publication) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async {
            if self.is_away.load(Ordering::SeqCst) {
                return Err(PublishError::Unavailable("away".to_owned()));
            }
            self.newest.fetch_max(publication.version.get(), Ordering::SeqCst);
            Ok(())
        })
    }
}

pub struct Rig {
    pub hands: Arc<Hands>,
    pub mirror: Arc<Mirror>,
    pub backend: Arc<FakeBackend>,
    pub store: Arc<MemoryStore>,
    pub audit: Audit,
    pub rotator: Arc<Rotator>,
    pub signer: Arc<Signer>,
    pub issuer: IssuerId,
    pub ring: RingName,
    _directory: tempfile::TempDir,
}

/// Rotation each 1000 s, propagation 100 s, drain 50 s, tokens of 60 s.
fn terms() -> Terms {
    let mut terms = Terms {
        rotation: Rotation::Every(Span::from_secs(1_000)),
        propagation: Span::from_secs(100),
        token_lifetime_max: Span::from_secs(60),
        skew: Span::from_secs(1),
        jwks_max_age: Span::from_secs(5),
        drain: Span::from_secs(50),
        sign_deadline: Span::from_secs(5),
        ..Terms::default()
    };
    terms.retention = terms.least_retention();
    terms
}

impl Rig {
    /// An issuer that has just been created.
    pub async fn new() -> Self {
        let hands = Arc::new(Hands { wall: AtomicI64::new(1_800_000_000), monotonic: AtomicU64::new(1_000) });
        let clock: Arc<dyn Clock> = Arc::clone(&hands) as Arc<dyn Clock>;
        let directory = tempfile::tempdir().unwrap();
        let (audit, _) = Audit::open(directory.path(), Options::default(), Arc::clone(&clock)).unwrap();
        let (issuer, ring) = (IssuerId::new("main").unwrap(), RingName::new("es256").unwrap());
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let backend = Arc::new(FakeBackend::new("test"));
        let policy = RingPolicy {
            policy: Policy::new(terms()).unwrap(),
            backend: "fake".parse().unwrap(),
            standby_backend: None,
        };
        let policy = IssuerPolicy { rings: [(ring.clone(), policy)].into(), max_bytes: MAX_BYTES };
        let committed = create(&store, &issuer, &ring, &policy, clock.now()).await;
        let sign = RingSettings { typ: None, self_verify: SelfVerify::Always, raw_signatures: true };
        let settings = IssuerSettings {
            url: "https://id.example.com".to_owned(),
            path: String::new(),
            jwks_max_age: Span::from_secs(5),
            skew: Span::from_secs(1),
            openid_configuration: false,
            policy,
            rings: [(ring.clone(), sign)].into(),
        };
        let places = Arc::new(Places::new([(issuer.clone(), Place::new(settings, committed))]));
        let backends: HashMap<_, Arc<dyn Backend>> =
            [("fake".parse().unwrap(), Arc::clone(&backend) as Arc<dyn Backend>)].into();
        let effector =
            Effector { installation: "test".parse().unwrap(), backends: backends.clone(), audit: audit.clone() };
        let committer = Committer { store: Arc::clone(&store) as Arc<dyn Store>, audit: audit.clone() };
        let steady = SteadyClock::new(Arc::clone(&clock));
        let metrics = Arc::new(Metrics::default());
        let mirror = Arc::new(Mirror::default());
        let publishers = [(issuer.clone(), vec![Arc::clone(&mirror) as Arc<dyn Publisher>])].into();
        let rotator = Rotator::new(Arc::clone(&places), committer, effector, publishers, steady, metrics);
        let signer = Signer::new(places, backends, Some(audit.clone()), clock);
        let (rotator, signer) = (Arc::new(rotator), Arc::new(signer));
        Self { hands, mirror, backend, store, audit, rotator, signer, issuer, ring, _directory: directory }
    }

    /// An issuer whose v1 signs and whose v2 is a ready standby.
    pub async fn settled() -> Self {
        let rig = Self::new().await;
        rig.settle().await;
        rig.pass(100);
        assert!(rig.standby_is_ready());
        rig
    }

    /// Lets `seconds` pass on both hands.
    pub fn pass(&self, seconds: u64) {
        self.jump(i64::try_from(seconds).unwrap());
        self.hands.monotonic.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Sets the wall clock alone.
    pub fn jump(&self, seconds: i64) {
        self.hands.wall.fetch_add(seconds, Ordering::SeqCst);
    }

    pub async fn tick(&self) -> Result<Option<Timestamp>, TickError> {
        self.rotator.tick(&self.issuer).await
    }

    /// Ticks until nothing is due.
    pub async fn settle(&self) {
        for _ in 0..10 {
            let wake_at = self.tick().await.unwrap();
            if wake_at.is_none_or(|at| at > self.rotator.clock.now()) {
                return;
            }
        }
        panic!("the issuer does not come to rest");
    }

    pub async fn record(&self, fact: Fact) -> Result<Committed, TickError> {
        self.rotator.record(&self.issuer, fact, &Cause::default()).await
    }

    pub fn place(&self) -> &Place {
        self.rotator.places.get(self.issuer.as_str()).unwrap()
    }

    /// The number of the version that signs.
    pub fn signing_version(&self) -> Option<u64> {
        let state = self.place().state();
        state.ring("es256").unwrap().signer.as_ref().map(|key| key.version.get())
    }

    pub fn standby_is_ready(&self) -> bool {
        self.place().state().issuer().ring(&self.ring).unwrap().standby_ready(self.hands.now())
    }

    /// The kids of the set that is out.
    pub fn served(&self) -> String {
        self.place()
            .served()
            .as_ref()
            .map(|served| String::from_utf8(served.body.to_vec()).unwrap())
            .unwrap_or_default()
    }

    pub fn signer_kid(&self) -> String {
        self.signer.current(self.target()).unwrap().kid.to_string()
    }

    fn target(&self) -> Target<'_> {
        Target { issuer: &self.issuer, ring: &self.ring }
    }

    pub async fn sign(&self) -> Result<SignedJwt, SignError> {
        let claims = Object::parse(r#"{"sub":"alice"}"#, &Limits::DEFAULT).unwrap();
        let caller = Caller { peer: Peer::Unix { uid: 0, gid: 0 }, token: None };
        let asker = Asker { caller, request_id: "r".to_owned() };
        self.signer.jwt(self.target(), JwtRequest { claims: &claims, typ: None, ttl: None }, &asker).await
    }
}

async fn create(
    store: &MemoryStore,
    id: &IssuerId,
    ring: &RingName,
    policy: &IssuerPolicy,
    at: Timestamp,
) -> Committed {
    let mut issuer = Issuer::new(id.clone(), false);
    let specs = [(ring.clone(), FakeBackend::spec())].into();
    for fact in adoptions(&issuer, policy, &specs) {
        issuer.apply(policy, &Event { at, fact }).unwrap();
    }
    store.create(&issuer, CommitId::new([7; 16])).await.unwrap()
}
