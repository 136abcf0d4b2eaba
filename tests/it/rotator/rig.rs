//! A whole rotator and signer over a fake backend and a store in memory, under a clock that tests set.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jwksd::access::caller::{Caller, Peer};
use jwksd::access::grant::{Grant, Grants, Operation, Pattern};
use jwksd::audit::{Audit, Options};
use jwksd::backend::Backend;
use jwksd::clock::{Clock, SteadyClock};
use jwksd::ids::{CommitId, IssuerId, RingName};
use jwksd::jose::json::{Limits, Object};
use jwksd::lifecycle::adopt::adoptions;
use jwksd::lifecycle::event::{Event, Fact};
use jwksd::lifecycle::issuer::Issuer;
use jwksd::lifecycle::policy::{IssuerPolicy, MAX_BYTES, Policy, RingPolicy, Rotation, Terms};
use jwksd::lifecycle::time::{Span, Timestamp};
use jwksd::publish::Publisher;
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

pub struct Rig {
    pub hands: Arc<Hands>,
    pub backend: Arc<FakeBackend>,
    pub store: Arc<MemoryStore>,
    pub audit: Audit,
    pub rotator: Arc<Rotator>,
    pub signer: Arc<Signer>,
    pub issuer: IssuerId,
    pub ring: RingName,
    directory: tempfile::TempDir,
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
        Self::with(&[], Vec::new()).await
    }

    /// The same, beside `others`, each published through `publishers` too.
    pub async fn with(others: &[&str], publishers: Vec<Arc<dyn Publisher>>) -> Self {
        let hands = Arc::new(Hands { wall: AtomicI64::new(1_800_000_000), monotonic: AtomicU64::new(1_000) });
        let clock: Arc<dyn Clock> = Arc::clone(&hands) as Arc<dyn Clock>;
        let directory = tempfile::tempdir().unwrap();
        let (audit, _) = Audit::open(directory.path(), Options::default(), Arc::clone(&clock)).unwrap();
        let (issuer, ring) = (IssuerId::new("main").unwrap(), RingName::new("es256").unwrap());
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let backend = Arc::new(FakeBackend::new("test"));
        let mut committed = Vec::new();
        for name in others.iter().copied().chain(["main"]) {
            let id = IssuerId::new(name).unwrap();
            committed.push(create(&store, &id, &ring, &settings(&ring).policy, clock.now()).await);
        }
        let (rotator, signer) = daemon(committed, &ring, &store, &backend, &audit, &clock, &publishers);
        Self { hands, backend, store, audit, rotator, signer, issuer, ring, directory }
    }

    /// Ends the daemon and starts the next, whose sets go to `publishers`.
    pub async fn restarted(self, publishers: Vec<Arc<dyn Publisher>>) -> Self {
        let clock: Arc<dyn Clock> = Arc::clone(&self.hands) as Arc<dyn Clock>;
        let committed = vec![self.store.load(&self.issuer).await.unwrap().unwrap()];
        let Self { ring, store, backend, audit, .. } = &self;
        let (rotator, signer) = daemon(committed, ring, store, backend, audit, &clock, &publishers);
        Self { rotator, signer, ..self }
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

    /// The lines of the audit log, oldest first.
    pub fn log(&self) -> Vec<String> {
        let (records, _) = jwksd::audit::last(self.directory.path(), 1_000).unwrap();
        records.into_iter().map(|record| record.line).collect()
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

    /// How many keys the newest set lists.
    pub fn listed(&self) -> usize {
        self.place().state().issuer().jwk_set().len()
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
        let caller = Caller::at(Peer::Unix { uid: 0, gid: 0 });
        let asker = Asker { caller, request_id: "r".to_owned() };
        let grants = Grants::new(vec![Grant::new(Pattern::Uid(0), [Operation::Sign])]);
        let permit = grants.permit(&asker.caller, Operation::Sign, &self.issuer, &self.ring).unwrap();
        self.signer.jwt(&permit, self.target(), JwtRequest { claims: &claims, typ: None, ttl: None }, &asker).await
    }
}

fn settings(ring: &RingName) -> IssuerSettings {
    let policy =
        RingPolicy { policy: Policy::new(terms()).unwrap(), backend: "fake".parse().unwrap(), standby_backend: None };
    let sign = RingSettings { typ: None, self_verify: SelfVerify::Always, raw_signatures: true, digests: false };
    IssuerSettings {
        url: "https://id.example.com".to_owned(),
        path: String::new(),
        jwks_max_age: Span::from_secs(5),
        skew: Span::from_secs(1),
        openid_configuration: false,
        policy: IssuerPolicy { rings: [(ring.clone(), policy)].into(), max_bytes: MAX_BYTES },
        rings: [(ring.clone(), sign)].into(),
    }
}

fn daemon(
    committed: Vec<Committed>,
    ring: &RingName,
    store: &Arc<MemoryStore>,
    backend: &Arc<FakeBackend>,
    audit: &Audit,
    clock: &Arc<dyn Clock>,
    publishers: &[Arc<dyn Publisher>],
) -> (Arc<Rotator>, Arc<Signer>) {
    let backends: HashMap<_, Arc<dyn Backend>> =
        [("fake".parse().unwrap(), Arc::clone(backend) as Arc<dyn Backend>)].into();
    let effector = Effector { installation: "test".parse().unwrap(), backends: backends.clone(), audit: audit.clone() };
    let committer = Committer { store: Arc::clone(store) as Arc<dyn Store>, audit: audit.clone() };
    let of_issuer = |committed: &Committed| (committed.issuer.id().clone(), publishers.to_vec());
    let publishers = committed.iter().map(of_issuer).collect();
    let place = |committed: Committed| (committed.issuer.id().clone(), Place::new(settings(ring), committed));
    let places = Arc::new(Places::new(committed.into_iter().map(place)));
    let steady = SteadyClock::new(Arc::clone(clock), jwksd::ids::BootId::new([1; 16]));
    let metrics = Arc::new(Metrics::default());
    let rotator = Rotator::new(Arc::clone(&places), committer, effector, publishers, steady, metrics);
    let signer = Signer::new(places, backends, Some(audit.clone()), Arc::clone(clock));
    (Arc::new(rotator), Arc::new(signer))
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
