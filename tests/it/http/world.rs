//! A daemon's inside without the daemon: rotator, signer and all listeners, on ports of the system's choice.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jwksd::access::caller::TokenHash;
use jwksd::access::grant::{Grant, Grants, Operation, Pattern};
use jwksd::audit::{Audit, Options};
use jwksd::backend::Backend;
use jwksd::clock::{Clock, SteadyClock};
use jwksd::ids::{BackendId, BootId, CommitId, IssuerId};
use jwksd::lifecycle::event::Fact;
use jwksd::lifecycle::issuer::Issuer;
use jwksd::lifecycle::policy::{IssuerPolicy, MAX_BYTES, Policy, RingPolicy, Terms};
use jwksd::lifecycle::time::{Span, Timestamp};
use jwksd::lifecycle::verifiers;
use jwksd::rotator::{Cause, Committer, Effector, Rotator};
use jwksd::server::admin::{self, Admin};
use jwksd::server::caller::Access;
use jwksd::server::health::{Health, Monitor};
use jwksd::server::jwks::Jwks;
use jwksd::server::listen::{Address, ConnectionMetrics, Counters, Limits, Listener, serve};
use jwksd::server::sign::{self, Signing};
use jwksd::signer::Signer;
use jwksd::snapshot::{IssuerSettings, Place, Places, RingSettings, SelfVerify};
use jwksd::store::Store;
use jwksd::telemetry::Metrics;
use jwksd::tls::Endpoint;
use jwksd::trust::{TokenMetrics, TrustedIssuer, TrustedIssuers};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::checkpoints;
use crate::support::fake_backend::{Call, FakeBackend};
use crate::support::memory_store::MemoryStore;

/// A clock that the tests wind.
#[derive(Debug)]
pub struct TestClock(AtomicU64);

pub const START: i64 = 1_800_000_000;

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(START + self.0.load(Ordering::SeqCst) as i64)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(1_000 + self.0.load(Ordering::SeqCst))
    }
}

/// What differs from test to test.
#[derive(Debug)]
pub struct Setup {
    pub limits: Limits,
    pub sign: sign::Settings,
    pub grants: Vec<Grant>,
    pub tls: Option<Arc<Endpoint>>,
    /// Whether checkpoints of the audit log can be made.
    pub checkpoints: bool,
    pub trusted: Vec<TrustedIssuer>,
    /// Whether the rings sign digests, and nothing else.
    pub digests: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            sign: sign::Settings::default(),
            grants: vec![everything()],
            tls: None,
            checkpoints: false,
            trusted: Vec::new(),
            digests: false,
        }
    }
}

fn everything() -> Grant {
    Grant::new(Pattern::Loopback, Operation::ALL)
}

/// A grant for whoever presents the bearer token `text`.
pub fn token_grant(text: &str, allow: &[Operation], issuer: Option<&str>) -> Grant {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let caller = Pattern::Token(TokenHash(hash.as_ref().try_into().unwrap()));
    let issuer = issuer.map(|issuer| issuer.parse().unwrap());
    Grant { issuer, ..Grant::new(caller, allow.iter().copied()) }
}

pub struct World {
    pub clock: Arc<TestClock>,
    pub backend: Arc<FakeBackend>,
    pub rotator: Arc<Rotator>,
    pub health: Arc<Health>,
    pub counters: Counters,
    /// What is counted of connections.
    pub registry: Registry,
    pub public: SocketAddr,
    pub signing: SocketAddr,
    pub admin: SocketAddr,
    pub monitor: SocketAddr,
    pub socket: PathBuf,
    /// Signatures by which the rotator has tried new keys.
    trials: AtomicU64,
    stop: Option<watch::Sender<()>>,
    _directory: tempfile::TempDir,
}

pub const ISSUER: &str = "main";
pub const URL: &str = "https://id.example.com/tenant-a";
pub const JWKS: &str = "/tenant-a/.well-known/jwks.json";
/// Below it are the signing endpoints.
pub const RING: &str = "/v1/issuers/main/rings/es256";

fn settings(url: &str, digests: bool) -> IssuerSettings {
    let policy = RingPolicy {
        policy: Policy::new(Terms::default()).unwrap(),
        backend: BackendId::new("soft").unwrap(),
        standby_backend: None,
    };
    let ring = RingSettings { typ: "JWT".parse().ok(), self_verify: SelfVerify::Always, raw_signatures: true, digests };
    let name: jwksd::ids::RingName = "es256".parse().unwrap();
    IssuerSettings {
        url: url.to_owned(),
        path: url.strip_prefix("https://id.example.com").unwrap().to_owned(),
        jwks_max_age: Span::from_mins(5),
        skew: Span::from_mins(1),
        openid_configuration: url == URL,
        policy: IssuerPolicy { rings: BTreeMap::from([(name.clone(), policy)]), max_bytes: MAX_BYTES },
        rings: HashMap::from([(name, ring)]),
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    /// Issuer `main` signs and is published; issuer `new` has no key yet.
    pub async fn with(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(AtomicU64::new(0)));
        let wall: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let audit_dir = directory.path().join("audit");
        let (audit, _) = Audit::open(&audit_dir, Options::default(), Arc::clone(&wall)).unwrap();
        let checkpoint_log = audit.clone();
        let store = Arc::new(MemoryStore::new(Arc::clone(&wall)));
        let backend = Arc::new(FakeBackend::new("test"));
        let backends: HashMap<BackendId, Arc<dyn Backend>> =
            HashMap::from([(BackendId::new("soft").unwrap(), Arc::clone(&backend) as _)]);
        let mut places = Vec::new();
        for (name, url) in [(ISSUER, URL), ("new", "https://id.example.com/new")] {
            let id = IssuerId::new(name).unwrap();
            let committed = store.create(&Issuer::new(id.clone(), false), CommitId::new([1; 16])).await.unwrap();
            places.push((id, Place::new(settings(url, setup.digests), committed)));
        }
        let places = Arc::new(Places::new(places));
        let metrics = Arc::new(Metrics::default());
        let installation = "test".parse().unwrap();
        let rotator = Arc::new(Rotator::new(
            Arc::clone(&places),
            Committer { store, audit: audit.clone() },
            Effector { installation, backends: backends.clone(), audit: audit.clone() },
            HashMap::new(),
            SteadyClock::new(Arc::clone(&wall), BootId::new([1; 16])),
            Arc::clone(&metrics),
        ));
        let signer = Arc::new(Signer::new(Arc::clone(&places), backends, Some(audit.clone()), Arc::clone(&wall)));
        let grants = Arc::new(Grants::new(setup.grants));
        let trusted = TrustedIssuers::new(setup.trusted, Arc::clone(&wall), TokenMetrics::default());
        tokio::spawn(trusted.clone().keep(std::future::pending()));
        let access = Access { grants, trusted };
        let health = Health::new(Arc::clone(&rotator), audit.clone(), Arc::clone(&metrics));
        let health = Arc::new(health);
        let main = IssuerId::new(ISSUER).unwrap();
        for id in [&main, &"new".parse().unwrap()] {
            let fact = Fact::RingAdded { ring: "es256".parse().unwrap(), spec: FakeBackend::spec() };
            rotator.record(id, fact, &Cause::default()).await.unwrap();
        }
        rotator.tick(&main).await.unwrap();
        let trials = AtomicU64::new(backend.calls(Call::Sign));

        let (stop, _) = watch::channel(());
        let mut registry = Registry::default();
        let counters = ConnectionMetrics::register(&mut registry).of("test");
        let tcp = Address::Tcp(([127, 0, 0, 1], 0).into());
        let socket = directory.path().join("sign.sock");
        let unix = Address::Unix { path: socket.clone(), mode: 0o600 };
        let jwks = Jwks::new(&places, Arc::clone(&wall), &metrics);
        let signing = Signing::new(signer, &places, access.clone(), wall, Arc::clone(&metrics), setup.sign);
        let profiles = ["envoy", "go-oidc-v3"].map(|name| verifiers::find(name).unwrap()).to_vec();
        let maker = || checkpoints::maker(&checkpoint_log, &audit_dir, &backend, Span::from_hours(1), &metrics);
        let checkpointer = setup.checkpoints.then(maker);
        let admin = Admin::new(admin::Parts {
            installation: "test".parse().unwrap(),
            started_at: Timestamp::from_second(START),
            rotator: Arc::clone(&rotator),
            access,
            health: Arc::clone(&health),
            metrics,
            verifiers: HashMap::from([(main, profiles)]),
            audit_dir,
            checkpointer,
            settings: admin::Settings::default(),
        });
        let monitor = Monitor::new(Arc::clone(&health));

        let tls = setup.tls;
        let bind = |name, address: Address| {
            let tls = tls.clone().filter(|_| matches!(address, Address::Tcp(_)));
            async move {
                let listener = Listener::bind(name, &address, setup.limits).await.unwrap();
                match tls {
                    Some(endpoint) => listener.with_tls(endpoint),
                    None => listener,
                }
            }
        };
        let mut addresses = Vec::new();
        macro_rules! start {
            ($name:literal, $address:expr, $service:expr) => {{
                let listener = bind($name, $address).await;
                addresses.push(listener.address().clone());
                let mut stopped = stop.subscribe();
                let service = $service;
                let counters = counters.clone();
                tokio::spawn(async move {
                    serve(listener, counters, service, async move { drop(stopped.changed().await) }).await;
                });
            }};
        }
        start!("public", tcp.clone(), move |_| jwks.clone());
        let over_unix = signing.clone();
        start!("signing", tcp.clone(), move |peer| signing.connection(peer));
        start!("signing", unix, move |peer| over_unix.connection(peer));
        start!("admin", tcp.clone(), move |peer| admin.connection(peer));
        start!("metrics", tcp, move |_| monitor.clone());
        let address = |index: usize| match &addresses[index] {
            Address::Tcp(address) => *address,
            Address::Unix { .. } => unreachable!(),
        };
        Self {
            public: address(0),
            signing: address(1),
            admin: address(3),
            monitor: address(4),
            clock,
            backend,
            rotator,
            health,
            counters,
            registry,
            socket,
            trials,
            stop: Some(stop),
            _directory: directory,
        }
    }

    /// Tells every listener to stop.
    pub fn stop(&mut self) {
        self.stop.take();
    }

    /// Lets time pass, and the rotator do what is due.
    pub async fn pass(&self, span: Span) {
        self.sleep(span);
        self.tick().await;
    }

    /// Lets time pass, and nobody notice.
    pub fn sleep(&self, span: Span) {
        self.clock.0.fetch_add(span.as_secs(), Ordering::SeqCst);
    }

    pub async fn tick(&self) {
        let before = self.backend.calls(Call::Sign);
        self.rotator.tick(&ISSUER.parse().unwrap()).await.unwrap();
        self.trials.fetch_add(self.backend.calls(Call::Sign) - before, Ordering::SeqCst);
    }

    /// How often the backend was asked to sign for a caller.
    pub fn signatures(&self) -> u64 {
        self.backend.calls(Call::Sign) - self.trials.load(Ordering::SeqCst)
    }
}
